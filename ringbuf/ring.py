"""Ring: a stream from one publication to many subscriptions, through fixed cells of shared memory."""

from struct import Struct
from typing import Any, Self

from ringbuf import _core, layout
from ringbuf.errors import InvalidArgument, PublicationTaken, SubscriptionTaken
from ringbuf.layout import Kind
from ringbuf.segment import NOBODY, Segment, this_process

DEPTH_LIMIT = 1 << 24
MTU_LIMIT = 1 << 20
SUBSCRIPTION_LIMIT = 32

_LENGTH_BYTES = 4


class Ring:
    """A ring's segment: makes its publication and its subscriptions."""

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self.name = segment.name
        self.depth = segment.param(0)
        self.mtu = segment.param(1)
        self.max_subscriptions = segment.param(3)
        self.closed = False

    @classmethod
    def create(
        cls, name: str, *, depth: int, mtu: int, schema_hash: int = 0, max_subscriptions: int = 16
    ) -> Self:
        """Make a ring of depth cells (a power of two to 2**24) for records of 1 to mtu bytes (to 1 MiB)."""
        if not 1 <= depth <= DEPTH_LIMIT or depth & (depth - 1):
            raise InvalidArgument(f"ring {name!r}: depth {depth} must be a power of two in 1..{DEPTH_LIMIT}")
        if not 1 <= mtu <= MTU_LIMIT:
            raise InvalidArgument(f"ring {name!r}: mtu {mtu} must lie in 1..{MTU_LIMIT}")
        if not 1 <= max_subscriptions <= SUBSCRIPTION_LIMIT:
            raise InvalidArgument(
                f"ring {name!r}: max_subscriptions {max_subscriptions} must lie in 1..{SUBSCRIPTION_LIMIT}"
            )
        params, size = _geometry(depth, mtu, max_subscriptions)
        segment = Segment.create(name, Kind.RING, size, schema_hash, params)
        segment.seal()
        return cls(segment)

    @staticmethod
    def size_of(*, depth: int, mtu: int, max_subscriptions: int = 16) -> int:
        """Bytes of shared memory that such a ring takes."""
        return _geometry(depth, mtu, max_subscriptions)[1]

    @classmethod
    def attach(cls, name: str, *, schema_hash: int | None = None) -> Self:
        """Map an existing ring; schema_hash None is not compared. SegmentMissing, SegmentMismatch."""
        return cls(Segment.attach(name, Kind.RING, schema_hash))

    def publication(self) -> "Publication":
        """The writing end. PublicationTaken while a live process holds it; a dead one's is taken over."""
        segment = self._segment
        with segment.locked():
            owner = segment.owner(layout.RING_OWNER_AT)
            if owner.alive:
                raise PublicationTaken(f"ring {self.name!r}: process {owner.pid} publishes")
            if owner.pid:
                _count(segment, layout.RING_TAKEOVERS_AT)
                if segment.load(layout.RING_INTENT_AT) > segment.load(layout.RING_PUBLISHED_AT):
                    _count(segment, layout.RING_SKIPPED_AT)
            segment.set_owner(layout.RING_OWNER_AT, this_process())
        return Publication(segment)

    def subscribe(self, label: str, *, gating: bool, from_start: bool = False) -> "Subscription":
        """A reading end, from the next record on; from_start: from the oldest that is still there.

        The label (1 to 64 bytes) names its slot: a dead owner's is taken over where it stopped reading.
        Gating: the publication waits for it. SubscriptionTaken when the label is live or no slot is left
        (those of dead observers and of lifted gates are used again).
        """
        raw = label.encode()
        if not 1 <= len(raw) <= layout.SLOT_LABEL_BYTES or "\0" in label:
            raise InvalidArgument(
                f"subscription label {label!r} must have 1..{layout.SLOT_LABEL_BYTES} bytes"
            )
        segment = self._segment
        with segment.locked():
            index, resume = self._place(label)
            at = _slot_at(index)
            segment.set_owner(at + layout.SLOT_OWNER_AT, this_process())
            segment.memory[at + layout.SLOT_LABEL_AT : at + layout.SLOT_LABEL_AT + len(raw)] = raw
            if not resume:
                segment.store(at + layout.SLOT_LOST_AT, 0)
            state, gated = _state(segment, index)
            held = resume and gated and state == layout.SLOT_ACTIVE
            segment.store(at + layout.SLOT_STATE_AT, state | gating << 32)
            return Subscription(segment, index, label, (gating, resume, held, from_start))

    def _place(self, label: str) -> tuple[int, bool]:
        """The slot for a label, and whether it resumes a dead owner's. The caller holds the lock."""
        segment = self._segment
        free = spare = None
        for index in range(self.max_subscriptions):
            at = _slot_at(index)
            state, gating = _state(segment, index)
            owner = segment.owner(at + layout.SLOT_OWNER_AT)
            if state == layout.SLOT_FREE:
                free = index if free is None else free
            elif segment.text(at + layout.SLOT_LABEL_AT, layout.SLOT_LABEL_BYTES) == label:
                if owner.alive:
                    raise SubscriptionTaken(f"ring {self.name!r}: process {owner.pid} reads as {label!r}")
                return index, True
            elif spare is None and not (gating and state == layout.SLOT_ACTIVE) and not owner.alive:
                spare = index  # nobody waits for it: a dead observer's, or one whose gate was lifted
        free = spare if free is None else free
        if free is None:
            raise SubscriptionTaken(
                f"ring {self.name!r}: all {self.max_subscriptions} subscription slots are in use"
            )
        segment.store(_slot_at(free) + layout.SLOT_STATE_AT, layout.SLOT_FREE)
        at = _slot_at(free) + layout.SLOT_LABEL_AT
        segment.memory[at : at + layout.SLOT_LABEL_BYTES] = bytes(layout.SLOT_LABEL_BYTES)
        return free, False

    def stats(self) -> dict[str, Any]:
        """Figures for a monitor: published, owner_pid, takeovers, skipped, lifted, and per subscription
        label, gating, cursor, lag, lost, pid, alive, lifted."""
        load = self._segment.load
        published = load(layout.RING_PUBLISHED_AT)
        return {
            "name": self.name,
            "depth": self.depth,
            "mtu": self.mtu,
            "published": published,
            "owner_pid": load(layout.RING_OWNER_AT),
            "takeovers": load(layout.RING_TAKEOVERS_AT),
            "skipped": load(layout.RING_SKIPPED_AT),
            "lifted": load(layout.RING_LIFTED_AT),
            "subscriptions": [
                _slot_stats(self._segment, index, published)
                for index in range(self.max_subscriptions)
                if _state(self._segment, index)[0] != layout.SLOT_FREE
            ],
        }

    def close(self) -> None:
        """Let go of the segment, which stays mapped until what was made from it is closed too. Idempotent."""
        if not self.closed:
            self.closed = True
            self._segment.close()

    def unlink(self) -> None:
        """Remove the ring's name."""
        self._segment.unlink()


