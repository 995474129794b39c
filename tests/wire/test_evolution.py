"""Schemas change: old readers meet new writers, new readers old ones; rings refuse either (row 3)."""

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import flatbuffers
import pytest
from wire_support import (
    ROOT,
    SCHEMAS,
    built,
    every_record,
    is_bytes,
    needs_codegen,
    needs_flatc,
    ours,
    plain_values,
)

from hft import wire
from hft.wire import Codec
from ringbuf import Ring, SegmentMismatch


def append_u64(builder: flatbuffers.Builder, slot: int) -> None:
    builder.PrependUint64Slot(slot, 77, 0)


def append_byte(builder: flatbuffers.Builder, slot: int) -> None:
    builder.PrependUint8Slot(slot, 7, 0)


@every_record
def test_an_old_reader_takes_a_newer_writers_message(codec: Codec) -> None:
    values = plain_values(codec)
    message = built(codec, values, appended=(append_u64, append_byte, append_u64))
    codec.verify(message)
    assert codec.decode(message) == values
    for field, value in zip(codec.layout.fields, values, strict=True):
        assert getattr(codec, f"read_{field.name}")(message) == value


@every_record
def test_a_new_reader_takes_an_older_writers_message(codec: Codec) -> None:
    values = plain_values(codec)
    for lacking in range(1, len(values)):
        message = built(codec, values, headroom=lacking)
        codec.verify(message)
        zeros = tuple(bytes(f.bytes) if is_bytes(f) else 0 for f in codec.layout.fields[-lacking:])
        assert codec.decode(message) == values[:-lacking] + zeros


Edit = Callable[[Path], None]


def edit(file: str, old: str, new: str) -> Edit:
    def apply(root: Path) -> None:
        schema = root / "schemas" / file
        text = schema.read_text()
        assert old in text
        schema.write_text(text.replace(old, new, 1))

    return apply


APPEND = edit(
    "system.fbs",
    "  /// The same moment, UTC. [ns, unix]\n  unix_ns: long;\n}\n",
    "  /// The same moment, UTC. [ns, unix]\n  unix_ns: long;\n  /// How often. [trips]\n  trips: uint;\n"
    "  /// Who approved it.\n  approved_by: Text32;\n}\n",
)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the schemas and of what is made from them."""
    root = tmp_path / "tree"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(SCHEMAS, root / "schemas", ignore=ignore)
    shutil.copytree(ROOT / "hft" / "wire", root / "hft" / "wire", ignore=ignore)
    shutil.copy(ROOT / "hft" / "__init__.py", root / "hft" / "__init__.py")
    (root / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "codegen", root / "scripts" / "codegen")
    return root


def codegen(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(root / "scripts" / "codegen"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def inside(root: Path, script: str, given: bytes = b"") -> bytes:
    """Output of a script run on that tree's ``hft.wire``."""
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=given,
        capture_output=True,
        check=False,
        timeout=120,
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@needs_codegen
def test_two_builds_with_different_schemas_read_each_other(tree: Path) -> None:
    APPEND(tree)
    assert codegen(tree).returncode == 0
    old = wire.kill_switch
    values = plain_values(old)
    newer = inside(
        tree,
        "import sys; from hft import wire; cell = bytearray(2048)\n"
        f"n = wire.kill_switch.encode_into(cell, *{values!r}, 3, b'ann'); sys.stdout.buffer.write(cell[:n])",
    )
    assert len(newer) > old.size
    assert old.decode(newer) == values
    seen = inside(
        tree,
        "import sys; from hft import wire\nprint(tuple(wire.kill_switch.decode(sys.stdin.buffer.read())))",
        ours(old, values),
    )
    assert seen.decode().strip() == repr((*values, 0, bytes(32)))


def hash_of(root: Path) -> int:
    return int(inside(root, "from hft import wire; print(wire.SCHEMA_HASH)"))


