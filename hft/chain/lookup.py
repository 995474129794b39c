"""Address lookup tables: read, kept, refreshed, and refused where they can't be used.

    u32 tag 1 | deactivation slot u64 @4 | last extended slot u64 @12 | first index of that extension u8 @20
    | authority option @21 | addresses from @56, 32 bytes each, at most 256

An active table has deactivation slot 2^64-1. Addresses become usable in the slot after their extension: until
then the table is refused whole, since the new end is what a transaction made for it would use.
"""

from collections.abc import Collection, Iterable, Mapping
from enum import IntEnum
from struct import Struct
from typing import Final, NamedTuple

from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.pubkey import Pubkey

from hft.chain.tips import TIP_ACCOUNTS
from hft.venues import Account

LOOKUP_TABLE_PROGRAM: Final = bytes(Pubkey.from_string("AddressLookupTab1e1111111111111111111111111"))
ACTIVE: Final = 2**64 - 1
MAX_ADDRESSES: Final = 256
ADDRESSES_AT: Final = 56
REFRESH_SLOTS: Final = 150
"""A table is read again after so many slots: as long as a blockhash lives, far less than a deactivation takes
(512 slots)."""

_HEAD = Struct("<IQQBB32s")
_TABLE_TAG = 1


class TableErrorCode(IntEnum):
    """Why a lookup table can't be used."""

    UNKNOWN = 1
    WRONG_OWNER = 2
    MALFORMED = 3
    DEACTIVATED = 4
    JUST_EXTENDED = 5
    STALE = 6
    INDEX = 7
    TIP_ACCOUNT = 8


class TableError(Exception):
    """A lookup table that would get the transaction refused; the text names table and value."""

    def __init__(self, code: TableErrorCode, message: str) -> None:
        super().__init__(f"{code.name.lower()}: {message}")
        self.code = code


class LookupTable(NamedTuple):
    """A table as read at ``read_slot``. ``authority`` is None for a frozen one."""

    key: bytes
    deactivation_slot: int
    last_extended_slot: int
    last_extended_start_index: int
    authority: bytes | None
    addresses: tuple[bytes, ...]
    read_slot: int

    @property
    def active(self) -> bool:
        """Never deactivated (a deactivated one still serves some 512 slots, which nobody should rely on)."""
        return self.deactivation_slot == ACTIVE


def parse_table(key: bytes, account: Account | None, slot: int) -> LookupTable:
    """The table at ``key`` from its account as of ``slot``.

    ``TableError``: UNKNOWN (no account), WRONG_OWNER, MALFORMED.
    """
    name = Pubkey(key)
    if account is None or not account.data:
        raise TableError(TableErrorCode.UNKNOWN, f"there is no lookup table {name}")
    if account.owner != LOOKUP_TABLE_PROGRAM:
        raise TableError(
            TableErrorCode.WRONG_OWNER,
            f"{name} is owned by {Pubkey(account.owner)}, not by the lookup-table program",
        )
    data = account.data
    count, rest = divmod(len(data) - ADDRESSES_AT, 32)
    if len(data) < ADDRESSES_AT or rest or count > MAX_ADDRESSES:
        raise TableError(TableErrorCode.MALFORMED, f"{name}: {len(data)} bytes, 56 + 32·(0..256) belong")
    tag, deactivation, extended, start, has_authority, authority = _HEAD.unpack_from(data)
    if tag != _TABLE_TAG or start > count or has_authority > 1:
        raise TableError(
            TableErrorCode.MALFORMED, f"{name}: tag {tag}, extension from {start} of {count} addresses"
        )
    addresses = tuple(bytes(data[at : at + 32]) for at in range(ADDRESSES_AT, len(data), 32))
    return LookupTable(
        key, deactivation, extended, start, authority if has_authority else None, addresses, slot
    )


def encode_table(
    addresses: Collection[bytes],
    *,
    deactivation_slot: int = ACTIVE,
    last_extended_slot: int = 0,
    last_extended_start_index: int = 0,
    authority: bytes | None = None,
) -> bytes:
    """A table account's data; the inverse of ``parse_table``."""
    if len(addresses) > MAX_ADDRESSES or any(len(address) != 32 for address in addresses):
        raise ValueError(f"{len(addresses)} addresses: at most {MAX_ADDRESSES}, 32 bytes each")
    head = bytearray(ADDRESSES_AT)
    _HEAD.pack_into(
        head,
        0,
        _TABLE_TAG,
        deactivation_slot,
        last_extended_slot,
        last_extended_start_index,
        authority is not None,
        authority or bytes(32),
    )
    return bytes(head) + b"".join(addresses)


