"""Words every venue speaks: accounts in, pools, quotes and swap calls out, and the coded errors.

All amounts are integers in base units, all keys 32 ``bytes``. Nothing here does I/O or reads a clock.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from enum import IntEnum
from typing import Any, ClassVar, NamedTuple, Self

from solders.instruction import Instruction
from solders.pubkey import Pubkey

U64_MAX = (1 << 64) - 1
U128_MAX = (1 << 128) - 1


class Account(NamedTuple):
    """An on-chain account. ``lamports == 0`` with no data says that the account does not exist on chain."""

    owner: bytes
    data: bytes
    lamports: int


ABSENT = Account(bytes(32), b"", 0)
"""What to put into the accounts mapping for a key that is known not to exist; a missing key is *unknown*."""


class ChainClock(NamedTuple):
    """The chain's clock at which a quote is made: slot and Unix seconds."""

    slot: int
    unix_timestamp: int


class Venue(IntEnum):
    """Number of a venue; the same numbers travel in messages."""

    UNKNOWN = 0
    WHIRLPOOL = 1
    RAYDIUM_V4 = 2
    RAYDIUM_CPMM = 3
    RAYDIUM_CLMM = 4
    METEORA_DLMM = 5
    METEORA_DAMM_V2 = 6


class PoolErrorCode(IntEnum):
    """Why account bytes give no pool."""

    UNKNOWN_VENUE = 1
    ACCOUNT_MISSING = 2
    WRONG_OWNER = 3
    WRONG_SIZE = 4
    WRONG_DISCRIMINATOR = 5
    BAD_VALUE = 6
    MINT_MISMATCH = 7
    POOL_MISMATCH = 8
    UNSUPPORTED = 9
    TOKEN_EXTENSION = 10
    ZERO_LIQUIDITY = 11


class QuoteErrorCode(IntEnum):
    """Why a pool gives no quote."""

    BAD_AMOUNT = 1
    UNKNOWN_MINT = 2
    AMOUNT_TOO_SMALL = 3
    INSUFFICIENT_LIQUIDITY = 4
    ARRAY_MISSING = 5
    ARRAYS_EXHAUSTED = 6
    POOL_DISABLED = 7
    NOT_OPEN = 8
    CLOCK_BEHIND = 9
    PRICE_LIMIT = 10
    OVERFLOW = 11
    TOO_MANY_STEPS = 12


class PoolError(Exception):
    """Account bytes that are no usable pool; ``code`` says why, the text names the value and what
    is right.
    """

    def __init__(self, code: PoolErrorCode, message: str) -> None:
        super().__init__(f"{code.name.lower()}: {message}")
        self.code = code


class QuoteError(Exception):
    """A swap the program would refuse, or that can't be priced with the accounts at hand.

    ``filled`` is the part of an exact-in amount that could have been swapped, None if that isn't known.
    """

    def __init__(self, code: QuoteErrorCode, message: str, filled: int | None = None) -> None:
        super().__init__(f"{code.name.lower()}: {message}")
        self.code = code
        self.filled = filled


class DustRule(IntEnum):
    """How AMM v4 rounds the fee of inputs whose exact fee is below half a unit (x < 200 at 25/10000)."""

    REFUSE = 0  # the binary's era is not known: such sizes get no quote
    ROUND_HALF = 1  # binaries up to 2025-06: no fee
    CEILING = 2  # sources since 2025-08: fee 1


class Settings(NamedTuple):
    """Choices that the account bytes don't tell.

    ``own_host_fee``: name one's own token account as DLMM host and DAMM v2 referrer, whose share comes back
    (``Quote.rebate``).
    """

    dust_rule: DustRule = DustRule.REFUSE
    own_host_fee: bool = True


DEFAULT_SETTINGS = Settings()


class Quote:
    """The exact result of one swap.

    ``amount_in`` asked, ``amount_in_used`` taken (less only on a partial fill at a venue's extreme price),
    ``amount_out`` paid to the user, ``fee`` in the token the venue takes it in (the input unless
    the pool says otherwise), ``crossings`` of initialised ticks or bins, ``rebate`` that comes back to the
    user's own host or referral account (in the fee's token), ``paid`` what the vault
    sends (more than ``amount_out`` only where the mint withholds a transfer fee), ``pool_after``
    built when first
    asked for.
    """

    __slots__ = (
        "_after",
        "_pool",
        "_state",
        "amount_in",
        "amount_in_used",
        "amount_out",
        "crossings",
        "fee",
        "paid",
        "rebate",
    )

    def __init__(
        self,
        pool: "Pool",
        state: tuple[Any, ...],
        amount_in: int,
        amount_in_used: int,
        amount_out: int,
        fee: int,
        crossings: int = 0,
        rebate: int = 0,
    ) -> None:
        self._pool = pool
        self._state = state
        self._after: Pool | None = None
        self.amount_in = amount_in
        self.amount_in_used = amount_in_used
        self.amount_out = amount_out
        self.fee = fee
        self.crossings = crossings
        self.rebate = rebate
        self.paid = amount_out

    @property
    def pool_after(self) -> "Pool":
        """The pool as the swap leaves it; the quoted pool itself is unchanged."""
        if self._after is None:
            self._after = self._pool.after(self._state)
        return self._after

    @property
    def marginal(self) -> float:
        """Output per further unit of input where the swap ended, fee taken off; a float, for sizing only."""
        return self._pool.marginal(self._state)

    @property
    def entered(self) -> int:
        """Input already used when the swap came to its last price level, for venues with levels
        (bins): there the
        marginal rate jumps. 0 where it moves smoothly or the swap stayed on its first level."""
        return self._pool.entered(self._state)

    def __repr__(self) -> str:
        return (
            f"Quote(amount_in={self.amount_in}, amount_in_used={self.amount_in_used}, "
            f"amount_out={self.amount_out}, fee={self.fee}, crossings={self.crossings}, rebate={self.rebate})"
        )


