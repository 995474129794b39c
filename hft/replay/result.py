"""What a replay came to, as plain values: for the report and its JSON. Pure."""

from typing import Any, NamedTuple

from hft.replay.engine import Outcome
from hft.runtime import report

ALONE = ("sidecar", "event_logger", "simnet")
"""Services that a replay leaves out."""


class Checked(NamedTuple):
    """A tape's own sums. ``differences`` to the day's recorded end; None where none was told."""

    swaps: int
    liquidity_changes: int
    fee_collections: int
    new_pools: int
    differences: tuple[str, ...] | None


def unbalanced(outcome: Outcome) -> tuple[report.Balance, ...]:
    """Equations of the services that ran which do not hold."""
    reading = outcome.reading
    ran = {name: page for name, page in reading.services.items() if name not in ALONE}
    found = report.balances(reading._replace(services=ran))
    return tuple(balance for balance in found if not balance.holds)


def updates_per_second(outcome: Outcome) -> float:
    """Account versions replayed in a second of real time."""
    return outcome.accounts * 1e9 / max(outcome.took_ns, 1)


def as_json(outcome: Outcome, source: str, torn_bytes: int, tape: Checked | None) -> dict[str, Any]:
    """The report as plain values, under the keys the README documents."""
    totals = report.totals(outcome.reading)
    found: dict[str, Any] = {
        "source": source,
        "run_id": outcome.run.run_id.hex(),
        "torn_bytes": torn_bytes,
        "captured_s": round(outcome.captured_ns / 1e9, 3),
        "took_s": round(outcome.took_ns / 1e9, 3),
        "cpu_s": round(outcome.cpu_ns / 1e9, 3),
        "account_versions": outcome.accounts,
        "account_versions_per_s": round(updates_per_second(outcome), 1),
        "updates": totals.updates,
        "opportunities": totals.opportunities,
        "plans": totals.plans,
        "rejections": dict(totals.rejections),
        "executions": dict(totals.executions),
        "ledger_pnl_lamports": totals.pnl_lamports,
        "wallet_delta_lamports": outcome.wallet_delta_lamports,
        "fees_lamports": totals.fees_lamports,
        "tips_lamports": totals.tips_lamports,
        "latency_ns": {
            name: {"samples": one.samples, "p50": one.p50, "p99": one.p99, "p999": one.p999, "max": one.max}
            for name, one in outcome.stages.items()
        },
        "unbalanced": [balance.name for balance in unbalanced(outcome)],
        "kill_state": "killed" if outcome.reading.kill.killed else "running",
    }
    if tape is not None:
        found["tape"] = {**tape._asdict(), "differences": _listed(tape)}
    return found


def _listed(tape: Checked) -> list[str] | None:
    return None if tape.differences is None else list(tape.differences)