def check_table(table: LookupTable, slot: int) -> None:
    """``TableError`` unless the table can be used in a transaction made at ``slot``: DEACTIVATED,
    JUST_EXTENDED, STALE (not read for ``REFRESH_SLOTS`` slots), TIP_ACCOUNT.
    """
    name = Pubkey(table.key)
    if not table.active:
        raise TableError(
            TableErrorCode.DEACTIVATED,
            f"lookup table {name} was deactivated in slot {table.deactivation_slot}",
        )
    if slot <= table.last_extended_slot:
        raise TableError(
            TableErrorCode.JUST_EXTENDED,
            f"lookup table {name} was extended in slot {table.last_extended_slot}: "
            f"usable from the slot after, this is {slot}",
        )
    if slot - table.read_slot > REFRESH_SLOTS:
        raise TableError(
            TableErrorCode.STALE,
            f"lookup table {name} was read in slot {table.read_slot}, over {REFRESH_SLOTS} before {slot}",
        )
    held = next((tip for tip in TIP_ACCOUNTS if tip in table.addresses), None)
    if held is not None:
        raise TableError(
            TableErrorCode.TIP_ACCOUNT,
            f"lookup table {name} holds tip account {Pubkey(held)}, which must not be loaded through a table",
        )


class TableCache:
    """The tables we use, as last read. Whoever owns a connection reads what ``due`` names and hands it to
    ``update``; ``version`` counts changes of what the tables hold, so that prepared transactions know when
    they are out of date.
    """

    def __init__(self, keys: Iterable[bytes] = ()) -> None:
        self._keys = dict.fromkeys(keys)
        self._tables: dict[bytes, LookupTable] = {}
        self._forms: dict[bytes, AddressLookupTableAccount] = {}
        self.errors: dict[bytes, TableError] = {}
        self.version = 0

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, key: bytes) -> LookupTable:
        """The table as last read; ``TableError`` with the reason if it never could be."""
        table = self._tables.get(key)
        if table is None:
            raise self.errors.get(key) or TableError(
                TableErrorCode.UNKNOWN, f"lookup table {Pubkey(key)} was never read"
            )
        return table

    def add(self, key: bytes) -> None:
        """Use the table at ``key`` too, once it was read."""
        self._keys[key] = None

    def due(self, slot: int) -> tuple[bytes, ...]:
        """Keys of the tables to read now: never read, unreadable, or at half of their time."""
        read = {key: table.read_slot for key, table in self._tables.items()}
        limit = slot - REFRESH_SLOTS // 2
        return tuple(key for key in self._keys if key in self.errors or read.get(key, -1) < max(limit, 0))

    def update(self, accounts: Mapping[bytes, Account | None], slot: int) -> None:
        """Takes in what was read at ``slot``; an older reading than the one at hand is ignored."""
        for key, account in accounts.items():
            old = self._tables.get(key)
            if key not in self._keys or (old is not None and old.read_slot > slot):
                continue
            try:
                table = parse_table(key, account, slot)
            except TableError as error:
                self.errors[key] = error
                self.version += self._tables.pop(key, None) is not None
                continue
            self.errors.pop(key, None)
            self._tables[key] = table
            if old is None or old._replace(read_slot=slot) != table:
                self._forms[key] = AddressLookupTableAccount(
                    Pubkey(key), [Pubkey(address) for address in table.addresses]
                )
                self.version += 1

    def usable(self, slot: int) -> tuple[AddressLookupTableAccount, ...]:
        """The tables that a transaction made at ``slot`` may use; the others are left out."""
        found = []
        for key, table in self._tables.items():
            try:
                check_table(table, slot)
            except TableError:
                continue
            found.append(self._forms[key])
        return tuple(found)

    def tables(self) -> Mapping[bytes, LookupTable]:
        """All tables that were read, usable or not."""
        return self._tables
