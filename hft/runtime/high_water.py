"""What a stream holds of a journal's messages behind its mark: read back from it at each connection."""

from typing import Any

import nats.errors
import nats.js.errors
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, DeliverPolicy, RawStreamMsg, StreamInfo

from hft.runtime.journal_mark import UNKNOWN, Mark
from hft.runtime.lane import Held
from hft.runtime.nats_asking import persistently

WALK_LIMIT = 4096
"""Messages looked at, backwards, for the newest of ours in a stream that has lost its end."""

READ_TIMEOUT_S = 5.0

FEW = 32
"""Up to so many messages are read one by one: without a leader of their own the servers make no consumer."""


async def held_behind(
    js: JetStreamContext, stream: str, link: str, mark: Mark | None, *, fresh: bool
) -> Held:
    """Which of the link's messages the stream holds behind ``mark``. ``fresh``: none can be there.

    Raises nats.errors.Error when the server does not answer, or the stream is not there.
    """
    info = await persistently(lambda: js.stream_info(stream))
    incarnation = _incarnation(info)
    # An empty stream says that its first message is 0, or the one after its last.
    first, last = max(info.state.first_seq, 1), info.state.last_seq
    if fresh:
        return Held(incarnation, last, ())
    begin = first
    if mark is not None and mark.incarnation == incarnation:
        if await _has_lost_its_end(js, stream, link, mark, info):
            return await _newest(js, stream, link, info, incarnation)
        begin = max(first, mark.stream_sequence + 1)
    ids = [] if begin > last else await _ids(js, stream, link, begin, last)
    return Held(incarnation, last, ids)


async def _has_lost_its_end(
    js: JetStreamContext, stream: str, link: str, mark: Mark, info: StreamInfo
) -> bool:
    """Whether the message at the mark is not what was acknowledged there: a server can lose acknowledged
    messages when its machine loses power."""
    if mark.stream_sequence > info.state.last_seq:
        return True
    if mark.sequence == UNKNOWN or mark.stream_sequence < info.state.first_seq:
        return False
    message = await _message(js, stream, mark.stream_sequence)
    return message is not None and _ours(message, link) != (mark.run.hex(), mark.sequence)


async def _newest(js: JetStreamContext, stream: str, link: str, info: StreamInfo, incarnation: int) -> Held:
    last = info.state.last_seq
    for sequence in range(last, max(info.state.first_seq, last - WALK_LIMIT) - 1, -1):
        message = await _message(js, stream, sequence)
        found = None if message is None else _ours(message, link)
        if found is not None:
            return Held(incarnation, sequence, (), found)
    return Held(incarnation, last, ())


async def _ids(js: JetStreamContext, stream: str, link: str, begin: int, last: int) -> list[tuple[str, int]]:
    if last - begin < FEW:
        each = [await _message(js, stream, sequence) for sequence in range(begin, last + 1)]
        return [own for message in each if message is not None and (own := _ours(message, link))]
    config = ConsumerConfig(
        deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=begin, headers_only=True
    )
    subscription = await js.subscribe(">", stream=stream, ordered_consumer=True, config=config)
    found: list[tuple[str, int]] = []
    try:
        place = begin - 1
        while place < last:
            message = await subscription.next_msg(timeout=READ_TIMEOUT_S)
            metadata = message.metadata
            place = metadata.sequence.stream
            if (own := _parsed(message.headers, link)) is not None:
                found.append(own)
            if not metadata.num_pending:
                break
    finally:
        await subscription.unsubscribe()
    return found


async def _message(js: JetStreamContext, stream: str, sequence: int) -> RawStreamMsg | None:
    """The message at that place, None if it was deleted."""
    try:
        return await persistently(lambda: js.get_msg(stream, sequence))
    except nats.js.errors.NotFoundError:
        return None


def _ours(message: RawStreamMsg, link: str) -> tuple[str, int] | None:
    return _parsed(message.headers, link)


def _parsed(headers: dict[str, Any] | None, link: str) -> tuple[str, int] | None:
    """Run and sequence of a message of this link, None if it is another's."""
    parts = (headers or {}).get("Nats-Msg-Id", "").split(":")
    if len(parts) != 3 or parts[1] != link or not parts[2].isdigit():
        return None
    return parts[0], int(parts[2])


def _incarnation(info: StreamInfo) -> int:
    """When the stream was made, in us: a stream that is deleted and made again counts from 1 again."""
    created: Any = info.created
    return int(created.timestamp() * 1_000_000) if created is not None else 1
