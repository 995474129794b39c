"""The connection to JetStream: sends what lanes hold, from a duty cycle, and never blocks it.

Every message carries a deterministic `Nats-Msg-Id`, so anything in doubt is simply sent again: JetStream
stores an id once within the stream's duplicate window. All acknowledgements come to one shared inbox.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import nats
import nats.errors
import nats.js.errors
import uvloop
from nats.aio.client import Client
from nats.aio.msg import Msg

from hft.runtime import streams
from hft.runtime.exit_codes import HftError
from hft.runtime.lane import Lane, Message

BURST = 64
"""Messages sent in a row before the other lanes, and the loop, have their turn."""

LOOK_FIRST_S = 0.001
LOOK_LIMIT_S = 0.005
"""Time between two looks at whether a wait may end; doubles with each wait that was in vain."""

ACKNOWLEDGE_LIMIT_NS = 5_000_000_000
BACKOFF_FIRST_S = 0.05
BACKOFF_LIMIT_S = 2.0

# From a socket's bytes to our callback lie the stream reader, the subscription's queue and its task.
_HOPS = 4

# What a connection that breaks in mid-call raises; RuntimeError is uvloop's, for a closed transport.
_BROKEN = (OSError, RuntimeError, nats.errors.Error)

# The server answers with an empty message when no stream takes the subject.
_NO_RESPONDERS = b'{"error": "no stream takes the subject"}'


class Publisher:
    """Sends what its lanes hold; owns an event loop that moves only in `step`, `wait` and `close`.

    lanes: in order of precedence. monotonic_ns: the clock. on_acknowledged: told of each answered message.
    say: takes a line for the log, about the connection's ups and downs.
    Counts: `connects`, `failures` (attempts to connect that failed), `differences` (settings of streams
    that are not as the table says).
    """

    def __init__(
        self,
        url: str,
        run: str,
        lanes: Sequence[Lane],
        *,
        table: Iterable[streams.Stream],
        monotonic_ns: Callable[[], int],
        on_acknowledged: Callable[[Message], None],
        say: Callable[[str], None],
    ) -> None:
        self.connects = 0
        self.failures = 0
        self.differences = 0
        self._url = url
        self._run = run
        self._lanes = tuple(lanes)
        self._table = tuple(table)
        self._monotonic_ns = monotonic_ns
        self._on_acknowledged = on_acknowledged
        self._say = say
        self._client: Client | None = None
        # A cancellation alone is not enough: asyncio.wait_for loses one that meets its result.
        self._closing = False
        self._last_error: Exception | None = None
        self._inbox = ""
        self._progress_ns = [0] * len(self._lanes)
        self._refusals = 0
        self._look_s = LOOK_FIRST_S
        self._loop = uvloop.new_event_loop()
        self._wake = asyncio.Event()
        self._trouble = asyncio.Event()
        self._tasks: tuple[asyncio.Task[None], ...] = ()

    @property
    def connected(self) -> bool:
        """Whether the server can be reached and holds the streams."""
        return self._client is not None

    @property
    def backlog(self) -> int:
        """Messages of all lanes the server is not known to have."""
        return sum(lane.backlog for lane in self._lanes)

    def start(self) -> None:
        """Begin to connect; `step` and `wait` carry it on."""
        self._tasks = (
            self._loop.create_task(self._keep_connected()),
            self._loop.create_task(self._send()),
        )

    def step(self) -> None:
        """Send what waits and take what has come; returns at once."""
        if any(lane.waiting for lane in self._lanes):
            self._wake.set()
        self._loop.call_soon(self._hop, _HOPS)
        self._loop.run_forever()
        self._check_tasks()

    def wait(self, timeout_ns: int, ready: Callable[[], bool]) -> None:
        """The same for at most `timeout_ns`, asleep while the network is silent, until `ready` says so.

        It is asked again and again: what it looks at, shared memory, can't wake a sleep on sockets.
        """
        if any(lane.waiting for lane in self._lanes):
            self._wake.set()
        end_ns = self._monotonic_ns() + timeout_ns

        def look() -> None:
            if ready():
                self._look_s = LOOK_FIRST_S
                self._loop.stop()
            elif self._monotonic_ns() >= end_ns:
                self._look_s = min(2 * self._look_s, LOOK_LIMIT_S)
                self._loop.stop()
            else:
                self._loop.call_later(self._look_s, look)

        self._loop.call_later(min(self._look_s, timeout_ns / 1e9), look)
        self._loop.run_forever()
        self._check_tasks()

    def close(self, timeout_s: float = 2.0) -> None:
        """End the connection and the loop; what is in the lanes stays there."""
        if self._loop.is_closed():
            return
        self._closing = True
        for task in self._tasks:
            task.cancel()
        self._loop.run_until_complete(self._end(timeout_s))
        self._loop.close()

    def _hop(self, left: int) -> None:
        if left:
            self._loop.call_soon(self._hop, left - 1)
        else:
            self._loop.stop()

    def _check_tasks(self) -> None:
        """A task that ended has failed: let its error end the service rather than fall silent."""
        for task in self._tasks:
            if task.done():
                task.result()

    async def _end(self, timeout_s: float) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)
        if self._client is not None:
            await self._close_client(self._client, timeout_s)

    async def _close_client(self, client: Client, timeout_s: float = 2.0) -> None:
        try:
            await asyncio.wait_for(client.close(), timeout_s)
        except _BROKEN as error:
            self._say(f"the connection to NATS did not close in order: {error!r}")

    async def _keep_connected(self) -> None:
        """Connect, watch, and connect again with back-off, for ever."""
        delay_s = BACKOFF_FIRST_S
        while not self._closing:
            client = None
            try:
                client = await self._connect()
                await self._prepare(client)
            except (*_BROKEN, HftError) as error:
                self.failures += 1
                if delay_s == BACKOFF_FIRST_S:
                    cause = self._last_error if isinstance(error, nats.errors.NoServersError) else error
                    self._say(f"NATS at {self._url} can't be used, trying on: {cause!r}")
                if client is not None:
                    await self._close_client(client)
                await asyncio.sleep(delay_s * random.uniform(0.5, 1.0))
                delay_s = min(2 * delay_s, BACKOFF_LIMIT_S)
                continue
            delay_s = BACKOFF_FIRST_S
            self.connects += 1
            self._client = client
            self._release()
            self._say(f"publishes to NATS at {self._url}")
            await self._watch(client)
            self._client = None
            repeats = sum(lane.rewind() for lane in self._lanes)
            self._say(f"the connection to NATS has ended; {repeats} messages will be sent again")

    async def _connect(self) -> Client:
        """One attempt. The client may not reconnect by itself: its leftovers would overtake our repeats."""

        async def closed() -> None:
            self._trouble.set()

        async def note(error: Exception) -> None:
            self._last_error = error

        return await nats.connect(
            self._url,
            name="hft-sidecar",
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            connect_timeout=2,
            ping_interval=5,
            closed_cb=closed,
            error_cb=note,
        )

    async def _prepare(self, client: Client) -> None:
        """See to the streams (those in memory vanish with the server) and to the inbox."""
        ensured = await streams.ensure(client.jetstream(), self._table)
        self.differences = len(ensured.differences)
        for difference in ensured.differences:
            self._say(f"stream {difference}")
        self._inbox = client.new_inbox()
        await client.subscribe(f"{self._inbox}.>", cb=self._on_answer)

    async def _watch(self, client: Client) -> None:
        """Until the connection ends: see to refusals and to answers that never came."""
        while not (client.is_closed or self._closing):
            try:
                await asyncio.wait_for(self._trouble.wait(), 1.0)
            except TimeoutError:
                self._repeat_overdue()
                continue
            self._trouble.clear()
            if not client.is_closed:
                await asyncio.sleep(min(BACKOFF_FIRST_S * 2 ** min(self._refusals, 10), BACKOFF_LIMIT_S))
                try:
                    await streams.ensure(client.jetstream(), self._table)
                except (*_BROKEN, HftError) as error:
                    self._say(f"the streams can't be put in order: {error!r}")
                self._release()

    def _release(self) -> None:
        """Let all lanes send."""
        self._trouble.clear()
        self._progress_ns = [self._monotonic_ns()] * len(self._lanes)
        for lane in self._lanes:
            lane.held = False
        self._wake.set()

    def _repeat_overdue(self) -> None:
        """Send again what a lane has in flight if no answer came to it for too long."""
        now_ns = self._monotonic_ns()
        for number, lane in enumerate(self._lanes):
            if not lane.flying:
                self._progress_ns[number] = now_ns
            elif now_ns - self._progress_ns[number] > ACKNOWLEDGE_LIMIT_NS:
                lane.rewind()
                self._progress_ns[number] = now_ns
                self._wake.set()

    async def _send(self) -> None:
        """Send what may be sent, lane by lane, whenever something wakes it."""
        while not self._closing:
            await self._wake.wait()
            self._wake.clear()
            more = True
            while more and (client := self._client) is not None:
                more = False
                for number, lane in enumerate(self._lanes):
                    try:
                        more |= await self._send_burst(client, number, lane)
                    except _BROKEN:
                        # The connection has ended, and its watch may have taken back all before this one.
                        lane.rewind()
                        more = False
                        break
                await asyncio.sleep(0)

    async def _send_burst(self, client: Client, number: int, lane: Lane) -> bool:
        """At most `BURST` messages of one lane; whether there may be more."""
        for _ in range(BURST):
            sent = lane.next()
            if sent is None:
                return False
            message, ask = sent
            await client.publish(
                message.subject,
                message.payload,
                reply=f"{self._inbox}.{number}.{lane.epoch}.{message.sequence}" if ask else "",
                headers={"Nats-Msg-Id": f"{self._run}:{lane.name}:{message.sequence}"},
            )
        return True

    async def _on_answer(self, answer: Msg) -> None:
        """One acknowledgement, or the server's refusal."""
        number, epoch, sequence = (int(part) for part in answer.subject[len(self._inbox) + 1 :].split("."))
        lane = self._lanes[number]
        content: dict[str, Any] = json.loads(answer.data or _NO_RESPONDERS)
        if "error" in content:
            if lane.refuse(epoch):
                if self._refusals == 0:
                    self._say(f"NATS refuses a message of {lane.name}, trying on: {content['error']}")
                self._refusals += 1
                self._trouble.set()
            return
        message = lane.acknowledge(epoch, sequence, content["seq"], duplicate=bool(content.get("duplicate")))
        if message is not None:
            self._refusals = 0
            self._progress_ns[number] = self._monotonic_ns()
            self._on_acknowledged(message)
        if lane.waiting:
            self._wake.set()
