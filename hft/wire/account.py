"""The account table's record: one on-chain account, newest version.

::

    0      8               16         24            32        36       40      72
    | slot | write_version | lamports | received_ns | length  | zeros  | owner | data …
"""

from functools import partial
from hashlib import sha256
from struct import Struct
from struct import error as StructError
from typing import Final, NamedTuple

from hft.wire.errors import WireError, WireErrorCode
from hft.wire.layout import View

_FORMAT: Final = "<QQQqI4x32s"
_HEADER: Final = Struct(_FORMAT)
_SLOT: Final = Struct("<Q").unpack_from

HEADER_BYTES: Final = _HEADER.size
DATA: Final = slice(HEADER_BYTES, None)
OWNER: Final = slice(40, HEADER_BYTES)
"""Of a record, for who wants these alone."""
LAYOUT_HASH: Final = int.from_bytes(sha256(_FORMAT.encode()).digest()[:8], "little")
"""Names this layout to a table's header (u64)."""


class AccountRecord(NamedTuple):
    """One account: the slot and write version of its bytes, its 32-byte owner, lamports, when it was received
    (ns, monotonic), and its data."""

    slot: int
    write_version: int
    owner: bytes
    lamports: int
    received_ns: int
    data: bytes


_record = partial(tuple.__new__, AccountRecord)  # half the time of AccountRecord(...)


def pack(slot: int, write_version: int, owner: bytes, lamports: int, received_ns: int, data: View) -> bytes:
    """The table record of one account; numbers u64, ``received_ns`` i64, ``owner`` 32 bytes, or WireError."""
    if len(owner) != 32:
        raise WireError(WireErrorCode.BAD_VALUE, f"account.owner: {len(owner)} bytes; must be 32 bytes")
    try:
        return _HEADER.pack(slot, write_version, lamports, received_ns, len(data), owner) + data
    except StructError as error:
        raise WireError(
            WireErrorCode.BAD_VALUE,
            f"account: slot {slot}, write_version {write_version}, lamports {lamports}, "
            f"received_ns {received_ns}: {error}",
        ) from None


def unpack(record: View) -> AccountRecord:
    """The account that ``pack`` was given; WireError ``truncated`` or ``oversize`` if the length is wrong."""
    try:
        slot, write_version, lamports, received_ns, length, owner = _HEADER.unpack_from(record)
    except StructError:
        raise _misfit(record, HEADER_BYTES) from None
    if len(record) != HEADER_BYTES + length:
        raise _misfit(record, HEADER_BYTES + length)
    return _record((slot, write_version, owner, lamports, received_ns, bytes(record[HEADER_BYTES:])))


def slot_of(record: View) -> int:
    """The slot alone; WireError ``truncated`` if the record has no header."""
    if len(record) < HEADER_BYTES:
        raise _misfit(record, HEADER_BYTES)
    slot: int = _SLOT(record)[0]
    return slot


def _misfit(record: View, wanted: int) -> WireError:
    code = WireErrorCode.TRUNCATED if len(record) < wanted else WireErrorCode.OVERSIZE
    return WireError(code, f"an account record of {len(record)} bytes; must be {wanted}")
