"""Numbers as text, and the view on terminals of every size."""

import io
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from hft.cli import report_view, stages, text, views
from hft.cli.live import Facts, Live
from hft.cli.monitor import news
from hft.runtime import killstate, report, topology
from hft.runtime.context import Run
from hft.runtime.killstate import Request
from hft.runtime.monitor import KillReading, Latency, LinkReading, ReaderReading, Reading, ServiceReading
from hft.runtime.service import ServiceState
from hft.runtime.settings import Config
from hft.wire.enums import KillTrigger


@pytest.mark.parametrize(
    ("ns", "shown"),
    [
        (0, "0 ns"),
        (999, "999 ns"),
        (1_000, "1.00 µs"),
        (12_345, "12.3 µs"),
        (123_456, "123 µs"),
        (1_500_000, "1.50 ms"),
        (2_000_000_000, "2.00 s"),
    ],
)
def test_durations(ns: int, shown: str) -> None:
    assert text.duration(ns) == shown


@pytest.mark.parametrize(
    ("lamports", "shown"),
    [
        (0, "0.000000000"),
        (1, "+0.000000001"),
        (-5000, "−0.000005000"),
        (1_234_500_000_000, "+1,234.500000000"),
    ],
)
def test_money_is_exact(lamports: int, shown: str) -> None:
    assert text.sol(lamports) == shown


def test_small_pictures() -> None:
    assert text.sparkline([0, 1, 2, 3], 3) == "▁▄█"
    assert text.sparkline([5, 5], 10) == "▁▁"
    assert text.sparkline([], 10) == ""
    assert text.bar(0.5, 4) == "██"
    assert text.bar(2.0, 4) == "████"
    assert [text.clock(seconds) for seconds in (5, 65, 3725)] == ["00:05", "01:05", "1:02:05"]
    assert [text.rate(value) for value in (0, 0.31, 1234.5)] == ["0", "0.3", "1,234"]
    assert [text.size(value) for value in (5_000, 12_000_000, 2_500_000_000)] == ["5 kB", "12 MB", "2.5 GB"]


