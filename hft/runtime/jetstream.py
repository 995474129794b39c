"""The sidecar's connection to JetStream: sends what lanes hold, from a duty cycle, and never blocks it.

Publishing is the bare protocol (``nats_wire``). What may take long, connecting, making streams and reading
back what they hold, is done by a thread with nats-py; the duty cycle looks whether it is done.
"""

import asyncio
import contextlib
import os
import random
import secrets
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from typing import NamedTuple

import nats.errors

from hft.runtime import high_water, nats_options, nats_wire, streams
from hft.runtime.exit_codes import HftError
from hft.runtime.journal_mark import Mark
from hft.runtime.lane import Held, Lane
from hft.runtime.nats_options import ConnectOptions
from hft.runtime.nats_wire import Wire, WireBroken

NAME = "hft-sidecar"

BURST = 256
"""Messages of one lane sent in a row, a flight, before the others have their turn. A small part of the lane's
window: its place is free again when all of it is answered."""

UNSENT_LIMIT = 1 << 20
"""Bytes that wait for the socket above which no more are added."""

LOOK_FIRST_MS = 1.0
LOOK_LIMIT_MS = 5.0
"""Time between two looks at whether a wait may end; doubles with each wait that was in vain."""

ACKNOWLEDGE_LIMIT_NS = 5_000_000_000
PING_NS = 2_000_000_000
BACKOFF_FIRST_NS = 50_000_000
BACKOFF_LIMIT_NS = 2_000_000_000

_BROKEN = (OSError, nats.errors.Error, WireBroken, HftError)


class Prepared(NamedTuple):
    """What the thread brings: a connection (None where only the streams were seen to); what the streams of
    lanes hold; by stream, the settings that are not as the table says; streams for which nobody answered, as
    happens while no server leads them."""

    wire: Wire | None
    held: dict[int, Held]
    differences: dict[str, tuple[streams.Difference, ...]]
    silent: tuple[str, ...]