class Publication(_core.Publication):
    """The writing end of a ring; see ``_core.pyi`` for claim, commit, abort, offer and offer_batch."""

    def __new__(cls, segment: Segment) -> Self:
        """Made by Ring.publication()."""
        self = super().__new__(cls, segment.memory)
        self._segment = segment.hold()
        self.name = segment.name
        return self

    _segment: Segment
    name: str
    closed: bool = False

    def lift_dead(self) -> list[str]:
        """Lift the gates of subscribers whose process is dead; their labels. Each is counted in stats()."""
        segment, lifted = self._segment, []
        with segment.locked():
            for index in range(segment.param(3)):
                at = _slot_at(index)
                state, gating = _state(segment, index)
                if (
                    state == layout.SLOT_ACTIVE
                    and gating
                    and not segment.owner(at + layout.SLOT_OWNER_AT).alive
                ):
                    segment.store(at + layout.SLOT_STATE_AT, layout.SLOT_LIFTED | 1 << 32)
                    _count(segment, layout.RING_LIFTED_AT)
                    lifted.append(segment.text(at + layout.SLOT_LABEL_AT, layout.SLOT_LABEL_BYTES))
        return lifted

    def close(self) -> None:
        """End the publication; another may follow at its sequence. Idempotent."""
        if self.closed:
            return
        self.closed = True
        self.release()
        with self._segment.locked():
            if self._segment.owner(layout.RING_OWNER_AT) == this_process():
                self._segment.set_owner(layout.RING_OWNER_AT, NOBODY)
        self._segment.close()


