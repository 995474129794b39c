"""Raydium CPMM: constant product, with an optional creator fee.

Program CPMMoo8L3F4NbTegBCKVNunggL7H1ZpdTHKxQB5qKP1C (raydium-io/raydium-cp-swap, IDL ``raydium_cp_swap``).
Roundings follow the mainnet binary of 2024-11, the creator fee the program's own calculator source.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from operator import itemgetter
from struct import Struct
from typing import Any, NamedTuple

from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

from hft.venues import spl
from hft.venues.types import (
    DEFAULT_SETTINGS,
    U64_MAX,
    Account,
    ChainClock,
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

PROGRAM = spl.key("CPMMoo8L3F4NbTegBCKVNunggL7H1ZpdTHKxQB5qKP1C")
AUTHORITY = spl.key("GpMZbSM2GgvTKHJirzeGfMFoaZ8UR2X7F4v8vHTvxFbL")
POOL_SIZE = 637
CONFIG_SIZE = 236
RATE_BASE = 1_000_000
SWAP_OFF = 4

_POOL_HEAD = bytes.fromhex("f7ede3f5d7c3de46")
_CONFIG_HEAD = bytes.fromhex("daf42168cbcb2b6f")
_SWAP_BASE_INPUT = bytes.fromhex("8fbe5adac41e33de")
_SWAP_ARGS = Struct("<QQ")
_POOL_FEES = Struct("<QQQQQ")  # protocol fees 0, 1, fund fees 0, 1, open time
_POOL_FEES_AT = 341
_CREATOR_FEES = Struct("<QQ")
_CREATOR_FEES_AT = 397
_CONFIG_RATES = Struct("<QQQ")  # trade, protocol, fund
names_in: Callable[[bytes], object] = itemgetter(slice(333), slice(389, 391))
"""See ``VenueSpec``: all but supply and fees owed."""
_KEYS = {"config": 8, "creator": 40, "lp_mint": 136, "observation": 296}


class Fees(NamedTuple):
    """How one swap's amounts divide; ``creator`` and the others are in the token the field's owner
    is paid in.
    """

    net_in: int
    out: int
    trade: int
    creator: int


def recognises(account: Account) -> bool:
    """True for a PoolState account (owner already compared)."""
    return len(account.data) == POOL_SIZE and account.data.startswith(_POOL_HEAD)


def required_accounts(pubkey: bytes, account: Account) -> tuple[bytes, ...]:
    """Config, both vaults and both mints."""
    spl.check_account("pool", pubkey, account, PROGRAM, POOL_SIZE, _POOL_HEAD)
    data = account.data
    return data[8:40], data[72:104], data[104:136], data[168:200], data[200:232]


class RaydiumCpmmPool(Pool):
    """A CPMM pool; A is token 0, B token 1."""

    __slots__ = (
        "amount_a",
        "amount_b",
        "config",
        "creator_fee_a",
        "creator_fee_b",
        "creator_fee_on",
        "creator_rate",
        "fund_fee_a",
        "fund_fee_b",
        "fund_rate",
        "observation",
        "open_time",
        "protocol_fee_a",
        "protocol_fee_b",
        "protocol_rate",
        "reserve_a",
        "reserve_b",
        "status",
        "trade_rate",
    )

    venue = Venue.RAYDIUM_CPMM
    config: bytes
    observation: bytes
    amount_a: int
    amount_b: int
    reserve_a: int
    reserve_b: int
    protocol_fee_a: int
    protocol_fee_b: int
    fund_fee_a: int
    fund_fee_b: int
    creator_fee_a: int
    creator_fee_b: int
    creator_fee_on: int
    creator_rate: int
    trade_rate: int
    protocol_rate: int
    fund_rate: int
    open_time: int
    status: int

    def _read_pool(self, accounts: Mapping[bytes, Account]) -> None:
        """Take over the pool account's and the config's swap fields."""
        account = spl.find_account(accounts, self.key, "pool")
        spl.check_account("pool", self.key, account, PROGRAM, POOL_SIZE, _POOL_HEAD)
        data = account.data
        fees = _POOL_FEES.unpack_from(data, _POOL_FEES_AT)
        self.protocol_fee_a, self.protocol_fee_b, self.fund_fee_a, self.fund_fee_b, self.open_time = fees
        self.status, self.creator_fee_on = data[329], data[389]
        self.creator_fee_a, self.creator_fee_b = _CREATOR_FEES.unpack_from(data, _CREATOR_FEES_AT)
        self.config = data[8:40]
        config = spl.find_account(accounts, self.config, "config")
        spl.check_account("config", self.config, config, PROGRAM, CONFIG_SIZE, _CONFIG_HEAD)
        self.trade_rate, self.protocol_rate, self.fund_rate = _CONFIG_RATES.unpack_from(config.data, 12)
        creator_rate = int.from_bytes(config.data[108:116], "little")
        self.creator_rate = creator_rate if data[390] else 0
        if self.trade_rate + self.creator_rate >= RATE_BASE or self.creator_fee_on > 2:
            raise PoolError(
                PoolErrorCode.BAD_VALUE,
                f"pool {Pubkey(self.key)}: trade rate {self.trade_rate}, creator rate {self.creator_rate}, "
                f"creator_fee_on {self.creator_fee_on}",
            )

    def _set_reserves(self) -> None:
        self.reserve_a = self.amount_a - self.protocol_fee_a - self.fund_fee_a - self.creator_fee_a
        self.reserve_b = self.amount_b - self.protocol_fee_b - self.fund_fee_b - self.creator_fee_b
        if self.reserve_a <= 0 or self.reserve_b <= 0:
            raise PoolError(
                PoolErrorCode.ZERO_LIQUIDITY,
                f"pool {Pubkey(self.key)} has reserves {self.reserve_a} and {self.reserve_b}",
            )

    def changed(self, accounts: Mapping[bytes, Account], changed: Collection[bytes]) -> "RaydiumCpmmPool":
        """See ``decode_changed``."""
        new = self.copy()
        if self.key in changed or self.config in changed:
            new._read_pool(accounts)
        if self.vault_a in changed:
            new.amount_a = spl.vault_amount(accounts, self.vault_a, self.mint_a)
        if self.vault_b in changed:
            new.amount_b = spl.vault_amount(accounts, self.vault_b, self.mint_b)
        new._set_reserves()
        return new

    def _check_open(self, clock: ChainClock) -> None:
        if self.status & SWAP_OFF:
            raise QuoteError(QuoteErrorCode.POOL_DISABLED, f"swaps are off (status {self.status})")
        if clock.unix_timestamp < self.open_time:
            raise QuoteError(
                QuoteErrorCode.NOT_OPEN, f"the pool opens at {self.open_time}, now is {clock.unix_timestamp}"
            )

    def _creator_on_input(self, a_to_b: bool) -> bool:
        return self.creator_fee_on == 0 or (self.creator_fee_on == 1) == a_to_b

    def quote(self, input_mint: bytes, amount_in: int, clock: ChainClock) -> Quote:
        """Exact-in swap. ``fee`` is the trade fee and an input-side creator fee. Raises QuoteError."""
        a_to_b = input_mint == self.mint_a or self.is_a(input_mint)
        if not 0 < amount_in <= U64_MAX:
            check_amount(amount_in)
        if self.status & SWAP_OFF or clock.unix_timestamp < self.open_time:
            self._check_open(clock)
        if a_to_b:
            reserve_in, reserve_out = self.reserve_a, self.reserve_b
        else:
            reserve_in, reserve_out = self.reserve_b, self.reserve_a
        creator_rate = self.creator_rate
        if not creator_rate:
            trade = total = -(-amount_in * self.trade_rate // RATE_BASE)
            creator = 0
            net = amount_in - total
            out = reserve_out * net // (reserve_in + net)
        elif self._creator_on_input(a_to_b):
            rate = self.trade_rate + creator_rate
            total = -(-amount_in * rate // RATE_BASE)
            creator = total * creator_rate // rate
            trade = total - creator
            net = amount_in - total
            out = reserve_out * net // (reserve_in + net)
        else:
            trade = total = -(-amount_in * self.trade_rate // RATE_BASE)
            net = amount_in - total
            out = reserve_out * net // (reserve_in + net)
            creator = -(-out * creator_rate // RATE_BASE)
            out -= creator
        if out <= 0:
            raise QuoteError(QuoteErrorCode.AMOUNT_TOO_SMALL, f"input {amount_in} gives no output")
        return Quote(self, (a_to_b, amount_in, out, trade, creator, net), amount_in, amount_in, out, total)

    def quote_exact_out(self, output_mint: bytes, amount_out: int, clock: ChainClock) -> Quote:
        """Exact-out swap by the roundings of ``swap_base_output``. Raises QuoteError."""
        a_to_b = not self.is_a(output_mint)
        check_amount(amount_out)
        self._check_open(clock)
        reserves = (self.reserve_a, self.reserve_b)
        reserve_in, reserve_out = reserves if a_to_b else reserves[::-1]
        on_input = self._creator_on_input(a_to_b)
        gross_out = amount_out
        if self.creator_rate and not on_input:
            gross_out = -(-amount_out * RATE_BASE // (RATE_BASE - self.creator_rate))
        if gross_out >= reserve_out:
            raise QuoteError(
                QuoteErrorCode.INSUFFICIENT_LIQUIDITY,
                f"output {gross_out} is not below the reserve {reserve_out}",
            )
        net = -(-reserve_in * gross_out // (reserve_out - gross_out))
        rate = self.trade_rate + (self.creator_rate if on_input else 0)
        amount_in = -(-net * RATE_BASE // (RATE_BASE - rate))
        check_amount(amount_in)
        total = amount_in - net
        creator = total * self.creator_rate // rate if on_input and rate else gross_out - amount_out
        trade = total - creator if on_input else total
        state = (a_to_b, amount_in, amount_out, trade, creator, net)
        return Quote(self, state, amount_in, amount_in, amount_out, total)

    def after(self, state: tuple[Any, ...]) -> "RaydiumCpmmPool":
        """The pool with its vaults and the fees owed moved by the swap."""
        a_to_b, amount_in, amount_out, trade, creator, _ = state
        new = self.copy()
        protocol = trade * self.protocol_rate // RATE_BASE
        fund = trade * self.fund_rate // RATE_BASE
        if a_to_b:
            new.amount_a += amount_in
            new.amount_b -= amount_out
            new.protocol_fee_a += protocol
            new.fund_fee_a += fund
        else:
            new.amount_b += amount_in
            new.amount_a -= amount_out
            new.protocol_fee_b += protocol
            new.fund_fee_b += fund
        if a_to_b == self._creator_on_input(a_to_b):
            new.creator_fee_a += creator
        else:
            new.creator_fee_b += creator
        new._set_reserves()
        return new

    def marginal(self, state: tuple[Any, ...]) -> float:
        """Output per further unit of input after the swap, fees taken off; floats, for sizing only."""
        a_to_b, net = state[0], state[5]
        grown = (self.reserve_a if a_to_b else self.reserve_b) + net
        rate: float = self._keep(a_to_b) * (self.reserve_a / grown) * (self.reserve_b / grown)
        return rate

    def _keep(self, a_to_b: bool) -> float:
        if self._creator_on_input(a_to_b):
            return 1 - (self.trade_rate + self.creator_rate) / RATE_BASE
        return (1 - self.trade_rate / RATE_BASE) * (1 - self.creator_rate / RATE_BASE)

    def spot_price(self, input_mint: bytes) -> float:
        """Output base units per input base unit before fees; for screening only."""
        price = self.reserve_b / self.reserve_a
        return price if self.is_a(input_mint) else 1 / price

    def fee_ppm(self, clock: ChainClock) -> int:
        """Trade and creator fee in millionths."""
        return self.trade_rate + self.creator_rate

    def glance(self, accounts: Mapping[bytes, Account]) -> float | None:
        """By the vaults, less what the pool owed when it was decoded last."""
        owed_a, owed_b = self.amount_a - self.reserve_a, self.amount_b - self.reserve_b
        return spl.held_price(accounts, self.vault_a, self.vault_b, owed_a, owed_b)

    def rates(self, clock: ChainClock | None) -> tuple[float, float]:
        """Marginal rates after fees."""
        price = self.reserve_b / self.reserve_a
        return price * self._keep(True), self._keep(False) / price

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
        """``swap_base_input``; user accounts are the associated ones."""
        a_to_b = self.is_a(input_mint)
        sides = [
            (self.mint_a, self.vault_a, self.program_a),
            (self.mint_b, self.vault_b, self.program_b),
        ]
        (mint_in, vault_in, program_in), (mint_out, vault_out, program_out) = sides if a_to_b else sides[::-1]
        owner = bytes(user)
        user_in = spl.associated_token_address(owner, mint_in, program_in)
        user_out = spl.associated_token_address(owner, mint_out, program_out)
        keys = [AccountMeta(user, True, False), spl.meta(AUTHORITY), spl.meta(self.config)]
        keys += [spl.meta(k, writable=True) for k in (self.key, user_in, user_out, vault_in, vault_out)]
        keys += [spl.meta(k) for k in (program_in, program_out, mint_in, mint_out)]
        keys.append(spl.meta(self.observation, writable=True))
        args = _SWAP_ARGS.pack(amount_in, minimum_out)
        return Instruction(Pubkey(PROGRAM), _SWAP_BASE_INPUT + args, keys)

    def swap_names(self, input_mint: bytes) -> object:
        """Nothing that moves with the price."""
        return self.config, self.observation

    def store(self, accounts: Mapping[bytes, Account]) -> dict[bytes, bytes]:
        """The pool account with the fees owed patched."""
        data = bytearray(spl.find_account(accounts, self.key, "pool").data)
        fees = (self.protocol_fee_a, self.protocol_fee_b, self.fund_fee_a, self.fund_fee_b, self.open_time)
        _POOL_FEES.pack_into(data, _POOL_FEES_AT, *fees)
        _CREATOR_FEES.pack_into(data, _CREATOR_FEES_AT, self.creator_fee_a, self.creator_fee_b)
        return {self.key: bytes(data)}


def decode(
    pubkey: bytes, accounts: Mapping[bytes, Account], settings: Settings = DEFAULT_SETTINGS
) -> RaydiumCpmmPool:
    """The pool from its account, config, vaults and mints. Raises PoolError."""
    pool = RaydiumCpmmPool.blank()
    pool.key, pool.settings = pubkey, settings
    pool._read_pool(accounts)
    data = accounts[pubkey].data
    pool.vault_a, pool.vault_b = data[72:104], data[104:136]
    pool.mint_a, pool.mint_b = data[168:200], data[200:232]
    pool.observation = data[296:328]
    spl.read_programs(pool, accounts)
    if (data[232:264], data[264:296]) != (pool.program_a, pool.program_b):
        raise PoolError(
            PoolErrorCode.MINT_MISMATCH, f"pool {Pubkey(pubkey)} names other token programs than its mints'"
        )
    pool.amount_a = spl.vault_amount(accounts, pool.vault_a, pool.mint_a)
    pool.amount_b = spl.vault_amount(accounts, pool.vault_b, pool.mint_b)
    pool._set_reserves()
    return pool


def parse_swap(keys: Sequence[bytes], data: bytes) -> SwapCall | None:
    """A ``swap_base_input`` instruction; mints in the accounts tell the direction only by the
    pool's order.
    """
    if len(data) != 8 + _SWAP_ARGS.size or not data.startswith(_SWAP_BASE_INPUT) or len(keys) < 13:
        return None
    amount_in, minimum_out = _SWAP_ARGS.unpack_from(data, 8)
    # A pool's mints are in rising order of their keys.
    a_to_b = keys[10] < keys[11]
    vault_a, vault_b = (keys[6], keys[7]) if a_to_b else (keys[7], keys[6])
    return SwapCall(
        Venue.RAYDIUM_CPMM,
        keys[3],
        a_to_b,
        amount_in,
        minimum_out,
        keys[0],
        keys[4],
        keys[5],
        vault_a,
        vault_b,
        keys[1],
    )


def figures(pubkey: bytes, accounts: Mapping[bytes, Account]) -> dict[str, Any]:
    """The pool, config, vaults and mints as plain JSON-able figures that ``encode`` turns back."""
    pool = decode(pubkey, accounts)
    data, config = accounts[pubkey].data, accounts[pool.config].data
    return {
        "venue": "raydium_cpmm",
        "pool": str(Pubkey(pubkey)),
        **{name: str(Pubkey(data[at : at + 32])) for name, at in _KEYS.items()},
        "auth_bump": data[328],
        "status": pool.status,
        "lp_decimals": data[330],
        "lp_supply": int.from_bytes(data[333:341], "little"),
        "protocol_fees": [pool.protocol_fee_a, pool.protocol_fee_b],
        "fund_fees": [pool.fund_fee_a, pool.fund_fee_b],
        "creator_fees": [pool.creator_fee_a, pool.creator_fee_b],
        "open_time": pool.open_time,
        "creator_fee_on": pool.creator_fee_on,
        "enable_creator_fee": data[390],
        "config_rates": list(_CONFIG_RATES.unpack_from(config, 12)),
        "config_creator_fee_rate": int.from_bytes(config[108:116], "little"),
        "config_index": int.from_bytes(config[10:12], "little"),
        "a": spl.token_figures(accounts, pool.mint_a, pool.vault_a),
        "b": spl.token_figures(accounts, pool.mint_b, pool.vault_b),
    }


def encode(plain: Mapping[str, Any]) -> dict[bytes, Account]:
    """The accounts that ``plain`` (see ``figures``) describes, as ``decode`` expects them."""
    side_a, side_b = plain["a"], plain["b"]
    data = bytearray(POOL_SIZE)
    data[0:8] = _POOL_HEAD
    for name, at in _KEYS.items():
        data[at : at + 32] = spl.key(plain[name])
    data[72:136] = spl.key(side_a["vault"]) + spl.key(side_b["vault"])
    data[168:232] = spl.key(side_a["mint"]) + spl.key(side_b["mint"])
    data[232:296] = spl.key(side_a["program"]) + spl.key(side_b["program"])
    small = (
        plain["auth_bump"],
        plain["status"],
        plain["lp_decimals"],
        side_a["decimals"],
        side_b["decimals"],
    )
    data[328:333] = bytes(small)
    data[333:341] = plain["lp_supply"].to_bytes(8, "little")
    _POOL_FEES.pack_into(
        data, _POOL_FEES_AT, *plain["protocol_fees"], *plain["fund_fees"], plain["open_time"]
    )
    data[389:391] = bytes((plain["creator_fee_on"], plain["enable_creator_fee"]))
    _CREATOR_FEES.pack_into(data, _CREATOR_FEES_AT, *plain["creator_fees"])
    config = bytearray(CONFIG_SIZE)
    config[0:8] = _CONFIG_HEAD
    config[10:12] = plain["config_index"].to_bytes(2, "little")
    _CONFIG_RATES.pack_into(config, 12, *plain["config_rates"])
    config[108:116] = plain["config_creator_fee_rate"].to_bytes(8, "little")
    own = {
        spl.key(plain["pool"]): Account(PROGRAM, bytes(data), spl.rent_exempt(POOL_SIZE)),
        spl.key(plain["config"]): Account(PROGRAM, bytes(config), spl.rent_exempt(CONFIG_SIZE)),
    }
    return own | spl.token_accounts(side_a) | spl.token_accounts(side_b)


ERROR_NAMES = {2505: "RequireGtViolated", 6000: "NotApproved", 6005: "ExceededSlippage"}

SPEC = VenueSpec(
    venue=Venue.RAYDIUM_CPMM,
    program=PROGRAM,
    pool_bytes=POOL_SIZE,
    pool_head=_POOL_HEAD,
    recognises=recognises,
    required_accounts=required_accounts,
    decode=decode,
    parse_swap=parse_swap,
    minimum_out_error=6005,
    figures=figures,
    encode=encode,
    error_names=ERROR_NAMES,
    names_in=names_in,
)
