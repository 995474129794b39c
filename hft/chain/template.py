"""Prepared transactions: a route is compiled once; each plan patches its figures in place and signs.

What changes from plan to plan (amounts, minimums, compute limit and price, tip and its taker, blockhash)
has a fixed place in the message; which other accounts it names depends only on the route and the pools'
state: a price that moved into another tick array makes a new message. The bytes are those of a full build:
tests hold them equal on every pair of venues.
"""

from collections.abc import Callable, Sequence
from struct import Struct
from typing import Final, NamedTuple

from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.pubkey import Pubkey

from hft.chain.accounts import NO_TOKEN_ACCOUNTS
from hft.chain.compute import MAX_COMPUTE_UNITS
from hft.chain.lookup import TableCache
from hft.chain.message import parse_message
from hft.chain.signers import LocalSigner, Signer
from hft.chain.tips import MINIMUM_TIP_LAMPORTS, TIP_ACCOUNTS
from hft.chain.transaction import (
    SignedTransaction,
    TransactionError,
    TransactionErrorCode,
    TwoHop,
    check_order,
    compile_two_hop,
    swap_indexes,
)
from hft.venues import Pool, PoolError, QuoteError, swap_instruction

MAX_ROUTES: Final = 1024
MAX_KEPT: Final = 8
"""Pairs of what a route's legs name for which templates are kept."""
U64_MAX: Final = 2**64 - 1

_U32 = Struct("<I").pack_into
_U64 = Struct("<Q").pack_into
_AMOUNTS = Struct("<QQ")
_TWO_U64 = _AMOUNTS.pack_into
# Values no account key or fixed argument holds, by which a venue's amounts are found in its instruction.
_MARK_IN, _MARK_OUT = 0xA1B2C3D4E5F60718, 0x8F7E6D5C4B3A2911
_MARKS = _AMOUNTS.pack(_MARK_IN, _MARK_OUT)
_ONE_SIGNATURE = b"\x01"
_TIPPED = frozenset(TIP_ACCOUNTS)


class _Places(NamedTuple):
    """Offsets in the message of what a plan changes."""

    limit: int
    price: int
    swap_1: int
    swap_2: int
    tip: int
    tip_account: int
    blockhash: int


class Template:
    """One compiled message of a route, patched for each plan. Not for two threads at once."""

    __slots__ = ("_bytes", "_places")

    def __init__(self, order: TwoHop, user: Pubkey, tables: Sequence[AddressLookupTableAccount] = ()) -> None:
        """Compiles ``order``; ``TransactionError``, ``QuoteError`` as ``build_two_hop``."""
        self._bytes = bytearray(compile_two_hop(order, user, bytes(32), tables))
        layout = parse_message(self._bytes)
        data_at = [instruction.data_at for instruction in layout.instructions]
        first, second = swap_indexes(order)
        self._places = _Places(
            limit=data_at[0] + 1,
            price=data_at[1] + 1,
            swap_1=data_at[first] + amounts_at(order.pool_1, user, order.base_mint),
            swap_2=data_at[second] + amounts_at(order.pool_2, user, _mid_mint(order)),
            tip=data_at[-1] + 4,
            tip_account=self._bytes.index(order.tip_account),
            blockhash=layout.blockhash_at,
        )

    def message(self, order: TwoHop, blockhash: bytes) -> bytes:
        """The message of ``order``, whose figures must be in range: nothing is checked here."""
        message = self._bytes
        limit, price, swap_1, swap_2, tip, tip_account_at, blockhash_at = self._places
        mid = order.amount_mid
        _U32(message, limit, order.compute_unit_limit)
        _U64(message, price, order.compute_unit_price_micro_lamports)
        _TWO_U64(message, swap_1, order.amount_in, mid)
        _TWO_U64(message, swap_2, mid, order.minimum_out)
        _U64(message, tip, order.tip_lamports)
        message[tip_account_at : tip_account_at + 32] = order.tip_account
        message[blockhash_at : blockhash_at + 32] = blockhash
        return bytes(message)


