"""Ring: what one process can show of claims, polls, gates, overruns, joins and refusals."""

from functools import partial

import numpy as np
import pytest
from ringbuf_support import ended, kill, record, ring, sequence_of, start, until

from ringbuf import (
    Closed,
    InvalidArgument,
    PublicationTaken,
    RecordTooLong,
    Ring,
    RingError,
    SubscriptionTaken,
    ViewExpired,
)


def test_claimed_bytes_arrive_and_commit_may_shorten(prefix: str) -> None:
    with ring(prefix) as r:
        out, into = r.publication(), r.subscribe("a", gating=True)
        view = out.claim(10)
        assert view is not None
        view[:] = b"0123456789"
        assert into.lag == 0
        out.commit(length=4)
        seen: list[bytes] = []
        assert into.poll(lambda v: seen.append(bytes(v))) == 1
        assert seen == [b"0123"]
        assert (out.sequence, into.sequence, into.lag, into.lost) == (1, 1, 0, 0)


@pytest.mark.parametrize("size", [1, 2, 55, 56, 57, 63, 64])
def test_every_size_up_to_mtu(prefix: str, size: int) -> None:
    with ring(prefix) as r:
        out, into = r.publication(), r.subscribe("a", gating=True)
        for turn in range(20):
            raw = bytes([turn]) * size
            assert out.offer(raw)
            assert into.take() == raw


def test_full_is_none_not_an_exception(prefix: str) -> None:
    with ring(prefix, depth=4) as r:
        out, into = r.publication(), r.subscribe("a", gating=True)
        assert out.offer_batch([b"%d" % i for i in range(9)]) == 4
        assert out.claim(1) is None
        assert out.offer(b"x") is False
        assert into.take_batch(2) == [b"0", b"1"]
        assert out.offer_batch([b"4", b"5", b"6"]) == 2
        assert into.take_batch(99) == [b"2", b"3", b"4", b"5"]
        assert into.take() is None


def test_abort_leaves_no_trace(prefix: str) -> None:
    with ring(prefix, depth=4) as r:
        out, into = r.publication(), r.subscribe("a", gating=True)
        for turn in range(10):
            view = out.claim(64)
            assert view is not None
            view[:] = bytes(64)
            out.abort()
            assert into.take() is None
            assert out.offer(b"%d" % turn)
            assert into.take() == b"%d" % turn


def test_claim_and_offer_order_is_enforced(prefix: str) -> None:
    with ring(prefix) as r:
        out = r.publication()
        with pytest.raises(RingError, match="nothing is claimed at sequence 0"):
            out.commit()
        with pytest.raises(RingError, match="nothing is claimed"):
            out.abort()
        out.claim(4)
        for second in (lambda: out.claim(4), lambda: out.offer(b"x")):
            with pytest.raises(RingError, match="sequence 0 is claimed already"):
                second()
        with pytest.raises(RecordTooLong, match="commit of 5 bytes; 1 to 4 are claimed"):
            out.commit(5)
        out.commit()
        assert out.sequence == 1


@pytest.mark.parametrize("size", [0, 65, 1 << 40, -1])
def test_bad_input_a_record_outside_1_to_mtu(prefix: str, size: int) -> None:
    with ring(prefix) as r:
        out, into = r.publication(), r.subscribe("a", gating=True)
        with pytest.raises(RecordTooLong, match=f"a record of {size} bytes; this ring carries 1 to 64"):
            out.claim(size)
        if 0 <= size < 100:
            with pytest.raises(RecordTooLong, match=f"a record of {size} bytes"):
                out.offer(bytes(size))
        assert out.offer(b"still works")
        assert into.take() == b"still works"


@pytest.mark.parametrize("depth", [0, 3, 6, 1000, -8, 1 << 25])
def test_bad_input_depth_not_a_power_of_two(prefix: str, depth: int) -> None:
    with pytest.raises(InvalidArgument, match=f"depth {depth} must be a power of two"):
        Ring.create(f"{prefix}-r", depth=depth, mtu=8)


@pytest.mark.parametrize("mtu", [0, -1, (1 << 20) + 1])
def test_bad_input_mtu_zero_or_beyond_the_segment(prefix: str, mtu: int) -> None:
    with pytest.raises(InvalidArgument, match=f"mtu {mtu} must lie in"):
        Ring.create(f"{prefix}-r", depth=8, mtu=mtu)


