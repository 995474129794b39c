"""The block engine's auction: bundles, and a rival's trades, by what they pay, once a tick.

A bundle runs whole or not at all. It is Pending until its tick, then Landed or Failed; one that never gets
a place is dropped and reads Invalid, as does an id nobody knows.
"""

import hashlib
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from hft.chain.svm_envelope import Envelope, EnvelopeError, Named, Refusal, open_envelope
from hft.chain.svm_units import requested_limit
from hft.chain.tips import MINIMUM_TIP_LAMPORTS, TIP_ACCOUNTS
from hft.simnet.bank import Bank
from hft.simnet.events import Outcome
from hft.simnet.faults import Faults
from hft.simnet.settlement import Executed, Settlement

TICK_NS: Final = 50_000_000
MAX_TRANSACTIONS: Final = 5
MAX_WAITING: Final = 1024
MAX_PER_TICK: Final = 64
MAX_TICKS: Final = 40
STATUSES_KEPT: Final = 1024
"""Besides those that wait: more than minutes of them, and nobody asks after a bundle for longer."""
TIPS_KEPT: Final = 1000
NEVER: Final = 2**62
_TIP_KEYS: Final = frozenset(TIP_ACCOUNTS)
_SYSTEM: Final = bytes(32)
_TRANSFER: Final = (2).to_bytes(4, "little")


class BundleState(StrEnum):
    """What an in-flight status says."""

    INVALID = "Invalid"
    PENDING = "Pending"
    FAILED = "Failed"
    LANDED = "Landed"