class _Leg:
    """A pool as last seen and what its instruction names."""

    __slots__ = ("input_mint", "names", "pool")

    def __init__(self, pool: Pool, input_mint: bytes) -> None:
        self.pool, self.input_mint = pool, input_mint
        self.names = pool.swap_names(input_mint)

    def follow(self, pool: Pool) -> bool:
        """Takes ``pool``, decoded anew; True if its instruction is the same but for its amounts."""
        if pool is self.pool:
            return True
        names = pool.swap_names(self.input_mint)
        same = names == self.names
        self.pool, self.names = pool, names
        return same


class _Route:
    """What is known of one route: its legs, and a template for what the legs name now and for what they named
    before: a price at an array's edge crosses it there and back.
    """

    __slots__ = ("kept", "leg_1", "leg_2", "order", "refused", "tables", "template")

    def __init__(self, order: TwoHop, tables: tuple[AddressLookupTableAccount, ...]) -> None:
        self.order = order
        self.leg_1 = _Leg(order.pool_1, order.base_mint)
        self.leg_2 = _Leg(order.pool_2, _mid_mint(order))
        self.tables = tables
        self.template: Template | None = None
        self.kept: dict[tuple[object, object], Template] = {}
        self.refused = False
        """It can't be compiled as it is: too large, say. Not tried again before it changes."""

    def follow(self, order: TwoHop) -> bool:
        """Takes the pools of ``order``; False if they name something else than before."""
        same_1, same_2 = self.leg_1.follow(order.pool_1), self.leg_2.follow(order.pool_2)
        if same_1 and same_2:
            return True
        self.template = self.kept.pop((self.leg_1.names, self.leg_2.names), None)
        if self.template is not None:
            self.take(self.template)
        self.refused = False
        return False

    def take(self, template: Template) -> None:
        """The message of what the legs name now."""
        self.template = self.kept[self.leg_1.names, self.leg_2.names] = template
        if len(self.kept) > MAX_KEPT:
            del self.kept[next(iter(self.kept))]


class Templates:
    """Prepared routes of one wallet, the least recently made dropped beyond ``MAX_ROUTES``.

    A pool that was decoded anew is compared by its instruction: while that is the same but for the amounts,
    the templates stay, else the route is compiled again, unless it was as it is now before. ``slot`` is that
    of the blockhash, by which lookup tables are judged.
    """

    def __init__(self, wallet: bytes, tables: TableCache | None = None) -> None:
        """``wallet``: the address of who signs and pays."""
        self._user = Pubkey(wallet)
        self._routes: dict[tuple[bytes, bytes, bytes], _Route] = {}
        self._table_cache = tables
        self._tables: tuple[AddressLookupTableAccount, ...] = ()
        self._tables_of = (-1, -1)
        self._turn: list[tuple[bytes, bytes, bytes]] = []
        self.built = 0
        self.invalidated = 0

    def __len__(self) -> int:
        return len(self._routes)

    def message(self, order: TwoHop, blockhash: bytes, slot: int = 0) -> bytes:
        """The message of ``order``, as ``build_two_hop`` gives it to be signed.

        ``TransactionError``, ``QuoteError``, ``PoolError`` as there.
        """
        template = self.template(order, slot)
        if len(blockhash) != 32:
            raise TransactionError(
                TransactionErrorCode.BLOCKHASH, f"blockhash of {len(blockhash)} bytes: 32 belong there"
            )
        return template.message(order, blockhash)

    def template(self, order: TwoHop, slot: int = 0) -> Template:
        """What the message of ``order`` is patched in; errors as ``message``."""
        if not _in_range(order):
            check_order(order)
        if order.accounts is not NO_TOKEN_ACCOUNTS:
            return Template(order, self._user, self._usable(slot))
        route = self._route(order, slot)
        return route.template or self._compile(route, order)

    def prepare(self, order: TwoHop, slot: int = 0) -> None:
        """Makes the route of ``order`` known, so that ``refresh`` compiles it before it is wanted."""
        check_order(order)
        self._route(order, slot)

    def refresh(
        self,
        pool_of: Callable[[bytes], Pool | None],
        slot: int = 0,
        *,
        limit: int = 1,
        examine: int = MAX_ROUTES,
    ) -> int:
        """Brings known routes up to the newest pools, and compiles at most ``limit`` messages that are
        missing; returns how many. Looks at ``examine`` routes a call, in turns. A route whose pool is not
        usable waits. Call it between plans.
        """
        compiled = 0
        keys = self._turn[:examine] or list(self._routes)[:examine]
        self._turn = (self._turn or list(self._routes))[examine:]
        for known in [self._routes[key] for key in keys if key in self._routes]:
            pool_1, pool_2 = pool_of(known.order.pool_1.key), pool_of(known.order.pool_2.key)
            if pool_1 is None or pool_2 is None:
                continue
            route = known
            try:
                order = known.order._replace(pool_1=pool_1, pool_2=pool_2)
                route = self._route(order, slot)
                if route.template is None and not route.refused and compiled < limit:
                    self._compile(route, order)
                    compiled += 1
            except (TransactionError, QuoteError, PoolError):
                # The plan that wants this route is told why.
                route.refused = True
        return compiled

    def _route(self, order: TwoHop, slot: int) -> _Route:
        key = (order.pool_1.key, order.pool_2.key, order.base_mint)
        tables = self._usable(slot)
        route = self._routes.get(key)
        if route is not None and route.tables is tables:
            if order.pool_1 is not route.leg_1.pool or order.pool_2 is not route.leg_2.pool:
                self.invalidated += not route.follow(order)
            return route
        if route is None:
            check_order(order)
            if len(self._routes) >= MAX_ROUTES:
                del self._routes[next(iter(self._routes))]
        else:
            self.invalidated += 1
        route = self._routes[key] = _Route(order, tables)
        return route

    def _compile(self, route: _Route, order: TwoHop) -> Template:
        template = Template(order, self._user, route.tables)
        route.take(template)
        self.built += 1
        return template

    def _usable(self, slot: int) -> tuple[AddressLookupTableAccount, ...]:
        cache = self._table_cache
        if not cache:  # there is none, or it is to hold none: nothing ever was usable
            return self._tables
        if self._tables_of != (cache.version, slot):
            usable = cache.usable(slot)
            same = len(usable) == len(self._tables) and all(
                new is old for new, old in zip(usable, self._tables, strict=True)
            )
            self._tables = self._tables if same else usable
            self._tables_of = (cache.version, slot)
        return self._tables


