"""Raydium AMM v4: constant product over two vaults, without its old order book.

Program 675kPX9MHTjS2zt1qfr1NYHuzeLXfQM9H24wFSUt1Mp8 (raydium-io/raydium-amm; no IDL). Roundings follow the
mainnet binary of 2025-06; ``Settings.dust_rule`` says which era's fee rounding holds below 200 base units.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from operator import itemgetter
from struct import Struct
from typing import Any

from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

from hft.venues import spl
from hft.venues.types import (
    DEFAULT_SETTINGS,
    U64_MAX,
    Account,
    ChainClock,
    DustRule,
    Pool,
    PoolError,
    PoolErrorCode,
    Quote,
    QuoteError,
    QuoteErrorCode,
    Settings,
    SwapCall,
    Venue,
    VenueSpec,
    check_amount,
)

PROGRAM = spl.key("675kPX9MHTjS2zt1qfr1NYHuzeLXfQM9H24wFSUt1Mp8")
AUTHORITY = spl.key("5Q544fKrFoe6tsEbD7S8EmxGTJYAKtTVhAW5Q5pge4j1")
POOL_SIZE = 752
SWAP_ONLY = 6

_FEES_AND_PNL = Struct("<QQQQ")  # swap fee numerator, denominator, need_take_pnl coin, pc
names_in: Callable[[bytes], object] = itemgetter(slice(192), slice(336, 752))
"""See ``VenueSpec``: all but what it owes and has traded."""
_OTHER_KEYS = {"lp_mint": 464, "open_orders": 496, "market": 528, "market_program": 560, "target_orders": 592}
_SWAP_BASE_IN = 9
_SWAP_ARGS = Struct("<BQQ")


def recognises(account: Account) -> bool:
    """True for an AmmInfo account (owner already compared; the layout has no discriminator)."""
    return len(account.data) == POOL_SIZE


def required_accounts(pubkey: bytes, account: Account) -> tuple[bytes, ...]:
    """Both vaults and both mints."""
    _check_pool(pubkey, account)
    data = account.data
    return data[336:368], data[368:400], data[400:432], data[432:464]


def _check_pool(pubkey: bytes, account: Account) -> None:
    spl.check_account("pool", pubkey, account, PROGRAM, POOL_SIZE)
    status = int.from_bytes(account.data[0:8], "little")
    if status != SWAP_ONLY:
        raise PoolError(
            PoolErrorCode.UNSUPPORTED,
            f"pool {Pubkey(pubkey)} has status {status}; wants {SWAP_ONLY} (swap only, no order book)",
        )


class RaydiumV4Pool(Pool):
    """An AMM v4 pool; A is the coin side, B the pc side."""

    __slots__ = (
        "amount_a",
        "amount_b",
        "fee_denominator",
        "fee_numerator",
        "pnl_a",
        "pnl_b",
        "reserve_a",
        "reserve_b",
    )

    venue = Venue.RAYDIUM_V4
    fee_numerator: int
    fee_denominator: int
    pnl_a: int
    pnl_b: int
    amount_a: int
    amount_b: int
    reserve_a: int
    reserve_b: int

    def _read_pool(self, pubkey: bytes, account: Account) -> None:
        _check_pool(pubkey, account)
        self.fee_numerator, self.fee_denominator, self.pnl_a, self.pnl_b = _FEES_AND_PNL.unpack_from(
            account.data, 176
        )
        if not self.fee_numerator < self.fee_denominator:
            raise PoolError(
                PoolErrorCode.BAD_VALUE,
                f"pool {Pubkey(pubkey)}: swap fee {self.fee_numerator}/{self.fee_denominator} is not below 1",
            )

    def _set_reserves(self) -> None:
        self.reserve_a = self.amount_a - self.pnl_a
        self.reserve_b = self.amount_b - self.pnl_b
        if self.reserve_a <= 0 or self.reserve_b <= 0:
            raise PoolError(
                PoolErrorCode.ZERO_LIQUIDITY,
                f"pool {Pubkey(self.key)} has reserves {self.reserve_a} and {self.reserve_b}",
            )

    def changed(self, accounts: Mapping[bytes, Account], changed: Collection[bytes]) -> "RaydiumV4Pool":
        """See ``decode_changed``."""
        new = self.copy()
        if self.key in changed:
            new._read_pool(self.key, spl.find_account(accounts, self.key, "pool"))
        if self.vault_a in changed:
            new.amount_a = spl.vault_amount(accounts, self.vault_a, self.mint_a)
        if self.vault_b in changed:
            new.amount_b = spl.vault_amount(accounts, self.vault_b, self.mint_b)
        new._set_reserves()
        return new

    def _ceiling(self, numerator: int, denominator: int) -> int:
        """The program's rounded-up division: its older form rounds quotients below 1 to the nearest."""
        if numerator < denominator and 2 * numerator < denominator:
            rule = self.settings.dust_rule
            if rule is DustRule.REFUSE:
                raise QuoteError(
                    QuoteErrorCode.AMOUNT_TOO_SMALL,
                    f"{numerator}/{denominator} is rounded differently by the program's eras; set dust_rule",
                )
            return 0 if rule is DustRule.ROUND_HALF else 1
        return -(-numerator // denominator)

    def quote(self, input_mint: bytes, amount_in: int, clock: ChainClock) -> Quote:
        """Exact-in swap. Raises QuoteError."""
        if input_mint == self.mint_a:
            reserve_in, reserve_out = self.reserve_a, self.reserve_b
        else:
            self.is_a(input_mint)
            reserve_in, reserve_out = self.reserve_b, self.reserve_a
        if not 0 < amount_in <= U64_MAX:
            check_amount(amount_in)
        scaled = amount_in * self.fee_numerator
        if scaled < self.fee_denominator:
            fee = self._ceiling(scaled, self.fee_denominator)
        else:
            fee = -(-scaled // self.fee_denominator)
        net = amount_in - fee
        out = reserve_out * net // (reserve_in + net)
        if out == 0:
            raise QuoteError(QuoteErrorCode.AMOUNT_TOO_SMALL, f"input {amount_in} gives no output")
        return Quote(self, (input_mint, amount_in, out, net), amount_in, amount_in, out, fee)

    def quote_exact_out(self, output_mint: bytes, amount_out: int, clock: ChainClock) -> Quote:
        """Exact-out swap by the roundings of ``swap_base_out``. Raises QuoteError."""
        check_amount(amount_out)
        input_mint = self.other_mint(output_mint)
        reserves = (self.reserve_a, self.reserve_b)
        reserve_in, reserve_out = reserves if input_mint == self.mint_a else reserves[::-1]
        if amount_out >= reserve_out:
            raise QuoteError(
                QuoteErrorCode.INSUFFICIENT_LIQUIDITY,
                f"output {amount_out} is not below the reserve {reserve_out}",
            )
        net = self._ceiling(reserve_in * amount_out, reserve_out - amount_out)
        amount_in = self._ceiling(net * self.fee_denominator, self.fee_denominator - self.fee_numerator)
        if amount_in == 0:
            raise QuoteError(QuoteErrorCode.AMOUNT_TOO_SMALL, f"output {amount_out} needs no input")
        check_amount(amount_in)
        state = (input_mint, amount_in, amount_out, net)
        return Quote(self, state, amount_in, amount_in, amount_out, amount_in - net)

    def after(self, state: tuple[Any, ...]) -> "RaydiumV4Pool":
        """The pool with its vaults moved by the swap."""
        input_mint, amount_in, amount_out, _ = state
        new = self.copy()
        if input_mint == self.mint_a:
            new.amount_a += amount_in
            new.amount_b -= amount_out
        else:
            new.amount_b += amount_in
            new.amount_a -= amount_out
        new._set_reserves()
        return new

    def marginal(self, state: tuple[Any, ...]) -> float:
        """Output per further unit of input after the swap, fee taken off; floats, for sizing only."""
        input_mint, net = state[0], state[3]
        reserve_in = self.reserve_a if input_mint == self.mint_a else self.reserve_b
        grown = reserve_in + net
        keep = 1 - self.fee_numerator / self.fee_denominator
        rate: float = keep * (self.reserve_a / grown) * (self.reserve_b / grown)
        return rate

    def spot_price(self, input_mint: bytes) -> float:
        """Output base units per input base unit before fees; for screening only."""
        price = self.reserve_b / self.reserve_a
        return price if self.is_a(input_mint) else 1 / price

    def fee_ppm(self, clock: ChainClock) -> int:
        """The fee rate in millionths, rounded up."""
        return -(-self.fee_numerator * 1_000_000 // self.fee_denominator)

    def glance(self, accounts: Mapping[bytes, Account]) -> float | None:
        """By the vaults, less what the pool owed when it was decoded last."""
        owed_a, owed_b = self.amount_a - self.reserve_a, self.amount_b - self.reserve_b
        return spl.held_price(accounts, self.vault_a, self.vault_b, owed_a, owed_b)

    def rates(self, clock: ChainClock | None) -> tuple[float, float]:
        """Marginal rates after the fee."""
        keep = 1 - self.fee_numerator / self.fee_denominator
        price = self.reserve_b / self.reserve_a
        return price * keep, keep / price

    @property
    def fee_moves(self) -> bool:
        """It is fixed."""
        return False

    def depths(self) -> tuple[float, float]:
        """The reserves."""
        return float(self.reserve_a), float(self.reserve_b)

    def swap_instruction(
        self, user: Pubkey, input_mint: bytes, amount_in: int, minimum_out: int
    ) -> Instruction:
        """``swap_base_in``, 17 accounts; the order book's, never read at status 6, are the pool's key."""
        owner = bytes(user)
        source = spl.associated_token_address(owner, input_mint)
        destination = spl.associated_token_address(owner, self.other_mint(input_mint))
        pool = AccountMeta(Pubkey(self.key), False, True)
        keys = [AccountMeta(Pubkey(spl.TOKEN_PROGRAM), False, False), pool]
        keys += [AccountMeta(Pubkey(AUTHORITY), False, False), pool]
        keys += [AccountMeta(Pubkey(vault), False, True) for vault in (self.vault_a, self.vault_b)]
        keys += [pool] * 8
        keys += [AccountMeta(Pubkey(account), False, True) for account in (source, destination)]
        keys.append(AccountMeta(user, True, False))
        return Instruction(Pubkey(PROGRAM), _SWAP_ARGS.pack(_SWAP_BASE_IN, amount_in, minimum_out), keys)

    def swap_names(self, input_mint: bytes) -> object:
        """Nothing that moves."""
        return None

    def store(self, accounts: Mapping[bytes, Account]) -> dict[bytes, bytes]:
        """Nothing: a swap moves the vaults only."""
        return {}


def decode(
    pubkey: bytes, accounts: Mapping[bytes, Account], settings: Settings = DEFAULT_SETTINGS
) -> RaydiumV4Pool:
    """The pool from its account, vaults and mints. Raises PoolError."""
    account = spl.find_account(accounts, pubkey, "pool")
    pool = RaydiumV4Pool.blank()
    pool.key, pool.settings = pubkey, settings
    pool._read_pool(pubkey, account)
    data = account.data
    pool.vault_a, pool.vault_b = data[336:368], data[368:400]
    pool.mint_a, pool.mint_b = data[400:432], data[432:464]
    spl.read_programs(pool, accounts)
    pool.amount_a = spl.vault_amount(accounts, pool.vault_a, pool.mint_a)
    pool.amount_b = spl.vault_amount(accounts, pool.vault_b, pool.mint_b)
    pool._set_reserves()
    return pool


def parse_swap(keys: Sequence[bytes], data: bytes) -> SwapCall | None:
    """A ``swap_base_in`` with 17 or 18 accounts; the mint of the source account decides its direction."""
    if len(data) != _SWAP_ARGS.size or data[0] != _SWAP_BASE_IN or len(keys) not in (17, 18):
        return None
    _, amount_in, minimum_out = _SWAP_ARGS.unpack(data)
    vaults = 4 if len(keys) == 17 else 5
    return SwapCall(
        Venue.RAYDIUM_V4,
        keys[1],
        None,
        amount_in,
        minimum_out,
        keys[-1],
        keys[-3],
        keys[-2],
        keys[vaults],
        keys[vaults + 1],
        keys[2],
    )


def figures(pubkey: bytes, accounts: Mapping[bytes, Account]) -> dict[str, Any]:
    """The pool, its vaults and mints as plain JSON-able figures that ``encode`` turns back."""
    account = spl.find_account(accounts, pubkey, "pool")
    _check_pool(pubkey, account)
    data = account.data
    numerator, denominator, pnl_a, pnl_b = _FEES_AND_PNL.unpack_from(data, 176)
    return {
        "venue": "raydium_v4",
        "pool": str(Pubkey(pubkey)),
        "nonce": data[8],
        "swap_fee_numerator": numerator,
        "swap_fee_denominator": denominator,
        "need_take_pnl_a": pnl_a,
        "need_take_pnl_b": pnl_b,
        "pool_open_time": int.from_bytes(data[224:232], "little"),
        **{name: str(Pubkey(data[at : at + 32])) for name, at in _OTHER_KEYS.items()},
        "a": spl.token_figures(accounts, data[400:432], data[336:368]),
        "b": spl.token_figures(accounts, data[432:464], data[368:400]),
    }


def encode(plain: Mapping[str, Any]) -> dict[bytes, Account]:
    """The accounts that ``plain`` (see ``figures``) describes, as ``decode`` expects them."""
    side_a, side_b = plain["a"], plain["b"]
    data = bytearray(POOL_SIZE)
    data[0], data[8], data[32], data[40] = SWAP_ONLY, plain["nonce"], side_a["decimals"], side_b["decimals"]
    names = ("swap_fee_numerator", "swap_fee_denominator", "need_take_pnl_a", "need_take_pnl_b")
    _FEES_AND_PNL.pack_into(data, 176, *(plain[name] for name in names))
    data[224:232] = plain["pool_open_time"].to_bytes(8, "little")
    data[336:400] = spl.key(side_a["vault"]) + spl.key(side_b["vault"])
    data[400:464] = spl.key(side_a["mint"]) + spl.key(side_b["mint"])
    for name, at in _OTHER_KEYS.items():
        data[at : at + 32] = spl.key(plain[name])
    pool = {spl.key(plain["pool"]): Account(PROGRAM, bytes(data), spl.rent_exempt(POOL_SIZE))}
    return pool | spl.token_accounts(side_a) | spl.token_accounts(side_b)


ERROR_NAMES = {29: "InvalidInput", 30: "ExceededSlippage", 40: "InsufficientFunds"}

SPEC = VenueSpec(
    venue=Venue.RAYDIUM_V4,
    program=PROGRAM,
    pool_bytes=POOL_SIZE,
    pool_head=b"",
    recognises=recognises,
    required_accounts=required_accounts,
    decode=decode,
    parse_swap=parse_swap,
    minimum_out_error=30,
    figures=figures,
    encode=encode,
    error_names=ERROR_NAMES,
    names_in=names_in,
)
