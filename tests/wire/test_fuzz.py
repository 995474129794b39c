"""Row 4: mutated buffers. No crash, no hang, no exception but the coded one, one verdict on both paths."""

import random
from collections import Counter
from collections.abc import Callable
from struct import pack_into

import pytest
from wire_support import accessor_values, built, ours, plain_values

from hft import wire
from hft.wire import CODECS, Codec, WireError, WireErrorCode, foreign

NUMBERS = (0, 1, 2, 3, 4, 5, 7, 8, 12, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF)
WORDS = (*NUMBERS, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF8, 0xFFFFFFFC, 0xFFFFFFFF)


def seeds(codec: Codec) -> list[bytes]:
    """Valid messages in several layouts."""
    values = plain_values(codec)
    backwards = tuple(reversed(range(len(values))))
    return [
        ours(codec, values),
        built(codec, values),
        built(codec, values, order=backwards),
        built(codec, values, absent=frozenset(range(0, len(values), 3))),
        built(codec, values, headroom=2),
    ]


def mutate(dice: random.Random, message: bytes, other: bytes) -> bytes:
    """Two to five cheap mutations, mostly where the structure lies; one draw of bits decides each."""
    changed = bytearray(message)
    for _ in range(2 + (dice.getrandbits(2))):
        length = len(changed)
        if length < 8:
            break
        bits = dice.getrandbits(40)
        kind, choice, anywhere = bits & 7, bits >> 3 & 0xFF, (bits >> 11 & 0xFFFF) % length
        # The vtable and the root lie at one end of the message: ours at the start, the Builder's too.
        place = (bits >> 27) % (min(length, 128) - 4) & ~1
        if kind < 3:
            pack_into("<H", changed, place, NUMBERS[choice % len(NUMBERS)])
        elif kind == 3:
            pack_into("<I", changed, place & ~3, WORDS[choice % len(WORDS)])
        elif kind == 4:
            changed[anywhere] ^= 1 << (choice & 7)
        elif kind == 5:
            del changed[anywhere:]
        elif kind == 6:
            changed[place : place + 16] = other[place : place + 16]
        else:
            changed += other[: choice & 63]
    return bytes(changed)


def refused(read: Callable[[bytes], object], buffer: bytes) -> WireErrorCode | None:
    """The code that the buffer is refused with; None if it is taken. Any other exception fails the test."""
    try:
        read(buffer)
    except WireError as error:
        return error.code
    return None


def outcome(codec: Codec, buffer: bytes) -> WireErrorCode | None:
    """How verify and decode both end: None if the buffer is a valid message."""
    code = refused(codec.verify, buffer)
    assert refused(codec.decode, buffer) is code
    return code


def fuzz(seed: int, rounds: int) -> Counter[WireErrorCode | None]:
    dice = random.Random(seed)
    kinds = [(codec, seeds(codec)) for codec in CODECS]
    found: Counter[WireErrorCode | None] = Counter()
    for turn in range(rounds):
        codec, messages = kinds[turn % len(kinds)]
        message = messages[turn // len(kinds) % len(messages)]
        buffer = mutate(dice, message, messages[turn % len(messages)])
        result = outcome(codec, buffer)
        found[result] += 1
        if result is None and turn % 64 == 0:
            # Four ways to read it: as bytes, inside other memory, off the fast path, by flatc's code alone.
            record = codec.decode(buffer)
            arena = memoryview(b"\xa5" * 64 + buffer + b"\x5a" * 64)
            assert codec.decode(arena[64:-64]) == record
            assert foreign.read(codec.layout, buffer) == record
            assert accessor_values(codec, buffer) == record
    return found


def test_row_04_two_hundred_thousand_mutated_buffers() -> None:
    found = fuzz(seed=4, rounds=200_000)
    assert found.total() == 200_000
    for code in (None, *WireErrorCode):
        if code not in NOT_OF_BUFFERS:
            assert found[code] > 100, f"the fuzzer hardly meets {code}: {found}"


# What an identifier alone, an encoder, or a much larger buffer raises.
NOT_OF_BUFFERS = {
    WireErrorCode.UNKNOWN_IDENTIFIER,
    WireErrorCode.BAD_VALUE,
    WireErrorCode.NO_ROOM,
    WireErrorCode.OVERSIZE,
}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_row_04_two_million_more(seed: int) -> None:
    assert fuzz(seed=1000 + seed, rounds=200_000).total() == 200_000


@pytest.mark.slow
@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
def test_row_04_every_value_of_every_structural_byte(codec: Codec) -> None:
    for message in (ours(codec, plain_values(codec)), built(codec, plain_values(codec))):
        buffer = bytearray(message)
        for place in range(len(codec.layout.template)):
            kept = buffer[place]
            for value in range(256):
                buffer[place] = value
                outcome(codec, bytes(buffer))
            buffer[place] = kept


def test_row_04_random_bytes_are_never_a_message() -> None:
    dice = random.Random(5)
    for turn in range(20_000):
        codec = CODECS[turn % len(CODECS)]
        buffer = dice.randbytes(dice.randrange(700))
        assert outcome(codec, buffer) is not None
        framed = (8 + dice.randrange(64)).to_bytes(4, "little") + codec.identifier + buffer
        outcome(codec, framed)
        with pytest.raises(WireError):
            wire.codec_of(buffer)
