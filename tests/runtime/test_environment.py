"""Children get an environment of named things; credentials reach the one service that asks for them."""

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from hft.runtime import environment, state
from hft.runtime.children import Child
from hft.runtime.settings import Config, Hft

USUAL = {
    "PATH": "/usr/bin",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "PYTHONPATH": "/x",
    "SSL_CERT_FILE": "/ca.pem",
}
SECRETS = {
    "AWS_ACCESS_KEY_ID": "an id",
    "AWS_SECRET_ACCESS_KEY": "a secret",
    "AWS_PROFILE": "trader",
    "VAULT_TOKEN": "a token",
    "PGPASSWORD": "a password",
    "SOME_API_KEY": "a key",
    "NOTIFY_SOCKET": "/run/systemd/notify",
    "SSLKEYLOGFILE": "/tmp/keys",
}
PAPER = Config()
LIVE = replace(PAPER, hft=replace(PAPER.hft, mode="live"))
KMS = replace(LIVE, chain=replace(PAPER.chain, signer="kms"))
POSTGRESQL = replace(PAPER, auditor=replace(PAPER.auditor, ledger_dsn="postgresql://ledger@/ledger"))
AWS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"}


@pytest.mark.parametrize(
    ("service", "config", "more"),
    [
        ("executor", PAPER, set()),
        ("executor", LIVE, set()),
        ("executor", replace(KMS, hft=PAPER.hft), set()),
        ("executor", KMS, AWS),
        ("planner", KMS, set()),
        ("sidecar", KMS, set()),
        ("auditor", PAPER, set()),
        ("auditor", POSTGRESQL, {"PGPASSWORD"}),
        ("executor", POSTGRESQL, {"PGPASSWORD"}),
        ("manager", POSTGRESQL, set()),
    ],
)
def test_who_gets_what(service: str, config: Config, more: set[str]) -> None:
    given = environment.of_service(service, config, {**USUAL, **SECRETS})
    assert given == {**USUAL, **{name: SECRETS[name] for name in more}, **environment.ONE_THREAD}


def test_systemd_speaks_to_a_service_of_its_own_alone() -> None:
    given = {**USUAL, **SECRETS, "WATCHDOG_USEC": "10"}
    assert environment.of_systemd(given) == {
        "NOTIFY_SOCKET": "/run/systemd/notify",
        "WATCHDOG_USEC": "10",
    }


def environment_of(pid: int) -> list[bytes]:
    """What a process was given: the kernel shows it a moment after the process has begun."""
    deadline = time.monotonic() + 30
    while not (held := Path(f"/proc/{pid}/environ").read_bytes()):
        assert time.monotonic() < deadline, f"process {pid} shows no environment"
    return held.split(b"\0")


@pytest.mark.parametrize(
    ("service", "config", "more"), [("executor", KMS, AWS), ("executor", LIVE, set()), ("feed", KMS, set())]
)
def test_row_28_a_real_childs_environment_holds_no_secrets_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, service: str, config: Config, more: set[str]
) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    state.prepare(tmp_path)
    os.mkfifo(tmp_path / state.RUN_FILE)  # the process waits there until it is ended
    child = Child(service, tmp_path, Hft(), environment.of_service(service, config))
    child.spawn()
    try:
        held = environment_of(child.pid)
    finally:
        child.kill()
    names = {entry.partition(b"=")[0].decode() for entry in held}
    assert "PATH" in names
    assert names & SECRETS.keys() == more
