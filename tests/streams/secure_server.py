"""A real nats-server that speaks TLS alone and knows its users by NKey; certificates made for the test."""

import base64
import json
import os
import secrets
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nkeys

from hft.runtime.nats_server import find_binary
from tests.certificates import Authority, Pair


def new_seed() -> bytes:
    """A fresh NKey user seed."""
    seed: bytes = nkeys.encode_seed(secrets.token_bytes(32), nkeys.PREFIX_BYTE_USER)
    return seed


def seed_file(path: Path, seed: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(seed + b"\n")
    path.chmod(mode)
    return path


def public_key(seed: bytes) -> str:
    return str(nkeys.from_seed(bytearray(seed)).public_key.decode())


@contextmanager
def running(folder: Path, configuration: str) -> Iterator[str]:
    """A server with this configuration on a port of its own choosing; gives host and port."""
    folder.mkdir(parents=True, exist_ok=True)
    ports = folder / "ports"
    ports.mkdir()
    file = folder / "server.conf"
    file.write_text(
        f'host: 127.0.0.1\nport: -1\nports_file_dir: "{ports}"\n'
        f'jetstream {{ store_dir: "{folder / "store"}" }}\n{configuration}'
    )
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen([find_binary(), "-c", file], stdout=log, stderr=log)
    try:
        yield _address(process, ports, folder / "server.log")
    finally:
        process.terminate()
        process.wait(10)


def _address(process: "subprocess.Popen[bytes]", ports: Path, log: Path) -> str:
    """From the file that the server writes when it listens."""
    deadline = time.monotonic() + 60
    file = ports / f"nats-server_{process.pid}.ports"
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        try:
            url: str = json.loads(file.read_text())["nats"][0]
            return url.rpartition("/")[2]
        except (OSError, ValueError):
            os.sched_yield()


def tls_block(pair: Pair, authority: Authority | None = None) -> str:
    """``authority``: the one that clients' certificates must come from."""
    asks = f'  ca_file: "{authority.file}"\n  verify: true\n' if authority else ""
    return f'tls {{\n  cert_file: "{pair.certificate}"\n  key_file: "{pair.key}"\n{asks}}}\n'


def users_block(*seeds: bytes) -> str:
    listed = ", ".join(f"{{nkey: {public_key(seed)}}}" for seed in seeds)
    return f"authorization {{ users: [{listed}] }}\n"


class Accounts:
    """An operator, an account with JetStream, and users by JWT: what ``nsc`` makes, by hand."""

    def __init__(self) -> None:
        self._operator, self._account, self._system = (
            self._pair(prefix)
            for prefix in (
                nkeys.PREFIX_BYTE_OPERATOR,
                nkeys.PREFIX_BYTE_ACCOUNT,
                nkeys.PREFIX_BYTE_ACCOUNT,
            )
        )

    @staticmethod
    def _pair(prefix: int) -> nkeys.KeyPair:
        return nkeys.from_seed(bytearray(nkeys.encode_seed(secrets.token_bytes(32), prefix)))

    def configuration(self) -> str:
        unlimited = {"subs": -1, "data": -1, "payload": -1, "conn": -1, "leaf": -1, "imports": -1}
        limits = {**unlimited, "exports": -1, "wildcards": True}
        store = {"mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1}
        account = self._account.public_key.decode()
        system = self._system.public_key.decode()
        operator = self._jwt(
            self._operator, self._operator.public_key, "operator", {"system_account": system}
        )
        accounts = {
            account: self._jwt(self._operator, account, "account", {"limits": {**limits, **store}}),
            system: self._jwt(self._operator, system, "account", {"limits": limits}),
        }
        preload = "\n".join(f"  {key}: {jwt}" for key, jwt in accounts.items())
        return f"operator: {operator}\nresolver: MEMORY\nresolver_preload {{\n{preload}\n}}\n"

    def credentials(self, seed: bytes) -> str:
        """A ``.creds`` file for a user."""
        claims = {"subs": -1, "data": -1, "payload": -1, "pub": {}, "sub": {}}
        jwt = self._jwt(self._account, public_key(seed), "user", claims)
        return (
            f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
            "************************* IMPORTANT *************************\nKeep it.\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{seed.decode()}\n------END USER NKEY SEED------\n\n***\n"
        )

    @staticmethod
    def _jwt(issuer: nkeys.KeyPair, subject: bytes | str, kind: str, claims: dict[str, object]) -> str:
        name = subject.decode() if isinstance(subject, bytes) else subject
        body = {
            "jti": secrets.token_hex(16),
            "iat": int(time.time()),
            "iss": issuer.public_key.decode(),
            "name": kind,
            "sub": name,
            "nats": {**claims, "type": kind, "version": 2},
        }
        parts = [
            base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
            for part in ({"typ": "JWT", "alg": "ed25519-nkey"}, body)
        ]
        signed = b".".join(parts)
        signature = base64.urlsafe_b64encode(issuer.sign(signed)).rstrip(b"=")
        return (signed + b"." + signature).decode()