def test_bad_input_a_second_publication(prefix: str) -> None:
    with ring(prefix) as r:
        out = r.publication()
        with pytest.raises(PublicationTaken, match=r"process \d+ publishes"):
            r.publication()
        out.offer(b"x")
        out.close()
        assert r.publication().sequence == 1


def test_bad_input_labels(prefix: str) -> None:
    with ring(prefix, max_subscriptions=2) as r:
        for label in ("", "x" * 65, "a\0b"):
            with pytest.raises(InvalidArgument, match="subscription label"):
                r.subscribe(label, gating=True)
        r.subscribe("x" * 64, gating=True)
        with pytest.raises(SubscriptionTaken, match="reads as"):
            r.subscribe("x" * 64, gating=False)
        r.subscribe("y", gating=True)
        with pytest.raises(SubscriptionTaken, match="all 2 subscription slots are in use"):
            r.subscribe("z", gating=True)


def test_peek_copies_what_waits_and_reads_nothing(prefix: str) -> None:
    with ring(prefix, depth=8) as r:
        out, into = r.publication(), r.subscribe("gate", gating=True)
        assert into.peek(4) == []
        for lap in range(5):
            records = [b"%d.%d" % (lap, n) * (n + 1) for n in range(8)]
            assert all(map(out.offer, records))
            assert not out.offer(b"a lap too far"), "what was peeked at still holds the publication up"
            assert into.peek(3) == records[:3]
            assert into.peek(100) == records
            assert (into.lag, into.sequence) == (8, 8 * lap)
            assert into.poll(len, limit=3) == 3
            assert into.peek(100) == records[3:]
            assert into.poll(len, limit=5) == 5


def test_peek_is_for_gating_subscriptions(prefix: str) -> None:
    with ring(prefix) as r:
        r.publication()
        with pytest.raises(InvalidArgument, match="is observing"):
            r.subscribe("observer", gating=False).peek(1)


def test_peek_gives_nothing_that_may_be_overwritten(prefix: str) -> None:
    with ring(prefix, depth=8) as r:
        out = r.publication()
        for n in range(8):
            out.offer(b"%d" % n)
        late = r.subscribe("late", gating=True, from_start=True)
        assert late.peek(8) == [b"%d" % n for n in range(8)]
        while out.offer(b"more"):
            pass
        assert late.peek(8) in ([], [b"%d" % n for n in range(8)])


def test_bad_input_a_view_used_after_its_poll(prefix: str) -> None:
    with ring(prefix) as r:
        out = r.publication()
        for gates in (True, False):
            into = r.subscribe(f"gates {gates}", gating=gates)
            kept: list[memoryview] = []
            out.offer(b"first")
            assert into.poll(kept.append) == 1
            out.offer(b"second")
            assert into.poll(lambda view: None) == 1
            for use in (bytes, len, lambda v: v[0], lambda v: v[1:], lambda v: v.tolist()):
                with pytest.raises(ValueError, match="released memoryview"):
                    use(kept[0])
            assert out.offer(b"third")
            assert into.take() == b"third"


def test_bad_input_a_claimed_view_used_after_commit(prefix: str) -> None:
    with ring(prefix) as r:
        out, into = r.publication(), r.subscribe("a", gating=True)
        view = out.claim(4)
        assert view is not None
        view[:] = b"good"
        piece = view[1:3]
        out.commit()
        for late in (view, piece):
            with pytest.raises(ValueError, match="released memoryview"):
                late[0] = 0x21
        assert into.take() == b"good"
        for turn in range(20):
            again = out.claim(1)
            assert again is not None
            again[0] = turn
            out.commit()
            assert into.take() == bytes([turn])
        with pytest.raises(ValueError, match="released memoryview"):
            view[0] = 0x21


def test_bad_input_a_slice_or_export_kept_by_the_handler(prefix: str) -> None:
    with ring(prefix) as r:
        out, into = r.publication(), r.subscribe("a", gating=True)
        kept: list[object] = []
        keepers = (lambda v: kept.append(v[2:]), lambda v: kept.append(np.frombuffer(v, dtype=np.uint8)))
        for sequence, keep in enumerate(keepers):
            out.offer(b"abcdef")
            with pytest.raises(ViewExpired, match=f"record {sequence};"):
                into.poll(keep)
        with pytest.raises(ValueError, match="released"):
            bytes(kept[0])  # type: ignore[arg-type]
        out.offer(b"next")
        assert into.take() == b"next"
        into.close()
        out.close()
        r.close()
        assert len(kept[1]) == 6  # type: ignore[arg-type]  # its memory stays mapped as long as it lives


