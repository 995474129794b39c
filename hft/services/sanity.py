"""Pools against what stake pools say their tokens are worth: a reference, never a price to trade at."""

from collections.abc import Callable, Iterator, Mapping

from hft.chain.sysvars import CLOCK_KEY, CLOCK_LAYOUT
from hft.venues import WRAPPED_SOL, Account, Pool
from hft.venues.lst import FairValue, FairValueError, FairValueErrorCode, fair_value
from hft.venues.tokens import Token

BPS = 10_000
_NO_WORD = frozenset((FairValueErrorCode.STATE_MISSING, FairValueErrorCode.STALE_EPOCH))


class _Known(Mapping[bytes, Account]):
    """The newest accounts, as a mapping."""

    def __init__(self, account: Callable[[bytes], Account | None]) -> None:
        self._account = account

    def __getitem__(self, key: bytes) -> Account:
        account = self._account(key)
        if account is None:
            raise KeyError(key)
        return account

    def get(self, key: bytes, default: Account | None = None) -> Account | None:  # type: ignore[override]
        account = self._account(key)
        return default if account is None else account

    def __iter__(self) -> Iterator[bytes]:
        return iter(())

    def __len__(self) -> int:
        return 0


class Sanity:
    """See the module. ``limit_bps`` 0: nothing is compared.

    ``strict`` (live): a token whose stake pool is unknown, or was not updated in the chain's epoch, trades
    nowhere; else such a token merely has no reference. A pool that nothing backs, or whose figures overflow,
    speaks against its token either way.
    """

    def __init__(self, account: Callable[[bytes], Account | None], limit_bps: int, *, strict: bool) -> None:
        self._accounts = _Known(account)
        self._limit = limit_bps / BPS
        self._strict = strict
        self._clock: tuple[Account | None, int] = (None, 0)
        self._known: dict[bytes, tuple[Account | None, int, FairValue | FairValueError]] = {}
        self.covered: set[bytes] = set()
        """Pools that were compared: their price is to be looked at before it is told, if at a glance."""

    def agrees(self, pool: Pool, tokens: Mapping[bytes, Token]) -> bool:
        """Whether nothing speaks against the price of ``pool``."""
        if not self._limit or WRAPPED_SOL not in (pool.mint_a, pool.mint_b):
            return True
        token = tokens.get(pool.other_mint(WRAPPED_SOL))
        if token is None or token.state is None:
            return True
        self.covered.add(pool.key)
        value = self._value(token, token.state)
        if isinstance(value, FairValueError):
            return value.code in _NO_WORD and not self._strict
        worth = value.total_lamports / value.supply
        return worth > 0 and abs(pool.spot_price(token.mint) / worth - 1) <= self._limit

    def agrees_at_a_glance(self, pool: Pool, tokens: Mapping[bytes, Token]) -> bool:
        """Whether nothing speaks against the price that the newest bytes of ``pool``, as it was decoded last,
        have without being decoded. Only what is within half the limit counts: a glance is not exact."""
        if not self._limit or pool.key not in self.covered:
            return True
        token = tokens.get(pool.other_mint(WRAPPED_SOL))
        if token is None or token.state is None:
            return False
        value = self._value(token, token.state)
        if isinstance(value, FairValueError):
            return value.code in _NO_WORD and not self._strict
        price = pool.glance(self._accounts)
        if not price or value.total_lamports <= 0:
            return False
        worth = value.total_lamports / value.supply
        found = price if pool.is_a(token.mint) else 1 / price
        return abs(found / worth - 1) <= self._limit / 2

    def _value(self, token: Token, state: bytes) -> FairValue | FairValueError:
        """Worked out anew only when the state's bytes or the epoch changed."""
        account, epoch = self._accounts.get(state), self._epoch()
        known = self._known.get(token.mint)
        if known is not None and known[0] == account and known[1] == epoch:
            return known[2]
        found: FairValue | FairValueError
        try:
            found = fair_value(token, self._accounts, epoch if self._strict else None)
        except FairValueError as error:
            found = error
        self._known[token.mint] = (account, epoch, found)
        return found

    def _epoch(self) -> int:
        clock = self._accounts.get(CLOCK_KEY)
        known, epoch = self._clock
        if clock is not known:
            whole = clock is not None and len(clock.data) == CLOCK_LAYOUT.size
            epoch = int(CLOCK_LAYOUT.unpack(clock.data)[2]) if clock is not None and whole else 0
            self._clock = clock, epoch
        return epoch