class ScreenForm(NamedTuple):
    """A pool as floats for the screen: 1 unit of input gives about ``rate`` units, fee already taken off.

    ``rate_a_to_b`` and ``rate_b_to_a`` are marginal rates after fees; ``depth_a`` and ``depth_b`` the virtual
    reserves that make ``x·y = k`` near the price. For comparing only: no amount comes from here.
    """

    rate_a_to_b: float
    rate_b_to_a: float
    depth_a: float
    depth_b: float


class Pool(ABC):
    """A decoded pool: immutable by convention, made by ``decode`` and by ``Quote.pool_after``."""

    __slots__ = ("key", "mint_a", "mint_b", "program_a", "program_b", "settings", "vault_a", "vault_b")

    venue: Venue
    key: bytes
    mint_a: bytes
    mint_b: bytes
    vault_a: bytes
    vault_b: bytes
    program_a: bytes
    program_b: bytes
    settings: Settings
    _worked_out: ClassVar[tuple[str, ...]] = ()
    """Slots in which a pool keeps what it worked out for its quotes, None until then: never copied."""
    _fill: ClassVar[Callable[[Any, Any], None]]

    def __init_subclass__(cls) -> None:
        names = [name for kind in cls.__mro__ for name in getattr(kind, "__slots__", ())]
        lines = [f"new.{name} = {'None' if name in cls._worked_out else f'self.{name}'}" for name in names]
        made: dict[str, Any] = {}
        # Some thirty slots for every change of a pool: a line each is a tenth of a loop's time.
        exec("def fill(self, new):\n " + "\n ".join(lines), made)
        cls._fill = made["fill"]

    def copy(self) -> Self:
        """A pool with the same figures, to be changed before anyone sees it."""
        new = object.__new__(type(self))
        self._fill(new)
        return new

    @classmethod
    def blank(cls) -> Self:
        """A pool without any figures, for ``decode`` to fill."""
        new = object.__new__(cls)
        for name in cls._worked_out:
            setattr(new, name, None)
        return new

    @abstractmethod
    def quote(self, input_mint: bytes, amount_in: int, clock: ChainClock) -> Quote:
        """Exact-in swap. Raises QuoteError."""

    @abstractmethod
    def quote_exact_out(self, output_mint: bytes, amount_out: int, clock: ChainClock) -> Quote:
        """Exact-out swap by the program's own exact-out roundings. Raises QuoteError."""

    @abstractmethod
    def after(self, state: tuple[Any, ...]) -> "Pool":
        """The pool after a swap that ended in ``state`` (what the venue's quote put into the Quote)."""

    @abstractmethod
    def marginal(self, state: tuple[Any, ...]) -> float:
        """Output per further unit of input at the end of a quoted swap, fee taken off; for sizing only."""

    def entered(self, state: tuple[Any, ...]) -> int:
        """See ``Quote.entered``."""
        return 0

    def fee_mint(self, input_mint: bytes) -> bytes:
        """The token in which a swap of ``input_mint`` pays its fee (and a rebate comes back)."""
        return input_mint

    @abstractmethod
    def spot_price(self, input_mint: bytes) -> float:
        """Output base units per input base unit before fees; for screening only."""

    @abstractmethod
    def fee_ppm(self, clock: ChainClock) -> int:
        """The fee of a very small swap now, in millionths of the amount, rounded up."""

    @abstractmethod
    def rates(self, clock: ChainClock | None) -> tuple[float, float]:
        """Marginal rates after fees, A to B and B to A; without a clock at the lowest fee there can be."""

    @property
    def fee_moves(self) -> bool:
        """Whether time alone changes the fee. If not, ``rates`` are the same with a clock and without."""
        return True

    @abstractmethod
    def depths(self) -> tuple[float, float]:
        """Virtual reserves of A and B near the price; floats, for sizing only."""

    def glance(self, accounts: Mapping[bytes, Account]) -> float | None:
        """Base units of B for one of A, before fees, as the newest bytes have it without being decoded; None
        where they are missing or don't show it. This pool is as it was decoded last."""
        return None

    def screen_form(self, clock: ChainClock | None) -> ScreenForm:
        """``rates`` and ``depths`` together."""
        return ScreenForm(*self.rates(clock), *self.depths())

    @abstractmethod
    def swap_instruction(
        self, user: Pubkey, input_mint: bytes, amount_in: int, minimum_out: int
    ) -> Instruction:
        """The venue's exact-in swap instruction with the user's associated token accounts."""

    def swap_names(self, input_mint: bytes) -> object:
        """What the swap instruction names that moves with the pool's state: while it is equal, instructions
        of the pool differ in their amounts alone."""
        return self.swap_instruction(Pubkey.default(), input_mint, 1, 1)

    def names_rest_on(self) -> tuple[bytes, ...]:
        """The accounts by whose bytes ``swap_names`` can change."""
        return (self.key,)

    @abstractmethod
    def changed(self, accounts: Mapping[bytes, Account], changed: Collection[bytes]) -> "Pool":
        """The pool after the ``changed`` accounts took the bytes in ``accounts``. Raises PoolError."""

    @abstractmethod
    def store(self, accounts: Mapping[bytes, Account]) -> dict[bytes, bytes]:
        """New data of every account (vault balances aside) that holds this pool's swap state."""

    def is_a(self, mint: bytes) -> bool:
        """True if ``mint`` is mint A, False if it is mint B; QuoteError UNKNOWN_MINT otherwise."""
        if mint == self.mint_a:
            return True
        if mint == self.mint_b:
            return False
        raise QuoteError(
            QuoteErrorCode.UNKNOWN_MINT,
            f"{Pubkey(mint)} is neither mint of pool {Pubkey(self.key)}: "
            f"{Pubkey(self.mint_a)}, {Pubkey(self.mint_b)}",
        )

    def other_mint(self, mint: bytes) -> bytes:
        """The other mint of the pair."""
        return self.mint_b if self.is_a(mint) else self.mint_a

    def vaults(self, input_mint: bytes) -> tuple[bytes, bytes]:
        """(vault that receives, vault that pays) for a swap of ``input_mint``."""
        return (self.vault_a, self.vault_b) if self.is_a(input_mint) else (self.vault_b, self.vault_a)


