"""A stream's messages in order, by a durable pull consumer with explicit acknowledgements, from a thread.

The thread connects, keeps the server asked for more, and hands messages over through a bounded queue; the
duty cycle takes them and says what became of each. A consumer counts its deliveries without a gap; where one
is missing (lost with a connection, or told to nobody as a server died) the consumer is made anew behind the
last message that was handed over, so that nothing overtakes and nothing is left out.
"""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

import nats.errors
import nats.js.errors
import orjson
import uvloop
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, ConsumerInfo, DeliverPolicy

from hft.runtime.exit_codes import ExitCode, HftError
from hft.runtime.nats_asking import persistently
from hft.runtime.nats_options import ConnectOptions, connect_session

WINDOW: Final = 2048
"""Messages asked for and not yet handed back: as many may wait here."""

PULL_BELOW: Final = WINDOW // 2
PULL_EXPIRES_S: Final = 30
FULL_S: Final = 0.002
"""Time between two looks for room in a full queue."""

HEARTBEAT_S: Final = 0.5
SILENCE_S: Final = 3 * HEARTBEAT_S
ACK_WAIT_S: Final = 30.0
BACKOFF_FIRST_S: Final = 0.02
BACKOFF_LIMIT_S: Final = 1.0
REQUEST_S: Final = 2.0
JOIN_S: Final = 5.0

_TROUBLE = (OSError, RuntimeError, nats.errors.Error, TimeoutError)


class Delivery(NamedTuple):
    """One message. ``pending``: messages behind it in the stream; ``reply``: where its end is told."""

    stream_sequence: int
    incarnation: int
    stored_unix_ns: int
    headers: dict[str, str]
    data: bytes
    reply: str
    pending: int


class Begin(NamedTuple):
    """Where a consumer begins: behind ``stream_sequence`` of that incarnation of the stream; 0: at the
    oldest message there is."""

    incarnation: int
    stream_sequence: int


