"""What the cluster remembers of what landed: as long as anybody may ask, and packed the same as whole."""

import pickle

import pytest
from simnet_helpers import WALLET, shipped_bank
from solders.compute_budget import set_compute_unit_price
from solders.instruction import Instruction
from solders.system_program import TransferParams, transfer

from hft.chain.tips import TIP_ACCOUNTS
from hft.chain.transaction import TwoHop, build_two_hop, sign
from hft.simnet import ledger as module
from hft.simnet.bank import Bank
from hft.simnet.encoding import transaction_json
from hft.simnet.ledger import (
    KEPT_SLOTS,
    PACKED_AFTER_SLOTS,
    PACKED_AT_ONCE,
    SAMPLE,
    Entry,
    Ledger,
    Packed,
    Record,
)
from hft.simnet.settlement import Executed, Settlement
from hft.venues import WRAPPED_SOL, quote

AS_JSON = {"encoding": "json", "maxSupportedTransactionVersion": 0}
USER = WALLET.pubkey()


class Chain:
    """A bank, its settlement and its ledger."""

    def __init__(self) -> None:
        self.bank: Bank = shipped_bank()
        self.settlement = Settlement(self.bank)
        self.ledger = Ledger(self.bank)
        self._number = 0

    def land(self, *instructions: Instruction) -> bytes:
        """A transaction of these instructions, or of a lamport to ourselves; its signature."""
        self._number += 1
        own = transfer(TransferParams(from_pubkey=USER, to_pubkey=USER, lamports=1))
        order = [set_compute_unit_price(self._number), *(instructions or (own,))]
        return self.take(self.settlement.run(sign(order, WALLET, self.bank.blockhash).data))

    def two_hop(self, minimum_out: int) -> bytes:
        pools = [pool for pool in self.bank.pools.values() if WRAPPED_SOL in (pool.mint_a, pool.mint_b)]
        mint = pools[0].other_mint(WRAPPED_SOL)
        first, second = [pool for pool in pools if mint in (pool.mint_a, pool.mint_b)][:2]
        mid = quote(first, WRAPPED_SOL, 10**7, self.bank.clock).amount_out
        order = TwoHop(
            first, second, WRAPPED_SOL, 10**7, mid, minimum_out, 400_000, 1, 1_000, TIP_ACCOUNTS[0]
        )
        return self.take(self.settlement.run(build_two_hop(order, WALLET, self.bank.blockhash).data))

    def take(self, executed: Executed) -> bytes:
        assert executed.landed
        self.ledger.add(executed)
        return executed.status.signature

    def slots(self, count: int) -> None:
        for _ in range(count):
            self.bank.next_slot()

    def entry(self, signature: bytes) -> Entry:
        return self.ledger.entries[signature]


@pytest.fixture
def chain() -> Chain:
    return Chain()


def test_an_older_transaction_is_packed_and_reads_the_same(chain: Chain) -> None:
    alike = [chain.land() for _ in range(SAMPLE)]
    signatures = [chain.land(), chain.two_hop(1), chain.two_hop(2**63)]
    told = [transaction_json(chain.entry(one).record, AS_JSON) for one in signatures]
    assert [one["meta"]["err"] is None for one in told] == [True, True, False]
    chain.slots(PACKED_AFTER_SLOTS + 1)
    for _ in range(0, len(alike) + len(signatures), PACKED_AT_ONCE):
        chain.land()
    entries = [chain.entry(one) for one in signatures]
    assert all(isinstance(one.body, Packed) and len(one.body.data) < 4_000 for one in entries)
    assert [transaction_json(one.record, AS_JSON) for one in entries] == told
    assert [one.error for one in entries] == [one["meta"]["err"] for one in told]
    own = [entry.signature for entry in chain.ledger.naming(bytes(USER), chain.bank.slot)]
    assert own[own.index(signatures[-1]) :] == [*signatures[::-1], *alike[::-1]]
    assert [one.signature for one in chain.ledger.naming(TIP_ACCOUNTS[0], 2**63)] == signatures[:0:-1]
    assert not list(chain.ledger.naming(bytes(range(32)), 2**63))
    in_slot = chain.ledger.in_slot(entries[0].slot)
    assert [one.envelope.signature for one in in_slot] == [*alike, *signatures]


def test_what_is_like_the_first_is_packed_small(chain: Chain) -> None:
    first = [chain.two_hop(2**63 - number) for number in range(SAMPLE)]
    later = chain.two_hop(1)
    chain.slots(PACKED_AFTER_SLOTS + 1)
    for _ in range(0, SAMPLE + 1, PACKED_AT_ONCE):
        chain.land()
    assert all(isinstance(chain.entry(one).body, Packed) for one in (*first, later))
    body = chain.entry(later).body
    assert isinstance(body, Packed)
    assert len(body.data) * 8 < len(pickle.dumps(chain.entry(later).record))


def test_too_few_to_show_what_others_are_like_stay_whole(chain: Chain) -> None:
    landed = [chain.land() for _ in range(SAMPLE - 2)]
    chain.slots(PACKED_AFTER_SLOTS + 1)
    landed.append(chain.land())
    assert all(isinstance(chain.entry(one).body, Record) for one in landed)
    chain.land()
    assert isinstance(chain.entry(landed[0]).body, Packed)


def test_records_share_the_addresses_that_they_name(chain: Chain) -> None:
    one, other = chain.entry(chain.land()), chain.entry(chain.land())
    assert one.addresses == other.addresses
    assert all(mine is its for mine, its in zip(one.addresses, other.addresses, strict=True))


def test_transactions_of_different_routes_share_what_they_name_alike(chain: Chain) -> None:
    named = [chain.entry(one).record.envelope.accounts for one in (chain.land(), chain.two_hop(1))]
    ours = [next(each for each in accounts if each.pubkey == bytes(USER)) for accounts in named]
    assert named[0] != named[1]
    assert ours[0] is ours[1]


def test_what_just_landed_is_kept_as_it_is(chain: Chain) -> None:
    old = chain.land()
    chain.slots(PACKED_AFTER_SLOTS)
    for _ in range(SAMPLE):
        chain.land()
    assert isinstance(chain.entry(old).body, Record)
    chain.slots(1)
    chain.land()
    assert isinstance(chain.entry(old).body, Packed)


def test_old_records_go_when_there_are_enough_newer_ones(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT", 5)
    first = [chain.land() for _ in range(8)]
    assert list(chain.ledger.entries) == first
    chain.slots(KEPT_SLOTS + 3)
    second = [chain.land() for _ in range(2)]
    assert list(chain.ledger.entries) == first[-3:] + second  # however old: there are no newer ones
    third = [chain.land() for _ in range(6)]
    assert list(chain.ledger.entries) == second + third  # however many: they are young
    assert chain.ledger.count == 16


def test_no_record_outlives_the_greatest_number(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT", 2)
    monkeypatch.setattr(module, "MAX_RECORDS", 4)
    landed = [chain.land() for _ in range(6)]
    assert list(chain.ledger.entries) == landed[-4:]


def test_a_lost_fork_s_transactions_are_forgotten_and_may_land_again(chain: Chain) -> None:
    kept = chain.land()
    slot = chain.bank.slot
    chain.slots(1)
    lost = chain.land()
    assert chain.ledger.revert_after(slot) == [lost]
    assert list(chain.ledger.entries) == [kept]
    chain.slots(40)
    again = chain.land()
    for _ in range(SAMPLE):
        chain.land()
    assert isinstance(chain.entry(kept).body, Packed)
    assert isinstance(chain.entry(again).body, Record)