@needs_codegen
@pytest.mark.parametrize(
    "change",
    [
        APPEND,
        edit("system.fbs", "observed: long", "seen: long"),
        edit("system.fbs", "observed: long", "observed: ulong"),
        edit("system.fbs", "killed = 2", "killed = 3"),
        edit("system.fbs", "HFKS", "HFKX"),
    ],
    ids=["append", "rename", "retype", "enum", "identifier"],
)
def test_row_03_the_schema_hash_changes_with_the_schema(tree: Path, change: Edit) -> None:
    change(tree)
    assert codegen(tree).returncode == 0
    assert hash_of(tree) != wire.SCHEMA_HASH


@needs_codegen
def test_the_schema_hash_does_not_change_with_a_comment(tree: Path) -> None:
    edit("system.fbs", "/// What set it.", "/// That which set it.")(tree)
    assert codegen(tree).returncode == 0
    assert hash_of(tree) == wire.SCHEMA_HASH


def test_row_03_a_ring_of_another_schema_is_refused() -> None:
    name = f"hft-test-{secrets.token_hex(4)}-ring-wire"
    ring = Ring.create(name, depth=8, mtu=1024, schema_hash=wire.SCHEMA_HASH)
    try:
        Ring.attach(name, schema_hash=wire.SCHEMA_HASH).close()
        with pytest.raises(SegmentMismatch) as caught:
            Ring.attach(name, schema_hash=wire.SCHEMA_HASH ^ 1)
        shown = str(caught.value).lower()
        assert f"{wire.SCHEMA_HASH:x}" in shown or str(wire.SCHEMA_HASH) in shown
    finally:
        ring.close()
        ring.unlink()


@needs_flatc
def test_flatc_agrees_that_an_appended_field_is_an_evolution(tree: Path) -> None:
    def conform(file: Path) -> int:
        command = ["flatc", "--conform", str(SCHEMAS / "system.fbs"), "--binary", "--schema"]
        done = subprocess.run([*command, "-o", str(tree), str(file)], capture_output=True, check=False)
        return done.returncode

    schema = tree / "schemas" / "system.fbs"
    APPEND(tree)
    assert conform(schema) == 0
    edit("system.fbs", "observed: long", "observed: ubyte")(tree)
    assert conform(schema) != 0


@needs_flatc
def test_committed_code_is_what_the_schemas_give() -> None:
    done = codegen(ROOT, "--check")
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


@needs_codegen
def test_check_names_what_was_edited_added_and_removed(tree: Path) -> None:
    wire_folder = tree / "hft" / "wire"
    with (wire_folder / "records" / "quote.py").open("a") as file:
        file.write("# edited\n")
    (wire_folder / "records" / "old_record.py").touch()
    (wire_folder / "enums.py").unlink()
    done = codegen(tree, "--check")
    assert done.returncode == 1
    assert set(done.stdout.splitlines()) == {
        "differs: hft/wire/records/quote.py",
        "stale: hft/wire/records/old_record.py",
        "differs: hft/wire/enums.py",
    }
    assert codegen(tree).returncode == 0
    assert codegen(tree, "--check").returncode == 0


@needs_codegen
@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (edit("system.fbs", "observed: long", "observed: string"), "KillSwitch.observed: must be a scalar"),
        (edit("system.fbs", "observed: long", "observed: [ubyte]"), "KillSwitch.observed: must be a scalar"),
        (edit("system.fbs", "observed: long", "observed: long = 5"), "KillSwitch.observed: no default"),
        (edit("system.fbs", "observed: long", "observed: double"), "KillSwitch.observed: must be a scalar"),
        (edit("system.fbs", " [of the trigger]", ""), "KillSwitch.observed: a number's comment"),
        (edit("system.fbs", "/// The state after the change.\n", ""), "KillSwitch.state: wants a comment"),
        (edit("system.fbs", "HFKS", "KS"), "table KillSwitch: wants attributes"),
        (edit("system.fbs", "HFKS", "HFPU"), "two records have one identifier"),
        (edit("system.fbs", "unknown = 0,\n  running = 1", "running = 1"), "not part of enum `KillState`"),
        (edit("system.fbs", "observed: long", "observed long"), "flatc:"),
    ],
)
def test_a_schema_that_breaks_the_rules_is_refused(tree: Path, change: Edit, complaint: str) -> None:
    change(tree)
    done = codegen(tree)
    assert done.returncode == 2
    assert complaint in done.stderr
