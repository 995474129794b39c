"""Ring against a plain-Python model, by Hypothesis: any order of claims, aborts, polls and joins."""

import os
from itertools import count
from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ringbuf import Publication, Ring, Subscription

MTU = 40
_names = count()


class ModelReader:
    """What a subscription should do."""

    def __init__(self, gating: bool, next_sequence: int) -> None:
        self.gating, self.next, self.lost = gating, next_sequence, 0


class RingMachine(RuleBasedStateMachine):
    """The ring's records are a list; a reader has a place in it and may read what a lap has not taken."""

    def __init__(self) -> None:
        super().__init__()
        self.ring: Ring | None = None

    @rule(depth=st.sampled_from([1, 2, 4, 8, 16]))
    @precondition(lambda self: self.ring is None)
    def create(self, depth: int) -> None:
        name = f"rbtm{os.getpid():x}-{next(_names)}-ring"
        self.ring, self.depth = Ring.create(name, depth=depth, mtu=MTU, max_subscriptions=3), depth
        self.out: Publication = self.ring.publication()
        self.sent: list[bytes] = []
        self.intent = 0
        self.claimed: int | None = None
        self.readers: dict[str, tuple[Subscription, ModelReader]] = {}

    def room(self) -> bool:
        gates = [m.next for _, m in self.readers.values() if m.gating]
        return len(self.sent) - min(gates, default=len(self.sent)) < self.depth

    @precondition(lambda self: self.ring is not None and self.claimed is None)
    @rule(record=st.binary(min_size=1, max_size=MTU), through_view=st.booleans())
    def offer(self, record: bytes, through_view: bool) -> None:
        assert self.out.offer(memoryview(record) if through_view else record) == self.room()
        self.publish_if_room(record)

    def publish_if_room(self, record: bytes) -> None:
        if self.room():
            self.sent.append(record)
            self.intent = len(self.sent)

    @precondition(lambda self: self.ring is not None and self.claimed is None)
    @rule(records=st.lists(st.binary(min_size=1, max_size=MTU), max_size=20))
    def offer_batch(self, records: list[bytes]) -> None:
        before = len(self.sent)
        went_in = self.out.offer_batch(records)
        for record in records:
            self.publish_if_room(record)
        assert went_in == len(self.sent) - before

    @precondition(lambda self: self.ring is not None and self.claimed is None)
    @rule(length=st.integers(1, MTU))
    def claim(self, length: int) -> None:
        view = self.out.claim(length)
        assert (view is not None) == self.room()
        if view is not None:
            self.view, self.claimed = view, length
            self.intent = len(self.sent) + 1

    @precondition(lambda self: self.ring is not None and self.claimed is not None)
    @rule(data=st.data())
    def commit(self, data: Any) -> None:
        record = data.draw(st.binary(min_size=1, max_size=self.claimed))
        self.view[: len(record)] = record
        self.out.commit(len(record))
        self.sent.append(record)
        self.claimed = None

    @precondition(lambda self: self.ring is not None and self.claimed is not None)
    @rule()
    def abort(self) -> None:
        self.view[:] = b"\xee" * len(self.view)
        self.out.abort()
        self.claimed = None

    @precondition(lambda self: self.ring is not None and self.claimed is None)
    @rule()
    def another_publication(self) -> None:
        self.out.close()
        self.out = self.ring.publication()  # type: ignore[union-attr]
        assert self.out.sequence == len(self.sent)

    @precondition(lambda self: self.ring is not None)
    @rule(label=st.sampled_from("abc"), gating=st.booleans(), from_start=st.booleans())
    def subscribe(self, label: str, gating: bool, from_start: bool) -> None:
        if label in self.readers:
            return
        into = self.ring.subscribe(label, gating=gating, from_start=from_start)  # type: ignore[union-attr]
        oldest = min(max(self.intent - self.depth, 0), len(self.sent))
        self.readers[label] = into, ModelReader(gating, oldest if from_start else len(self.sent))

    @precondition(lambda self: self.ring is not None)
    @rule(label=st.sampled_from("abc"))
    def unsubscribe(self, label: str) -> None:
        if label in self.readers:
            self.readers.pop(label)[0].close()

    @precondition(lambda self: self.ring is not None)
    @rule(
        label=st.sampled_from("abc"), limit=st.integers(0, 20), how=st.sampled_from(["poll", "take", "batch"])
    )
    def read(self, label: str, limit: int, how: str) -> None:
        if label not in self.readers:
            return
        into, model = self.readers[label]
        expected = self.expected(model, limit)
        seen: list[bytes] = []
        if how == "poll":
            assert into.poll(lambda view: seen.append(bytes(view)), limit) == len(expected)
        elif how == "batch":
            seen = into.take_batch(limit)
        else:
            seen = [r for r in (into.take() for _ in range(limit)) if r is not None]
        assert seen == expected

    def expected(self, model: ModelReader, limit: int) -> list[bytes]:
        read: list[bytes] = []
        while len(read) < limit and model.next < len(self.sent):
            if self.intent > model.next + self.depth:
                assert not model.gating
                to = min(self.intent - self.depth + self.depth // 8, len(self.sent))
                model.lost += to - model.next
                model.next = to
                continue
            read.append(self.sent[model.next])
            model.next += 1
        return read

    @invariant()
    def figures_agree(self) -> None:
        if self.ring is None:
            return
        assert self.out.sequence == len(self.sent)
        stats = {s["label"]: s for s in self.ring.stats()["subscriptions"]}
        assert stats.keys() == self.readers.keys()
        for label, (into, model) in self.readers.items():
            assert (into.sequence, into.lost) == (model.next, model.lost)
            assert into.lag == len(self.sent) - model.next
            assert (stats[label]["cursor"], stats[label]["lost"]) == (model.next, model.lost)

    def teardown(self) -> None:
        if self.ring is not None:
            for into, _ in self.readers.values():
                into.close()
            self.out.close()
            self.ring.unlink()
            self.ring.close()


TestRingAgainstModel = RingMachine.TestCase
TestRingAgainstModel.settings = settings(max_examples=50, stateful_step_count=50, deadline=None)
