"""Time stamps of another machine, put on this machine's clock.

A record's ``*_ns`` stamps are CLOCK_MONOTONIC of the machine that wrote it and mean nothing here. They are
moved by one offset for the whole record, so that every interval within it stays as it was, and its newest
stamp says how old the record is by this machine's clock:

* ``Hft-Clock-Ns``, a header of the sidecar: unix time minus monotonic time of its machine. The record's age
  is this machine's unix time minus that of its newest stamp. It needs wall clocks that agree (NTP: some ms).
* ``Hft-Taken-Unix-Ns``, of records that an earlier run left in its journal: when they were journaled.
* the time at which the server stored the message, always: no record is younger than that.

The greatest of these ages counts: an error makes a record look older than it is, and what is too old is not
traded on. An age below zero is a wall clock that is ahead; it counts as 0 and is told.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from hft import wire

CLOCK_HEADER: Final = "Hft-Clock-Ns"
TAKEN_HEADER: Final = "Hft-Taken-Unix-Ns"


class Now(NamedTuple):
    """One moment of this machine by both of its clocks, ns."""

    monotonic_ns: int
    unix_ns: int


class Restamped(NamedTuple):
    """A message on this machine's clock. ``age_ns``: since its newest stamp, at least 0; ``ahead``: was it
    from the future by its own clock?"""

    message: bytes
    age_ns: int
    ahead: bool


def stamps_of(codec: wire.Codec) -> tuple[int, ...]:
    """Positions of a record's monotonic stamps among its fields: signed ``*_ns`` that are not unix time.
    Durations are unsigned."""
    return _STAMPS[codec.identifier]


def restamp(data: bytes, headers: Mapping[str, str], stored_unix_ns: int, now: Now) -> Restamped:
    """The message ``data`` with its stamps on this machine's clock, all else as it was.

    ``headers``: of the NATS message; ``stored_unix_ns``: when the server stored it. Raises ``WireError`` when
    it is no valid message of any type, or its stamps can't be moved.
    """
    codec = wire.codec_of(data)
    codec.verify(data)
    values: list[Any] = list(codec.decode(data))
    places = _STAMPS[codec.identifier]
    newest_ns = max((values[place] for place in places if _past(codec, place)), default=0)
    ages = [now.unix_ns - stored_unix_ns]
    clock_ns, taken_ns = _number(headers, CLOCK_HEADER), _number(headers, TAKEN_HEADER)
    own_age_ns = 0
    if clock_ns is not None and newest_ns:
        own_age_ns = now.unix_ns - (newest_ns + clock_ns)
        ages.append(own_age_ns)
    if taken_ns is not None:
        ages.append(now.unix_ns - taken_ns)
    age_ns = max(0, *ages)
    shift_ns = now.monotonic_ns - age_ns - newest_ns
    if newest_ns:
        for place in places:
            if values[place]:
                values[place] += shift_ns
    message = bytearray(codec.size)
    codec.encode_into(message, *values)
    return Restamped(bytes(message), age_ns, own_age_ns < 0)


def _number(headers: Mapping[str, str], name: str) -> int | None:
    text = headers.get(name, "")
    return int(text) if len(text) <= 20 and text.isascii() and text.removeprefix("-").isdigit() else None


def _past(codec: wire.Codec, place: int) -> bool:
    """Is it a stamp of something that has been, not of something to come?"""
    return codec.layout.fields[place].name != "expires_ns"


_STAMPS: Mapping[bytes, tuple[int, ...]] = {
    codec.identifier: tuple(
        place
        for place, field in enumerate(codec.layout.fields)
        if field.code == "q" and field.name.endswith("_ns") and not field.name.endswith("unix_ns")
    )
    for codec in wire.CODECS
}
