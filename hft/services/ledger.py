"""The ledger: the append-only record of every execution and of every lamport, in SQLite or PostgreSQL.

Each execution is booked once, by plan id and by the signature of what landed, and once before that if its end
was unknown; each movement once, by (chain, signature, leg). A run of the paper cluster is a chain of its own,
on which the same seed makes the same signatures again. The lamports of one signature add up to its profit.
The message that tells of a booking is written in the same transaction, so that after a crash in between it
can still be told, once.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import bindparam, delete, insert, select

from hft.services.ledger_place import Place, engine_of, guarded, prepare
from hft.services.ledger_tables import ENTRIES, EXECUTIONS, I63, LANDED, OUTBOX
from hft.strategy.pnl import Accounts, Trade, landed
from hft.wire import ExecutionResult, base58, text
from hft.wire.enums import EndState, ExecutionReason

if TYPE_CHECKING:
    from hft.runtime.context import Run

MAINNET: Final = b"mainnet-beta".ljust(16, b"\0")

LEG_SWAPS, LEG_BASE_FEE, LEG_PRIORITY_FEE, LEG_TIP, LEG_RENT, LEG_QUOTE_DUST, LEG_OUTSIDE = range(7)
LEG_PART: Final = 16
"""A movement of more than 63 bits: its further rows have this added to the leg, once a row."""

# Made once: SQLAlchemy's expressions refer to themselves, and those of each batch would be garbage that only
# the collector finds.
_BY_PLAN: Final = select(EXECUTIONS.c.plan_id, EXECUTIONS.c.ended).where(
    EXECUTIONS.c.plan_id.in_(bindparam("plans", expanding=True))
)
_BY_SIGNATURE: Final = select(EXECUTIONS.c.chain, EXECUTIONS.c.signature).where(
    EXECUTIONS.c.chain.in_(bindparam("chains", expanding=True)),
    EXECUTIONS.c.signature.in_(bindparam("signatures", expanding=True)),
    LANDED,
)
_TOLD: Final = delete(OUTBOX).where(
    (OUTBOX.c.run_id != bindparam("own_run")) | (OUTBOX.c.sequence < bindparam("told"))
)
_INSERTS: Final = tuple(insert(table) for table in (EXECUTIONS, ENTRIES, OUTBOX))


class Entry(NamedTuple):
    """One movement: what came (+) or went (-), in lamports or, for dust, in units of ``mint``."""

    leg: int
    kind: str
    mint: bytes
    amount: int


class Booking(NamedTuple):
    """One result to be booked, what came from outside before it, when it was received, in which run, and the
    message that tells of it (empty: none) with its sequence.
    """

    result: ExecutionResult
    outside_lamports: int
    unix_ns: int
    run_id: bytes
    sequence: int = 0
    message: bytes = b""


def entries(result: ExecutionResult, outside_lamports: int = 0) -> list[Entry]:
    """The movements of one landed execution; none for one that did not land.

    Swaps + fees + tip + rent = profit. Wrapping SOL moves nothing: SOL and wSOL count as one. The quote
    token's change (dust) and lamports that came or went without a trade of ours (deposit, withdrawal) stand
    beside it and are no part of the profit. A Token-2022 fee is inside the swaps, whose amounts are what
    arrived.
    """
    if not landed(EndState(result.end_state)):
        return []
    spent = (
        result.base_fee_lamports + result.priority_fee_lamports + result.tip_lamports + result.rent_lamports
    )
    dust = result.quote_token_after - result.quote_token_before
    outside = "deposit" if outside_lamports > 0 else "withdrawal"
    moves = (
        (LEG_SWAPS, "swaps", result.base_mint, result.actual_profit_lamports + spent),
        (LEG_BASE_FEE, "base_fee", result.base_mint, -result.base_fee_lamports),
        (LEG_PRIORITY_FEE, "priority_fee", result.base_mint, -result.priority_fee_lamports),
        (LEG_TIP, "tip", result.base_mint, -result.tip_lamports),
        (LEG_RENT, "rent", result.base_mint, -result.rent_lamports),
        (LEG_QUOTE_DUST, "quote_dust", result.quote_mint, dust),
        (LEG_OUTSIDE, outside, result.base_mint, outside_lamports),
    )
    return [
        Entry(leg + LEG_PART * part, kind, mint, amount)
        for leg, kind, mint, total in moves
        for part, amount in enumerate(_parts(total))
    ]


def _parts(amount: int) -> Iterable[int]:
    """Summands of ``amount`` that fit a row; none for zero."""
    while amount:
        part = max(-I63, min(amount, I63))
        yield part
        amount -= part


def trade_of(result: ExecutionResult) -> Trade:
    """The part of a result that the running totals need."""
    return Trade(
        EndState(result.end_state),
        result.slot,
        result.expected_profit_lamports,
        result.actual_profit_lamports,
        result.base_fee_lamports,
        result.priority_fee_lamports,
        result.tip_lamports,
        result.lamports_before + result.base_token_before,
        result.lamports_after + result.base_token_after,
    )


def bookable(result: ExecutionResult) -> bool:
    """Do its lamports fit the ledger? More than 2^63 - 1 of them there are not: such a result is corrupt."""
    row = _row(result)
    return all(-I63 <= value <= I63 for value in row.values() if isinstance(value, int))


class Ledger:
    """One open ledger, for its one writer. Every method: ``LedgerError`` when the database refuses."""

    def __init__(self, place: Place, run: "Run") -> None:
        """Nothing is opened before ``open``."""
        self._place = place
        self._mode = run.config.hft.mode
        self._run_id = run.run_id
        self._engine = engine_of(place)

    def open(self) -> Accounts:
        """Makes the tables if there are none; the accounts of this run, rebuilt from its rows in order."""
        accounts = Accounts()
        columns = (
            "strategy",
            "end_state",
            "slot",
            "expected_profit_lamports",
            "actual_profit_lamports",
            "base_fee_lamports",
            "priority_fee_lamports",
            "tip_lamports",
            "wallet_before_lamports",
            "wallet_after_lamports",
        )
        rows = select(*(EXECUTIONS.c[name] for name in columns)).order_by(EXECUTIONS.c.number)
        with guarded(self._place), self._engine.begin() as connection:
            prepare(connection, self._place)
            for row in connection.execute(rows.where(EXECUTIONS.c.run_id == self._run_id)):
                accounts = accounts.book(row[0], Trade(EndState[row[1].upper()], *row[2:]))
        return accounts

    def untold(self, sequence: int) -> list[bytes]:
        """Messages of this run that were booked and not published, in order; ``sequence``: the link's next
        one.
        """
        rows = select(OUTBOX.c.message).where(OUTBOX.c.run_id == self._run_id, OUTBOX.c.sequence >= sequence)
        with guarded(self._place), self._engine.begin() as connection:
            return [bytes(row[0]) for row in connection.execute(rows.order_by(OUTBOX.c.number))]

    def new(self, results: Sequence[tuple[bytes, ExecutionResult]]) -> list[bool]:
        """Which of these (run id, result) are not booked yet: of each plan and each landed signature the
        first. An unknown end comes before a known one, never after it.
        """
        plans = {"plans": _padded({result.plan_id for _, result in results})}
        landings = {(self._chain(run_id), result.signature) for run_id, result in results if _landed(result)}
        signatures = {
            "chains": _padded({chain for chain, _ in landings}),
            "signatures": _padded({signature for _, signature in landings}),
        }
        with guarded(self._place), self._engine.begin() as connection:
            seen = {(bytes(row[0]), row[1]) for row in connection.execute(_BY_PLAN, plans)}
            if landings:
                rows = connection.execute(_BY_SIGNATURE, signatures)
                seen |= {(bytes(row[0]) + bytes(row[1]), 1) for row in rows}
        found = []
        for run_id, result in results:
            ended = _ended(result)
            keys = {(result.plan_id, ended)}
            if _landed(result):
                keys.add((self._chain(run_id) + result.signature, 1))
            late = not ended and (result.plan_id, 1) in seen
            found.append(not late and not keys & seen)
            seen |= keys
        return found

    def book(self, bookings: Sequence[Booking], told: int) -> None:
        """All of them in one transaction, or none. Messages of a sequence below ``told`` leave the outbox."""
        executions, movements, messages = [], [], []
        for booking in bookings:
            result = booking.result
            common = {
                "chain": self._chain(booking.run_id),
                "recorded_unix_ns": booking.unix_ns,
                "ended": _ended(result),
            }
            executions.append(common | {"run_id": booking.run_id, "mode": self._mode} | _row(result))
            owner = common | {"signature": result.signature, "plan_id": result.plan_id}
            for entry in entries(result, booking.outside_lamports):
                movements.append(owner | entry._asdict() | {"mint": base58(entry.mint)})
            if booking.message:
                row = {"run_id": booking.run_id, "sequence": booking.sequence, "plan_id": result.plan_id}
                messages.append(row | {"ended": _ended(result), "message": booking.message})
        with guarded(self._place), self._engine.begin() as connection:
            connection.execute(_TOLD, {"own_run": self._run_id, "told": told})
            for statement, rows in zip(_INSERTS, (executions, movements, messages), strict=True):
                if rows:
                    connection.execute(statement, rows)

    def _chain(self, run_id: bytes) -> bytes:
        """Where a signature means one transaction: each paper or replayed run is a chain of its own."""
        return MAINNET if self._mode == "live" else run_id

    def close(self) -> None:
        self._engine.dispose()


def _padded(values: set[bytes]) -> list[bytes]:
    """As many as a power of two, one of them repeated: a few statements serve batches of any size, and each
    stays prepared."""
    found = list(values)
    return found + found[:1] * ((1 << max(len(found) - 1, 0).bit_length()) - len(found))


def _ended(result: ExecutionResult) -> int:
    return int(result.end_state != EndState.UNKNOWN)


def _landed(result: ExecutionResult) -> bool:
    return landed(EndState(result.end_state))


def _row(result: ExecutionResult) -> dict[str, Any]:
    """The columns of ``executions`` that the result itself gives."""
    kept = (
        *("plan_id", "trace_id", "signature", "sequence", "strategy", "slot", "error_code", "error_index"),
        *("venue_1", "venue_2", "amount_in", "expected_profit_lamports", "actual_profit_lamports"),
        *("base_fee_lamports", "priority_fee_lamports", "tip_lamports", "rent_lamports", "compute_units"),
    )
    return {
        **{name: getattr(result, name) for name in kept},
        **{name: base58(getattr(result, name)) for name in ("pool_1", "pool_2", "base_mint", "quote_mint")},
        "end_state": EndState(result.end_state).name.lower(),
        "reason": ExecutionReason(result.reason).name.lower(),
        "detail": text(result.detail),
        "wallet_before_lamports": result.lamports_before + result.base_token_before,
        "wallet_after_lamports": result.lamports_after + result.base_token_after,
    }