def reading(number: int, *, killed: bool = False) -> Reading:
    def page(**counters: int) -> ServiceReading:
        state = ServiceState.HALTED if killed else ServiceState.RUNNING
        return ServiceReading(state, 42, 3_000_000, {**counters, "runner_memory_bytes": 80_000_000})

    services = {spec.name: page() for spec in topology.SERVICES}
    services |= {
        "feed": page(out_market_data=number * 50),
        "scanner": page(out_opportunities=number * 3, in_market_data=number * 50),
        "planner": page(plans=number * 2, rejected_below_minimum_profit=number, in_opportunities=number * 3),
        "executor": page(end_landed_ok=number, end_landed_failed=number // 9),
        "auditor": page(
            pnl_lamports=number * 1_000_000, expected_pnl_lamports=number * 1_100_000, wins=number, losses=1
        ),
    }
    links = {
        link.name: LinkReading(
            number, {name: ReaderReading(name in link.gating, number, 0, 0) for name in link.readers}
        )
        for link in topology.LINKS
    }
    figure = Latency(number, 40_000, 150_000, 300_000, 2_000_000)
    latency = dict.fromkeys(
        ("tick_to_signed", "handoff_feed_scanner", "stage_planner", "something_else"), figure
    )
    return Reading(
        1_000_000_000 + number * 250_000_000,
        services,
        links,
        latency,
        KillReading(killed, "manual", "me", "testing"),
    )


def live(*, killed: bool = False) -> Live:
    view = Live()
    view.facts = Facts("1a2b3c4d", "paper", "shipped market", {}, 60.0, "")
    for number in range(40):
        view.add(reading(number, killed=killed))
    view.events.append("all services run")
    return view


def drawn(what: RenderableType, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    console.print(what)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [60, 80, 100, 130, 200])
@pytest.mark.parametrize("height", [15, 24, 40, 80])
def test_the_view_fits_the_terminal_and_keeps_what_matters(width: int, height: int) -> None:
    shown = drawn(live().render(width, height), width).rstrip("\n").split("\n")
    assert all(len(line) <= width for line in shown)
    assert len(shown) <= height
    joined = "\n".join(shown)
    assert "1,950" in joined
    assert "+0.039000000" in joined
    assert "running" in joined
    if height >= 24:
        assert "scanner" in joined


def test_a_halt_stands_out() -> None:
    assert "HALTED manual: testing" in drawn(live(killed=True).render(130, 60), 130)
    assert "HALTED" in live(killed=True).line()


REQUEST = Request("alice: al@host", "it was a false alarm", 1_800_000_000_000_000_000)


@pytest.mark.parametrize(("width", "height"), [(80, 24), (130, 60)])
def test_a_resume_that_is_asked_for_stays_in_sight(width: int, height: int) -> None:
    view = live(killed=True)
    view.asked = REQUEST
    for number in range(9):
        view.events.append(f"news {number}")
    shown = drawn(view.render(width, height), width).rstrip("\n").split("\n")
    assert len(shown) <= height
    assert all(len(line) <= width for line in shown)
    assert "resume asked for by alice: al@host at 2027-01-15" in "\n".join(shown)
    assert "HALTED, resume asked for" in view.line()


def test_plain_lines_tell_of_a_request_once(tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=200)
    view = views.View(console)
    killstate.trip(tmp_path, KillTrigger.MANUAL, "me", "testing", 1)
    run = Run(bytes(16), tmp_path, "hftvw", Config(), {}, {})
    view.tick(run, {}, reading(1, killed=True))
    killstate.request_resume(tmp_path, *REQUEST)
    for number in (2, 3):
        view.tick(run, {}, reading(number, killed=True))
    killstate.resume(tmp_path, "me", "approved", 2)
    view.tick(run, {}, reading(4))
    assert isinstance(console.file, io.StringIO)
    first, told, *rest, last = console.file.getvalue().splitlines()
    assert "HALTED  " in first
    assert "it was a false alarm; to go on: hft resume --approve" in told
    assert ["HALTED, resume asked for" in line for line in rest] == [True, True]
    assert "running" in last


def test_a_plain_line_has_the_same_figures() -> None:
    line = live().line()
    for part in (
        "updates 1,950 (200/s)",
        "opportunities 117",
        "plans 78",
        "rejected 39",
        "landed_ok 39",
        "p50 40.0 µs",
    ):
        assert part in line


@pytest.mark.parametrize("width", [80, 120])
def test_the_report_has_what_was_earned_beside_what_was_expected(width: int) -> None:
    last = reading(39)
    earned = 39_000_000
    made = report.Report(60.0, report.totals(last), earned, earned, {"EXECUTED": 43}, last, 0, ())
    shown = drawn(report_view.render(made, width), width).split("\n")
    assert all(len(line) <= width for line in shown)
    joined = " ".join("".join(shown).split())
    assert "ledger P&L +0.039000000 SOL" in joined
    assert "wallet change +0.039000000 SOL ✓ equal" in joined
    assert "landed 43 plans expected +0.042900000 SOL" in joined


def test_a_view_without_readings_shows_the_news() -> None:
    view = Live()
    view.events.append("starting nats-server")
    assert "starting nats-server" in drawn(view.render(80, 24), 80)


@pytest.mark.parametrize("width", [80, 120])
def test_the_report_says_whether_money_and_counters_agree(width: int) -> None:
    source = reading(10)
    figures = report.totals(source)
    finished = report.Report(
        60.0, figures, figures.pnl_lamports, figures.pnl_lamports, {"EXECUTED": 10}, source, 0, ()
    )
    shown = drawn(report_view.render(finished, width), width)
    assert "✓ equal" in shown
    assert "all 0 counters balance" in shown
    broken = report.Balance("planner: opportunities", 10, {"plans": 9})
    shown = drawn(
        report_view.render(finished._replace(wallet_delta_lamports=1, balances=(broken,)), width), width
    )
    assert "✗ differs" in shown
    assert "planner: opportunities: 10 ≠ plans 9 (+1)" in shown


def test_stages_stand_in_the_order_of_the_datas_way() -> None:
    names = [stage.title for stage in stages.ordered(reading(1).latency)]
    assert names == ["bytes in → signed", "feed → scanner", "planner", "something else"]


def test_news_of_a_run_are_what_changed() -> None:
    before, now = reading(1), reading(2, killed=True)
    assert list(news(None, now)) == []
    assert list(news(before, before)) == []
    assert list(news(before, now)) == ["KILL: manual by me: testing"]
    assert list(news(now, before)) == ["RESUMED by me: testing"]
    crashed = now.services["scanner"]._replace(state=ServiceState.FAILED)
    successor = now.services["planner"]._replace(pid=43)
    later = now._replace(services={**now.services, "scanner": crashed, "planner": successor})
    assert list(news(now, later)) == ["scanner failed", "planner restarted, pid 43"]
