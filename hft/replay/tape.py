"""A recorded day of Whirlpool swaps as a capture: each line priced to the unit, its account changes told.

A tape is JSON, one object a line, in chain order, plain or gzipped; ``kind`` is swap, liquidity, collect_fees
or initialize_pool. It begins at an account file. The chain's clock is told with every line, and in between
every ``CLOCK_S`` seconds, as a quiet chain tells it too.
"""

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from solders.pubkey import Pubkey

from hft.chain.subscribe import AccountChanged, SlotSeen, SourceLive
from hft.chain.subscribe_merge import Version
from hft.chain.svm import SLOTS_PER_EPOCH
from hft.chain.sysvars import CLOCK_KEY, clock_account
from hft.replay.source import Batch
from hft.runtime.capture import CaptureError
from hft.runtime.capture_format import Happening, Header, Surveyed
from hft.services.pools import needs_of
from hft.simnet.market import load_file
from hft.venues import (
    ABSENT,
    WRAPPED_SOL,
    Account,
    ChainClock,
    Pool,
    PoolError,
    QuoteError,
    Venue,
    decode,
    decode_changed,
    quote,
    store,
    venue_of,
)
from hft.venues.encoders import figures
from hft.venues.lst import check_tokens
from hft.venues.spl import TOKEN_ACCOUNT_SIZE, rent_exempt
from hft.venues.tokens import load_tokens
from hft.venues.whirlpool_liquidity import moved_liquidity

SOURCE: Final = "tape"
CLOCK_S: Final = 3
"""Well below the age at which data counts as stale."""
START_NS: Final = 1_000_000_000
SECOND_NS: Final = 1_000_000_000
TOKEN_ACCOUNT_RENT: Final = rent_exempt(TOKEN_ACCOUNT_SIZE)
FIGURES: Final = {
    "swap": ("a_to_b", "amount_in", "amount_out", "vault_a_pre", "vault_b_pre", "tick_post"),
    "liquidity": ("liquidity_delta", "tick_lower", "tick_upper", "amount_a", "amount_b", "vault_a_pre"),
    "collect_fees": ("amount_a", "amount_b", "vault_a_pre", "vault_b_pre"),
}
"""Integers that a line of a kind must have, among others."""
COMPARED: Final = (
    "sqrt_price",
    "tick",
    "liquidity",
    "protocol_fee_owed_a",
    "protocol_fee_owed_b",
    "tick_arrays",
)


class Complete(dict[bytes, Account]):
    """Accounts of a file that holds all there was: an unknown key is an account that doesn't exist."""

    def get(self, pubkey: bytes, default: Any = None) -> Any:
        return super().get(pubkey, ABSENT)

    def __missing__(self, pubkey: bytes) -> Account:
        return ABSENT

    def __contains__(self, pubkey: object) -> bool:
        return True


class Line(NamedTuple):
    """One line of the tape; ``number`` from 1."""

    number: int
    slot: int
    unix_time: int
    pool: bytes
    kind: str
    fields: Mapping[str, Any]


class Tally:
    """What the day came to so far."""

    def __init__(self) -> None:
        self.swaps = self.liquidity_changes = self.fee_collections = self.new_pools = 0