class SwapCall(NamedTuple):
    """A venue's exact-in swap instruction read back: who pays what to whom.

    ``a_to_b`` is None where the instruction doesn't say and the mint of ``user_in`` decides (see
    ``directed``). ``host`` is the token account that gets the host or referral share, None if there is none.
    """

    venue: Venue
    pool: bytes
    a_to_b: bool | None
    amount_in: int
    minimum_out: int
    user: bytes
    user_in: bytes
    user_out: bytes
    vault_a: bytes
    vault_b: bytes
    vault_authority: bytes
    host: bytes | None = None

    def directed(self, pool: Pool, user_in_mint: bytes) -> "SwapCall":
        """The call with ``a_to_b`` known, from the mint of the user's source account. Raises QuoteError."""
        return self._replace(a_to_b=pool.is_a(user_in_mint), vault_a=pool.vault_a, vault_b=pool.vault_b)

    @property
    def vault_in(self) -> bytes:
        """The vault that receives the input (``a_to_b`` must be known)."""
        return self.vault_a if self.a_to_b else self.vault_b

    @property
    def vault_out(self) -> bytes:
        """The vault that pays the output (``a_to_b`` must be known)."""
        return self.vault_b if self.a_to_b else self.vault_a


class VenueSpec(NamedTuple):
    """One line of the registry: all that the shared functions need to know of a venue.

    ``recognises(account)``: is it a pool (owner already compared); ``pool_bytes`` and ``pool_head``: the
    size of a pool's data and what it begins with, for asking a node for all pools. ``minimum_out_error``:
    the custom program error of an output below the minimum; ``error_names`` what its custom errors are
    called. ``figures`` and ``encode`` turn a pool's accounts into plain JSON-able figures and back into
    bytes. ``names_in(data)``: what of a pool account's data ``swap_names`` and whatever ``decode`` refuses
    rest on, but for refused figures that only quotes rest on; by default all of it.
    """

    venue: Venue
    program: bytes
    pool_bytes: int
    pool_head: bytes
    recognises: Callable[[Account], bool]
    required_accounts: Callable[[bytes, Account], tuple[bytes, ...]]
    decode: Callable[[bytes, Mapping[bytes, Account], Settings], Pool]
    parse_swap: Callable[[Sequence[bytes], bytes], SwapCall | None]
    minimum_out_error: int
    figures: Callable[[bytes, Mapping[bytes, Account]], dict[str, Any]]
    encode: Callable[[Mapping[str, Any]], dict[bytes, Account]]
    error_names: Mapping[int, str]
    names_in: Callable[[bytes], object] = bytes


def check_amount(amount: int) -> None:
    """Refuse an amount outside 1..2^64−1 with QuoteError BAD_AMOUNT."""
    if not 0 < amount <= U64_MAX:
        raise QuoteError(QuoteErrorCode.BAD_AMOUNT, f"amount {amount} is not in 1..{U64_MAX}")
