"""How a capture file is laid out, and what of one can be read. Little-endian; offsets in bytes.

::

    header   0 magic[8] | 8 version u32 | 12 crc32 of bytes 16..79 | 16 schema hash u64 | 24 run[16]
             40 start monotonic ns i64 | 48 start unix ns i64 | 56 chain slot u64 | 64 chain unix s i64
    record   0 magic u32 | 4 crc32 of bytes 8..end | 8 payload bytes u32 | 12 kind u8 | 13 flags u8 | 14 zeros
             16 taken monotonic ns i64 | 24 payload
    account  0 slot u64 | 8 write version u64 | 16 received ns i64 | 24 lamports u64 | 32 key[32] | 64 owner
             96 state u8 (0 absent, 1 raw, 2 zstd) | 97 unusable u8 | 98 data, as the state says
    slot     0 slot u64 | 8 parent u64 | 16 root u64 | 24 received ns i64
    revert   0 slots u32 | 4 keys u32 | 8 the slots, u64 each | the keys, 32 bytes each
    live     0 slot u64 | 8 first u8 | 9 the source's name, UTF-8
    lost     0 last u8 | 1 source's name bytes u8 | 2 name | reason, UTF-8
    survey   0 left out u32 | 4 mints u32 | 8 pools u32 | 12 the mints | per pool: key, u32 needs, the needs

Pure. A record is whole if its magic, its length and its checksum are right. Flag 1: the last one of what the
feed took together.
"""

from collections.abc import Mapping
from hashlib import sha256
from mmap import mmap
from struct import Struct
from struct import error as _StructError
from typing import Final, NamedTuple
from zlib import crc32

import zstandard

from hft.chain.subscribe import (
    AccountChanged,
    AccountUnusable,
    FeedEvent,
    Reverted,
    SlotSeen,
    SourceLive,
    SourceLost,
)
from hft.chain.subscribe_merge import Unusable, Version
from hft.venues import Account

MAGIC: Final = b"HFTCAPT\0"
VERSION: Final = 1
HEADER: Final = Struct("<8sIIQ16sqqQq8x")
_CHECKED_AT: Final = 16
RECORD_MAGIC: Final = 0x5054_4643
RECORD: Final = Struct("<IIIBBHq")
_BODY: Final = Struct("<IBBHq")
_BODY_AT: Final = 8
_NEEDLE: Final = RECORD_MAGIC.to_bytes(4, "little")
LAST: Final = 1

PAYLOAD_LIMIT: Final = 16 << 20
DATA_LIMIT: Final = 10 << 20
"""The most data an account on Solana can have."""
COMPRESSED_FROM: Final = 512

ACCOUNT, SLOT, REVERT, LIVE, LOST_SOURCE, SURVEY = range(1, 7)
_ACCOUNT: Final = Struct("<QQqQ32s32sBB")
_SLOT: Final = Struct("<QQQq")
_REVERT: Final = Struct("<II")
_LIVE: Final = Struct("<QB")
_LOST: Final = Struct("<BB")
_SURVEY: Final = Struct("<III")
_COUNT: Final = Struct("<I")
_LAYOUTS: Final = (HEADER, RECORD, _ACCOUNT, _SLOT, _REVERT, _LIVE, _LOST, _SURVEY, _COUNT)
SCHEMA_HASH: Final = int.from_bytes(
    sha256("|".join(layout.format for layout in _LAYOUTS).encode()).digest()[:8], "little"
)
"""Of every layout above."""
_ABSENT, _RAW, _ZSTD = 0, 1, 2
_COMPRESS: Final = zstandard.ZstdCompressor(level=1, write_content_size=True).compress
_DECOMPRESS: Final = zstandard.ZstdDecompressor().decompress


class Header(NamedTuple):
    """Where and when a capture began. ``slot``, ``unix_timestamp``: the chain's clock then."""

    run_id: bytes
    start_ns: int
    start_unix_ns: int
    slot: int
    unix_timestamp: int


class Surveyed(NamedTuple):
    """What was followed: ``pools``, each with what it rests on; the ``mints`` of tokens that are what the
    list says; how many pools were ``left_out``."""

    pools: Mapping[bytes, tuple[bytes, ...]]
    mints: tuple[bytes, ...]
    left_out: int


