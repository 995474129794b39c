"""The records that cross: distinct, repeating only after a prime number of them, so that a loss, a
repetition or a swap of any number of records that a ring's depth (a power of two) divides shows in the
content."""

from hashlib import blake2b
from struct import Struct

RECORD_BYTES = 256
PERIOD = 1021
_STAMP = Struct("<Qq")


def records(count: int = PERIOD, size: int = RECORD_BYTES) -> list[bytes]:
    """``count`` records of ``size`` bytes; the i-th is records()[i % PERIOD] of any longer list."""
    base = [_record(i, size) for i in range(min(count, PERIOD))]
    return [base[i % PERIOD] for i in range(count)]


def _record(index: int, size: int) -> bytes:
    block = blake2b(index.to_bytes(8, "little"), digest_size=64).digest()
    return (index.to_bytes(8, "little") + block * (size // 64 + 1))[:size]


def stamped(sequence: int, intended_ns: int, tail: bytes) -> bytes:
    """A record that carries its number and the time at which it was meant to leave."""
    return _STAMP.pack(sequence, intended_ns) + tail


def stamp_of(record: bytes) -> tuple[int, int]:
    """(number, intended time) of a stamped record."""
    sequence, intended_ns = _STAMP.unpack_from(record)
    return sequence, intended_ns


STAMP_BYTES = _STAMP.size
