"""The door for commands from outside: a thread that listens on NATS and trips the kill latch itself.

It waits for no duty cycle: from the socket to the latch in shared memory lies one signature check. A halt
takes effect before anything is written to disk; a resume is only ever a request, written down for a person.
"""

import asyncio
import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import nats.errors
import uvloop
from nats.aio.msg import Msg

from hft.runtime import killstate, nonce_file
from hft.runtime.clock import Clock
from hft.runtime.commands import EVERYONE, PREFIX, Command, Gate, Kind, Refusal
from hft.runtime.nats_options import ConnectOptions, connect_session
from hft.wire.enums import KillTrigger

PENDING_LIMIT = 64
"""Commands that wait to be judged; more are lost and counted."""

INBOX = "_INBOX."
BACKOFF_FIRST_S = 0.05
BACKOFF_LIMIT_S = 2.0
JOIN_S = 5.0
CANCEL_S = 1.0

COUNTS: tuple[str, ...] = (
    "commands_in",
    "commands_kill",
    "commands_resume",
    *(f"commands_refused_{reason}" for reason in Refusal),
    "commands_lost",
    "commands_unsaved",
    "commands_connected",
)
"""in = kill + resume + refused, by reason. lost: beyond what may wait; unsaved: heeded, but not on disk."""


class Latch(Protocol):
    """The part of ``ringbuf.Control`` that a door needs."""

    @property
    def killed(self) -> bool: ...

    def trip(self, reason: int, by: str, message: str, monotonic_ns: int, unix_ns: int, /) -> bool: ...


