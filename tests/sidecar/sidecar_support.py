"""A real nats-server's content, real rings, and the sidecar between them."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, DeliverPolicy

from hft import wire
from hft.runtime.context import Context, Run
from hft.runtime.journal_reader import Reader
from hft.runtime.segments import Segments, declared_page
from hft.runtime.service import ServiceState
from hft.runtime.settings import Config
from hft.runtime.stream_journal import MINIMUM_BYTES, StreamJournal
from hft.services import sidecar
from hft.services.sidecar import Sidecar

T = TypeVar("T")

Started = list[subprocess.Popen[bytes]]
"""Processes of a test."""


def asked(url: str, question: Callable[[JetStreamContext], Awaitable[T]]) -> T:
    """What a fresh client gets as the answer to ``question``."""

    async def ask() -> T:
        client: Client = await nats.connect(url)
        try:
            return await question(client.jetstream())
        finally:
            await client.close()

    return asyncio.run(ask())


def stored(url: str, stream: str) -> list[Msg]:
    """Every message of a stream, oldest first."""

    async def read(js: JetStreamContext) -> list[Msg]:
        left = (await js.stream_info(stream)).state.messages
        config = ConsumerConfig(deliver_policy=DeliverPolicy.ALL)
        deadline = time.monotonic() + 30
        while True:  # servers that have just lost their leader make no consumer
            try:
                subscription = await js.subscribe(">", stream=stream, ordered_consumer=True, config=config)
                break
            except TimeoutError:
                assert time.monotonic() < deadline
        return [await subscription.next_msg(timeout=30) for _ in range(left)]

    return asked(url, read)


def message_ids(messages: list[Msg]) -> list[str]:
    """The id each message was published with."""
    return [(message.headers or {})["Nats-Msg-Id"] for message in messages]


def journal_content(state_dir: Path, link: str) -> list[tuple[str, str, bytes]]:
    """(id, subject, payload) of every message in a link's journal, read by the files alone."""
    journal = StreamJournal(state_dir / "journal" / link.upper(), link, bytes(16), MINIMUM_BYTES, print)
    reader, found = Reader(journal, journal.begin), []
    while (taken := reader.take(1024)) is not None:
        run = taken.header.run.hex()
        found += [(f"{run}:{link}:{number}", subject.decode(), data) for number, subject, data in taken.rows]
    reader.close()
    journal.close()
    return found


def stream_content(url: str, stream: str) -> list[tuple[str, str, bytes]]:
    """The same of a stream, read by an outside consumer."""
    return [((m.headers or {})["Nats-Msg-Id"], m.subject, m.data) for m in stored(url, stream)]


class Pipeline:
    """Real rings with the sidecar at their reading ends, stepped by hand; the test writes the other ends."""

    def __init__(self, state_dir: Path, nats_url: str, config: Config | None = None) -> None:
        self.run = Run(
            run_id=os.urandom(16),
            state_dir=state_dir,
            prefix="hftsc",
            config=config or Config(),
            cpus={},
            idle={"sidecar": "park"},
            nats_url=nats_url,
        )
        self.segments = Segments.create(self.run, {"sidecar": declared_page("sidecar")})
        self.publications = {link: ring.publication() for link, ring in self.segments.rings.items()}
        self.published: dict[str, list[bytes]] = {link: [] for link in self.publications}
        self.page = self.segments.pages["sidecar"]
        self.context: Context | None = None

    def open(self) -> Sidecar:
        """Start the service in this process."""
        self.context = Context("sidecar", self.run)
        self.service = sidecar.build(self.context)
        self.service.on_start()
        return self.service

    def publish(self, link: str, message: bytes) -> bool:
        """Write a message to its link; False while the ring is full."""
        done = self.publications[link].offer(message)
        if done:
            self.published[link].append(message)
        return done

    def cycle(self) -> None:
        """One duty cycle as the runner makes it."""
        if not self.service.do_work():
            self.service.wait(1_000_000)
        self.service.on_housekeeping(time.monotonic_ns())

    def until(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        """Duty cycles until the condition holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not within {seconds} s; {self.counters()}"
            self.cycle()

    def drain(self) -> None:
        """Duty cycles until everything published has been acknowledged."""
        self.cycle()
        self.until(lambda: not self.unread() and not self.backlog())
        self.cycle()

    def unread(self) -> int:
        """Messages in the rings that the sidecar has not taken."""
        assert self.context is not None
        return self.context.backlog()

    def backlog(self) -> int:
        """Messages in the journals that are not known to be in their streams."""
        return self.page.value(self.page.index("journal_backlog"))

    def counters(self) -> dict[str, int]:
        """The sidecar's page, without its zeros."""
        return {name: value for name, value in self.page.read().items() if value}

    def expected_ids(self, link: str) -> list[str]:
        """Ids of all that was published to a link."""
        return [f"{self.run.run_id.hex()}:{link}:{number}" for number in range(len(self.published[link]))]

    def spawn(self, started: Started) -> subprocess.Popen[bytes]:
        """The service as the supervisor runs it, in a process of its own, once its duty cycles run."""
        run_file = self.run.state_dir / "run.json"
        run_file.write_text(self.run.to_json())
        self.page.set_state(ServiceState.STARTING)
        command = [sys.executable, "-m", "hft.runtime.process", "sidecar", str(run_file)]
        process = subprocess.Popen(command, cwd=Path(wire.__file__).parents[2], stderr=subprocess.PIPE)
        started.append(process)
        deadline = time.monotonic() + 60
        while not ServiceState(self.page.state).alive:
            assert time.monotonic() < deadline
            assert process.poll() is None, process.communicate()[1].decode()
        return process

    def end(self) -> None:
        """End the service as the runner does."""
        if self.context is not None:
            self.service.on_close()
            self.context.close()
            self.context = None

    def close(self) -> None:
        """End the service and remove the rings."""
        self.end()
        for publication in self.publications.values():
            publication.close()
        self.segments.remove()