class Tape:
    """See the module. ``batches`` prices the day once, line by line; ``CaptureError`` names the first line
    whose outcome is not what the chain paid."""

    def __init__(self, file: Path, accounts: Path) -> None:
        """``accounts``: all there was before the first line, with slot and time."""
        self.file = file
        source, held = load_file(accounts)
        if source.slot is None or source.unix_timestamp is None:
            raise CaptureError(f"{accounts}: its meta has no slot and unix_timestamp to begin at")
        self.accounts: dict[bytes, Account] = Complete(held)
        self.tally = Tally()
        pools = (key for key, account in held.items() if venue_of(account) is Venue.WHIRLPOOL)
        self._keys = dict.fromkeys(pools)
        self._pools: dict[bytes, Pool] = {}
        self._clock = ChainClock(source.slot, source.unix_timestamp)
        digest = hashlib.sha256(file.name.encode() + accounts.name.encode()).digest()
        start_unix_ns = source.unix_timestamp * SECOND_NS
        self.header = Header(digest[:16], START_NS, start_unix_ns, source.slot, source.unix_timestamp)
        self.end_ns = START_NS
        self._told: set[bytes] = set()

    def batches(self, limit: int | None = None) -> Iterator[Batch]:
        """The day, or its first ``limit`` lines."""
        yield Batch(START_NS, self._beginning())
        for line in self._lines(limit):
            yield from self._quiet(line)
            changed = self._carried_out(line)
            self._tell_time(line)
            yield Batch(self.end_ns, self._events(line.slot, changed, clock=True))

    def differences(self, end: Path) -> list[str]:
        """What differs from the account file of the day's end: pool and figure; empty if all is equal."""
        theirs = Complete(load_file(end)[1])
        found = []
        for key in self._keys:
            ours, them = figures(key, self.accounts), figures(key, theirs)
            found += [f"{Pubkey(key)}: {name}" for name in COMPARED if ours[name] != them[name]]
        return found

    def _beginning(self) -> list[Happening]:
        """The survey and every account there is, as a snapshot tells them."""
        good, _ = check_tokens(load_tokens(), dict(self.accounts), missing_is_wrong=False)
        pools = {key: needs_of(key, self.accounts[key], self._pool(key)) for key in self._keys}
        slot = self._clock.slot
        events = self._events(slot, dict(self.accounts), clock=True)
        return [Surveyed(pools, tuple(good), 0), *events, SourceLive(SOURCE, slot, True)]

    def _quiet(self, line: Line) -> Iterator[Batch]:
        """Nothing but the chain's clock, up to the line."""
        began, slots = self._clock, line.slot - self._clock.slot
        seconds = line.unix_time - began.unix_timestamp
        for past in range(CLOCK_S, min(seconds, CLOCK_S * slots), CLOCK_S):
            slot = began.slot + slots * past // seconds
            self._clock = ChainClock(slot, began.unix_timestamp + past)
            self.end_ns = max(self.end_ns + 1_000, self._ns_of(self._clock.unix_timestamp))
            yield Batch(self.end_ns, self._events(slot, {}, clock=True))

    def _ns_of(self, unix_time: int) -> int:
        return START_NS + unix_time * SECOND_NS - self.header.start_unix_ns

    def _tell_time(self, line: Line) -> None:
        """Lines of one second follow one another by a microsecond."""
        self._clock = ChainClock(line.slot, max(line.unix_time, self._clock.unix_timestamp))
        self.end_ns = max(self.end_ns + 1_000, self._ns_of(line.unix_time))

    def _events(self, slot: int, changed: Mapping[bytes, Account], *, clock: bool) -> list[Happening]:
        """Account versions of one moment; those that a pool came to need, and nobody has, are told absent."""
        told = dict(changed)
        for key in changed:
            if venue_of(self.accounts[key]) is Venue.WHIRLPOOL:
                for need in needs_of(key, self.accounts[key], self._pools.get(key)):
                    if need not in self._told and need not in told:
                        told[need] = ABSENT
        if clock:
            told[CLOCK_KEY] = clock_account(slot, 0, slot // SLOTS_PER_EPOCH, self._clock.unix_timestamp)
        self._told.update(told)
        events: list[Happening] = [
            AccountChanged(Version(key, slot, 0, None if account == ABSENT else account, SOURCE, self.end_ns))
            for key, account in told.items()
        ]
        return [*events, SlotSeen(slot, slot - 1, max(slot - 32, 0), self.end_ns)]

    def _pool(self, key: bytes) -> Pool | None:
        if key not in self._pools:
            try:
                self._pools[key] = decode(key, self.accounts)
            except PoolError:
                return None
        return self._pools[key]

    def _carried_out(self, line: Line) -> dict[bytes, Account]:
        """The accounts that a line changes, as it leaves them."""
        try:
            if line.kind == "swap":
                self.tally.swaps += 1
                return self._swap(line)
            if line.kind == "liquidity":
                self.tally.liquidity_changes += 1
                return self._liquidity(line)
            if line.kind == "collect_fees":
                self.tally.fee_collections += 1
                return self._paid(line, line.fields["amount_a"], line.fields["amount_b"])
            if line.kind == "initialize_pool":
                self.tally.new_pools += 1
                return self._new_pool(line)
        except KeyError as error:
            raise self._error(line, f"has no {error}") from error
        except (QuoteError, PoolError) as error:
            raise self._error(line, str(error)) from error
        raise self._error(line, f"is of kind {line.kind!r}, which nobody knows")

    def _swap(self, line: Line) -> dict[bytes, Account]:
        fields, pool = line.fields, self._pool(line.pool)
        if pool is None:
            raise self._error(line, f"swaps on {Pubkey(line.pool)}, which is no sound pool")
        a_to_b, amount_in, amount_out = fields["a_to_b"], fields["amount_in"], fields["amount_out"]
        mint = pool.mint_a if a_to_b else pool.mint_b
        priced = quote(pool, mint, amount_in, ChainClock(line.slot, line.unix_time))
        if (priced.amount_in_used, priced.amount_out) != (amount_in, amount_out):
            raise self._error(
                line,
                f"paid {amount_out} for {amount_in}; here {priced.amount_out} for {priced.amount_in_used}",
            )
        paid = (amount_in, -amount_out) if a_to_b else (-amount_out, amount_in)
        changed = self._paid(line, *paid)
        for key, data in store(priced.pool_after, self.accounts).items():
            changed[key] = self.accounts[key]._replace(data=data)
        self._take(line.pool, changed)
        after = figures(line.pool, self.accounts)
        for name in ("sqrt_price", "tick", "liquidity"):
            if after[name] != fields[f"{name}_post"]:
                raise self._error(line, f"left {name} {fields[f'{name}_post']}; here {after[name]}")
        return changed

    def _liquidity(self, line: Line) -> dict[bytes, Account]:
        fields = line.fields
        changed = self._paid(line, fields["amount_a"], fields["amount_b"])
        moved = moved_liquidity(
            line.pool, self.accounts, fields["tick_lower"], fields["tick_upper"], fields["liquidity_delta"]
        )
        for key, data in moved.items():
            changed[key] = self.accounts[key]._replace(data=data)
        self._take(line.pool, changed)
        left = figures(line.pool, self.accounts)["liquidity"]
        if line.pool in moved and left != fields["liquidity_post"]:
            raise self._error(line, f"left liquidity {fields['liquidity_post']}; here {left}")
        return changed

    def _new_pool(self, line: Line) -> dict[bytes, Account]:
        held = figures(line.pool, self.accounts)
        for name in ("sqrt_price", "tick_spacing"):
            if held[name] != line.fields[name]:
                raise self._error(line, f"makes a pool of {name} {line.fields[name]}; here {held[name]}")
        return {}

    def _paid(self, line: Line, amount_a: int, amount_b: int) -> dict[bytes, Account]:
        """Both vaults after amounts came (+) or went (-), from what was recorded right before."""
        data = self.accounts[line.pool].data
        changed = {}
        for vault, before, amount in (
            (data[133:165], line.fields["vault_a_pre"], amount_a),
            (data[213:245], line.fields["vault_b_pre"], amount_b),
        ):
            changed[vault] = _holding(self.accounts[vault], before + amount)
        self._take(line.pool, changed)
        return changed

    def _take(self, key: bytes, changed: Mapping[bytes, Account]) -> None:
        self.accounts.update(changed)
        pool = self._pools.pop(key, None)
        if pool is None:
            return
        try:
            self._pools[key] = decode_changed(pool, self.accounts, changed)
        except PoolError:
            return  # without liquidity it is no sound pool, until somebody brings some

    def _lines(self, limit: int | None) -> Iterator[Line]:
        opened = gzip.open if self.file.suffix == ".gz" else open
        try:
            with opened(self.file, "rt", encoding="utf-8") as lines:
                for number, text in enumerate(lines, 1):
                    if limit is not None and number > limit:
                        return
                    yield self._line(number, text)
        except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
            raise CaptureError(f"{self.file}: can't be read as a tape: {error}") from error

    def _line(self, number: int, text: str) -> Line:
        try:
            fields = json.loads(text)
            pool = bytes(Pubkey.from_string(fields["pool"]))
            line = Line(number, fields["slot"], fields["unix_time"], pool, fields["kind"], fields)
            for name in ("slot", "unix_time", *FIGURES.get(line.kind, ())):
                if not isinstance(fields[name], int):
                    raise ValueError(f"{name} is {fields[name]!r:.40}, not an integer")
        except (ValueError, KeyError, TypeError) as error:
            raise CaptureError(f"{self.file}: line {number} is none of a tape: {error!r}") from error
        if line.slot < self._clock.slot or pool not in self._keys:
            raise self._error(line, "goes back in time, or names a pool that the account file has not")
        return line

    def _error(self, line: Line, what: str) -> CaptureError:
        return CaptureError(f"{self.file}: line {line.number} {what}")


def _holding(account: Account, amount: int) -> Account:
    """A token account with that amount; one of wrapped SOL has its lamports besides the rent."""
    data = account.data[:64] + amount.to_bytes(8, "little") + account.data[72:]
    native = account.data[:32] == WRAPPED_SOL
    return account._replace(data=data, lamports=amount + TOKEN_ACCOUNT_RENT if native else account.lamports)
