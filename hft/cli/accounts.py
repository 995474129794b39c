"""Pools of account files, for the commands that look at them: what loads, what can't be read and why, the
clock they are quoted at, and amounts as a person reads them."""

import re
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from solders.pubkey import Pubkey

from hft.runtime.exit_codes import ExitCode, HftError
from hft.simnet.market import SETTINGS, load_file, load_market
from hft.venues import VENUES, Account, ChainClock, Pool, PoolError, PoolErrorCode, decode, venue_of
from hft.venues.spl import key
from hft.venues.tokens import SOL_MINT, Token, load_tokens

AccountFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--accounts",
        metavar="FILE…",
        help="Account files, or what `solana account KEY --output json` prints; default: the shipped market.",
    ),
]
AtTime = Annotated[
    int | None,
    typer.Option(
        "--time",
        metavar="UNIX_S",
        min=1,
        help="Clock of the quotes; default: the newest in the files, else now.",
    ),
]
AtSlot = Annotated[int | None, typer.Option("--slot", metavar="N", min=0, help="Slot of the quotes.")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON, every amount in base units.")]

_CLOCK_SYSVAR = key("SysvarC1ock11111111111111111111111111111111")
_KNOWN_SLOT = 185_759_999, 1_680_277_951
"""A slot of mainnet and its Unix seconds, to estimate others from where nothing tells."""
_SLOTS_PER_S = 2.5
_STABLE_KIND = "stable"


class Loaded(NamedTuple):
    """``files`` by name; ``times`` the Unix seconds of a pool's file, where known; ``clock_source`` says
    where the clock is from."""

    files: tuple[str, ...]
    accounts: Mapping[bytes, Account]
    pools: Mapping[bytes, Pool]
    refused: Mapping[bytes, PoolError]
    clock: ChainClock
    clock_source: str
    times: Mapping[bytes, int]
    tokens: Mapping[bytes, Token]

    def symbol(self, mint: bytes) -> str:
        """The token's symbol, or its mint by its ends."""
        token = self.tokens.get(mint)
        return token.symbol if token else short(mint)

    def decimals(self, mint: bytes) -> int:
        """Decimals of a token of the list, else by its mint's account; 0 where neither tells."""
        token = self.tokens.get(mint)
        if token:
            return token.decimals
        account = self.accounts.get(mint)
        return account.data[44] if account and len(account.data) > 44 else 0

    def human(self, amount: int, mint: bytes) -> str:
        """Base units as whole tokens, all decimals, without the symbol: exact."""
        decimals = self.decimals(mint)
        whole, rest = divmod(abs(amount), 10**decimals)
        sign = "−" if amount < 0 else ""
        return f"{sign}{whole:,}.{rest:0{decimals}}" if decimals else f"{sign}{whole:,}"

    def pair(self, pool: Pool) -> tuple[bytes, bytes]:
        """(base, quote): SOL is the base where it takes part, a stablecoin the quote, else mint A is base."""
        if pool.mint_b == SOL_MINT or (pool.mint_a != SOL_MINT and self._is_stable(pool.mint_a)):
            return pool.mint_b, pool.mint_a
        return pool.mint_a, pool.mint_b

    def _is_stable(self, mint: bytes) -> bool:
        return mint in self.tokens and self.tokens[mint].kind == _STABLE_KIND

    def price(self, pool: Pool, base: bytes) -> float:
        """Whole tokens of the other mint for one whole ``base``, before fees."""
        scale = 10.0 ** (self.decimals(base) - self.decimals(pool.other_mint(base)))
        return pool.spot_price(base) * scale

    def find(self, wanted: str) -> Pool:
        """A pool by its key or its key's first characters; HftError naming what would be right."""
        wanted = wanted.removesuffix("…")
        found = [k for k in (*self.pools, *self.refused) if text(k).startswith(wanted)]
        if len(found) > 1:
            some = ", ".join(text(k)[:8] + "…" for k in found[:4])
            raise HftError(
                f"--pool {wanted!r} fits {len(found)} pools: {some}; give more of the key", ExitCode.CONFIG
            )
        if not found:
            where = ", ".join(self.files)
            raise HftError(
                f"--pool {wanted} is none of the {len(self.pools)} pools of {where} (`hft pools` lists them)",
                ExitCode.CONFIG,
            )
        if found[0] in self.refused:
            raise HftError(f"pool {text(found[0])} can't be read: {self.refused[found[0]]}", ExitCode.MARKET)
        return self.pools[found[0]]


def load(files: Sequence[Path] | None, at_time: int | None = None, at_slot: int | None = None) -> Loaded:
    """Read the files; the shipped market if there are none. MarketError and HftError (MARKET) as one line."""
    if not files:
        market = load_market()
        clock, source = _clock({}, [(market.slot, market.unix_timestamp)], at_time, at_slot)
        times = dict.fromkeys(market.pools, market.unix_timestamp)
        return Loaded(
            ("the shipped market",), market.accounts, market.pools, {}, clock, source, times, load_tokens()
        )
    accounts: dict[bytes, Account] = {}
    times = {}
    known = []
    for path in files:
        where, found = load_file(path)
        accounts.update(found)
        for pubkey in found:
            times.pop(pubkey, None)
        if where.unix_timestamp is not None:
            times.update(dict.fromkeys(found, where.unix_timestamp))
            known.append((where.slot, where.unix_timestamp))
    pools, refused = _decode(accounts)
    names = tuple(str(path) for path in files)
    if not pools:
        raise HftError(_no_pool(names, len(accounts), refused), ExitCode.MARKET)
    clock, source = _clock(accounts, known, at_time, at_slot)
    return Loaded(names, accounts, pools, refused, clock, source, times, load_tokens())


def _decode(accounts: Mapping[bytes, Account]) -> tuple[dict[bytes, Pool], dict[bytes, PoolError]]:
    pools, refused = {}, {}
    for pubkey, account in accounts.items():
        if venue_of(account) is None:
            continue
        try:
            pools[pubkey] = decode(pubkey, accounts, SETTINGS)
        except PoolError as error:
            refused[pubkey] = error
    return pools, refused


def _no_pool(names: Sequence[str], accounts: int, refused: Mapping[bytes, PoolError]) -> str:
    where = ", ".join(names)
    if not refused:
        return f"{where}: no pool of a known venue is among {accounts} accounts"
    pubkey, error = next(iter(refused.items()))
    more = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
    fetch = "; add what is missing with `solana account KEY --output json`"
    hint = fetch if error.code is PoolErrorCode.ACCOUNT_MISSING else ""
    return f"{where}: pool {text(pubkey)} can't be read: {error}{more}{hint}"


def _clock(
    accounts: Mapping[bytes, Account],
    known: Sequence[tuple[int | None, int]],
    at_time: int | None,
    at_slot: int | None,
) -> tuple[ChainClock, str]:
    """The options, else the clock's own account, else the newest file, else now; and where it is from."""
    slot: int | None
    sysvar = accounts.get(_CLOCK_SYSVAR)
    if at_time is not None:
        slot, seconds, source = None, at_time, "--time"
    elif sysvar is not None and len(sysvar.data) >= 40:
        slot = int.from_bytes(sysvar.data[:8], "little")
        seconds, source = int.from_bytes(sysvar.data[32:40], "little"), "the clock's account"
    elif known:
        seconds = max(moment for _, moment in known)
        slots = [s for s, _ in known if s is not None]
        slot, source = max(slots, default=None), "newest file"
    else:
        slot, seconds, source = None, int(time.time()), "now: no file says when"
    if at_slot is not None:
        slot = at_slot
    if slot is None:
        slot = max(0, int(_KNOWN_SLOT[0] + (seconds - _KNOWN_SLOT[1]) * _SLOTS_PER_S))
        source += ", slot estimated"
    return ChainClock(slot, seconds), source


def of_venue(loaded: Loaded, name: str) -> list[Pool]:
    """The pools, of one venue if it is named; HftError for a name of none."""
    if name and name.upper() not in {spec.venue.name for spec in VENUES}:
        known = ", ".join(spec.venue.name.lower() for spec in VENUES)
        raise HftError(f"--venue {name} is none of {known}", ExitCode.CONFIG)
    return [pool for pool in loaded.pools.values() if not name or pool.venue.name == name.upper()]


def mint_of(loaded: Loaded, wanted: str, allowed: Sequence[bytes], option: str) -> bytes:
    """A mint by its symbol (in any case) or its key; HftError naming what would be right."""
    for mint in allowed:
        if wanted.lower() == loaded.symbol(mint).lower() or wanted == text(mint):
            return mint
    names = " or ".join(loaded.symbol(mint) for mint in allowed if len(allowed) < 20 or mint in loaded.tokens)
    raise HftError(f"{option} {wanted} must be {names}, by symbol or mint", ExitCode.CONFIG)


def amount_of(loaded: Loaded, wanted: str, mint: bytes, option: str) -> int:
    """``1500000`` base units, or ``1.5SOL``: whole tokens with their symbol; HftError for anything else."""
    symbol = loaded.symbol(mint)
    # 1,000,000 is a million; 1,5 may be meant as one and a half, and is refused.
    plain = re.sub(r"(?<=\d),(?=\d{3}(?!\d))|_", "", wanted)
    if plain.isascii() and plain.isdecimal():
        return int(plain)
    parts = re.fullmatch(r"(\d+)(?:\.(\d+))?\s*([^\d\s.].*)", plain, re.ASCII)
    decimals = loaded.decimals(mint)
    if parts and parts[3].lower() == symbol.lower() and len(parts[2] or "") <= decimals:
        return int(parts[1] + (parts[2] or "").ljust(decimals, "0"))
    raise HftError(
        f"{option} {wanted} must be base units ({10**decimals:,} are 1 {symbol}) or whole tokens with at "
        f"most {decimals} decimals and the symbol, as 1.5{symbol}",
        ExitCode.CONFIG,
    )


def clock_line(loaded: Loaded) -> str:
    """The clock of the quotes in words."""
    clock = loaded.clock
    return f"slot {clock.slot:,}, {moment(clock.unix_timestamp)} ({loaded.clock_source})"


def moment(seconds: int) -> str:
    """Unix seconds as date and time; the number itself where the calendar ends."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return f"{seconds} s"


def text(pubkey: bytes) -> str:
    """A key in base58."""
    return str(Pubkey(pubkey))


def short(pubkey: bytes) -> str:
    """A key by its ends."""
    whole = text(pubkey)
    return f"{whole[:4]}…{whole[-4:]}"


def digits(value: float, significant: int = 6) -> str:
    """A price with so many significant digits: ``80.1234``, ``0.907712``, ``142,031``."""
    if value == 0 or not isfinite(value):
        return "–"
    size = len(str(int(abs(value)))) if abs(value) >= 1 else 0
    if size == 0 and abs(value) < 1e-6:
        return f"{value:.{significant - 1}e}"
    if size == 0:
        zeros = len(f"{abs(value):.12f}".split(".")[1]) - len(f"{abs(value):.12f}".split(".")[1].lstrip("0"))
        return f"{value:.{significant + zeros}f}"
    return f"{value:,.{max(significant - size, 0)}f}"
