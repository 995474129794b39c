"""The cluster's state: every account (in a LiteSVM), the decoded pools beside it, slots and blockhashes.

Accounts live in two places that are always written together: the SVM, where transactions run, and a mapping
of plain accounts, from which pools are decoded and updates are published.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from typing import Final, NamedTuple

from solders.hash import Hash
from solders.pubkey import Pubkey

from hft.chain.svm import SLOTS_PER_EPOCH, open_svm, svm_account, svm_clock
from hft.chain.sysvars import CLOCK_KEY, clock_account
from hft.chain.trackers import BLOCKHASH_LIFE
from hft.simnet.events import AccountUpdate, Balances, SlotUpdate
from hft.simnet.history import History
from hft.simnet.market import Market
from hft.venues import (
    ABSENT,
    Account,
    ChainClock,
    Pool,
    PoolError,
    Quote,
    decode_changed,
    required_accounts,
    store,
)
from hft.venues.spl import TOKEN_2022_PROGRAM, TOKEN_ACCOUNT_SIZE, TOKEN_PROGRAM, token_amount
from hft.venues.transfer_fee import TransferFeePool

# Mainnet skipped about this many slots up to 2026; the heights differ so that nobody can take one for the
# other.
SKIPPED_SLOTS: Final = 22_000_000
_NATIVE_AT: Final = 109
_ACCOUNT_TYPE: Final = 2
BLOCKS_KEPT: Final = 512
FIRST_BLOCKS: Final = 64  # so many lie behind the first slot: a finalised one is there from the start
_SLOT_HASHES: Final = 150


class Block(NamedTuple):
    """One block: its slot and the one before it, its height, its time, its blockhash."""

    slot: int
    parent: int
    height: int
    unix_timestamp: int
    blockhash: bytes


class Savepoint(NamedTuple):
    """What ``rollback`` needs to undo everything since ``savepoint``."""

    before: dict[bytes, tuple[Account | None, tuple[int, int] | None]]
    pools: dict[bytes, Pool]
    moved: set[bytes]
    changes: int


class Bank:
    """Accounts, pools and the clock of one local cluster.

    Every change is kept as an ``AccountUpdate`` until ``take_changes``. Not thread-safe: one process steps
    it.
    """

    def __init__(self, market: Market, genesis: Mapping[bytes, Account], *, seed: int, slot_ms: int) -> None:
        """``genesis``: accounts added to the market's, such as the wallet's. ``slot_ms``: length of a
        slot."""
        self.svm = open_svm()
        self.accounts: dict[bytes, Account] = {**market.accounts, **genesis}
        self.pools: dict[bytes, Pool] = dict(market.pools)
        self._genesis_slot = market.slot
        self._genesis_time = market.unix_timestamp
        self._slot_ms = slot_ms
        self._seed = seed
        self._write_version = 0
        self._versions: dict[bytes, tuple[int, int]] = {}
        self._changes: list[AccountUpdate] = []
        self._moved: set[bytes] = set()
        self._readers: dict[bytes, list[bytes]] = {}
        self._holders: dict[bytes, set[bytes]] = {}
        self.history = History()
        self._save: Savepoint | None = None
        self.blockhashes: OrderedDict[bytes, int] = OrderedDict()
        self.blocks: OrderedDict[int, Block] = OrderedDict()
        self.clock = ChainClock(market.slot, market.unix_timestamp)
        # On this cluster every slot makes a block, but those a fault skips.
        self._height = market.slot - 1 - (SKIPPED_SLOTS if market.slot > SKIPPED_SLOTS else 0)
        first = max(market.slot - FIRST_BLOCKS, 1)
        self._height -= market.slot - first
        for slot in range(first, market.slot + 1):
            self._begin_slot(slot)
        self.accounts[CLOCK_KEY] = self._clock_account()
        for pubkey, account in self.accounts.items():
            self._write(pubkey, account, in_svm=pubkey != CLOCK_KEY)
        for key in self.pools:
            self._index(key)
        self._changes.clear()

    @property
    def slot(self) -> int:
        """The slot that transactions land in now."""
        return self.clock.slot

    @property
    def block_height(self) -> int:
        """Blocks since genesis."""
        return self._height

    @property
    def blockhash(self) -> bytes:
        """The newest blockhash."""
        return next(reversed(self.blockhashes))

    def slot_update(self) -> SlotUpdate:
        """The current slot as it is published."""
        height = self.block_height
        return SlotUpdate(
            self.clock.slot, height, height + BLOCKHASH_LIFE, self.clock.unix_timestamp, self.blockhash
        )

    def next_slot(self) -> SlotUpdate:
        """Ends the slot: a new blockhash, the clock goes on. Accounts that pools came to need are
        published."""
        return self.skip_to(self.clock.slot + 1)

    def skip_to(self, slot: int, unix_timestamp: int | None = None) -> SlotUpdate:
        """``next_slot``, but a later one: those between have no block. ``unix_timestamp``: what its clock
        says, if not what its number does."""
        self._begin_slot(slot, unix_timestamp)
        self._tell_clock()
        self._find_new_needs()
        return self.slot_update()

    def expire_blockhashes(self) -> SlotUpdate:
        """As many blocks at once as it takes for every blockhash given out so far to be dead."""
        self._height += BLOCKHASH_LIFE
        return self.skip_to(self.clock.slot + BLOCKHASH_LIFE + 1)

    def revert(self, slots: int) -> SlotUpdate:
        """The newest ``slots`` (this one too) turn out to be on a fork that lost: accounts are as before
        them, and the next slot follows on what was their parent."""
        target = max(self.clock.slot - slots, self.history.oldest)
        before = self.history.since(target)
        while len(self.blocks) > 1 and next(reversed(self.blocks)) > target:
            _, lost = self.blocks.popitem()
            self._height = lost.height - 1
            self.blockhashes.pop(lost.blockhash, None)
        self.history.forget_after(target)
        self._begin_slot(self.clock.slot + 1)
        before.pop(CLOCK_KEY, None)
        self.write(before, in_history=False)
        self._tell_clock()
        self.decode_again(before.keys())
        self._find_new_needs()
        return self.slot_update()

    def block_at(self, slot: int) -> Block:
        """The newest block at or before ``slot``, or the oldest that is kept."""
        for past in reversed(self.blocks):
            if past <= slot:
                return self.blocks[past]
        return next(iter(self.blocks.values()))

    def account_at(self, pubkey: bytes, slot: int) -> Account:
        """The account at the end of ``slot``, as far back as is known; ``ABSENT`` if there was none."""
        now = self.accounts.get(pubkey, ABSENT)
        return now if slot >= self.clock.slot else self.history.at(pubkey, slot, now)

    def savepoint(self) -> Savepoint:
        """From here on changes can be undone, once; there is no savepoint within another."""
        self._save = Savepoint({}, dict(self.pools), set(self._moved), len(self._changes))
        return self._save

    def keep(self) -> None:
        """Everything since ``savepoint`` stays."""
        self._save = None

    def rollback(self, save: Savepoint) -> None:
        """Accounts, pools and updates are as they were at ``save``."""
        self._save = None
        for pubkey, (account, version) in save.before.items():
            self.svm.set_account(Pubkey(pubkey), svm_account(account or ABSENT))
            if account is None or version is None:
                self.accounts.pop(pubkey, None)
                self._versions.pop(pubkey, None)
            else:
                self.accounts[pubkey] = account
                self._versions[pubkey] = version
        self.pools = save.pools
        self._moved = save.moved
        del self._changes[save.changes :]

    def take_changes(self) -> list[AccountUpdate]:
        """Updates since the last call, oldest first; each batch's last one is marked."""
        changes, self._changes = self._changes, []
        return changes

    def snapshot(self) -> list[AccountUpdate]:
        """Every account as it is now, also those known not to exist; only the last is marked
        ``last_of_batch``."""
        updates = [self._update(pubkey, *self._versions[pubkey], last=False) for pubkey in self.accounts]
        updates[-1] = updates[-1]._replace(last_of_batch=True)
        return updates

    def account(self, pubkey: bytes) -> Account:
        """The account, ``ABSENT`` if there is none."""
        return self.accounts.get(pubkey, ABSENT)

    def swap(self, pool: bytes, input_mint: bytes, quote: Quote) -> None:
        """Carries out ``quote`` of ``pool``'s current state for an outside trader: pool and vaults change at
        once.

        ``ValueError`` if the vault can't pay; nothing is changed then.
        """
        before = self.pools[pool]
        vault_in, vault_out = before.vaults(input_mint)
        paying = self.accounts[vault_out]
        if token_amount(paying.data) < quote.paid:
            raise ValueError(f"vault {Pubkey(vault_out)} holds less than the {quote.paid} it should pay")
        received = quote.amount_in_used
        if isinstance(before, TransferFeePool):
            fee = before.fee_a if input_mint == before.mint_a else before.fee_b
            received -= fee.withheld(received, self.clock.slot // SLOTS_PER_EPOCH) if fee else 0
        changed = {
            vault_in: with_token_amount(self.accounts[vault_in], received),
            vault_out: with_token_amount(paying, -quote.paid),
        }
        after = quote.pool_after
        for key, data in store(after, self.accounts).items():
            changed[key] = self.accounts[key]._replace(data=data)
        self.write(changed)
        self.set_pool(decode_changed(after, self.accounts, changed.keys()))

    def write(
        self,
        changed: Mapping[bytes, Account],
        *,
        held: Collection[bytes] = (),
        in_history: bool = True,
    ) -> None:
        """Writes accounts as one batch; ``held``: keys of those the SVM has already, ``in_history=False``
        if the slot's past is to know nothing of it."""
        last = len(changed)
        for number, (pubkey, account) in enumerate(changed.items(), 1):
            before = self.accounts.get(pubkey)
            if in_history:
                self.history.note(pubkey, before)
            if self._save is not None:
                self._save.before.setdefault(pubkey, (before, self._versions.get(pubkey)))
            self.accounts[pubkey] = account
            self._write(pubkey, account, in_svm=pubkey not in held)
            self._changes.append(self._update(pubkey, *self._versions[pubkey], last=number == last))

    def set_pool(self, pool: Pool) -> None:
        """Takes ``pool`` as the decoded state of its (already written) accounts."""
        self.pools[pool.key] = pool
        self._moved.add(pool.key)

    def decode_again(self, changed: Collection[bytes]) -> None:
        """Decodes every pool again that reads one of the ``changed`` accounts; one that no longer decodes is
        lost."""
        for key in {pool for pubkey in changed for pool in self._readers.get(pubkey, ())}:
            pool = self.pools.get(key)
            if pool is None:
                continue
            try:
                self.set_pool(decode_changed(pool, self.accounts, changed))
            except PoolError:
                del self.pools[key]

    def knows_blockhash(self, blockhash: bytes) -> bool:
        """Whether a transaction with this blockhash may still land."""
        return blockhash in self.blockhashes

    def held_by(self, owner: bytes) -> frozenset[bytes]:
        """Token accounts that ``owner`` has or had."""
        return frozenset(self._holders.get(owner, ()))

    def balances(self, wallet: bytes) -> Balances:
        """What ``wallet`` owns."""
        tokens: dict[bytes, int] = {}
        for pubkey in self._holders.get(wallet, ()):
            data = self.account(pubkey).data
            if not data:
                continue
            mint = bytes(data[0:32])
            tokens[mint] = tokens.get(mint, 0) + token_amount(data)
        lamports = self.account(wallet).lamports
        return Balances(wallet, self.clock.slot, lamports, tuple(sorted(tokens.items())))

    def _clock_account(self) -> Account:
        slot, unix_timestamp = self.clock
        return clock_account(slot, self._genesis_time, slot // SLOTS_PER_EPOCH, unix_timestamp)

    def _tell_clock(self) -> None:
        """The SVM has its clock from ``_begin_slot``; whoever reads accounts has it from here."""
        self.write({CLOCK_KEY: self._clock_account()}, held=(CLOCK_KEY,))

    def _begin_slot(self, slot: int, unix_timestamp: int | None = None) -> None:
        elapsed_ms = (slot - self._genesis_slot) * self._slot_ms
        parent = next(reversed(self.blocks)) if self.blocks else slot - 1
        self._height += 1
        by_number = self._genesis_time + elapsed_ms // 1000
        self.clock = ChainClock(slot, by_number if unix_timestamp is None else unix_timestamp)
        self.svm.set_clock(svm_clock(self.clock, self._genesis_time))
        digest = hashlib.sha256(b"blockhash" + self._seed.to_bytes(8, "little") + slot.to_bytes(8, "little"))
        blockhash = digest.digest()
        self.history.begin(slot)
        self.blocks[slot] = Block(slot, parent, self._height, self.clock.unix_timestamp, blockhash)
        while len(self.blocks) > BLOCKS_KEPT:
            self.blocks.popitem(last=False)
        newest = [self.blocks[past] for past in list(self.blocks)[-_SLOT_HASHES:-1]]
        self.svm.set_slot_hashes([(block.slot, Hash(block.blockhash)) for block in reversed(newest)])
        self.blockhashes[blockhash] = self.block_height
        while self.block_height - next(iter(self.blockhashes.values())) > BLOCKHASH_LIFE:
            self.blockhashes.popitem(last=False)

    def _write(self, pubkey: bytes, account: Account, *, in_svm: bool = True) -> None:
        self._write_version += 1
        self._versions[pubkey] = (self.clock.slot, self._write_version)
        if is_token_account(account):
            self._holders.setdefault(bytes(account.data[32:64]), set()).add(pubkey)
        elif not account.data:
            for held in self._holders.values():
                held.discard(pubkey)
        if in_svm and (account != ABSENT or self.svm.get_account(Pubkey(pubkey)) is not None):
            self.svm.set_account(Pubkey(pubkey), svm_account(account))

    def _update(self, pubkey: bytes, slot: int, write_version: int, *, last: bool) -> AccountUpdate:
        account = self.accounts[pubkey]
        return AccountUpdate(slot, write_version, pubkey, account.owner, account.lamports, account.data, last)

    def _index(self, key: bytes) -> Iterable[bytes]:
        """Notes which accounts the pool reads; returns those it asks for that nobody has looked up yet."""
        wanted = required_accounts(key, self.accounts[key])
        for pubkey in (key, *wanted):
            readers = self._readers.setdefault(pubkey, [])
            if key not in readers:
                readers.append(key)
        return [pubkey for pubkey in wanted if pubkey not in self.accounts]

    def _find_new_needs(self) -> None:
        """A pool that moved may need further accounts (tick arrays); those not held do not exist here: say
        so."""
        needs = {pubkey: ABSENT for key in self._moved if key in self.pools for pubkey in self._index(key)}
        self._moved.clear()
        if needs:
            self.write(needs)
            self.decode_again(needs.keys())


def is_token_account(account: Account) -> bool:
    """Whether it holds tokens of either token program. A Token-2022 account may be longer: then its type
    follows the 165 bytes, and tells it from a mint."""
    size = len(account.data)
    if account.owner == TOKEN_PROGRAM:
        return size == TOKEN_ACCOUNT_SIZE
    if account.owner != TOKEN_2022_PROGRAM or size < TOKEN_ACCOUNT_SIZE:
        return False
    return size == TOKEN_ACCOUNT_SIZE or account.data[TOKEN_ACCOUNT_SIZE] == _ACCOUNT_TYPE


def with_token_amount(account: Account, change: int) -> Account:
    """A token account with ``change`` base units more; wrapped SOL carries its lamports along."""
    data = account.data
    amount = token_amount(data) + change
    lamports = account.lamports + (change if data[_NATIVE_AT] else 0)
    return Account(account.owner, data[:64] + amount.to_bytes(8, "little") + data[72:], lamports)