class CommandDoor:
    """Listens from ``start`` to ``close``. ``counts`` may be read at any time.

    senders: public NKey → name. say: takes a line for the log. ``on_latched`` is told of each halt, with the
    time from its arrival to the latch in ns.
    """

    def __init__(
        self,
        options: ConnectOptions,
        control: Latch,
        folder: Path,
        clock: Clock,
        *,
        senders: Mapping[str, str],
        instance: str,
        age_limit_ns: int,
        say: Callable[[str], None],
        on_latched: Callable[[int], None] = lambda _ns: None,
    ) -> None:
        nonces, wrong = nonce_file.load(folder, clock.unix_ns())
        if wrong:
            say(wrong)
        self._gate = Gate(senders, instance, age_limit_ns, nonces)
        self._options = options
        self._control = control
        self._folder = folder
        self._clock = clock
        self._instance = instance
        self._say = say
        self._on_latched = on_latched
        self._counts = dict.fromkeys(COUNTS, 0)
        self._loop = uvloop.new_event_loop()
        self._closing = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="commands", daemon=True)

    def start(self) -> None:
        """Begin to listen; NATS may be away."""
        self._thread.start()

    def close(self) -> None:
        """End the connection and the thread."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._closing.set)
            self._thread.join(JOIN_S)

    def counts(self) -> Mapping[str, int]:
        """Totals since the start, by ``COUNTS``; ``commands_connected`` is 0 or 1."""
        return self._counts

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._listen())
        finally:
            # What the client's close only cancelled ends before the loop does.
            left = asyncio.all_tasks(self._loop)
            for task in left:
                task.cancel()
            if left:
                self._loop.run_until_complete(asyncio.wait(left, timeout=CANCEL_S))
            self._loop.close()

    async def _listen(self) -> None:
        """Connect, listen until the connection ends, and connect again with back-off, until closed."""
        delay_s = BACKOFF_FIRST_S
        while not self._closing.is_set():
            try:
                await self._session()
                delay_s = BACKOFF_FIRST_S
            except (OSError, RuntimeError, nats.errors.Error) as error:
                if delay_s == BACKOFF_FIRST_S:
                    self._say(f"commands can't come in, NATS at {self._options}: {error!r}; trying on")
                delay_s = min(2 * delay_s, BACKOFF_LIMIT_S)
            self._counts["commands_connected"] = 0
            try:
                await asyncio.wait_for(self._closing.wait(), delay_s)
            except TimeoutError:
                continue

    async def _session(self) -> None:
        ended = asyncio.Event()

        async def closed() -> None:
            ended.set()

        async def trouble(error: Exception) -> None:
            if isinstance(error, nats.errors.SlowConsumerError):
                self._counts["commands_lost"] += 1

        client = await connect_session(self._options, "hft-commands", closed_cb=closed, error_cb=trouble)
        try:
            for instance in (self._instance, EVERYONE):
                await client.subscribe(
                    f"{PREFIX}.*.{instance}", cb=self._on_message, pending_msgs_limit=PENDING_LIMIT
                )
            await client.flush(2)
            self._counts["commands_connected"] = 1
            self._say(
                f"commands may come in from NATS at {self._options} for {self._instance} and {EVERYONE}"
            )
            waits = [self._loop.create_task(event.wait()) for event in (ended, self._closing)]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
        finally:
            await asyncio.wait_for(client.close(), 2)

    async def _on_message(self, message: Msg) -> None:
        begin_ns = self._clock.monotonic_ns()
        self._counts["commands_in"] += 1
        verdict = self._gate.judge(
            message.subject, message.headers or {}, message.data, self._clock.unix_ns()
        )
        refusal, result = verdict.refusal, ""
        if verdict.command is not None:
            refusal, result = self._obey(verdict.command, begin_ns)
        if refusal is not None:
            self._counts[f"commands_refused_{refusal}"] += 1
            self._say(f"a command on {message.subject[:64]!r} is refused: {refusal.replace('_', ' ')}")
        # The reply subject is not signed: it must not lead our answer into a stream.
        if verdict.proved and message.reply.startswith(INBOX):
            answer = {"instance": self._instance, "accepted": refusal is None, "result": refusal or result}
            await message.respond(json.dumps(answer).encode())

    def _obey(self, command: Command, begin_ns: int) -> tuple[Refusal | None, str]:
        """Halt, or write a request down; what came of it."""
        by = f"{command.sender}: {command.by}" if command.by else command.sender
        if command.kind is Kind.KILL:
            return None, self._halt(command, killstate.clip(by, killstate.BY_LIMIT), begin_ns)
        if not self._control.killed:
            self._save()
            self._counts["commands_resume"] += 1
            return None, "it is not halted"
        try:
            nonce_file.save(self._folder, self._gate.nonces)
            killstate.request_resume(self._folder, by, command.message, self._clock.unix_ns())
        except OSError as error:
            self._say(f"a request to resume can't be written down: {error}")
            return Refusal.NOT_RECORDED, ""
        self._counts["commands_resume"] += 1
        self._say(f'RESUME ASKED FOR by {by}: {command.message}; to go on: hft resume --approve "…"')
        return None, "resume is asked for: it takes hft resume --approve on that machine"

    def _halt(self, command: Command, by: str, begin_ns: int) -> str:
        now_ns, unix_ns = self._clock.monotonic_ns(), self._clock.unix_ns()
        message = killstate.clip(command.message, killstate.MESSAGE_LIMIT)
        first = self._control.trip(int(KillTrigger.MANUAL), by, message, now_ns, unix_ns)
        self._on_latched(self._clock.monotonic_ns() - begin_ns)
        self._counts["commands_kill"] += 1
        self._save()
        try:
            killstate.trip(self._folder, KillTrigger.MANUAL, by, message, unix_ns)
        except OSError:
            self._counts["commands_unsaved"] += 1
        if first:
            self._say(f"KILL by {by}: {message}")
        return "halted" if first else "it was halted already"

    def _save(self) -> None:
        """The nonce to disk; a disk that refuses must not keep a halt from taking effect."""
        try:
            nonce_file.save(self._folder, self._gate.nonces)
        except OSError:
            self._counts["commands_unsaved"] += 1