Happening = FeedEvent | Surveyed
ACCOUNTS: Final = (AccountChanged, AccountUnusable)
Bytes = bytes | mmap


class Record(NamedTuple):
    """One event as the feed took it, at ``taken_ns``. ``last``: of what it took together. ``end``: where the
    next record begins."""

    event: Happening
    taken_ns: int
    last: bool
    end: int


class Damage(NamedTuple):
    """What stands where no whole record is. ``torn``: nothing whole follows it, as after a write that did
    not finish."""

    at: int
    text: str
    torn: bool


def encode_header(header: Header) -> bytes:
    """The file's first bytes."""
    bare = HEADER.pack(MAGIC, VERSION, 0, SCHEMA_HASH, *header)
    return HEADER.pack(MAGIC, VERSION, crc32(bare[_CHECKED_AT:]), SCHEMA_HASH, *header)


def decode_header(data: Bytes) -> Header | str:
    """The header, or what is wrong with it. A file of another layout is told as that first."""
    if len(data) < HEADER.size:
        return f"{len(data)} bytes hold no header ({HEADER.size})"
    magic, version, checksum, schema_hash, *fields = HEADER.unpack_from(data)
    if magic != MAGIC:
        return f"{magic!r} is no capture's magic; hft capture makes one"
    if version != VERSION:
        return f"layout version {version}; this program reads {VERSION}"
    if crc32(data[_CHECKED_AT : HEADER.size]) != checksum:
        return "the header's checksum is wrong"
    if schema_hash != SCHEMA_HASH:
        return (
            f"its records have schema hash {schema_hash:016x}, those of this program {SCHEMA_HASH:016x}; "
            "replay it with the program that made it"
        )
    return Header(*fields)


def encode(event: Happening, taken_ns: int, *, last: bool) -> bytes:
    """One whole record."""
    kind, payload = _payload(event)
    body = _BODY.pack(len(payload), kind, LAST if last else 0, 0, taken_ns) + payload
    return RECORD_MAGIC.to_bytes(4, "little") + crc32(body).to_bytes(4, "little") + body


def record_at(data: Bytes, at: int) -> Record | None:
    """The whole record that begins at ``at``; None if there is none."""
    end = _end_of(data, at)
    if end is None:
        return None
    _, _, _, kind, flags, _, taken_ns = RECORD.unpack_from(data, at)
    try:
        event = _DECODERS[kind](bytes(data[at + RECORD.size : end]))
    except (KeyError, ValueError, IndexError, zstandard.ZstdError, _StructError):
        return None
    return Record(event, taken_ns, bool(flags & LAST), end)


def frame_at(data: Bytes, at: int) -> tuple[int, int] | None:
    """When the whole record at ``at`` was taken, and where it ends; None if there is none. What is in it is
    not looked at."""
    end = _end_of(data, at)
    return None if end is None else (RECORD.unpack_from(data, at)[-1], end)


def damage_at(data: Bytes, at: int) -> Damage | None:
    """What is wrong at ``at``, where no whole record begins; None at the very end."""
    if at >= len(data):
        return None
    follows = data.find(_NEEDLE, at + 1)
    while follows >= 0 and _end_of(data, follows) is None:
        follows = data.find(_NEEDLE, follows + 1)
    if data[at : at + 4] != _NEEDLE[: len(data) - at]:
        return Damage(at, "no record begins there", follows < 0)
    return Damage(at, "a record that is not whole, or whose checksum is wrong", follows < 0)


def _end_of(data: Bytes, at: int) -> int | None:
    if at + RECORD.size > len(data):
        return None
    magic, checksum, size, *_ = RECORD.unpack_from(data, at)
    end = at + RECORD.size + size
    if magic != RECORD_MAGIC or size > PAYLOAD_LIMIT or end > len(data):
        return None
    return end if crc32(data[at + _BODY_AT : end]) == checksum else None


