"""What systemd hears, on real datagram sockets."""

import itertools
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from hft.runtime.notify import Notifier


@pytest.fixture(params=["path", "abstract"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A socket as systemd's, and its address as it stands in ``$NOTIFY_SOCKET``."""
    address = f"@hft-test-{os.getpid()}" if request.param == "abstract" else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind("\0" + address[1:] if address.startswith("@") else address)
        bound.setblocking(False)
        yield bound, address


def heard(listener: socket.socket) -> list[str]:
    messages: list[str] = []
    while True:
        try:
            messages.append(listener.recv(4096).decode())
        except BlockingIOError:
            return messages


def test_a_life_is_told_in_its_own_words(listener: tuple[socket.socket, str]) -> None:
    bound, address = listener
    environment = {"NOTIFY_SOCKET": address, "OTHER": "x"}
    notifier = Notifier.from_environment(environment)
    assert environment == {"OTHER": "x"}
    notifier.ready("running")
    notifier.status("HALTED: the kill latch is set")
    notifier.stopping("draining")
    notifier.close()
    notifier.status("unheard")
    assert heard(bound) == [
        "READY=1\nSTATUS=running",
        "STATUS=HALTED: the kill latch is set",
        "STOPPING=1\nSTATUS=draining",
    ]


def test_the_watchdog_is_fed_at_least_twice_in_its_period(listener: tuple[socket.socket, str]) -> None:
    bound, address = listener
    period_us = 30_000
    environment = {
        "NOTIFY_SOCKET": address,
        "WATCHDOG_USEC": str(period_us),
        "WATCHDOG_PID": str(os.getpid()),
    }
    notifier = Notifier.from_environment(environment)
    fed_ms = []
    for now_ms in range(1, 10 * period_us // 1000 + 1):
        notifier.alive(now_ms * 1_000_000)
        messages = heard(bound)
        assert messages in ([], ["WATCHDOG=1"])
        fed_ms += [now_ms] * len(messages)
    notifier.close()
    assert {later - earlier for earlier, later in itertools.pairwise(fed_ms)} == {10}


@pytest.mark.parametrize("changed", [{"WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "soon"}, {"WATCHDOG_USEC": ""}])
def test_a_watchdog_that_is_not_ours_is_not_fed(
    listener: tuple[socket.socket, str], changed: dict[str, str]
) -> None:
    bound, address = listener
    environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000", **changed}
    notifier = Notifier.from_environment(environment)
    notifier.alive(10**18)
    notifier.close()
    assert heard(bound) == []


@pytest.mark.parametrize("address", ["", "relative/path", "/no/such/socket", "@nobody-listens-here"])
def test_without_a_listener_nothing_happens(address: str) -> None:
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000"})
    notifier.ready("running")
    notifier.alive(10**18)
    notifier.close()