class Publisher:
    """Sends what its lanes hold; moves only in ``step``, ``wait`` and ``close``.

    lanes: in order of precedence, each with its stream's name. monotonic_ns: the clock. say: takes a line for
    the log, about the connection's ups and downs.
    Counts: ``connects``, ``failures`` (attempts to connect that failed).
    """

    def __init__(
        self,
        options: ConnectOptions,
        lanes: Sequence[tuple[str, Lane]],
        *,
        table: Iterable[streams.Stream],
        monotonic_ns: Callable[[], int],
        say: Callable[[str], None],
    ) -> None:
        self.connects = 0
        self.failures = 0
        self._differences: dict[str, tuple[streams.Difference, ...]] = {}
        self._options = options
        self._streams = tuple(stream for stream, _ in lanes)
        self._lanes = tuple(lane for _, lane in lanes)
        self._table = tuple(table)
        self._monotonic_ns = monotonic_ns
        self._say = say
        self.away = False
        """Whether the last attempt to connect failed."""
        self._wire: Wire | None = None
        self._progress_ns = [0] * len(self._lanes)
        self._heard_ns = 0
        self._asked = False
        self._backoff_ns = BACKOFF_FIRST_NS
        self._retry_ns = 0
        self._refusals = 0
        self._look_ms = LOOK_FIRST_MS
        self._work: Future[Prepared] | None = None
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="nats")

    @property
    def connected(self) -> bool:
        """Whether the server can be reached and holds the streams."""
        return self._wire is not None

    @property
    def differences(self) -> int:
        """Settings of streams that are not as the table says."""
        return sum(map(len, self._differences.values()))

    @property
    def backlog(self) -> int:
        """Messages of all lanes the streams are not known to have."""
        return sum(lane.backlog for lane in self._lanes)

    def step(self) -> None:
        """Take what has come and send what waits; returns at once."""
        if self._work is not None and self._work.done():
            self._take_over(self._work)
        now_ns = self._monotonic_ns()
        if self._wire is None:
            if self._work is None and now_ns >= self._retry_ns:
                self._begin(range(len(self._lanes)), connect=True)
            return
        try:
            self._receive(self._wire, now_ns)
            self._send(self._wire)
            self._check(self._wire, now_ns)
        except WireBroken as error:
            self._drop(str(error))

    def wait(self, timeout_ns: int, ready: Callable[[], bool]) -> None:
        """Asleep while the network is silent, at most ``timeout_ns``, until ``ready`` says so; then a step.

        It is asked again and again: what it looks at, shared memory, can't wake a sleep on sockets.
        """
        self.step()
        end_ns = self._monotonic_ns() + timeout_ns
        while not ready():
            left_ns = end_ns - self._monotonic_ns()
            if left_ns <= 0:
                self._look_ms = min(2 * self._look_ms, LOOK_LIMIT_MS)
                return
            nats_wire.wait(self._wire, self._wake, min(self._look_ms, left_ns / 1e6))
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._wake)
            self.step()
        self._look_ms = LOOK_FIRST_MS

    def close(self) -> None:
        """End the connection; what is in the lanes stays in their journals."""
        if self._wake < 0:
            return
        self._thread.shutdown(wait=True, cancel_futures=True)
        if self._work is not None and self._work.done() and not self._work.cancelled():
            with contextlib.suppress(*_BROKEN):
                prepared = self._work.result()
                if prepared.wire is not None:
                    prepared.wire.close()
        if self._wire is not None:
            self._wire.close()
            self._wire = None
        os.close(self._wake)
        self._wake = -1

    def _receive(self, wire: Wire, now_ns: int) -> None:
        before = wire.received
        answers = wire.receive()
        if wire.received != before:
            self._heard_ns, self._asked = now_ns, False
        if not answers:
            return
        lanes, progress = self._lanes, self._progress_ns
        for answer in answers:
            lane = lanes[answer.lane]
            if answer.error:
                self._refused(lane, answer.epoch, answer.error, now_ns)
            elif lane.acknowledge(answer):
                progress[answer.lane] = now_ns
        if not answers[-1].error:
            self._refusals = 0

    def _send(self, wire: Wire) -> None:
        """Send what may be sent, lane by lane, as far as the socket takes it."""
        for lane in self._lanes:
            if wire.unsent > UNSENT_LIMIT:
                break
            data = lane.next(BURST, wire.inbox)
            if data:
                wire.send(data)
        if wire.unsent:
            wire.send(b"")

    def _check(self, wire: Wire, now_ns: int) -> None:
        """Answers that never came, a server that is silent, refusals that have waited long enough."""
        for number, lane in enumerate(self._lanes):
            if not lane.flying:
                self._progress_ns[number] = now_ns
            elif now_ns - self._progress_ns[number] > ACKNOWLEDGE_LIMIT_NS:
                raise WireBroken(f"no answer to messages of {lane.name} for {ACKNOWLEDGE_LIMIT_NS / 1e9:g} s")
        if now_ns - self._heard_ns > PING_NS:
            if self._asked and now_ns - self._heard_ns > PING_NS + ACKNOWLEDGE_LIMIT_NS:
                raise WireBroken("the server is silent")
            if not self._asked:
                wire.send(b"PING\r\n")
                self._asked = True
        if self._work is None and now_ns >= self._retry_ns:
            held = [number for number, lane in enumerate(self._lanes) if lane.held]
            if held:
                self._begin(held, connect=False)

    def _refused(self, lane: Lane, epoch: int, error: str, now_ns: int) -> None:
        if not lane.refuse(epoch):
            return
        if self._refusals == 0:
            self._say(f"NATS refuses a message of {lane.name}, trying on: {error}")
        self._retry_ns = now_ns + min(BACKOFF_FIRST_NS << min(self._refusals, 10), BACKOFF_LIMIT_NS)
        self._refusals += 1

    def _drop(self, why: str) -> None:
        """The connection has ended: everything unanswered will be sent again, over another."""
        assert self._wire is not None
        self._wire.close()
        self._wire = None
        for lane in self._lanes:
            lane.held = True
        repeats = sum(lane.rewind() for lane in self._lanes)
        self._say(f"the connection to NATS has ended ({why}); {repeats} messages will be sent again")
        self._retry_ns = self._monotonic_ns()

    def _begin(self, numbers: Iterable[int], *, connect: bool) -> None:
        """Have the thread see to these lanes' streams, and to a connection."""
        wanted = {
            number: (
                self._streams[number],
                self._lanes[number].name,
                self._lanes[number].mark,
                self._lanes[number].fresh,
            )
            for number in numbers
        }
        options = self._options
        # One stream without a leader must not keep another one's lane waiting.
        names = {stream for stream, *_ in wanted.values()}
        table = [row for row in self._table if connect or row.name in names]

        def work() -> Prepared:
            try:
                return _prepare(options, table, wanted, connect=connect)
            finally:
                os.eventfd_write(self._wake, 1)

        self._work = self._thread.submit(work)

    def _take_over(self, work: Future[Prepared]) -> None:
        """What the thread has brought, or why it failed."""
        self._work = None
        now_ns = self._monotonic_ns()
        try:
            prepared = work.result()
        except _BROKEN as error:
            self._failed(error, now_ns)
            return
        if prepared.wire is None and self._wire is None:
            return
        if not prepared.silent:
            self._backoff_ns = BACKOFF_FIRST_NS
        if prepared.wire is not None:
            self.connects += 1
            self.away = False
            self._wire, self._heard_ns, self._asked = prepared.wire, now_ns, False
            for difference in chain.from_iterable(prepared.differences.values()):
                self._say(f"stream {difference}")
            self._say(f"publishes to NATS at {self._options}")
        self._differences |= prepared.differences
        for number, held in prepared.held.items():
            self._lanes[number].resume(held)
            self._progress_ns[number] = now_ns
        if prepared.silent:
            self._failed(TimeoutError(f"no answer for {', '.join(prepared.silent)}"), now_ns)

    def _failed(self, error: BaseException, now_ns: int) -> None:
        if self._backoff_ns == BACKOFF_FIRST_NS:
            what = "can't be used" if self._wire is None else "can't put its streams in order"
            self._say(f"NATS at {self._options} {what}, trying on: {error or type(error).__name__}")
        if self._wire is None:
            self.failures += 1
            self.away = True
        self._retry_ns = now_ns + int(self._backoff_ns * random.uniform(0.5, 1.0))
        self._backoff_ns = min(2 * self._backoff_ns, BACKOFF_LIMIT_NS)