def _payload(event: Happening) -> tuple[int, bytes]:
    if isinstance(event, AccountChanged):
        return ACCOUNT, _account(event.version, 0)
    if isinstance(event, AccountUnusable):
        return ACCOUNT, _account(event.version, event.reason)
    if isinstance(event, SlotSeen):
        return SLOT, _SLOT.pack(*event)
    if isinstance(event, Reverted):
        slots = b"".join(slot.to_bytes(8, "little") for slot in sorted(event.slots))
        return REVERT, _REVERT.pack(len(event.slots), len(event.pubkeys)) + slots + b"".join(event.pubkeys)
    if isinstance(event, SourceLive):
        return LIVE, _LIVE.pack(event.slot, event.first) + event.source.encode()
    if isinstance(event, SourceLost):
        name = event.source.encode()[:255]
        return LOST_SOURCE, _LOST.pack(event.last, len(name)) + name + event.reason.encode()[:1024]
    pools = b"".join(key + _COUNT.pack(len(needs)) + b"".join(needs) for key, needs in event.pools.items())
    head = _SURVEY.pack(event.left_out, len(event.mints), len(event.pools))
    return SURVEY, head + b"".join(event.mints) + pools


def _account(version: Version, unusable: int) -> bytes:
    account = version.account
    owner, data, lamports = account if account is not None else (bytes(32), b"", 0)
    state = _ABSENT if account is None else _RAW
    if len(data) >= COMPRESSED_FROM:
        state, data = _ZSTD, _COMPRESS(data)
    slot, write_version, received_ns = version.slot, version.write_version, version.received_ns
    fields = (slot, write_version, received_ns, lamports, version.pubkey, owner, state, unusable)
    return _ACCOUNT.pack(*fields) + data


def _read_account(data: bytes) -> AccountChanged | AccountUnusable:
    slot, write_version, received_ns, lamports, key, owner, state, unusable = _ACCOUNT.unpack_from(data)
    held = data[_ACCOUNT.size :]
    if state == _ZSTD:
        held = _DECOMPRESS(held, max_output_size=DATA_LIMIT)
    account = None if state == _ABSENT else Account(owner, held, lamports)
    version = Version(key, slot, write_version, account, SOURCE, received_ns)
    return AccountUnusable(version, Unusable(unusable)) if unusable else AccountChanged(version)


def _read_slot(data: bytes) -> SlotSeen:
    return SlotSeen(*_SLOT.unpack(data))


def _read_revert(data: bytes) -> Reverted:
    slots, keys = _REVERT.unpack_from(data)
    keys_at = _REVERT.size + 8 * slots
    taken = frozenset(int.from_bytes(data[at : at + 8], "little") for at in range(_REVERT.size, keys_at, 8))
    return Reverted(taken, _keys(data, keys_at, keys))


def _read_live(data: bytes) -> SourceLive:
    slot, first = _LIVE.unpack_from(data)
    return SourceLive(data[_LIVE.size :].decode("utf-8", "replace"), slot, bool(first))


def _read_lost(data: bytes) -> SourceLost:
    last, size = _LOST.unpack_from(data)
    name, reason = data[_LOST.size : _LOST.size + size], data[_LOST.size + size :]
    return SourceLost(name.decode("utf-8", "replace"), reason.decode("utf-8", "replace"), bool(last))


def _read_survey(data: bytes) -> Surveyed:
    left_out, mints, count = _SURVEY.unpack_from(data)
    listed = _keys(data, _SURVEY.size, mints)
    at, pools = _SURVEY.size + 32 * mints, {}
    for _ in range(count):
        (key,) = _keys(data, at, 1)
        (needs,) = _COUNT.unpack_from(data, at + 32)
        pools[key] = _keys(data, at + 36, needs)
        at += 36 + 32 * needs
    return Surveyed(pools, listed, left_out)


def _keys(data: bytes, at: int, count: int) -> tuple[bytes, ...]:
    if at + 32 * count > len(data):
        raise ValueError("fewer keys than told")
    return tuple(data[place : place + 32] for place in range(at, at + 32 * count, 32))


SOURCE: Final = "capture"
_DECODERS: Final = {
    ACCOUNT: _read_account,
    SLOT: _read_slot,
    REVERT: _read_revert,
    LIVE: _read_live,
    LOST_SOURCE: _read_lost,
    SURVEY: _read_survey,
}
