"""Frames of the local cluster's socket: how a client and the local cluster speak over a Unix stream socket.

    u32 length of the payload, little-endian | u8 kind | payload

Every integer is little-endian. A frame's payload is at most ``MAX_PAYLOAD`` bytes, and at most
``MAX_REQUEST`` from a client. Anything else is a ``FrameError`` with a code, and ends that one connection.
"""

import struct
from collections.abc import Callable
from enum import IntEnum
from typing import Final, NamedTuple, TypeVar

HEADER: Final = struct.Struct("<IB")
MAX_PAYLOAD: Final = (
    256 * 1024
)  # the largest account of the six venues (an old CLMM observation) has 52,121 bytes
MAX_REQUEST: Final = (
    4096  # a transaction has at most 1,232 bytes; an oversize one must arrive to be refused by name
)
MAX_NAME: Final = 200
MAX_TOKENS: Final = 64
NO_INDEX: Final = 255
SIGNATURE_BYTES: Final = 64
_LOW_SPACE: Final = 64 * 1024


class Kind(IntEnum):
    """What a frame is; below 64 a client asks, from 64 on the cluster tells."""

    SUBSCRIBE = 1
    SUBMIT = 2
    BALANCES_REQUEST = 3
    STATUS_REQUEST = 4
    ACCOUNT = 64
    SLOT = 65
    STATUS = 66
    BALANCES = 67
    ERROR = 68


class FrameErrorCode(IntEnum):
    """Why a frame was refused."""

    TOO_LARGE = 1
    UNKNOWN_KIND = 2
    BAD_PAYLOAD = 3


