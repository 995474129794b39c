"""From a plan to signed bytes: the pools as they are now, on a prepared transaction of the route."""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from hft.chain.lookup import TableCache
from hft.chain.signers import Signer
from hft.chain.template import TemplateCache
from hft.chain.tips import MINIMUM_TIP_LAMPORTS, TIP_ACCOUNTS, TipAccounts
from hft.chain.transaction import SignedTransaction, TransactionError, TwoHop, check_transaction
from hft.services.book import TableBook
from hft.services.outcome import BUILD_REASONS, End, refused
from hft.venues import WRAPPED_SOL, Pool, PoolError, QuoteError, Settings, names_in
from hft.wire import ExecutionPlan
from hft.wire.account import DATA, HEADER_BYTES, OWNER
from hft.wire.enums import ExecutionReason

if TYPE_CHECKING:
    from ringbuf import Table

T = TypeVar("T")
PREPARED_ROUTES: Final = 256
"""Routes made ready before any plan wants them; more are made ready by their first plan."""
EXAMINED: Final = 4
"""Routes looked at in one ``refresh``."""


class _Named(NamedTuple):
    """A pool as it was decoded, and the bytes by which its swaps name what they do: of its account (owner,
    length, ``tell`` of its data) and of others (key, owner and data; None: not known)."""

    pool: Pool
    owner: bytes
    length: int
    tell: Callable[[bytes], object]
    names: object
    others: tuple[tuple[bytes, tuple[bytes, bytes] | None], ...]


class PlanBook(TableBook):
    """A book for who asks for a pool only now and then, and only which accounts its swaps name, of a market
    that moves all the time: what changed is kept aside, and of that only what those names rest on is read.
    A pool is decoded anew when that speaks of other names than before.

    Price, vaults, ticks and bins of its pools are as old as some decoding: nothing is to be quoted on them.
    """

    def __init__(self, table: "Table", settings: Settings) -> None:
        super().__init__(table, settings)
        self._get = table.get
        self._aside: set[bytes] = set()
        self._names: dict[bytes, _Named] = {}

    def refresh(self) -> int:
        """Keeps aside what the feed has written since; returns how much it was."""
        self._cursor, keys = self._changed_since(self._cursor)
        self._aside.update(keys)
        return len(keys)

    def find(self) -> None:
        """Takes notice of accounts never seen before: there may be pools among them."""
        self.refresh()
        self._take(self._aside - self._seen)

    def newest(self, *keys: bytes) -> list[Pool | None]:
        """The pools ``keys`` as they are now but for what is said above; None for one that is not usable."""
        return [self._standing(key) or self._renewed(key) for key in keys]

    def _standing(self, key: bytes) -> Pool | None:
        """The pool as it was decoded, if its swaps still name the same by the newest bytes."""
        named = self._names.get(key)
        if named is None:
            return None
        pool, owner, length, tell, names, others = named
        get = self._get
        packed = get(key)
        if packed is None or len(packed) != length or packed[OWNER] != owner or tell(packed[DATA]) != names:
            return None
        for other, content in others:
            packed = get(other)
            if (None if packed is None else (packed[OWNER], packed[DATA])) != content:
                return None
        return pool

    def _renewed(self, key: bytes) -> Pool | None:
        """The pool, decoded up to the newest bytes of what its names rest on."""
        self.refresh()
        named = self._names.pop(key, None)
        if named is None:
            self._take(set(self._aside))
        else:
            self._take({key, *(other for other, _ in named.others)} & self._aside)
        entry = self.entry(key)
        pool = None if entry is None else entry.pool
        account = self.account(key)
        if pool is not None and account is not None:
            tell = names_in(pool.venue)
            others = tuple((other, self._content(other)) for other in pool.names_rest_on() if other != key)
            length = HEADER_BYTES + len(account.data)
            self._names[key] = _Named(pool, account.owner, length, tell, tell(account.data), others)
        return pool

    def _content(self, key: bytes) -> tuple[bytes, bytes] | None:
        """Owner and data as they were decoded."""
        record = self.account(key)
        return None if record is None else (record.owner, record.data)

    def _take(self, keys: AbstractSet[bytes]) -> None:
        if keys:
            self._aside -= keys
            self.mark(keys)


