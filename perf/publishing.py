"""What the sidecar's shapes have in common: a run's rings and journals, a server, the ends as workers."""

import asyncio
import os
import shutil
import tempfile
import time
from array import array
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from hft import wire
from hft.runtime.context import Context, Run
from hft.runtime.segments import Segments, declared_page
from hft.runtime.settings import Config
from perf.workers import Stopwatch

RECORD: wire.Codec = wire.plan_rejected
LINK, STREAM = "planned", "PLANNED"
HOUSEKEEPING_NS = 10_000_000
ROUND_TIMEOUT_S = 60.0
FULL_PAUSE_S = 0.0005


class Published(NamedTuple):
    """What a publishing end says of a round: when the last was acknowledged, and what it cost."""

    at_ns: int
    cpu_ns: int
    samples: bytes
    """Lateness of each acknowledgement, ns, an array('q'); empty where nothing was stamped."""
    wrong: int


def message(codec: wire.Codec, number: int) -> bytes:
    """A valid message with a trace id of its own."""
    values: list[object] = []
    for field in codec.layout.fields:
        if field.name == "trace_id":
            values.append(number.to_bytes(16, "little"))
        else:
            values.append(bytes(field.bytes) if field.code.endswith("s") else 1)
    view = bytearray(codec.size)
    codec.encode_into(view, *values)
    return bytes(view)


def messages(count: int) -> list[bytes]:
    """Distinct valid messages."""
    return [message(RECORD, number) for number in range(count)]


class House:
    """In the parent: a run's shared memory and folder, and a nats-server beside it."""

    def __init__(self) -> None:
        from hft.runtime.nats_server import NatsServer

        self.folder = Path(tempfile.mkdtemp(prefix="perf-sidecar-"))
        self.server = NatsServer(self.folder / "nats", name=f"perf-{os.getpid()}")
        self.server.start()
        self.run = Run(
            run_id=os.urandom(16),
            state_dir=self.folder,
            prefix="perf",
            config=Config(),
            cpus={},
            idle={"sidecar": "park"},
            nats_url=self.server.url,
        )
        self.segments = Segments.create(self.run, {"sidecar": declared_page("sidecar")})

    def close(self) -> None:
        """Remove it all."""
        self.server.stop()
        self.segments.remove()
        shutil.rmtree(self.folder, ignore_errors=True)


class Source:
    """The writer of a link."""

    def __init__(self, run_json: str) -> None:
        import ringbuf

        self._ring = ringbuf.Ring.attach(Run.from_json(run_json).segment("ring", LINK))
        self._publication = self._ring.publication()
        self._messages = messages(1021)

    def send(self, n: int) -> int:
        """n messages as fast as the link takes them; when it began, ns."""
        offer, made, start = self._publication.offer, self._messages, time.perf_counter_ns()
        for i in range(n):
            while not offer(made[i % 1021]):
                time.sleep(FULL_PAUSE_S)
        return start

    def pace(self, n: int, first_ns: int, interval_ns: int) -> int:
        """n messages, one an interval from ``first_ns`` on; how long that took."""
        for i in range(n):
            due = first_ns + i * interval_ns
            while (left := due - time.perf_counter_ns()) > 0:
                time.sleep(left / 1e9)
            while not self._publication.offer(self._messages[i % 1021]):
                time.sleep(FULL_PAUSE_S)
        return time.perf_counter_ns() - first_ns + interval_ns

    def close(self) -> None:
        """Let go of the ring."""
        self._publication.close()
        self._ring.close()


