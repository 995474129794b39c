"""The JSON form, the arithmetic, the page and the command line."""

import json
import subprocess
import sys
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path

import pytest

from perf.catalogue import SHAPES
from perf.cli import main
from perf.goals import GOALS, verdicts
from perf.histogram import Distribution
from perf.model import Curve, Ratio, Report, ReportError, Result, percentiles, ratio, summarised
from perf.page import page
from perf.plots import Row, bars
from perf.terminal import markdown
from perf.text import duration, figure, rate

pytestmark = pytest.mark.skipif(find_spec("hdrh") is None, reason="the perf extra is not installed")


@pytest.fixture
def full() -> Report:
    """A report with everything in it."""
    return Report(
        {"cpu_model": "a <CPU>", "cpus": 2, "pinning": [0, 1], "load_average": [0.5, 0.4, 0.3], "rounds": 7}
        | {"kernel": "6.1", "python": "3.11"},
        [
            Result("ping_pong", "ringbuf", "p50_ns", 800.0, [790.0, 800.0, 2000.0]),
            Result("ping_pong", "pyzmq ipc", "p50_ns", 96_000.0, [95_000.0, 96_000.0, 97_000.0]),
            Result("ping_pong", "hiccups", "lost_ppm", 250_000.0, [250_000.0]),
            Result("ping_pong", "hiccups", "gaps_per_s", 100.0, [100.0]),
            Result("ping_pong", "hiccups", "max_ns", 4e6, [4e6]),
            Result("kill_propagation", "kill check", "ns_per_operation", 50.0, [50.0]),
        ],
        [Ratio("ping_pong", "p50_ns", "pyzmq ipc", 120.0, "ringbuf", [119.0, 120.0, 121.0])],
        [Curve("ping_pong", "ringbuf", 3, [(0.0, 790.0), (50.0, 800.0), (100.0, 2000.0)])],
        [{"shape": "ping_pong", "case": "iceoryx2", "why": "not <installed>"}],
        ["three_hop_pipeline: sent 483/s instead of the stated 500/s"],
    )


def test_percentiles_are_values_that_occurred() -> None:
    figures = percentiles(range(1, 1001))
    assert figures == {"p50_ns": 500, "p90_ns": 900, "p99_ns": 990, "p99_9_ns": 999, "max_ns": 1000}
    assert set(percentiles([7]).values()) == {7.0}


def test_value_is_the_median_of_the_rounds_and_max_the_greatest() -> None:
    rounds = [{"p50_ns": 3.0, "max_ns": 9.0}, {"p50_ns": 1.0, "max_ns": 4.0}, {"p50_ns": 2.0, "max_ns": 5.0}]
    by_metric = {each.metric: each for each in summarised("s", "c", rounds)}
    assert by_metric["p50_ns"] == Result("s", "c", "p50_ns", 2.0, [3.0, 1.0, 2.0])
    assert by_metric["max_ns"].value == 9.0


@pytest.mark.parametrize(
    ("metric", "ours", "peer", "times"),
    [
        ("p50_ns", [1.0, 2.0, 10.0], [10.0, 30.0, 20.0], 10.0),
        ("rate_per_s", [10.0, 30.0, 20.0], [1.0, 2.0, 10.0], 10.0),
        ("bytes", [100.0], [50.0], 0.5),
    ],
)
def test_times_is_the_median_of_the_ratios_inside_the_rounds(
    metric: str, ours: list[float], peer: list[float], times: float
) -> None:
    found = ratio("s", metric, ("a", [{metric: v} for v in ours]), ("b", [{metric: v} for v in peer]))
    assert found is not None
    assert found.times == times
    assert ratio("s", metric, ("a", [{}]), ("b", [{metric: 1.0}])) is None


def test_histogram_keeps_three_digits() -> None:
    distribution = Distribution()
    distribution.add([1_234_567] * 99 + [5_000_000_000])
    points = dict(distribution.points())
    assert distribution.count == 100
    assert points[50.0] == pytest.approx(1_234_567, rel=1e-3)
    assert points[100.0] == pytest.approx(5_000_000_000, rel=1e-3)


def test_json_form_is_as_promised_and_read_back(full: Report, tmp_path: Path) -> None:
    target = tmp_path / "run.json"
    full.save(target)
    raw = json.loads(target.read_text())
    assert set(raw["results"][0]) == {"shape", "case", "metric", "value", "runs"}
    assert {"shape", "metric", "peer", "times"} <= set(raw["ratios"][0])
    assert Report.load(target) == full


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"host": {}, "results": [{}], "ratios": []}', "null"])
def test_a_file_that_is_no_report_is_named(text: str, tmp_path: Path) -> None:
    target = tmp_path / "other.json"
    target.write_text(text)
    with pytest.raises(ReportError, match=r"other\.json is no report"):
        Report.load(target)
    with pytest.raises(ReportError, match="No such file"):
        Report.load(tmp_path / "none")