def test_views_are_read_only_and_slices_work_inside_the_handler(prefix: str) -> None:
    with ring(prefix) as r:
        out, into = r.publication(), r.subscribe("a", gating=True)
        seen: list[bytes] = []

        def handler(view: memoryview) -> None:
            assert view.readonly
            assert len(view) == 4
            with pytest.raises(TypeError):
                view[0] = 1
            seen.append(bytes(view[1:3]))

        out.offer(b"abcd")
        assert into.poll(handler, 10) == 1
        assert seen == [b"bc"]


def test_a_handler_that_raises_has_read_its_record(prefix: str) -> None:
    with ring(prefix) as r:
        out, into = r.publication(), r.subscribe("a", gating=True)
        out.offer_batch([b"0", b"1", b"2"])

        def handler(view: memoryview) -> None:
            if bytes(view) == b"1":
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            into.poll(handler)
        assert into.sequence == 2
        assert into.take() == b"2"


def test_poll_and_close_inside_the_own_handler_are_refused(prefix: str) -> None:
    with ring(prefix) as r:
        out, into = r.publication(), r.subscribe("a", gating=True)
        for act in (lambda v: into.poll(print), lambda v: into.take(), lambda v: into.close()):
            out.offer(b"x")
            with pytest.raises(RingError, match="own handler"):
                into.poll(act)
        out.offer(b"y")
        assert into.take() == b"y"


def test_poll_stops_at_its_limit(prefix: str) -> None:
    with ring(prefix) as r:
        out, into = r.publication(), r.subscribe("a", gating=True)
        out.offer_batch([b"x"] * 7)
        assert [into.poll(len, 3), into.poll(len, limit=3), into.poll(len, 3), into.poll(len, 0)] == [
            3,
            3,
            1,
            0,
        ]
        with pytest.raises(TypeError):
            into.poll(len, size=3)  # type: ignore[call-arg]


def test_row_02_an_observing_reader_is_overrun_and_counts_it(prefix: str) -> None:
    with ring(prefix, depth=8) as r:
        out, slow = r.publication(), r.subscribe("slow", gating=False)
        assert out.offer_batch([record(i, 40) for i in range(100)]) == 100
        seen = [sequence_of(raw) for raw in slow.take_batch(1000)]
        assert seen == list(range(93, 100))
        assert slow.lost == 93
        assert slow.lost + len(seen) == 100
        assert r.stats()["subscriptions"][0]["lost"] == 93


def test_row_02_a_stalled_gating_reader_never_loses(prefix: str) -> None:
    with ring(prefix, depth=8) as r:
        out, slow, quick = (
            r.publication(),
            r.subscribe("slow", gating=True),
            r.subscribe("quick", gating=False),
        )
        assert out.offer_batch([record(i, 40) for i in range(100)]) == 8
        assert len(quick.take_batch(100)) == 8
        assert [sequence_of(raw) for raw in slow.take_batch(100)] == list(range(8))
        assert slow.lost == 0


def test_subscriptions_come_and_go(prefix: str) -> None:
    with ring(prefix, depth=4) as r:
        out = r.publication()
        out.offer_batch([b"%d" % i for i in range(6)])
        late, early = r.subscribe("late", gating=True), r.subscribe("early", gating=True, from_start=True)
        assert early.take_batch(9) == [b"2", b"3", b"4", b"5"]
        assert late.take() is None
        assert out.offer_batch([b"%d" % i for i in range(6, 12)]) == 4
        early.take_batch(9)
        assert out.offer(b"x") is False
        late.close()
        assert out.offer(b"x") is True
        early.close()
        assert out.offer_batch([b"y"] * 50) == 50
        with pytest.raises(Closed):
            early.take()
        early.close()


def test_a_gate_that_joins_while_others_lag_is_safe(prefix: str) -> None:
    """The publication caches how far it may go: whoever joins must be below that."""
    with ring(prefix, depth=8) as r:
        out = r.publication()
        for before in range(40):
            out.offer(record(before, 30))
            gate = r.subscribe(f"g{before}", gating=True)
            sent = out.offer_batch([record(1000 + i, 30) for i in range(20)])
            assert sent == 8
            assert [sequence_of(raw) for raw in gate.take_batch(99)] == list(range(1000, 1008))
            gate.close()