class FrameError(Exception):
    """A frame that breaks the protocol. ``code`` says how; the text names the value and what would be
    right."""

    def __init__(self, code: FrameErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class Outcome(IntEnum):
    """What became of a submission: executed, executed but failed (only the fee is charged), never executed;
    UNKNOWN answers a question after a signature that was not executed (yet)."""

    LANDED_OK = 1
    LANDED_FAILED = 2
    REJECTED = 3
    UNKNOWN = 4


class AccountUpdate(NamedTuple):
    """An account's newest bytes; no lamports and no data say that it does not exist.

    ``write_version`` grows with every write of the cluster, so (slot, write_version) orders updates;
    ``last_of_batch`` ends the updates that belong to one change, or the snapshot.
    """

    slot: int
    write_version: int
    pubkey: bytes
    owner: bytes
    lamports: int
    data: bytes
    last_of_batch: bool


class SlotUpdate(NamedTuple):
    """A new slot with the blockhash to sign with; a transaction dies once ``block_height`` passes
    ``last_valid_block_height`` of the blockhash it names."""

    slot: int
    block_height: int
    last_valid_block_height: int
    unix_timestamp: int
    blockhash: bytes


class TokenChange(NamedTuple):
    """Amount of one of the fee payer's token accounts (base units) before and after a transaction."""

    mint: bytes
    before: int
    after: int


class SettlementStatus(NamedTuple):
    """What became of one submitted transaction.

    ``error_index`` counts all instructions of the transaction (``NO_INDEX``: none failed, or it was refused
    whole); ``error_code`` is the program's own code (0 if it has none), ``error_name`` says it in words
    ("" if it landed). Balances are the fee payer's: lamports, and each of its token accounts that the
    transaction names.
    """

    signature: bytes
    outcome: Outcome
    slot: int
    error_index: int
    error_code: int
    error_name: str
    fee_lamports: int
    compute_units: int
    lamports_before: int
    lamports_after: int
    tokens: tuple[TokenChange, ...]


class BalancesRequest(NamedTuple):
    """Asks for everything a wallet owns; ``request`` comes back in the answer."""

    request: int
    wallet: bytes


class StatusRequest(NamedTuple):
    """Asks what became of the transaction with this first signature (64 bytes)."""

    signature: bytes


class Balances(NamedTuple):
    """What a wallet owns now: lamports, and base units by mint (token accounts of a mint added up)."""

    request: int
    wallet: bytes
    slot: int
    lamports: int
    tokens: tuple[tuple[bytes, int], ...]


class ClusterFault(NamedTuple):
    """The cluster says why it is about to drop this connection."""

    code: int
    message: str


class Subscribe(NamedTuple):
    """Asks for the current slot and every one after it; with ``accounts`` for a snapshot of all accounts and
    every change besides."""

    accounts: bool


class Submit(NamedTuple):
    """A signed transaction as it is."""

    transaction: bytes


_Read = TypeVar("_Read")
Event = AccountUpdate | SlotUpdate | SettlementStatus | Balances | ClusterFault
Request = Subscribe | Submit | BalancesRequest | StatusRequest

_ACCOUNT = struct.Struct("<QQQB32s32s")
_SLOT = struct.Struct("<QQQq32s")
_STATUS = struct.Struct("<64sBQBIQIQQBB")
_TOKEN = struct.Struct("<32sQQ")
_BALANCES_REQUEST = struct.Struct("<Q32s")
_BALANCES = struct.Struct("<Q32sQQB")
_HOLDING = struct.Struct("<32sQ")
_ERROR = struct.Struct("<H")


def frame(kind: Kind, payload: bytes) -> bytes:
    """One whole frame. ``FrameError`` TOO_LARGE beyond the limit of its direction."""
    limit = MAX_REQUEST if kind < Kind.ACCOUNT else MAX_PAYLOAD
    if len(payload) > limit:
        raise FrameError(
            FrameErrorCode.TOO_LARGE, f"{kind.name} frame of {len(payload)} bytes: at most {limit} fit"
        )
    return HEADER.pack(len(payload), kind) + payload


def account_frame(update: AccountUpdate) -> bytes:
    """Frame of an account update."""
    head = _ACCOUNT.pack(
        update.slot, update.write_version, update.lamports, update.last_of_batch, update.pubkey, update.owner
    )
    return frame(Kind.ACCOUNT, head + update.data)


def slot_frame(update: SlotUpdate) -> bytes:
    """Frame of a slot update."""
    return frame(Kind.SLOT, _SLOT.pack(*update))


def status_frame(status: SettlementStatus) -> bytes:
    """Frame of a settlement status; a longer ``error_name`` is cut at ``MAX_NAME`` bytes, tokens at
    ``MAX_TOKENS``."""
    name = status.error_name.encode()[:MAX_NAME]
    tokens = status.tokens[:MAX_TOKENS]
    head = _STATUS.pack(
        status.signature,
        status.outcome,
        status.slot,
        status.error_index,
        status.error_code,
        status.fee_lamports,
        status.compute_units,
        status.lamports_before,
        status.lamports_after,
        len(tokens),
        len(name),
    )
    return frame(Kind.STATUS, head + b"".join(_TOKEN.pack(*token) for token in tokens) + name)


def balances_frame(balances: Balances) -> bytes:
    """Frame of a balances answer."""
    tokens = balances.tokens[:MAX_TOKENS]
    head = _BALANCES.pack(balances.request, balances.wallet, balances.slot, balances.lamports, len(tokens))
    return frame(Kind.BALANCES, head + b"".join(_HOLDING.pack(*token) for token in tokens))


def fault_frame(fault: ClusterFault) -> bytes:
    """Frame of a fault, its text cut at ``MAX_NAME`` bytes."""
    return frame(Kind.ERROR, _ERROR.pack(fault.code) + fault.message.encode()[:MAX_NAME])


def request_frame(request: Request) -> bytes:
    """Frame of a client's request. ``FrameError`` TOO_LARGE for a transaction beyond ``MAX_REQUEST``
    bytes."""
    if isinstance(request, Submit):
        return frame(Kind.SUBMIT, request.transaction)
    if isinstance(request, BalancesRequest):
        return frame(Kind.BALANCES_REQUEST, _BALANCES_REQUEST.pack(*request))
    if isinstance(request, StatusRequest):
        return frame(Kind.STATUS_REQUEST, request.signature)
    return frame(Kind.SUBSCRIBE, bytes((request.accounts,)))


def _read_account(view: memoryview) -> AccountUpdate:
    slot, write_version, lamports, last, pubkey, owner = _ACCOUNT.unpack_from(view)
    return AccountUpdate(
        slot, write_version, pubkey, owner, lamports, bytes(view[_ACCOUNT.size :]), bool(last)
    )


def _read_slot(view: memoryview) -> SlotUpdate:
    return SlotUpdate(*_SLOT.unpack(view))


def _read_status(view: memoryview) -> SettlementStatus:
    (signature, outcome, slot, index, code, fee, units, before, after, count, length) = _STATUS.unpack_from(
        view
    )
    start = _STATUS.size
    tokens = tuple(TokenChange(*_TOKEN.unpack_from(view, start + n * _TOKEN.size)) for n in range(count))
    start += count * _TOKEN.size
    if len(view) != start + length:
        raise ValueError(f"status of {len(view)} bytes where its counts say {start + length}")
    name = str(bytes(view[start:]), "utf-8", "replace")
    return SettlementStatus(
        signature, Outcome(outcome), slot, index, code, name, fee, units, before, after, tokens
    )


def _read_balances(view: memoryview) -> Balances:
    request, wallet, slot, lamports, count = _BALANCES.unpack_from(view)
    if len(view) != _BALANCES.size + count * _HOLDING.size:
        raise ValueError(f"balances of {len(view)} bytes for {count} tokens")
    tokens = tuple(_HOLDING.iter_unpack(view[_BALANCES.size :]))
    return Balances(request, wallet, slot, lamports, tokens)


def _read_fault(view: memoryview) -> ClusterFault:
    return ClusterFault(_ERROR.unpack_from(view)[0], str(bytes(view[_ERROR.size :]), "utf-8", "replace"))


def _read_subscribe(view: memoryview) -> Subscribe:
    if len(view) != 1 or view[0] > 1:
        raise ValueError("one byte belongs there: 0 (slots) or 1 (accounts too)")
    return Subscribe(bool(view[0]))


def _read_status_request(view: memoryview) -> StatusRequest:
    if len(view) != SIGNATURE_BYTES:
        raise ValueError(f"a signature of {SIGNATURE_BYTES} bytes belongs there")
    return StatusRequest(bytes(view))


def _read_balances_request(view: memoryview) -> BalancesRequest:
    return BalancesRequest(*_BALANCES_REQUEST.unpack(view))


_EVENTS: Final[dict[int, Callable[[memoryview], Event]]] = {
    Kind.ACCOUNT: _read_account,
    Kind.SLOT: _read_slot,
    Kind.STATUS: _read_status,
    Kind.BALANCES: _read_balances,
    Kind.ERROR: _read_fault,
}
_REQUESTS: Final[dict[int, Callable[[memoryview], Request]]] = {
    Kind.SUBSCRIBE: _read_subscribe,
    Kind.SUBMIT: lambda view: Submit(bytes(view)),
    Kind.BALANCES_REQUEST: _read_balances_request,
    Kind.STATUS_REQUEST: _read_status_request,
}


class FrameBuffer:
    """Received bytes, cut into frames. ``space()`` gives a view to receive into, ``received(n)`` counts what
    came."""

    def __init__(self, limit: int, capacity: int) -> None:
        """``limit``: largest payload taken; ``capacity`` bytes are held, at least one largest frame."""
        self._limit = limit
        self._bytes = bytearray(max(capacity, limit + HEADER.size))
        self._view = memoryview(self._bytes)
        self._start = 0
        self._end = 0

    @property
    def held(self) -> int:
        """Bytes received and not yet taken as frames."""
        return self._end - self._start

    def space(self) -> memoryview:
        """Room to receive into; empty only while whole frames wait to be taken."""
        if self._start == self._end:
            self._start = self._end = 0
        elif self._start > 0 and len(self._bytes) - self._end < _LOW_SPACE:
            held = self.held
            self._bytes[:held] = self._bytes[self._start : self._end]
            self._start, self._end = 0, held
        return self._view[self._end :]

    def received(self, count: int) -> None:
        """``count`` bytes were written into ``space()``."""
        self._end += count

    def has_frame(self) -> bool:
        """Whether a whole frame (or a header that breaks the limit) can be taken."""
        if self.held < HEADER.size:
            return False
        length: int = HEADER.unpack_from(self._bytes, self._start)[0]
        return length > self._limit or self.held >= HEADER.size + length

    def next_payload(self) -> tuple[int, memoryview] | None:
        """Kind and payload of the next whole frame (the view dies with the next ``space()``), or ``None``."""
        if self._end - self._start < HEADER.size:
            return None
        length, kind = HEADER.unpack_from(self._bytes, self._start)
        if length > self._limit:
            raise FrameError(
                FrameErrorCode.TOO_LARGE, f"frame announces {length} bytes: at most {self._limit} are taken"
            )
        start = self._start + HEADER.size
        if self._end - start < length:
            return None
        self._start = start + length
        return kind, self._view[start : start + length]

    def next_event(self) -> Event | None:
        """The next whole frame as what the cluster tells; ``FrameError`` if it is none."""
        found = self.next_payload()
        return None if found is None else _read(_EVENTS, *found)

    def next_request(self) -> Request | None:
        """The next whole frame as what a client asks; ``FrameError`` if it is none."""
        found = self.next_payload()
        return None if found is None else _read(_REQUESTS, *found)


def _read(readers: dict[int, Callable[[memoryview], _Read]], kind: int, view: memoryview) -> _Read:
    reader = readers.get(kind)
    if reader is None:
        known = ", ".join(f"{name} ({Kind(name).name})" for name in readers)
        raise FrameError(FrameErrorCode.UNKNOWN_KIND, f"frame kind {kind}: one of {known} belongs here")
    try:
        return reader(view)
    except (struct.error, ValueError) as error:
        raise FrameError(
            FrameErrorCode.BAD_PAYLOAD, f"{Kind(kind).name} frame of {len(view)} bytes is malformed: {error}"
        ) from error