class Outside(HTMLParser):
    """Collects what a page would load, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.words: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [v or "" for k, v in attrs if k in {"src", "href"} and not (v or "").startswith("#")]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_page_needs_nothing_but_itself_and_says_everything(full: Report) -> None:
    text = page(full)
    read = Outside(text)
    said = " ".join(read.words)
    assert read.loads == []
    assert "script" not in read.tags
    assert "url(" not in text
    assert "@import" not in text
    assert read.tags.count("svg") == 3
    for wanted in (
        "a <CPU>",
        "ringbuf",
        "96.0 µs",
        "(120×)",
        "not <installed>",
        "instead of the stated",
        "25 %",
        "missed",
    ):
        assert wanted in said, wanted
    assert "| ping |" in said  # the drawing


def test_page_of_an_empty_report() -> None:
    assert "<h1>" in page(Report({}))


def test_labels_are_escaped_in_plots() -> None:
    plot = bars([Row("<b>&", 10.0, [9.0, 11.0], "ours"), Row("zero", 0.0, [], "peer")], duration, 'a "title"')
    assert "&lt;b&gt;&amp;" in plot
    assert "zero" not in plot
    assert "&quot;title&quot;" in plot


def test_goals_name_shapes_that_exist_and_judge_both_ways(full: Report) -> None:
    assert {goal.shape for goal in GOALS} <= set(SHAPES)
    found = {(verdict.goal.shape, verdict.goal.case): verdict.met for verdict in verdicts(full)}
    assert found == {("ping_pong", "pyzmq ipc"): True, ("kill_propagation", "kill check"): False}


def test_markdown_has_a_row_for_every_goal_that_was_measured(full: Report) -> None:
    text = markdown(full)
    assert text.startswith("a <CPU>, 2 CPUs, kernel 6.1, Python 3.11; medians of 7 interleaved rounds.")
    assert len(text.splitlines()) == 4 + len(verdicts(full))
    assert "| ping_pong | round trip faster than pyzmq ipc | ≥ 100 x | 120 x | met |" in text
    assert "missed |" in text


def test_figures_are_told_with_units() -> None:
    assert duration(412) == "412 ns"
    assert duration(1_130) == "1.13 µs"
    assert duration(4_000_000) == "4.00 ms"
    assert rate(3_600_000) == "3.60 M/s"
    assert figure("bytes", 312) == "312 B"
    assert figure("received", 1_000) == "1,000"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "no_such_shape"], "no shape no_such_shape; there are ping_pong"),
        (["run", "ping_pong", "--peers", "rabbit"], "--peers rabbit: there are all, none, queue"),
        (["run", "ping_pong", "--rounds", "0"], "--rounds 0 must lie in 1..1000"),
        (["run", "ping_pong", "--cpus", "0,9999"], "--cpus 0,9999: this process may use 0"),
        (["run", "ping_pong", "--cpus", "x"], "--cpus 'x' must be two CPU numbers"),
        (
            ["run", "ping_pong", "--json", "/no/such/folder/x.json"],
            "the folder /no/such/folder does not exist",
        ),
        (["report", "/no/such/file.json"], "No such file"),
    ],
)
def test_wrong_arguments_are_named(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert said in capsys.readouterr().err


def test_list_draws_every_shape(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    said = capsys.readouterr().out
    for name in SHAPES:
        assert f"{name}\n{'-' * len(name)}" in said
    assert "| ping |==" in said
    assert main(["list", "--short"]) == 0


def test_run_and_report_from_the_command_line(tmp_path: Path) -> None:
    target = tmp_path / "run.json"
    command = [sys.executable, "-m", "perf", "run", "codec_size", "counters", "--quick", "--peers", "none"]
    done = subprocess.run(
        [*command, "--rounds", "1", "--json", str(target)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "[2/2] counters: round 1/1" in done.stderr
    assert "Counters.add" in done.stdout
    raw = json.loads(target.read_text())
    assert {"cpu_model", "pinning", "governor", "kernel"} <= set(raw["host"])
    assert {each["shape"] for each in raw["results"]} == {"codec_size", "counters"}
    assert main(["report", str(target)]) == 0
    assert "<svg" in target.with_suffix(".html").read_text()
