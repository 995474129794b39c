"""After an hour of market time the ledger holds the wallet's change on the cluster, to the lamport."""

import pytest

from tests.e2e.pipeline import Pipeline, assert_whole

pytestmark = pytest.mark.alone

SLOT_MS, HURRIED_SLOT_MS = 400, 10
SWAPS_PER_SECOND = 50
HOUR_SLOTS = 3_600_000 // SLOT_MS
MINUTE_SLOTS = 60_000 // SLOT_MS
MINUTE_LIMIT_S, HOUR_LIMIT_S = 300.0, 1_800.0

HURRIED = (
    # As many swaps in a slot as at a slot's true length; market time stands still where that is too much.
    *("--set", f"simnet.slot_ms={HURRIED_SLOT_MS}"),
    *("--set", f"simnet.swaps_per_second={SWAPS_PER_SECOND * SLOT_MS // HURRIED_SLOT_MS}"),
    # Limits in slots and shares are for slots of a true length and for a machine that keeps up.
    *("--set", "service:planner.slot_age_limit=1000", "--set", "service:manager.slot_drift_limit=1000"),
    *("--set", "service:manager.error_rate_ppm=1000000", "--set", "service:manager.rpc_failure_ppm=1000000"),
    *("--set", "service:manager.heartbeat_limit_ms=60000"),
)


def trade(pipeline: Pipeline, slots: int, deadline_s: float) -> None:
    """Paper trading for so many slots; then the books."""
    pipeline.start(*HURRIED)
    pipeline.until(
        f"{slots} slots and a trade",
        lambda: pipeline.counter("simnet", "slots") >= slots and pipeline.trades() >= 1,
        deadline_s,
    )
    code, out, _ = pipeline.stop()
    assert code == 0, out
    report = pipeline.report()
    ledger, wallet = report["ledger_pnl_lamports"], report["wallet_delta_lamports"]
    trades = sum(report["executions"].values())
    print(f"{slots} slots, {trades} executions: ledger {ledger:+} lamports, wallet {wallet:+} lamports")
    assert ledger == wallet
    assert trades > 0
    assert report["kill_state"] == "running"
    assert_whole(report)


def test_after_a_minute_of_paper_trading_the_ledger_is_the_wallet(pipeline: Pipeline) -> None:
    trade(pipeline, MINUTE_SLOTS, MINUTE_LIMIT_S)


@pytest.mark.slow
def test_after_an_hour_of_paper_trading_the_ledger_is_the_wallet(pipeline: Pipeline) -> None:
    trade(pipeline, HOUR_SLOTS, HOUR_LIMIT_S)