def _prepare(
    options: ConnectOptions,
    table: Sequence[streams.Stream],
    wanted: dict[int, tuple[str, str, Mark | None, bool]],
    *,
    connect: bool,
) -> Prepared:
    """In the thread: a connection if one is wanted, every stream made, and what the wanted ones hold."""
    wire = None
    if connect:
        wire = nats_wire.connect(options, NAME, b"_INBOX.%b." % secrets.token_hex(4).encode())
    try:
        held, differences, silent = asyncio.run(_see_to_streams(options, table, wanted))
    except BaseException:
        if wire is not None:
            wire.close()
        raise
    return Prepared(wire, held, differences, silent)


async def _see_to_streams(
    options: ConnectOptions,
    table: Sequence[streams.Stream],
    wanted: dict[int, tuple[str, str, Mark | None, bool]],
) -> tuple[dict[int, Held], dict[str, tuple[streams.Difference, ...]], tuple[str, ...]]:
    """The rest of ``Prepared``. Raises what is wrong with a stream; ``TimeoutError`` if none answers."""
    errors: list[Exception] = []

    async def note(error: Exception) -> None:
        errors.append(error)

    client = await nats_options.connect(
        options,
        name=f"{NAME}-streams",
        allow_reconnect=False,
        max_reconnect_attempts=1,
        reconnect_time_wait=0,
        connect_timeout=2,
        error_cb=note,
    )
    try:
        js = client.jetstream()
        lanes: dict[int, Held] = {}
        differences: dict[str, tuple[streams.Difference, ...]] = {}

        async def see(row: streams.Stream) -> None:
            differences[row.name] = (await streams.ensure(js, (row,))).differences
            for number, (stream, link, mark, fresh) in wanted.items():
                if stream == row.name:
                    lanes[number] = await high_water.held_behind(js, stream, link, mark, fresh=fresh)

        ends = await asyncio.gather(*map(see, table), return_exceptions=True)
        wrong = [end for end in ends if end is not None]
        worse = [end for end in wrong if not isinstance(end, TimeoutError)]
        if wrong and (worse or len(wrong) == len(table)):
            raise (worse or wrong)[0]
        silent = tuple(row.name for row, end in zip(table, ends, strict=True) if end is not None)
        return lanes, differences, silent
    finally:
        with contextlib.suppress(*_BROKEN):
            await client.close()