class Source:
    """From ``start`` to ``close``. Counts: ``connects``, ``failures`` (sessions that could not begin),
    ``resets`` (consumers made anew), ``redelivered``; ``pending``: messages that wait in the stream.

    stream: its name. consumer: name of the durable consumer. subject: only these, empty for all. begin: asked
    each time a consumer is made. say: takes a line for the log.
    """

    def __init__(
        self,
        options: ConnectOptions,
        stream: str,
        consumer: str,
        subject: str,
        begin: Begin,
        say: Callable[[str], None],
    ) -> None:
        self.connects = self.failures = self.resets = self.redelivered = self.pending = 0
        self.connected = False
        self._options = options
        self._stream = stream
        self._consumer = consumer
        self._subject = subject
        self._at = begin
        self._say = say
        self._queue: deque[Delivery] = deque()
        self._arrived = threading.Event()
        self._loop = uvloop.new_event_loop()
        self._closing = asyncio.Event()
        self._nudge = asyncio.Event()
        self._out_of_step = False
        self._client: Client | None = None
        self._asked = 0
        self._expected = 0
        self._heard_s = 0.0
        self._told_trouble = False
        self._thread = threading.Thread(target=self._run, name="bridge", daemon=True)

    def start(self) -> None:
        """Begin to connect; NATS may be away."""
        self._thread.start()

    def close(self) -> None:
        """End the connection and the thread, what was said before having gone out."""
        if self._thread.is_alive():
            self._call(self._end)
            self._thread.join(JOIN_S)

    def _end(self) -> None:
        self._closing.set()
        self._nudge.set()

    @property
    def waiting(self) -> int:
        """Messages that wait to be taken here."""
        return len(self._queue)

    def take(self, limit: int) -> list[Delivery]:
        """At most ``limit`` messages, in order."""
        queue = self._queue
        return [queue.popleft() for _ in range(min(limit, len(queue)))]

    def wait(self, timeout_ns: int) -> None:
        """Sleep until a message waits, or the time has passed."""
        self._arrived.clear()
        if not self._queue:
            self._arrived.wait(timeout_ns / 1e9)

    def pause(self, timeout_ns: int) -> None:
        """Sleep, whatever waits."""
        self._arrived.clear()
        self._arrived.wait(timeout_ns / 1e9)

    def finish(self, acknowledged: Iterable[str], terminated: Iterable[str] = ()) -> None:
        """Tell the server of messages, by ``reply``: done with; never to be delivered again."""
        self._call(self._tell, tuple(acknowledged), tuple(terminated))

    def aside(self, work: Callable[[], None]) -> None:
        """Have the thread do something that may take some ms."""
        self._call(work)

    def _call(self, work: Callable[..., None], *arguments: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(work, *arguments)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._go_on())
        finally:
            self._loop.close()

    async def _go_on(self) -> None:
        """One session after the other, with back-off, until closed."""
        delay_s = BACKOFF_FIRST_S
        while not self._closing.is_set():
            try:
                await self._session()
                delay_s = BACKOFF_FIRST_S
            except (*_TROUBLE, HftError) as error:
                self.failures += 1
                self._complain(error)
                delay_s = min(2 * delay_s, BACKOFF_LIMIT_S)
            self.connected, self._client = False, None
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), delay_s)

    def _complain(self, error: BaseException) -> None:
        if not self._told_trouble:
            self._told_trouble = True
            self._say(f"NATS at {self._options} can't be used, trying on: {error or repr(error)}")

    async def _session(self) -> None:
        """One connection, from its first word to its end."""
        ended = asyncio.Event()

        async def closed() -> None:
            ended.set()
            self._nudge.set()

        async def trouble(_error: Exception) -> None:
            return

        client = await connect_session(self._options, "hft-bridge", closed_cb=closed, error_cb=trouble)
        try:
            js = client.jetstream(timeout=REQUEST_S)
            while not (ended.is_set() or self._closing.is_set()):
                await self._step_in(js)
                self._client = client
                self.connects += not self.connected
                self.connected, self._told_trouble = True, False
                await self._follow(client, ended)
            if self._closing.is_set() and not ended.is_set():
                await client.flush(2)
        finally:
            self.connected = False
            with contextlib.suppress(*_TROUBLE):
                await asyncio.wait_for(client.close(), 2)

    async def _follow(self, client: Client, ended: asyncio.Event) -> None:
        """Keep the server asked for more, until the connection, the order or the server's voice is lost."""
        self._out_of_step = False
        self._asked = 0
        self._heard_s = self._loop.time()
        # An inbox of its own: what an earlier consumer still sends must not get in.
        inbox = client.new_inbox()
        subscription = await client.subscribe(inbox, cb=self._on_message, pending_msgs_limit=4 * WINDOW)
        try:
            while not (ended.is_set() or self._closing.is_set() or self._out_of_step):
                await self._ask(client, inbox)
                self._nudge.clear()
                # Without room it is the duty cycle that makes some, which does not nudge.
                patience_s = FULL_S if self._asked < PULL_BELOW else HEARTBEAT_S / 2
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._nudge.wait(), patience_s)
        finally:
            with contextlib.suppress(*_TROUBLE):
                await subscription.unsubscribe()

    async def _ask(self, client: Client, inbox: str) -> None:
        """Ask for as many messages as there is room for; raises TimeoutError when nothing is heard."""
        room = WINDOW - self._asked - len(self._queue)
        if not self._asked:
            self._heard_s = self._loop.time()
        if self._asked < PULL_BELOW and room > 0:
            wanted = {
                "batch": room,
                "expires": int(PULL_EXPIRES_S * 1e9),
                "idle_heartbeat": int(HEARTBEAT_S * 1e9),
            }
            subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._consumer}"
            await client.publish(subject, orjson.dumps(wanted), reply=inbox)
            self._asked += room
        silent_s = self._loop.time() - self._heard_s
        if silent_s > SILENCE_S:
            raise TimeoutError(f"the consumer of {self._stream} has been silent for {silent_s:.1f} s")

    async def _step_in(self, js: JetStreamContext) -> None:
        """A consumer that goes on behind the last message handed over."""
        stream = await persistently(lambda: js.stream_info(self._stream), REQUEST_S)
        created: Any = stream.created
        incarnation = int(created.timestamp() * 1_000_000)
        at = self._at
        if at.incarnation != incarnation or at.stream_sequence > stream.state.last_seq:
            # Another stream of that name, or one that has lost its end: what we have had is known by its id.
            at = Begin(incarnation, 0)
        info = await self._consumer_info(js)
        if info is not None and self._goes_on(info, at):
            assert info.delivered is not None
            self._expected = info.delivered.consumer_seq + 1
        else:
            await self._make_consumer(js, info, at)
            self._expected = 1
        self._at = at

    async def _consumer_info(self, js: JetStreamContext) -> ConsumerInfo | None:
        try:
            return await persistently(lambda: js.consumer_info(self._stream, self._consumer), REQUEST_S)
        except nats.js.errors.NotFoundError:
            return None

    def _goes_on(self, info: ConsumerInfo, at: Begin) -> bool:
        """Would the consumer's next delivery be the next message?"""
        delivered = info.delivered
        same = (info.config.filter_subject or "") == self._subject
        return same and delivered is not None and delivered.stream_seq <= at.stream_sequence

    async def _make_consumer(self, js: JetStreamContext, old: ConsumerInfo | None, at: Begin) -> None:
        if old is not None:
            self.resets += 1
            with contextlib.suppress(nats.js.errors.NotFoundError):
                await js.delete_consumer(self._stream, self._consumer)
        config = ConsumerConfig(
            durable_name=self._consumer,
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE if at.stream_sequence else DeliverPolicy.ALL,
            opt_start_seq=at.stream_sequence + 1 if at.stream_sequence else None,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=ACK_WAIT_S,
            max_ack_pending=-1,
            filter_subject=self._subject or None,
        )
        try:
            await js.add_consumer(self._stream, config)
        except nats.js.errors.BadRequestError as error:
            raise HftError(
                f"{self._stream}: no consumer may be made: {error.description}", ExitCode.NATS
            ) from error

    async def _on_message(self, message: Msg) -> None:
        self._heard_s = self._loop.time()
        headers = message.headers or {}
        if not message.reply.startswith("$JS.ACK."):
            self._on_status(headers)
            return
        # $JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.<consumer seq>.<unix ns>.<pending>, and
        # $JS.ACK.<domain>.<account>.<stream>.… with a token behind it.
        tokens = message.reply.split(".")
        place = 4 if len(tokens) == 9 else 6
        deliveries, stream_sequence, number, stored_unix_ns, pending = map(int, tokens[place : place + 5])
        self._asked = max(0, self._asked - 1)
        self.pending = pending
        if deliveries > 1:
            self.redelivered += 1
        behind = stream_sequence <= self._at.stream_sequence
        if self._out_of_step or (number != self._expected and not behind):
            self._leave_step()
            return
        self._expected = number + 1
        if behind:
            self._tell((message.reply,), ())
            return
        self._at = Begin(self._at.incarnation, stream_sequence)
        self._queue.append(
            Delivery(
                stream_sequence,
                self._at.incarnation,
                stored_unix_ns,
                headers,
                message.data,
                message.reply,
                pending,
            )
        )
        if not self._arrived.is_set():
            self._arrived.set()
        if self._asked < PULL_BELOW:
            self._nudge.set()

    def _on_status(self, headers: dict[str, str]) -> None:
        """A heartbeat, or the end of a request."""
        status = headers.get("Status", "")
        if status == "100":
            return
        if status in ("404", "408"):
            left = headers.get("Nats-Pending-Messages", "")
            self._asked = max(0, self._asked - int(left)) if left.isdigit() else 0
            return
        # 409: the consumer was deleted, has another leader, or the server goes down.
        self._asked = 0
        self._leave_step()

    def _leave_step(self) -> None:
        self._out_of_step = True
        self._nudge.set()

    def _tell(self, acknowledged: tuple[str, ...], terminated: tuple[str, ...]) -> None:
        client = self._client
        if client is None or not client.is_connected:
            return
        self._loop.create_task(_write(client, acknowledged, terminated))


async def _write(client: Client, acknowledged: tuple[str, ...], terminated: tuple[str, ...]) -> None:
    with contextlib.suppress(*_TROUBLE):
        for reply in acknowledged:
            await client.publish(reply, b"+ACK")
        for reply in terminated:
            await client.publish(reply, b"+TERM")
