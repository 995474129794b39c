"""The newest transactions that landed, by signature, slot and address; and the fees they offered."""

import pickle
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from enum import IntEnum
from functools import lru_cache
from typing import Any, Final, NamedTuple

import zstandard

from hft.chain.svm_envelope import Envelope
from hft.chain.svm_units import requested_price
from hft.simnet.bank import Bank
from hft.simnet.details import Details
from hft.simnet.settlement import Executed

KEPT: Final = 256
"""So many of the newest stay however old they are: whoever was away finds what it sent last."""
KEPT_SLOTS: Final = 250
"""Others go when they are older: a blockhash lives for 150, a block is final after 32, and a client that
reads what landed asks for 63 more (25 s)."""
KEPT_S: Final = 100
"""The same where slots are shorter."""
MAX_RECORDS: Final = 8192
FEE_SLOTS: Final = 150
PACKED_AFTER_SLOTS: Final = 4
"""Whoever waits for a transaction to land reads it sooner; to others it takes a little longer to tell."""
PACKED_AT_ONCE: Final = 2
SAMPLE: Final = 16
"""So many of the first are what all are told apart from. Until there are as many, all stay whole."""


class Commitment(IntEnum):
    """How far a block is from being undone."""

    PROCESSED = 0
    CONFIRMED = 1
    FINALIZED = 2


# Slots that must follow on a block's own until it counts as confirmed, and as final.
DEPTHS: Final = {Commitment.PROCESSED: 0, Commitment.CONFIRMED: 1, Commitment.FINALIZED: 32}


class Record(NamedTuple):
    """A transaction in a block."""

    envelope: Envelope
    details: Details
    fee_lamports: int
    slot: int
    unix_timestamp: int


class Packing:
    """Makes records small: transactions are alike, so each is kept by how it differs from some others."""

    def __init__(self, sample: Sequence[Record]) -> None:
        alike = zstandard.ZstdCompressionDict(
            b"".join(map(_bytes, sample)), dict_type=zstandard.DICT_TYPE_RAWCONTENT
        )
        self._compress = zstandard.ZstdCompressor(1, dict_data=alike).compress
        self._decompress = zstandard.ZstdDecompressor(dict_data=alike).decompress

    def pack(self, record: Record) -> "Packed":
        """The record, small."""
        packed = self._compress(_bytes(record))
        return Packed(bytes(memoryview(packed)), self)  # its own memory is as large as the worst case

    def unpack(self, data: bytes) -> Record:
        """Nothing but what ``pack`` made comes here: a pickle from elsewhere may run anything."""
        record: Record = pickle.loads(self._decompress(data))
        return record


class Packed(NamedTuple):
    """A record that is packed, and how."""

    data: bytes
    packing: Packing


class Entry(NamedTuple):
    """A record, packed or not, and what is asked of it most. ``addresses``: all that it names."""

    signature: bytes
    slot: int
    unix_timestamp: int
    error: Any
    addresses: tuple[bytes, ...]
    body: Record | Packed

    @property
    def record(self) -> Record:
        """The whole of it."""
        return self.body.packing.unpack(self.body.data) if isinstance(self.body, Packed) else self.body


