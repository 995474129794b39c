"""Frames: what goes in comes out; what breaks the protocol is refused with a code."""

import random

import pytest

from hft.chain.frames import (
    HEADER,
    MAX_PAYLOAD,
    MAX_REQUEST,
    AccountUpdate,
    Balances,
    BalancesRequest,
    ClusterFault,
    FrameBuffer,
    FrameError,
    FrameErrorCode,
    Kind,
    Outcome,
    Request,
    SettlementStatus,
    SlotUpdate,
    StatusRequest,
    Submit,
    Subscribe,
    TokenChange,
    account_frame,
    balances_frame,
    fault_frame,
    request_frame,
    slot_frame,
    status_frame,
)

ACCOUNT = AccountUpdate(7, 2**63, bytes(range(32)), bytes(32), 2**64 - 1, b"data" * 100, True)
STATUS = SettlementStatus(
    bytes(range(64)),
    Outcome.LANDED_FAILED,
    431,
    3,
    6036,
    "AmountOutBelowMinimum",
    5200,
    65_000,
    10**12,
    10**12 - 5200,
    (TokenChange(bytes(32), 1, 2), TokenChange(b"\1" * 32, 3, 2**64 - 1)),
)
EVENTS = [
    ACCOUNT,
    ACCOUNT._replace(data=b"", lamports=0, last_of_batch=False),
    SlotUpdate(1, 2, 152, -3, b"\7" * 32),
    STATUS,
    STATUS._replace(tokens=(), error_name=""),
    Balances(9, b"\2" * 32, 5, 10**10, ((bytes(32), 1), (b"\1" * 32, 2))),
    ClusterFault(2, "too many clients"),
]
ENCODERS = {
    AccountUpdate: account_frame,
    SlotUpdate: slot_frame,
    SettlementStatus: status_frame,
    Balances: balances_frame,
    ClusterFault: fault_frame,
}
REQUESTS: list[Request] = [
    Subscribe(True),
    Subscribe(False),
    Submit(b"\1" * 1232),
    BalancesRequest(3, b"\2" * 32),
    StatusRequest(b"\3" * 64),
]


def buffer_with(data: bytes, limit: int = MAX_PAYLOAD) -> FrameBuffer:
    buffer = FrameBuffer(limit, 1 << 20)
    buffer.space()[: len(data)] = data
    buffer.received(len(data))
    return buffer


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_events_come_out_as_they_went_in(event: object) -> None:
    buffer = buffer_with(ENCODERS[type(event)](event))
    assert buffer.has_frame()
    assert buffer.next_event() == event
    assert buffer.next_event() is None
    assert buffer.held == 0


@pytest.mark.parametrize("request_", REQUESTS, ids=repr)
def test_requests_come_out_as_they_went_in(request_: Request) -> None:
    buffer = buffer_with(request_frame(request_))
    assert buffer.next_request() == request_
    assert buffer.next_request() is None


def test_frames_cut_anywhere_are_put_together() -> None:
    stream = b"".join(ENCODERS[type(entry)](entry) for entry in EVENTS) * 20
    generator = random.Random(5)
    buffer, seen, at = FrameBuffer(MAX_PAYLOAD, MAX_PAYLOAD), [], 0
    while at < len(stream):
        space = buffer.space()
        count = min(generator.randrange(1, 700), len(stream) - at, len(space))
        space[:count] = stream[at : at + count]
        buffer.received(count)
        at += count
        while (event := buffer.next_event()) is not None:
            seen.append(event)
    assert seen == EVENTS * 20


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (HEADER.pack(MAX_PAYLOAD + 1, Kind.ACCOUNT), FrameErrorCode.TOO_LARGE),
        (HEADER.pack(2**32 - 1, Kind.SLOT), FrameErrorCode.TOO_LARGE),
        (HEADER.pack(0, 0), FrameErrorCode.UNKNOWN_KIND),
        (HEADER.pack(4, 200) + b"abcd", FrameErrorCode.UNKNOWN_KIND),
        (HEADER.pack(0, Kind.SUBMIT), FrameErrorCode.UNKNOWN_KIND),
        (HEADER.pack(3, Kind.SLOT) + b"abc", FrameErrorCode.BAD_PAYLOAD),
        (HEADER.pack(5, Kind.ACCOUNT) + b"abcde", FrameErrorCode.BAD_PAYLOAD),
        (HEADER.pack(0, Kind.ERROR), FrameErrorCode.BAD_PAYLOAD),
        (
            status_frame(STATUS)[:5] + b"\0" * 64 + b"\x09" + status_frame(STATUS)[70:],
            FrameErrorCode.BAD_PAYLOAD,
        ),
    ],
)
def test_frames_that_break_the_protocol_are_refused(data: bytes, code: FrameErrorCode) -> None:
    with pytest.raises(FrameError) as caught:
        buffer_with(data).next_event()
    assert caught.value.code is code


def test_counts_that_do_not_fit_the_payload_are_refused() -> None:
    good = bytearray(status_frame(STATUS))
    good[5 + 64 + 1 + 8 + 1 + 4 + 8 + 4 + 8 + 8] = 60  # the number of tokens
    with pytest.raises(FrameError):
        buffer_with(bytes(good)).next_event()


def test_random_bytes_give_frames_or_coded_errors() -> None:
    generator = random.Random(11)
    for _ in range(2000):
        kind = generator.choice([*Kind, generator.randrange(256)])
        payload = generator.randbytes(generator.randrange(0, 300))
        buffer = buffer_with(HEADER.pack(len(payload), kind) + payload, MAX_REQUEST)
        take = buffer.next_event if generator.random() < 0.5 else buffer.next_request
        error: FrameError | None = None
        try:
            take()
        except FrameError as caught:
            error = caught
        assert error is None or (error.code in FrameErrorCode and str(error))


def test_an_oversize_transaction_is_refused_before_it_is_sent() -> None:
    with pytest.raises(FrameError) as caught:
        request_frame(Submit(bytes(MAX_REQUEST + 1)))
    assert caught.value.code is FrameErrorCode.TOO_LARGE
    assert str(MAX_REQUEST) in str(caught.value)