def test_a_dead_subscriber_is_succeeded_where_it_stopped(prefix: str) -> None:
    with ring(prefix, depth=8) as r:
        out = r.publication()

        def read_three() -> None:
            mine = Ring.attach(r.name).subscribe("svc", gating=True)
            until(lambda: mine.lag == 5)
            assert mine.take_batch(3) == [b"0", b"1", b"2"]

        pid = start(read_three)
        until(lambda: r.stats()["subscriptions"])
        out.offer_batch([b"%d" % i for i in range(5)])
        assert ended(pid) == 0
        assert r.stats()["subscriptions"][0]["alive"] is False
        assert out.offer_batch([b"%d" % i for i in range(5, 30)]) == 6  # its gate holds: 3 read + 8
        successor = r.subscribe("svc", gating=True)
        assert successor.take_batch(99) == [b"%d" % i for i in range(3, 11)]
        assert successor.lost == 0


def test_a_dead_subscribers_gate_can_be_lifted_and_its_successor_counts_what_it_lost(prefix: str) -> None:
    with ring(prefix, depth=8) as r:
        out, live = r.publication(), r.subscribe("live", gating=True)
        pid = start(lambda: (Ring.attach(r.name).subscribe("svc", gating=True), until(lambda: False)))
        until(lambda: len(r.stats()["subscriptions"]) == 2)
        assert out.lift_dead() == []
        kill(pid)
        assert out.offer_batch([record(i, 20) for i in range(20)]) == 8
        live.take_batch(99)
        assert out.claim(1) is None
        assert out.lift_dead() == ["svc"]
        assert out.lift_dead() == []
        for i in range(8, 30):
            assert out.offer(record(i, 20))
            live.take()
        assert r.stats()["lifted"] == 1
        successor = r.subscribe("svc", gating=True)
        seen = [sequence_of(raw) for raw in successor.take_batch(99)]
        assert seen == list(range(30 - len(seen), 30))
        assert successor.lost + len(seen) == 30
        assert out.offer_batch([b"x"] * 20) == 8


def test_slots_that_nobody_waits_for_are_used_again(prefix: str) -> None:
    with ring(prefix, max_subscriptions=3) as r:
        out = r.publication()
        for label, gating in (("watch", False), ("gate", True), ("lifted", True)):
            assert ended(start(partial(Ring(r._segment).subscribe, label, gating=gating))) == 0
        with pytest.raises(SubscriptionTaken, match="all 3"):
            [r.subscribe(f"new {i}", gating=True) for i in range(2)]
        assert sorted(out.lift_dead()) == ["gate", "lifted"]
        r.subscribe("new 1", gating=False)
        assert {s["label"] for s in r.stats()["subscriptions"]} == {"new 0", "new 1", "lifted"}


def test_a_batch_with_a_record_that_cannot_be_carried_publishes_none(prefix: str) -> None:
    with ring(prefix) as r:
        out, into = r.publication(), r.subscribe("a", gating=True)
        for bad, error in ((bytes(65), RecordTooLong), (b"", RecordTooLong), ("text", TypeError)):
            with pytest.raises(error):
                out.offer_batch([b"fine", bad])  # type: ignore[list-item]
        assert out.offer_batch([]) == 0
        assert out.offer_batch((b"a", bytearray(b"b"), memoryview(b"c"))) == 3
        assert into.take_batch(9) == [b"a", b"b", b"c"]


def test_stats_tell_a_monitor_everything(prefix: str) -> None:
    with ring(prefix) as r:
        out, into = r.publication(), r.subscribe("a", gating=True)
        r.subscribe("b", gating=False)
        out.offer_batch([b"x"] * 3)
        into.take()
        stats = r.stats()
        assert (stats["published"], stats["depth"], stats["mtu"]) == (3, 8, 64)
        by_label = {s["label"]: s for s in stats["subscriptions"]}
        assert (by_label["a"]["gating"], by_label["a"]["cursor"], by_label["a"]["lag"]) == (True, 1, 2)
        assert (by_label["b"]["gating"], by_label["b"]["lag"], by_label["b"]["alive"]) == (False, 3, True)


def test_closed_ends_refuse(prefix: str) -> None:
    with ring(prefix) as r:
        out, into = r.publication(), r.subscribe("a", gating=True)
        r.close()
        assert out.offer(b"x")
        assert into.take() == b"x"
        out.close()
        into.close()
        for use in (
            lambda: out.offer(b"x"),
            lambda: out.claim(1),
            into.take,
            lambda: into.poll(len),
            lambda: into.lag,
        ):
            with pytest.raises(Closed, match="is closed"):
                use()