class Ledger:
    """What landed on a bank; the oldest records go when nobody can need them, or when there are too many.

    What is some slots old is seldom asked for: it is packed, to a tenth of the memory.
    """

    def __init__(self, bank: Bank) -> None:
        self._bank = bank
        self.entries: OrderedDict[bytes, Entry] = OrderedDict()
        self._unpacked: deque[bytes] = deque()
        self._packing: Packing | None = None
        self._fees: OrderedDict[int, list[tuple[int, frozenset[bytes]]]] = OrderedDict()
        self.count = 0

    def add(self, executed: Executed) -> None:
        """Takes a transaction that landed in the bank's slot; others are ignored."""
        envelope, details = executed.envelope, executed.details
        if not executed.landed or envelope is None or details is None:
            return
        slot, unix_timestamp = self._bank.slot, self._bank.clock.unix_timestamp
        record = Record(envelope, details, executed.status.fee_lamports, slot, unix_timestamp)
        addresses = tuple([_same(named.pubkey) for named in envelope.accounts])
        signature = envelope.signature
        self.entries[signature] = Entry(signature, slot, unix_timestamp, details.error, addresses, record)
        self._unpacked.append(signature)
        self.count += 1
        self._pack_older()
        self._forget_old()
        writable = frozenset(_same(named.pubkey) for named in envelope.accounts if named.writable)
        self._fees.setdefault(slot, []).append((requested_price(envelope.calls), writable))
        while len(self._fees) > FEE_SLOTS:
            self._fees.popitem(last=False)

    def revert_after(self, slot: int) -> list[bytes]:
        """Forgets what landed after ``slot``; returns the signatures."""
        lost = [entry.signature for entry in self.entries.values() if entry.slot > slot]
        for signature in lost:
            del self.entries[signature]
        for past in [past for past in self._fees if past > slot]:
            del self._fees[past]
        self.count -= len(lost)
        return lost

    def _pack_older(self) -> None:
        """A few at a time: no transaction waits for more."""
        waiting, young = self._unpacked, self._bank.slot - PACKED_AFTER_SLOTS
        if self._packing is None:
            whole = [self.entries[one].record for one in waiting if one in self.entries]
            if len(whole) < SAMPLE:
                return
            self._packing = Packing(whole[:SAMPLE])
        for _ in range(min(PACKED_AT_ONCE, len(waiting))):
            entry = self.entries.get(waiting[0])
            if entry is not None and entry.slot >= young:
                return
            waiting.popleft()
            if entry is not None and isinstance(entry.body, Record):
                self.entries[entry.signature] = Entry(*entry[:-1], self._packing.pack(entry.body))

    def _forget_old(self) -> None:
        entries, clock = self.entries, self._bank.clock
        while len(entries) > KEPT:
            oldest = next(iter(entries.values()))
            age_s = clock.unix_timestamp - oldest.unix_timestamp
            is_young = clock.slot - oldest.slot <= KEPT_SLOTS or age_s <= KEPT_S
            if is_young and len(entries) <= MAX_RECORDS:
                return
            entries.popitem(last=False)

    def commitment(self, slot: int, tip: int | None = None) -> Commitment:
        """How final a block of ``slot`` is, as a node at slot ``tip`` (the bank's, if not given) sees it."""
        depth = (self._bank.slot if tip is None else tip) - slot
        return max(level for level in Commitment if DEPTHS[level] <= max(depth, 0))

    def in_slot(self, slot: int) -> list[Record]:
        """Transactions of one block, in order."""
        return [entry.record for entry in self.entries.values() if entry.slot == slot]

    def naming(self, address: bytes, until_slot: int) -> Iterator[Entry]:
        """Transactions that name ``address``, newest first."""
        for entry in reversed(self.entries.values()):
            if entry.slot <= until_slot and address in entry.addresses:
                yield entry

    def fees(self, addresses: frozenset[bytes], slot: int) -> list[tuple[int, int]]:
        """(slot, the least price in micro-lamports per unit that landed there), oldest first, of
        transactions that write all of ``addresses``; 0 where there was none."""
        found = []
        for past in range(slot - FEE_SLOTS + 1, slot + 1):
            if past in self._bank.blocks:
                prices = [price for price, writable in self._fees.get(past, ()) if addresses <= writable]
                found.append((past, min(prices, default=0)))
        return found


def _bytes(record: Record) -> bytes:
    return pickle.dumps(record, pickle.HIGHEST_PROTOCOL)


@lru_cache(maxsize=1024)
def _same(address: bytes) -> bytes:
    """Of equal addresses the same object, however many records keep it."""
    return address