class BundleError(Exception):
    """A bundle refused at the door: HTTP status and JSON-RPC code."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Bid(NamedTuple):
    """Somebody's wish for a place in a tick: the price offered (lamports per million compute units), and
    what happens when the place comes."""

    price: int
    sequence: int
    run: Callable[[], None]


class Bundle:
    """One bundle and what became of it."""

    def __init__(
        self, name: str, raws: tuple[bytes, ...], signatures: tuple[bytes, ...], received_ns: int
    ) -> None:
        self.received_ns = received_ns
        self.name = name
        self.raws = raws
        self.signatures = signatures
        self.state = BundleState.PENDING
        self.slot: int | None = None
        self.tip_lamports = 0
        self.ticks = 0
        self.why = ""


class BlockEngine:
    """Auctions on one bank. ``next_ns``: when (on the market's time) the next tick with a bid is."""

    def __init__(
        self,
        bank: Bank,
        settlement: Settlement,
        faults: Faults,
        told: Callable[[Executed, int, int, int], None],
    ) -> None:
        """``told(executed, bytes, received_ns, settle_ns)`` is called for every transaction that had its
        turn; of a bundle each has its equal share of the time."""
        self._bank = bank
        self._settlement = settlement
        self._faults = faults
        self._told = told
        self.bundles: OrderedDict[str, Bundle] = OrderedDict()
        self.tips: deque[int] = deque(maxlen=TIPS_KEPT)
        self._bids: list[Bid] = []
        self._waiting: dict[int, Bundle] = {}
        self._sequence = 0
        self.next_ns = NEVER
        self.dropped = 0

    def bid(self, price: int, run: Callable[[], None], now_ns: int) -> int:
        """A place in the next tick for ``run``; returns the bid's number."""
        self._sequence += 1
        self._bids.append(Bid(price, self._sequence, run))
        self.next_ns = min(self.next_ns, (now_ns // TICK_NS + 1) * TICK_NS)
        return self._sequence

    def submit(self, raws: Sequence[bytes], now_ns: int, received_ns: int) -> str:
        """Takes a bundle at ``now_ns`` of the market's time, ``received_ns`` of the clock; returns its id
        (SHA-256 of its signatures). ``BundleError`` if it is refused."""
        envelopes = [self._open(raw) for raw in raws]
        if not any(named.writable and named.pubkey in _TIP_KEYS for e in envelopes for named in static(e)):
            message = "Bundles must write lock at least one tip account to be eligible for the auction."
            raise BundleError(400, -32602, message)
        signatures = tuple(envelope.signature for envelope in envelopes)
        name = hashlib.sha256(b"".join(signatures)).hexdigest()
        if name in self.bundles and self.bundles[name].state is BundleState.PENDING:
            return name
        bundle = Bundle(name, tuple(raws), signatures, received_ns)
        self.bundles[name] = bundle
        self._forget_old()
        tip = sum(_transfers_to_tips(envelope) for envelope in envelopes)
        if tip == 0:
            _, results = self._settlement.run_bundle(raws, keep=False)
            tip = sum(executed.tip_lamports for executed in results)
        bundle.tip_lamports = tip
        if tip < MINIMUM_TIP_LAMPORTS:
            self._drop(bundle, f"tip of {tip} lamports, at least {MINIMUM_TIP_LAMPORTS} is wanted")
        elif len(self._waiting) >= MAX_WAITING:
            self._drop(bundle, f"{MAX_WAITING} bundles wait already")
        elif self._faults.take("dropped_bundle"):
            self._drop(bundle, "Bundle Dropped, no connected leader up soon")
        else:
            units = sum(requested_limit(envelope.calls) for envelope in envelopes)
            self._enter(bundle, tip * 1_000_000 // max(units, 1), now_ns)
        return name

    def tick(self, now_ns: int) -> None:
        """The best bids get their places; those left over wait for the next tick, and not for ever."""
        bids = sorted(self._bids, key=lambda bid: (-bid.price, bid.sequence))
        self._bids = []
        self.next_ns = NEVER
        for bid in bids[:MAX_PER_TICK]:
            self._waiting.pop(bid.sequence, None)
            bid.run()
        for bid in bids[MAX_PER_TICK:]:
            bundle = self._waiting.pop(bid.sequence, None)
            if bundle is None:
                continue
            bundle.ticks += 1
            if bundle.ticks >= MAX_TICKS:
                self._drop(bundle, f"no place in {MAX_TICKS} ticks")
            else:
                self._enter(bundle, bid.price, now_ns)

    def state_of(self, name: str) -> Bundle | None:
        """The bundle, ``None`` if nobody knows it (or it was dropped)."""
        bundle = self.bundles.get(name)
        return None if bundle is None or bundle.state is BundleState.INVALID else bundle

    def revert_after(self, slot: int) -> None:
        """Bundles that landed after ``slot`` did not."""
        for bundle in self.bundles.values():
            if bundle.slot is not None and bundle.slot > slot:
                bundle.state, bundle.slot, bundle.why = BundleState.FAILED, None, "on a fork that lost"

    def _forget_old(self) -> None:
        while len(self.bundles) > STATUSES_KEPT:
            oldest = next(iter(self.bundles.values()))
            if oldest.state is BundleState.PENDING:
                return
            self.bundles.popitem(last=False)

    def _enter(self, bundle: Bundle, price: int, now_ns: int) -> None:
        number = self.bid(price, lambda: self._run(bundle), now_ns)
        self._waiting[number] = bundle

    def _run(self, bundle: Bundle) -> None:
        raws, bundle.raws = bundle.raws, ()
        if self._faults.take("unbundled_bundle"):
            for raw in raws:
                begin_ns = time.perf_counter_ns()
                executed = self._settlement.run(raw)
                self._told(executed, len(raw), bundle.received_ns, time.perf_counter_ns() - begin_ns)
            bundle.state, bundle.why = BundleState.FAILED, "unbundled: its transactions landed one by one"
            return
        begin_ns = time.perf_counter_ns()
        whole, results = self._settlement.run_bundle(raws)
        share_ns = (time.perf_counter_ns() - begin_ns) // len(results)
        if not whole:
            last = results[-1]
            bundle.state, bundle.why = BundleState.FAILED, last.status.error_name
            for raw, executed in zip(raws, results, strict=False):
                status = executed.status._replace(
                    outcome=Outcome.REJECTED, error_name=last.status.error_name, fee_lamports=0
                )
                self._told(Executed(status, None, None), len(raw), bundle.received_ns, share_ns)
            return
        bundle.state, bundle.slot = BundleState.LANDED, self._bank.slot
        bundle.tip_lamports = sum(executed.tip_lamports for executed in results)
        self.tips.append(bundle.tip_lamports)
        for raw, executed in zip(raws, results, strict=True):
            self._told(executed, len(raw), bundle.received_ns, share_ns)

    def _drop(self, bundle: Bundle, why: str) -> None:
        bundle.state, bundle.why, bundle.raws = BundleState.INVALID, why, ()
        self.dropped += 1

    def _open(self, raw: bytes) -> Envelope:
        try:
            envelope = open_envelope(raw, self._bank.account, slot=self._bank.slot)
        except EnvelopeError as error:
            if error.refusal is Refusal.TOO_MANY_ACCOUNT_LOCKS:
                raise BundleError(200, -32603, "transaction has too many account locks") from error
            raise BundleError(200, -32602, f"transaction could not be decoded: {error}") from error
        if self._settlement.has_seen(envelope.signature):
            raise BundleError(200, -32602, "bundle contains an already processed transaction")
        if not self._bank.knows_blockhash(envelope.blockhash):
            raise BundleError(200, -32602, "bundle contains an expired blockhash")
        return envelope


def static(envelope: Envelope) -> Sequence[Named]:
    """Accounts that the message names itself: a tip account must not come from a lookup table."""
    return envelope.accounts[: envelope.static]


def _transfers_to_tips(envelope: Envelope) -> int:
    return sum(
        int.from_bytes(call.data[4:12], "little")
        for call in envelope.calls
        if call.program == _SYSTEM and len(call.data) == 12 and call.data.startswith(_TRANSFER)
        if len(call.accounts) > 1 and call.accounts[1].pubkey in _TIP_KEYS
    )
