"""Row 4: what is no valid message is refused with a code, and nothing outside the buffer is read."""

import mmap
import subprocess
import sys
from pathlib import Path
from struct import pack_into, unpack_from

import pytest
from wire_support import built, every_record, ours, plain_values

from hft import wire
from hft.wire import Codec, WireError, WireErrorCode, foreign


def refusal(codec: Codec, message: bytes) -> WireErrorCode:
    """The code that verify, decode, each reader and the full verifier all refuse this buffer with."""
    codes = set()
    readers = [getattr(codec, f"read_{name}") for name in codec.Record._fields]
    for read in (codec.verify, codec.decode, wire.reader(codec, "slot"), *readers):
        with pytest.raises(WireError) as caught:
            read(message)
        codes.add(caught.value.code)
    with pytest.raises(WireError) as caught:
        foreign.verify(codec.layout, message)
    assert codes == {caught.value.code}
    return caught.value.code


def patched(message: bytes, code: str, offset: int, value: int) -> bytes:
    changed = bytearray(message)
    pack_into(code, changed, offset, value)
    return bytes(changed)


@every_record
def test_row_04_every_truncation_is_refused(codec: Codec) -> None:
    for message in (ours(codec, plain_values(codec)), built(codec, plain_values(codec))):
        for length in range(len(message)):
            with pytest.raises(WireError) as caught:
                codec.decode(message[:length])
            assert length >= 8 or caught.value.code is WireErrorCode.TRUNCATED
            with pytest.raises(WireError):
                codec.verify(message[:length])


@every_record
def test_row_04_oversize_is_refused(codec: Codec) -> None:
    message = ours(codec, plain_values(codec))
    at_limit = message.ljust(wire.MAXIMUM_BYTES, b"\0")
    assert codec.decode(at_limit) == plain_values(codec)
    assert refusal(codec, at_limit + b"\0") is WireErrorCode.OVERSIZE


@every_record
def test_row_04_another_records_message_is_refused(codec: Codec) -> None:
    for other in wire.CODECS:
        if other is not codec:
            message = ours(other, plain_values(other))
            assert refusal(codec, message) is WireErrorCode.WRONG_IDENTIFIER


@every_record
def test_row_04_bad_roots_are_refused(codec: Codec) -> None:
    message = ours(codec, plain_values(codec))
    for root in (0, 4, 9, codec.size - 3, codec.size, 2**31 - 4, 2**31, 2**32 - 4, 2**32 - 1):
        assert refusal(codec, patched(message, "<I", 0, root)) is WireErrorCode.BAD_ROOT


@every_record
def test_row_04_bad_vtables_are_refused(codec: Codec) -> None:
    message = ours(codec, plain_values(codec))
    root = unpack_from("<I", message)[0]
    for distance in (root, root + 4, root - 2, root - 9, root - codec.size + 2, 2**31 - 1, -(2**31)):
        assert refusal(codec, patched(message, "<i", root, distance)) in (
            WireErrorCode.BAD_VTABLE,
            WireErrorCode.BAD_TABLE,
            WireErrorCode.BAD_FIELD,
        )
    for size in (0, 2, 3, 5, codec.size - 6, 0xFFFF, 0xFFFE):
        assert refusal(codec, patched(message, "<H", 8, size)) is WireErrorCode.BAD_VTABLE


@every_record
def test_row_04_bad_tables_are_refused(codec: Codec) -> None:
    message = ours(codec, plain_values(codec))
    root = unpack_from("<I", message)[0]
    for size in (0, 3, codec.size - root + 1, 0xFFFF):
        assert refusal(codec, patched(message, "<H", 10, size)) is WireErrorCode.BAD_TABLE


@every_record
def test_row_04_bad_field_offsets_are_refused(codec: Codec) -> None:
    message = ours(codec, plain_values(codec))
    root = unpack_from("<I", message)[0]
    for position, field in enumerate(codec.layout.fields):
        entry = 12 + 2 * position
        wrong = [1, 3, codec.size - root - field.bytes + field.alignment, 0xFFFF]
        if field.alignment > 1:
            wrong.append(field.offset - root + 1)
        for offset in wrong:
            assert refusal(codec, patched(message, "<H", entry, offset)) is WireErrorCode.BAD_FIELD


@every_record
def test_an_absent_field_reads_as_zero(codec: Codec) -> None:
    values = plain_values(codec)
    message = ours(codec, values)
    for position, field in enumerate(codec.layout.fields):
        without = patched(message, "<H", 12 + 2 * position, 0)
        zero = bytes(field.bytes) if isinstance(values[position], bytes) else 0
        assert codec.decode(without) == (*values[:position], zero, *values[position + 1 :])
        assert getattr(codec, f"read_{field.name}")(without) == zero


@every_record
def test_an_empty_table_is_a_valid_message_of_zeros(codec: Codec) -> None:
    message = built(codec, plain_values(codec), absent=frozenset(range(len(codec.layout.fields))))
    codec.verify(message)
    assert not any(
        value.strip(b"\0") if isinstance(value, bytes) else value for value in codec.decode(message)
    )


GUARDED = """
import ctypes, mmap, random, sys
sys.path.insert(0, {tests!r})
from wire_support import ours, built, plain_values
from hft import wire
page = mmap.PAGESIZE
arena = mmap.mmap(-1, 3 * page)
base = ctypes.addressof(ctypes.c_char.from_buffer(arena))
libc = ctypes.CDLL(None, use_errno=True)
for edge in (0, 2):
    assert libc.mprotect(ctypes.c_void_p(base + edge * page), page, 0) == 0
whole = memoryview(arena)
dice = random.Random(7)
refused = 0
for turn in range({turns}):
    codec = dice.choice(wire.CODECS)
    message = bytearray(dice.choice((ours, built))(codec, plain_values(codec)))
    for _ in range(dice.randrange(3)):
        place = dice.randrange(min(len(message), 120))
        message[place] = dice.choice((0, 1, 4, 127, 128, 255, dice.randrange(256)))
    message = message[: dice.choice((len(message), dice.randrange(len(message))))]
    for start in (page, 2 * page - len(message)):
        view = whole[start : start + len(message)]
        view[:] = message
        for read in (codec.verify, codec.decode, codec.read_slot, codec.read_trace_id):
            try:
                read(view)
            except wire.WireError:
                refused += 1
print("refused", refused)
"""


def test_row_04_no_read_leaves_the_buffer() -> None:
    """Buffers lie against pages that may not be read, on both sides: a read beyond kills the process."""
    assert mmap.PAGESIZE >= 4096
    script = GUARDED.format(tests=str(Path(__file__).parent), turns=1500)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[1]) > 1000