class Subscription(_core.Subscription):
    """A reading end of a ring; see ``_core.pyi`` for poll, take, take_batch, spin and wait."""

    def __new__(cls, segment: Segment, index: int, label: str, how: tuple[bool, bool, bool, bool]) -> Self:
        """Made by Ring.subscribe(); how: gating, resume, held, from_start."""
        self = super().__new__(cls, segment.memory, index, *how)
        self._segment, self._index = segment.hold(), index
        self.label, self.gating = label, how[0]
        return self

    _segment: Segment
    _index: int
    label: str
    gating: bool
    closed: bool = False

    def peek(self, limit: int) -> list[bytes]:
        """Up to limit waiting records, copied and not read: ``poll(len, n)`` reads past n of them.

        For what must be kept elsewhere before the publication may overwrite it, hence for gating
        subscriptions only (InvalidArgument). Empty too while this one can still be lapped: right after it
        joined a publication under way, until it has read what was there; ``take`` it then.
        """
        if not self.gating:
            raise InvalidArgument(
                f"subscription {self.label!r} is observing: its records may change under it"
            )
        segment, first = self._segment, self.sequence
        count = min(self.lag, limit)
        memory, depth, stride, cells_at = segment.memory, *(segment.param(i) for i in (0, 2, 4))
        found: list[bytes] = []
        while len(found) < count:  # once, or twice where the cells begin anew
            cell = first + len(found) & depth - 1
            at, cells = cells_at + cell * stride, min(count - len(found), depth - cell)
            block = memory[at : at + cells * stride]
            begins = range(layout.CELL_HEADER_BYTES, len(block), stride)
            lengths = Struct(f"<I{stride - _LENGTH_BYTES}x").iter_unpack(block)
            found += [block[at : at + length] for at, (length,) in zip(begins, lengths, strict=True)]
        return found if segment.load(layout.RING_INTENT_AT) <= first + depth else []

    def close(self) -> None:
        """Give the slot back; a gate is gone with it. RingError inside its own handler. Idempotent."""
        if self.closed:
            return
        self.release()
        self.closed = True
        with self._segment.locked():
            at = _slot_at(self._index)
            if self._segment.owner(at + layout.SLOT_OWNER_AT) == this_process():
                self._segment.store(at + layout.SLOT_STATE_AT, layout.SLOT_FREE)
                self._segment.set_owner(at + layout.SLOT_OWNER_AT, NOBODY)
        self._segment.close()


def _geometry(depth: int, mtu: int, max_subscriptions: int) -> tuple[tuple[int, ...], int]:
    """The header's params (see layout) and the segment's size."""
    stride = layout.round_up(layout.CELL_HEADER_BYTES + mtu, 64)
    cells_at = layout.RING_SLOTS_AT + layout.SLOT_BYTES * max_subscriptions
    return (depth, mtu, stride, max_subscriptions, cells_at), cells_at + depth * stride


def _slot_at(index: int) -> int:
    return layout.RING_SLOTS_AT + layout.SLOT_BYTES * index


def _state(segment: Segment, index: int) -> tuple[int, bool]:
    """A slot's state and whether it gates."""
    word = segment.load(_slot_at(index) + layout.SLOT_STATE_AT)
    return word & 0xFFFFFFFF, bool(word >> 32)


def _count(segment: Segment, offset: int) -> None:
    segment.store(offset, segment.load(offset) + 1)


def _slot_stats(segment: Segment, index: int, published: int) -> dict[str, Any]:
    at = _slot_at(index)
    state, gating = _state(segment, index)
    owner = segment.owner(at + layout.SLOT_OWNER_AT)
    cursor = segment.load(at + layout.SLOT_CURSOR_AT)
    return {
        "label": segment.text(at + layout.SLOT_LABEL_AT, layout.SLOT_LABEL_BYTES),
        "gating": gating,
        "cursor": cursor,
        "lag": max(published - cursor, 0),
        "lost": segment.load(at + layout.SLOT_LOST_AT),
        "pid": owner.pid,
        "alive": owner.alive,
        "lifted": state == layout.SLOT_LIFTED,
    }
