"""Makes and removes all shared memory of a run, from the topology and the settings alone."""

import contextlib
import importlib
from collections.abc import Mapping
from typing import NamedTuple, Protocol, TypeVar

import ringbuf
from hft import wire
from hft.runtime import topology
from hft.runtime.context import Run
from hft.runtime.exit_codes import ExitCode, HftError
from hft.runtime.service import RUNNER_COUNTERS, RUNNER_HISTOGRAMS
from hft.runtime.settings import Config
from hft.runtime.settings_strategies import counter_name


class _Segment(Protocol):
    def close(self) -> None: ...
    def unlink(self) -> None: ...


_S = TypeVar("_S", bound=_Segment)


class Page(NamedTuple):
    """What a service declares of its counters page."""

    counters: tuple[str, ...]
    histograms: tuple[str, ...]


def declared_page(name: str, config: Config | None = None) -> Page:
    """The counters and histograms of a service: those its module declares, those it keeps for each enabled
    strategy (``STRATEGY_COUNTERS``), then the runner's.
    """
    module = importlib.import_module(topology.service(name).module)
    enabled = (config or Config()).strategies.enabled
    each = getattr(module, "STRATEGY_COUNTERS", ())
    own = (counter_name(strategy, counter) for strategy in enabled for counter in each)
    return Page((*module.COUNTERS, *own, *RUNNER_COUNTERS), (*module.HISTOGRAMS, *RUNNER_HISTOGRAMS))


def largest_messages() -> dict[str, int]:
    """Link → bytes of its largest message, from the wire registry."""
    sizes: dict[str, int] = {}
    for entry in wire.REGISTRY.values():
        sizes[entry.link] = max(sizes.get(entry.link, 0), entry.codec.size)
    return {entry.name: sizes[entry.records] for entry in topology.LINKS}


def required_bytes(config: Config) -> int:
    """Shared memory that a run with these settings takes, the few kilobytes of the kill latch aside."""
    sizes = [config.links[entry.name] for entry in topology.links(config.optional)]
    rings = sum(ringbuf.Ring.size_of(depth=size.depth, mtu=size.mtu) for size in sizes)
    table = ringbuf.Table.size_of(capacity=config.hft.accounts_capacity, data_bytes=config.hft.accounts_bytes)
    pages = [declared_page(spec.name, config) for spec in topology.services(config.hft.mode, config.optional)]
    return (
        rings
        + table
        + sum(
            ringbuf.Counters.size_of(counters=len(page.counters), histograms=len(page.histograms))
            for page in pages
        )
    )


class Segments:
    """The segments of one run, open in the process that made them."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._all: list[_Segment] = []
        self.rings: dict[str, ringbuf.Ring] = {}
        self.pages: dict[str, ringbuf.Counters] = {}
        self.control: ringbuf.Control

    @classmethod
    def create(cls, run: Run, pages: Mapping[str, Page]) -> "Segments":
        """Make everything; on any failure remove what was made.

        ``HftError`` (SEGMENT_MISSING) when /dev/shm has no room, (CONFIG) when the wiring is not sound.
        """
        errors = topology.validate(
            [
                entry._replace(depth=run.config.links[entry.name].depth, mtu=run.config.links[entry.name].mtu)
                for entry in topology.LINKS
            ],
            message_sizes=largest_messages(),
        )
        if errors:
            raise HftError("\n".join(errors), ExitCode.CONFIG)
        segments = cls(run)
        try:
            segments._create(pages)
        except ringbuf.SegmentFull as error:
            segments.remove()
            raise HftError(f"no room for shared memory: {error}", ExitCode.SEGMENT_MISSING) from error
        except BaseException:
            segments.remove()
            raise
        return segments

    def _create(self, pages: Mapping[str, Page]) -> None:
        run, settings = self._run, self._run.config
        self.control = self._kept(ringbuf.Control.create(run.segment("control"), run_id=run.run_id))
        for link in (entry.name for entry in topology.links(settings.optional)):
            name, size = run.segment("ring", link), settings.links[link]
            self.rings[link] = self._kept(
                ringbuf.Ring.create(name, depth=size.depth, mtu=size.mtu, schema_hash=wire.SCHEMA_HASH)
            )
        self._kept(
            ringbuf.Table.create(
                run.segment("table", "accounts"),
                capacity=settings.hft.accounts_capacity,
                data_bytes=settings.hft.accounts_bytes,
                schema_hash=0,
            )
        )
        for service, page in pages.items():
            self.pages[service] = self._kept(
                ringbuf.Counters.create(
                    run.segment("counters", service),
                    counters=page.counters,
                    histograms=page.histograms,
                    label=service,
                )
            )

    def _kept(self, segment: _S) -> _S:
        self._all.append(segment)
        return segment

    def remove(self) -> None:
        """Close and unlink everything; safe to call twice."""
        while self._all:
            segment = self._all.pop()
            with contextlib.suppress(OSError, ringbuf.RingError):
                segment.close()
            with contextlib.suppress(OSError, ringbuf.RingError):
                segment.unlink()