class Ours:
    """The real service, stepped as the runner steps it; ``link``: the one that is watched."""

    def __init__(self, run_json: str, link: str = LINK) -> None:
        from hft.services import sidecar

        self._context = Context("sidecar", Run.from_json(run_json))
        self._service = sidecar.build(self._context)
        self._service.on_start()
        self._lane = next(lane for lane in self._service._lanes if lane.name == link)
        self._link = self._context.subscription(link)
        self._next_ns = 0
        self._until(lambda: self._service._publisher.connected)

    def publish(self, n: int) -> Published:
        """Until n more messages are acknowledged."""
        watch, lane, wanted = Stopwatch(), self._lane, self._lane.published + n
        self._until(lambda: lane.published >= wanted)
        return Published(time.perf_counter_ns(), watch.cpu_ns(), b"", lane.duplicates + lane.refused)

    def follow(self, n: int, first_ns: int, interval_ns: int) -> Published:
        """The same, each compared with the time at which it was due."""
        watch, lane, before = Stopwatch(), self._lane, self._lane.published
        samples = array("q", bytes(8 * n))
        done = 0

        def note() -> bool:
            nonlocal done
            now = time.perf_counter_ns()
            while done < lane.published - before:
                samples[done] = now - first_ns - done * interval_ns
                done += 1
            return done >= n

        self._until(note)
        wrong = lane.duplicates + lane.refused
        return Published(time.perf_counter_ns(), watch.cpu_ns(), samples.tobytes(), wrong)

    def accompany(self, n: int) -> None:
        """Until n more messages of the link are in the journal."""
        wanted = self._link.sequence + n
        self._until(lambda: self._link.sequence >= wanted)

    def _until(self, done: Callable[[], bool]) -> None:
        service, deadline = self._service, time.monotonic() + ROUND_TIMEOUT_S
        while not done():
            if not service.do_work():
                service.wait(5_000_000)
            now_ns = time.monotonic_ns()
            if now_ns >= self._next_ns:
                service.on_housekeeping(now_ns)
                self._next_ns = now_ns + HOUSEKEEPING_NS
            if time.monotonic() > deadline:
                raise ValueError(f"not all was acknowledged in time: {self._context.counters.read()}")

    def close(self) -> None:
        """End the service."""
        self._service.on_close()
        self._context.close()


class Peer:
    """nats-py, publishing the same messages from memory: no ring, no journal."""

    def __init__(self, url: str, kind: str) -> None:
        import nats

        from hft.runtime import streams

        self._kind = kind
        self._messages = messages(1021)
        _, subject_of = wire.SUBJECT_READERS[RECORD.identifier]
        self._subjects = [subject_of(each).decode() for each in self._messages]
        self._loop = asyncio.new_event_loop()
        self._client: Any = self._loop.run_until_complete(nats.connect(url, pending_size=64 << 20))
        self._js: Any = self._client.jetstream(publish_async_max_pending=4000)
        self._loop.run_until_complete(streams.ensure(self._js))
        self._sent = 0

    def publish(self, n: int) -> Published:
        """n messages, each acknowledged, as fast as it goes."""
        watch = Stopwatch()
        self._loop.run_until_complete(self._publish(n))
        return Published(time.perf_counter_ns(), watch.cpu_ns(), b"", 0)

    def follow(self, n: int, first_ns: int, interval_ns: int) -> Published:
        """n messages, one an interval, each compared with the time at which it was due."""
        watch, samples = Stopwatch(), array("q", bytes(8 * n))
        self._loop.run_until_complete(self._pace(n, first_ns, interval_ns, samples))
        return Published(time.perf_counter_ns(), watch.cpu_ns(), samples.tobytes(), 0)

    async def _one(self) -> Any:
        self._sent += 1
        headers = {"Nats-Msg-Id": f"{os.getpid()}:planned:{self._sent}"}
        place = self._sent % 1021
        subject, payload = self._subjects[place], self._messages[place]
        if self._kind == "publish_async":
            return await self._js.publish_async(subject, payload, headers=headers)
        return await self._js.publish(subject, payload, headers=headers)

    async def _publish(self, n: int) -> None:
        for _ in range(n):
            await self._one()
        if self._kind == "publish_async":
            await self._js.publish_async_completed()

    async def _pace(self, n: int, first_ns: int, interval_ns: int, samples: "array[int]") -> None:
        def note(i: int, _future: Any = None) -> None:
            samples[i] = time.perf_counter_ns() - first_ns - i * interval_ns

        for i in range(n):
            left = first_ns + i * interval_ns - time.perf_counter_ns()
            if left > 0:
                await asyncio.sleep(left / 1e9)
            found = await self._one()
            if self._kind == "publish_async":
                found.add_done_callback(partial(note, i))
            else:
                note(i)
        if self._kind == "publish_async":
            await self._js.publish_async_completed()
            await asyncio.sleep(0)

    def close(self) -> None:
        """End the connection."""
        self._loop.run_until_complete(self._client.close())
