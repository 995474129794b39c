"""The newest transactions that landed, by signature, slot and address; and the fees they offered."""

from collections import OrderedDict
from enum import IntEnum
from typing import Final, NamedTuple

from hft.chain.svm_envelope import Envelope
from hft.chain.svm_units import requested_price
from hft.simnet.bank import Bank
from hft.simnet.details import Details
from hft.simnet.settlement import Executed

MAX_RECORDS: Final = 8192
FEE_SLOTS: Final = 150


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


class Ledger:
    """What landed on a bank; the oldest records go when there are too many."""

    def __init__(self, bank: Bank) -> None:
        self._bank = bank
        self.records: OrderedDict[bytes, Record] = OrderedDict()
        self._fees: OrderedDict[int, list[tuple[int, frozenset[bytes]]]] = OrderedDict()
        self.count = 0

    def add(self, executed: Executed) -> None:
        """Takes a transaction that landed in the bank's slot; others are ignored."""
        envelope, details = executed.envelope, executed.details
        if not executed.landed or envelope is None or details is None:
            return
        slot = self._bank.slot
        record = Record(
            envelope, details, executed.status.fee_lamports, slot, self._bank.clock.unix_timestamp
        )
        self.records[envelope.signature] = record
        self.count += 1
        while len(self.records) > MAX_RECORDS:
            self.records.popitem(last=False)
        writable = frozenset(named.pubkey for named in envelope.accounts if named.writable)
        self._fees.setdefault(slot, []).append((requested_price(envelope.calls), writable))
        while len(self._fees) > FEE_SLOTS:
            self._fees.popitem(last=False)

    def revert_after(self, slot: int) -> list[bytes]:
        """Forgets what landed after ``slot``; returns the signatures."""
        lost = [signature for signature, record in self.records.items() if record.slot > slot]
        for signature in lost:
            del self.records[signature]
        for past in [past for past in self._fees if past > slot]:
            del self._fees[past]
        self.count -= len(lost)
        return lost

    def commitment(self, slot: int, tip: int | None = None) -> Commitment:
        """How final a block of ``slot`` is, as a node at slot ``tip`` (the bank's, if not given) sees it."""
        depth = (self._bank.slot if tip is None else tip) - slot
        return max(level for level in Commitment if DEPTHS[level] <= max(depth, 0))

    def in_slot(self, slot: int) -> list[Record]:
        """Transactions of one block, in order."""
        return [record for record in self.records.values() if record.slot == slot]

    def naming(self, address: bytes, until_slot: int) -> list[Record]:
        """Transactions that name ``address``, newest first."""
        return [
            record
            for record in reversed(self.records.values())
            if record.slot <= until_slot
            and any(named.pubkey == address for named in record.envelope.accounts)
        ]

    def fees(self, addresses: frozenset[bytes], slot: int) -> list[tuple[int, int]]:
        """(slot, the least price in micro-lamports per unit that landed there), oldest first, of
        transactions that write all of ``addresses``; 0 where there was none."""
        found = []
        for past in range(slot - FEE_SLOTS + 1, slot + 1):
            if past in self._bank.blocks:
                prices = [price for price, writable in self._fees.get(past, ()) if addresses <= writable]
                found.append((past, min(prices, default=0)))
        return found