class TemplateCache(Templates):
    """Prepared routes of one wallet with who signs for it."""

    def __init__(self, signer: Signer, tables: TableCache | None = None) -> None:
        super().__init__(signer.public_key, tables)
        self._signer = signer
        self._local = signer.sign_before if isinstance(signer, LocalSigner) else None

    def sign(self, order: TwoHop, blockhash: bytes, slot: int = 0) -> SignedTransaction:
        """``order`` as signed bytes, the same as ``build_two_hop`` gives.

        ``TransactionError``, ``QuoteError``, ``PoolError`` as there; ``SignerError`` of a remote signer.
        """
        message = self.message(order, blockhash, slot)
        if self._local is not None:
            signed = self._local(message)
            return SignedTransaction(_ONE_SIGNATURE + signed, signed[:64])
        signature = self._signer.sign(message)
        return SignedTransaction(_ONE_SIGNATURE + signature + message, signature)


def _mid_mint(order: TwoHop) -> bytes:
    return order.pool_1.mint_b if order.pool_1.mint_a == order.base_mint else order.pool_1.mint_a


def _in_range(order: TwoHop) -> bool:
    """True if every figure that a plan can change is in its range; the pools were checked with the route."""
    return (
        0 < order.amount_in <= U64_MAX
        and 0 < order.amount_mid <= U64_MAX
        and 0 < order.minimum_out <= U64_MAX
        and MINIMUM_TIP_LAMPORTS <= order.tip_lamports <= U64_MAX
        and 0 < order.compute_unit_limit <= MAX_COMPUTE_UNITS
        and 0 <= order.compute_unit_price_micro_lamports <= U64_MAX
        and order.tip_account in _TIPPED
    )


def amounts_at(pool: Pool, user: Pubkey, input_mint: bytes) -> int:
    """Where amount in and minimum out stand, next to each other, in the data of the pool's swap."""
    swap = swap_instruction(pool, user, input_mint, _MARK_IN, _MARK_OUT)
    data = bytes(swap.data)
    at = data.find(_MARKS)
    if at < 0 or data.find(_MARKS, at + 1) >= 0:
        raise TransactionError(
            TransactionErrorCode.MALFORMED,
            f"swap instruction of {swap.program_id} does not hold its two amounts side by side",
        )
    return at
