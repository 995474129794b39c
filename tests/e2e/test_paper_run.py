"""The main job with real processes: trades executed, money to the lamport, streams filled, counters even."""

from pathlib import Path

import psutil
import pytest

from tests.e2e.pipeline import BUSY, Pipeline, assert_whole

pytestmark = pytest.mark.alone

SECRET = "AWS_SECRET_ACCESS_KEY"
STAGES = ("tick_to_signed", "handoff_feed_scanner", "handoff_scanner_planner", "handoff_planner_executor")


def check_run(pipeline: Pipeline, *arguments: str) -> None:
    """Until it has traded well three times, or for as long as it is told to."""
    pipeline.start(*arguments)
    pipeline.until("three good trades", lambda: pipeline.counter("executor", "end_landed_ok") >= 3)
    run_id = pipeline.run().run_id
    check_environments(pipeline)
    code, out, err = pipeline.settle() if "--duration" in arguments else pipeline.stop()
    assert (code, err) == (0, ""), out
    report = pipeline.report()
    assert_whole(report)
    assert report["executions"]["landed_ok"] > 0
    assert report["ledger_pnl_lamports"] == pipeline.ledger_lamports(run_id)
    assert all(messages > 0 for messages in report["streams"].values()), report["streams"]
    for stage in STAGES:
        assert 0 < report["latency_ns"][stage]["p50"] <= report["latency_ns"][stage]["max"], stage
    assert (report["restarts"], report["kill_state"]) == (0, "running")
    lossy = {name for name, entry in report["links"].items() if entry["dropped"]}
    assert all(name.startswith("system>") for name in lossy), report["links"]
    assert "counters balance: in = out + rejected + dropped" in out
    assert "✓ equal" in out
    assert pipeline.segments() == []
    assert not (pipeline.folder / "run.json").exists()


def check_environments(pipeline: Pipeline) -> None:
    """No process that the run started, nats-server included, was handed the variable ``SECRET``."""
    assert pipeline.process is not None
    children = psutil.Process(pipeline.process.pid).children(recursive=True)
    assert {child.pid for child in children} >= set(pipeline.run().pids.values())
    assert "nats-server" in {child.name() for child in children}
    assert not [child.name() for child in children if SECRET in child.environ()]


def test_a_short_paper_run_on_the_shipped_market(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SECRET, "a secret")
    check_run(pipeline, *BUSY)


@pytest.mark.slow
def test_two_strategies_side_by_side(pipeline: Pipeline, tmp_path: Path) -> None:
    overlay = tmp_path / "two.ini"
    overlay.write_text(
        "[strategies]\nenabled = bold, two_hop\n[strategy:bold]\nnumber = 16\n"
        "minimum_gross_profit_lamports = 300000\n"
    )
    pipeline.start(*BUSY, "--overlay", str(overlay))

    def traded(name: str) -> bool:
        return pipeline.counter("auditor", f"strategy.{name}.trades") > 0

    pipeline.until("a trade of both", lambda: traded("bold") and traded("two_hop"))
    code, out, err = pipeline.stop()
    assert (code, err) == (0, ""), out
    report = pipeline.report()
    assert_whole(report)
    each = report["strategies"]
    assert list(each) == ["bold", "two_hop"]
    assert sum(own["pnl_lamports"] for own in each.values()) == report["ledger_pnl_lamports"]
    assert sum(own["plans"] for own in each.values()) == report["plans"]
    assert "counters balance: in = out + rejected + dropped" in out


def market(shared_data: Path, *sets: str) -> list[str]:
    return [str(shared_data / "accounts" / name) for name in sets]


def test_a_short_run_on_real_account_files(pipeline: Pipeline, shared_data: Path) -> None:
    files = market(shared_data, "whirlpool/lst-2023-03.json.gz", "raydium_v4/sol-lst-rehomed.json.gz")
    check_run(pipeline, *BUSY, "--market", *files)


@pytest.mark.slow
def test_a_minute_on_the_shipped_market(pipeline: Pipeline) -> None:
    check_run(pipeline, "--duration", "60")


@pytest.mark.slow
def test_a_minute_on_other_real_account_files(pipeline: Pipeline, shared_data: Path) -> None:
    files = market(shared_data, "whirlpool/sol-usdc-2026-07.json.gz", "raydium_v4/sol-usdc-2026-07.json.gz")
    check_run(pipeline, "--duration", "60", "--market", *files)