class Builder:
    """Signed transactions for one wallet. ``refresh`` between plans finds pools, keeps routes prepared."""

    def __init__(
        self,
        table: "Table",
        signer: Signer,
        settings: Settings,
        tables: TableCache,
        tips: TipAccounts,
    ) -> None:
        """``tables``: lookup tables to build with, as far as they are usable; ``tips``: whom to tip."""
        self._book = PlanBook(table, settings)
        self._templates = TemplateCache(signer, tables)
        self._tables = tables
        self._tips = tips
        self._known = 0
        self._turn: list[bytes] = []

    def refresh(self, slot: int = 0) -> None:
        """Decodes one pool, in turns, and prepares at most one transaction that is not ready yet: a plan that
        comes meanwhile has to wait for it, and decodes its own pools in any case."""
        book = self._book
        book.find()
        if len(book.entries) != self._known:
            self._known = len(book.entries)
            book.newest(*book.entries)
            self._find_routes()
        self._turn = self._turn or list(book.entries)
        if self._turn:
            book.newest(self._turn.pop())
        self._templates.refresh(self._decoded, slot, limit=1, examine=EXAMINED)

    def signed(self, plan: ExecutionPlan, blockhash: bytes, slot: int) -> SignedTransaction | End:
        """The plan's transaction on the newest state of its pools, or why there is none."""
        return self._made(self._templates.sign, plan, blockhash, slot)

    def message(self, plan: ExecutionPlan, blockhash: bytes, slot: int) -> bytes | End:
        """The same, to be signed elsewhere."""
        return self._made(self._templates.message, plan, blockhash, slot)

    def check(self, data: bytes, slot: int) -> End | None:
        """Why signed bytes that were built some time ago would be refused now; None if they would not."""
        try:
            check_transaction(data, self._tables.tables(), slot)
        except TransactionError as error:
            return refused(BUILD_REASONS.get(error.code, ExecutionReason.BUILD_FAILED), str(error))
        return None

    def _made(
        self, make: Callable[[TwoHop, bytes, int], T], plan: ExecutionPlan, blockhash: bytes, slot: int
    ) -> T | End:
        pool_1, pool_2 = self._book.newest(plan.pool_1, plan.pool_2)
        if pool_1 is None or pool_2 is None:
            return refused(ExecutionReason.BUILD_FAILED, "a pool of the plan is not usable")
        order = TwoHop(
            pool_1,
            pool_2,
            plan.base_mint,
            plan.amount_in,
            plan.amount_mid,
            plan.minimum_out,
            plan.compute_unit_limit,
            plan.compute_unit_price_micro_lamports,
            plan.tip_lamports,
            self._tips.account(plan.sequence),
        )
        try:
            return make(order, blockhash, slot)
        except TransactionError as error:
            return refused(BUILD_REASONS.get(error.code, ExecutionReason.BUILD_FAILED), str(error))
        except (QuoteError, PoolError) as error:
            return refused(ExecutionReason.BUILD_FAILED, str(error))

    def _decoded(self, key: bytes) -> Pool | None:
        """As it was decoded last: what changed since is decoded in its turn, or for its plan."""
        entry = self._book.entries.get(key)
        return None if entry is None else entry.pool

    def _find_routes(self) -> None:
        """Every two pools of one token against SOL, both ways round."""
        pools = [entry.pool for entry in self._book.entries.values() if entry.pool is not None]
        traded = [pool for pool in pools if WRAPPED_SOL in (pool.mint_a, pool.mint_b)]
        for pool_1 in traded:
            for pool_2 in traded:
                if len(self._templates) >= PREPARED_ROUTES:
                    return
                if pool_1 is not pool_2 and {pool_1.mint_a, pool_1.mint_b} == {pool_2.mint_a, pool_2.mint_b}:
                    order = TwoHop(
                        pool_1, pool_2, WRAPPED_SOL, 1, 1, 1, 1, 0, MINIMUM_TIP_LAMPORTS, TIP_ACCOUNTS[0]
                    )
                    self._prepare(order)

    def _prepare(self, order: TwoHop) -> None:
        try:
            self._templates.prepare(order)
        except (TransactionError, QuoteError, PoolError):
            return  # the plan that wants this route is told why
