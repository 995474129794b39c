"""Values, and messages made in other ways than ours, for the tests of the wire."""

import shutil
import subprocess
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import flatbuffers
import pytest
from hypothesis import strategies as st

from hft import wire
from hft.wire import Codec, Field, foreign

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = ROOT / "schemas"

every_record = pytest.mark.parametrize("codec", wire.CODECS, ids=lambda codec: codec.name)
needs_flatc = pytest.mark.skipif(
    shutil.which("flatc") is None, reason="flatc is absent (apt install flatbuffers-compiler)"
)
needs_codegen = pytest.mark.skipif(
    shutil.which("flatc") is None
    or subprocess.run(["flatc", "--version"], capture_output=True, text=True, check=False).stdout.split()[-1]
    != "2.0.8",
    reason="flatc 2.0.8 is absent (apt install flatbuffers-compiler)",
)
needs_node = pytest.mark.skipif(
    shutil.which("node") is None or shutil.which("npm") is None, reason="node or npm is absent"
)


def is_bytes(field: Field) -> bool:
    return field.code[-1] == "s"


def bounds(field: Field) -> tuple[int, int]:
    bits = 8 * field.bytes
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if field.code.islower() else (0, (1 << bits) - 1)


def values_of(codec: Codec) -> st.SearchStrategy[tuple[Any, ...]]:
    """All fields of a record, each anywhere in its range, its ends included."""
    return st.tuples(*(_field_values(field) for field in codec.layout.fields))


def _field_values(field: Field) -> st.SearchStrategy[Any]:
    if is_bytes(field):
        return st.binary(min_size=field.bytes, max_size=field.bytes)
    low, high = bounds(field)
    return st.sampled_from((low, high, 0, 1)) | st.integers(low, high)


def extremes(codec: Codec) -> list[tuple[Any, ...]]:
    """All at their least, all at their greatest, all zero, and each at its greatest alone."""
    fields = codec.layout.fields
    low = tuple(bytes(f.bytes) if is_bytes(f) else bounds(f)[0] for f in fields)
    high = tuple(b"\xff" * f.bytes if is_bytes(f) else bounds(f)[1] for f in fields)
    zero = tuple(bytes(f.bytes) if is_bytes(f) else 0 for f in fields)
    alone = [(*zero[:i], high[i], *zero[i + 1 :]) for i in range(len(fields))]
    return [low, high, zero, *alone]


def plain_values(codec: Codec) -> tuple[Any, ...]:
    """Distinct values, small enough for every field, so that a swap of two shows; texts are texts."""
    values: list[Any] = []
    for position, field in enumerate(codec.layout.fields, 1):
        if field.text:
            values.append(f"text {position}: état".encode()[: field.bytes].ljust(field.bytes, b"\0"))
        elif is_bytes(field):
            values.append(bytes((position * 7 + i) % 256 for i in range(field.bytes)))
        elif field.enum:
            values.append(int(max(field.enum)))
        else:
            values.append(position + (1000 * position if field.bytes == 8 else 0))
    return tuple(values)


def ours(codec: Codec, values: Sequence[Any]) -> bytes:
    """The message as our encoder writes it."""
    cell = bytearray(codec.size)
    assert codec.encode_into(memoryview(cell), *values) == codec.size
    return bytes(cell)


def built(
    codec: Codec,
    values: Sequence[Any],
    *,
    order: Sequence[int] | None = None,
    defaults: bool = True,
    absent: frozenset[int] = frozenset(),
    appended: Sequence[Callable[[flatbuffers.Builder, int], None]] = (),
    headroom: int = 0,
) -> bytes:
    """The message as Google's Builder makes it.

    ``order`` is the order in which fields are written (which sets where they lie), ``defaults`` whether zeros
    are stored, ``absent`` the fields left out, ``appended`` writes fields of a newer schema behind the known
    ones, and ``headroom`` is the number of trailing entries that an older schema's vtable lacks.
    """
    module = import_module(f"hft.wire.generated.{codec.name}")
    fields = codec.layout.fields
    builder = flatbuffers.Builder(0)
    builder.ForceDefaults(defaults)
    builder.StartObject(len(fields) - headroom + len(appended))
    for position in order or range(len(fields) - headroom):
        if position in absent:
            continue
        field, value = fields[position], values[position]
        name = foreign.accessor_name(field.name)
        if is_bytes(field):
            value = _create_struct(builder, field, value)
        getattr(module, f"Add{name}")(builder, value)
    for extra, write in enumerate(appended):
        write(builder, len(fields) + extra)
    builder.Finish(builder.EndObject(), file_identifier=codec.identifier)
    return bytes(builder.Output())


def _create_struct(builder: flatbuffers.Builder, field: Field, value: bytes) -> int:
    kind = f"Text{field.bytes}" if field.text else {16: "Id16", 32: "Key32", 64: "Signature64"}[field.bytes]
    create = getattr(import_module(f"hft.wire.generated.{kind}"), f"Create{kind}")
    offset: int = create(builder, value)
    return offset


def accessor_values(codec: Codec, message: bytes) -> tuple[Any, ...]:
    """All fields, through flatc's accessors alone."""
    root = getattr(import_module(f"hft.wire.generated.{codec.name}"), codec.name).GetRootAs(message, 0)
    values = []
    for field in codec.layout.fields:
        value = getattr(root, foreign.accessor_name(field.name))()
        if is_bytes(field):
            value = bytes(field.bytes) if value is None else bytes(value.Bytes())
        values.append(value)
    return tuple(values)
