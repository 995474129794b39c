"""Rules of the house that a machine can hold: floors, sizes, words, what the documents promise."""

import ast
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from hft.runtime import settings, topology
from tests.conftest import ROOT

FLOORS = {
    "ringbuf": 0,
    "hft.wire": 1,
    "hft.venues": 1,
    "hft.strategy": 2,
    "hft.chain": 2,
    "hft.runtime": 3,
    "hft.services": 4,
    "hft.simnet": 4,
    "hft.replay": 5,
    "hft.cli": 6,
}
"""Room → floor. A room imports from lower floors, and from its neighbours only where NEIGHBOURS allows."""

NEIGHBOURS = {("hft.strategy", "hft.chain"), ("hft.chain", "hft.strategy")}

MODULE_LINES = 500
FUNCTION_LINES = 70

TOP_LEVEL = {
    *("hft", "ringbuf", "schemas", "scripts", "perf", "tests", ".ci"),
    *(
        "pyproject.toml",
        "setup.py",
        "MANIFEST.in",
        "hft.ini",
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        ".gitignore",
    ),
}


def tracked() -> list[Path]:
    """Files of the project: what git tracks, or all there is outside a checkout."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    names = [name for name in listed.stdout.split("\0") if name]
    if not names:
        names = [
            str(path.relative_to(ROOT))
            for path in ROOT.rglob("*")
            if path.is_file() and ".venv" not in path.parts
        ]
    return [Path(name) for name in names if (ROOT / name).is_file()]


FILES = tracked()
SOURCES = [path for path in FILES if path.suffix == ".py" and path.parts[0] in ("hft", "ringbuf")]
GENERATED_MARK = "# Made by scripts/codegen"
HAND_WRITTEN = [
    path
    for path in SOURCES
    if "generated" not in path.parts and not (ROOT / path).read_text().startswith(GENERATED_MARK)
]


def room_of(module: str) -> str | None:
    return next((room for room in FLOORS if module == room or module.startswith(f"{room}.")), None)


def imports(path: Path) -> Iterator[str]:
    package = path.with_suffix("").parts
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level]) if node.level else ""
            module = ".".join(part for part in (base, node.module or "") if part)
            yield from (f"{module}.{alias.name}" for alias in node.names)


def test_imports_go_down_never_up() -> None:
    climbing = []
    for path in SOURCES:
        room = room_of(".".join(path.with_suffix("").parts))
        for module in imports(path):
            other = room_of(module)
            if room is None or other in (None, room) or (room, other) in NEIGHBOURS:
                continue
            if FLOORS[other] >= FLOORS[room]:
                climbing.append(f"{path} imports {module}")
    assert not climbing


def test_the_libraries_know_nothing_of_trading() -> None:
    assert not [
        path
        for path in SOURCES
        if path.parts[0] == "ringbuf" and any(m.startswith("hft") for m in imports(path))
    ]


def test_services_own_no_loop_sleep_or_clock() -> None:
    """Time comes from the context; only the runner sleeps."""
    found = []
    for path in HAND_WRITTEN:
        if path.parts[:2] == ("hft", "services") or path.parts[:2] == ("hft", "strategy"):
            found += [
                f"{path} imports {module}" for module in imports(path) if module.split(".")[0] == "time"
            ]
    assert not found


def test_modules_and_functions_stay_small() -> None:
    long = []
    for path in HAND_WRITTEN:
        text = (ROOT / path).read_text()
        if text.count("\n") > MODULE_LINES:
            long.append(f"{path}: {text.count(chr(10))} lines")
        long += [
            f"{path}: {node.name} has {node.end_lineno - node.lineno + 1} lines"
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and node.end_lineno is not None
            and node.end_lineno - node.lineno >= FUNCTION_LINES
        ]
    assert not long


def test_no_word_of_unfinished_work() -> None:
    unfinished = re.compile(r"\b(TODO|FIXME|XXX|HACK|NotImplementedError|placeholder|stub(bed)?)\b")
    found = [
        f"{path}:{number}: {line.strip()}"
        for path in HAND_WRITTEN
        for number, line in enumerate((ROOT / path).read_text().splitlines(), 1)
        if unfinished.search(line)
    ]
    assert not found


def test_no_path_of_a_machine() -> None:
    machine = re.compile(r"(?<![\w.])/(work|root|home/\w+)/")
    texts = {".py", ".md", ".ini", ".toml", ".json", ".sh", ".c", ".h", ""}
    found = [
        str(path)
        for path in FILES
        if path.suffix in texts
        and path.parts[0] != "tests"
        and (ROOT / path).stat().st_size < 400_000
        and machine.search((ROOT / path).read_text(errors="replace"))
    ]
    assert not found


def test_the_top_level_is_as_planned() -> None:
    assert {path.parts[0] for path in FILES} <= TOP_LEVEL


@pytest.mark.parametrize("script", ["scripts/start", "scripts/test", "scripts/check", ".ci/run"])
def test_scripts_can_be_run_and_the_readme_names_them(script: str) -> None:
    assert os.access(ROOT / script, os.X_OK)
    assert (
        f"`{script}" in (ROOT / "README.md").read_text() or f"$ {script}" in (ROOT / "README.md").read_text()
    )


def test_the_readme_names_every_room() -> None:
    readme = (ROOT / "README.md").read_text()
    assert [room for room in FLOORS if f"`{room.replace('.', '/')}/`" not in readme] == []


def test_the_readme_holds_the_topology() -> None:
    readme = (ROOT / "README.md").read_text()
    assert topology.markdown_table() in readme
    assert topology.DIAGRAM in readme


def test_the_readme_gives_a_reason_for_every_dependency() -> None:
    readme = (ROOT / "README.md").read_text()
    section = readme[readme.index("## Dependencies") :]
    for line in (ROOT / "pyproject.toml").read_text().splitlines():
        pinned = re.fullmatch(r'\s+"([A-Za-z0-9_-]+)(\[\w+\])?==[\w.]+",', line)
        if pinned and not pinned[1].startswith("types-"):
            assert re.search(rf"\b{re.escape(pinned[1])}\b", section), pinned[1]


def test_every_dependency_is_pinned() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    listed = re.findall(r"(?:dependencies|dev|perf|requires) = \[(.*?)\]", text, re.DOTALL)
    names = [name for block in listed for name in re.findall(r'"([^"]+)"', block)]
    assert names
    assert all("==" in name for name in names)
    constraints = (ROOT / "scripts" / "constraints.txt").read_text().lower().replace("_", "-")
    for name in names:
        assert name.lower().replace("_", "-") in constraints, name


def test_hft_ini_has_every_key_with_its_default_below_its_text() -> None:
    lines = (ROOT / "hft.ini").read_text().splitlines()
    defaults = settings.Config()
    place = 0
    for name, (kind, where) in settings.sections().items():
        place = lines.index(f"[{name}]", place)
        group, _, entry = where.partition("/")
        values = getattr(defaults, group)[entry] if entry else getattr(defaults, where)
        for key in fields(kind):
            value = getattr(values, key.name)
            text = ", ".join(value) if isinstance(value, tuple) else str(value)
            place = lines.index(f"{key.name} = {text}".rstrip(), place)
            above = place
            while lines[above - 1].startswith("# "):
                above -= 1
            comment = " ".join(line[2:] for line in lines[above:place])
            assert comment == key.metadata["text"], f"[{name}] {key.name}"


def test_hft_ini_has_no_key_that_is_not_read() -> None:
    from hft.runtime import config

    assert config.load(ROOT / "hft.ini") == settings.Config()


def test_test_files_have_names_of_their_own() -> None:
    """pytest imports them by their bare names; conftest.py alone may repeat."""
    names = [file.name for file in (ROOT / "tests").rglob("*.py") if file.name != "conftest.py"]
    assert sorted(names) == sorted(set(names))
