"""What a process tells systemd: ready, alive, what it does, stopping (the protocol of ``sd_notify(3)``).

Datagrams to the Unix socket that ``$NOTIFY_SOCKET`` names; without it nothing is sent. What is told from a
duty cycle is dropped when the manager's queue is full: a sign of life comes again. READY and STOPPING wait.
"""

import contextlib
import os
import socket
from collections.abc import MutableMapping

WATCHDOG_SHARE = 3
"""The watchdog is fed this often in its period; at least twice is asked for."""

WAIT_S = 5.0
"""Longest wait for room in the manager's queue."""


class Notifier:
    """One process's line to its service manager."""

    def __init__(self, address: str = "", watchdog_ns: int = 0) -> None:
        """``address``: path of the socket, an abstract one with ``@`` first; empty: nobody listens.

        ``watchdog_ns``: period within which the manager wants a sign of life, 0 for none.
        """
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._interval_ns = watchdog_ns // WATCHDOG_SHARE
        self._fed_ns = 0
        self._socket: socket.socket | None = None
        if address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str] | None = None) -> "Notifier":
        """The notifier that systemd asks for; takes its variables away, so that no child speaks for us.

        A watchdog meant for another process (``$WATCHDOG_PID``) or that is no number is none.
        """
        given = os.environ if environment is None else environment
        address = given.pop("NOTIFY_SOCKET", "")
        period_us, pid = given.pop("WATCHDOG_USEC", ""), given.pop("WATCHDOG_PID", "")
        watched = period_us.isdecimal() and pid in ("", str(os.getpid()))
        return cls(address if address[:1] in ("/", "@") else "", int(period_us) * 1000 if watched else 0)

    def ready(self, status: str) -> None:
        """All is attached and duty cycles begin."""
        self._send(f"READY=1\nSTATUS={status}", WAIT_S)

    def status(self, status: str) -> None:
        """One line for ``systemctl status``."""
        self._send(f"STATUS={status}")

    def stopping(self, status: str) -> None:
        """The process drains and will end."""
        self._send(f"STOPPING=1\nSTATUS={status}", WAIT_S)

    def alive(self, now_ns: int) -> None:
        """Feed the watchdog when it is due; to be called from every housekeeping, so never from a loop that
        hangs."""
        if self._interval_ns and now_ns - self._fed_ns >= self._interval_ns:
            self._fed_ns = now_ns
            self._send("WATCHDOG=1")

    def close(self) -> None:
        """Close the socket; nothing is sent from here on."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, message: str, wait_s: float = 0.0) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.settimeout(wait_s)
                self._socket.sendto(message.encode("utf-8"), self._address)
