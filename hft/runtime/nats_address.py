"""Addresses of NATS, and what is wrong with ``[nats]`` before any file is read or socket opened."""

import re
from typing import NamedTuple
from urllib.parse import urlsplit

from hft.runtime.settings import Nats

EMBEDDED = "embedded"
DEFAULT_PORT = 4222
_INSTANCE = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


class Server(NamedTuple):
    """One address."""

    scheme: str
    """``nats`` or ``tls``."""
    host: str
    port: int

    @property
    def url(self) -> str:
        """As clients take it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def parse_urls(text: str, *, plaintext_anywhere: bool = False) -> tuple[tuple[Server, ...], list[str]]:
    """Addresses separated by commas, and what is wrong with them, a line each."""
    # Imported on need: every process checks its settings, few have an address of NATS among them.
    from hft.chain.endpoint import is_loopback

    servers: list[Server] = []
    wrong: list[str] = []
    for part in (part.strip() for part in text.split(",")):
        try:
            parts = urlsplit(part)
            host, port = parts.hostname or "", parts.port or DEFAULT_PORT
        except ValueError:
            host = ""
        if host and (parts.username is not None or parts.password is not None):
            wrong.append("[nats] url: no user, password or token belongs in an address: use a key file")
        elif not host or parts.scheme not in ("nats", "tls") or parts.path.strip("/") or parts.query:
            wrong.append(f"[nats] url: {part[:80]!r} is none of embedded, nats://HOST:PORT, tls://HOST:PORT")
        elif parts.scheme == "nats" and not is_loopback(host) and not plaintext_anywhere:
            wrong.append(
                f"[nats] url: {part!r} leaves this machine in the clear: tls://{host}:{port}, "
                "or [nats] plaintext = anywhere on a network that is private otherwise"
            )
        else:
            servers.append(Server(parts.scheme, host, port))
    if len({server.scheme for server in servers}) > 1:
        wrong.append("[nats] url: nats:// and tls:// can't be mixed")
    return tuple(servers), wrong


def settings_errors(settings: Nats) -> list[str]:
    """What is wrong with ``[nats]`` without reading a file, a line each."""
    wrong: list[str] = []
    if settings.url != EMBEDDED:
        wrong += parse_urls(settings.url, plaintext_anywhere=settings.plaintext == "anywhere")[1]
    elif settings.replicas > 1:
        wrong.append(f"[nats] replicas: {settings.replicas} need a cluster; the embedded server is one")
    if settings.replicas % 2 == 0:
        wrong.append(f"[nats] replicas: {settings.replicas} is none of 1, 3, 5")
    if bool(settings.tls_cert_file) is not bool(settings.tls_key_file):
        wrong.append("[nats] tls_cert_file and tls_key_file: one without the other is of no use")
    if settings.credentials_file and settings.nkey_seed_file:
        wrong.append("[nats] credentials_file and nkey_seed_file: only one can say who we are")
    try:
        check_instance(settings.command_instance)
    except ValueError as error:
        wrong.append(f"[nats] command_instance: {error}")
    if settings.command_senders:
        from hft.runtime.commands import parse_senders

        try:
            parse_senders(settings.command_senders)
        except ValueError as error:
            wrong.append(f"[nats] command_senders: {error}")
    return wrong


def check_instance(name: str) -> None:
    """``ValueError`` when ``name`` can't be an instance's."""
    if not _INSTANCE.fullmatch(name):
        raise ValueError(f"{name!r} is not 1 to 32 of a-z, 0-9, _ and -, a letter or digit first")
