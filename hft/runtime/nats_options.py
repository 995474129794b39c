"""How NATS is reached: addresses, TLS and who we are, from ``[nats]`` and an address; one way for everyone.

``nats://`` is plain TCP, for loopback alone unless ``[nats] plaintext`` says otherwise; ``tls://`` is TLS 1.2
or newer with the server's certificate and name verified, and never falls back to plain TCP. Who we are is an
NKey seed or a ``.creds`` file (JWT and seed), in files of mode 0600; no secret is part of an address, a
setting, a log line or a ``repr``. A server gets a signature of its nonce, never the seed.
"""

import base64
import binascii
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import nats.errors
import nkeys
from nats.aio.client import Client

from hft.chain.keystore import KeystoreError, read_private
from hft.runtime.exit_codes import ExitCode, HftError
from hft.runtime.nats_address import EMBEDDED, Server, parse_urls
from hft.runtime.settings import Nats

T = TypeVar("T")

_CREDENTIALS = re.compile(
    rb"-----BEGIN NATS USER JWT-----\s+(\S+)\s+-+END NATS USER JWT-+\s.*?"
    rb"-----BEGIN USER NKEY SEED-----\s+(\S+)\s+-+END USER NKEY SEED-+",
    re.DOTALL,
)


class Identity:
    """Who we are to a server. Holds the seed for signing; shows the public key alone."""

    __slots__ = ("_keys", "_seed", "jwt", "public_key")

    def __init__(self, seed: bytes, jwt: str = "") -> None:
        """``seed``: a user's NKey seed, ``SU…``. ``ValueError`` when it is none; the text holds no part of
        it."""
        self._keys = key_pair(seed)
        self._seed = seed
        self.public_key: str = self._keys.public_key.decode()
        self.jwt = jwt

    def __repr__(self) -> str:
        return f"Identity({self.public_key})"

    def sign(self, data: bytes) -> bytes:
        """Ed25519 signature, 64 bytes."""
        signature: bytes = self._keys.sign(data)
        return signature

    def login(self, nonce: str) -> dict[str, str]:
        """The fields of CONNECT that answer a server's nonce: ``nkey`` or ``jwt``, and ``sig``."""
        signed = base64.urlsafe_b64encode(self.sign(nonce.encode())).rstrip(b"=").decode()
        return {"jwt": self.jwt, "sig": signed} if self.jwt else {"nkey": self.public_key, "sig": signed}

    def _keywords(self) -> dict[str, Any]:
        """What nats-py takes for it."""
        if not self.jwt:
            return {"nkeys_seed_str": self._seed.decode()}
        return {
            "user_jwt_cb": self.jwt.encode,
            "signature_cb": lambda nonce: base64.b64encode(self.sign(nonce.encode())),
        }


@dataclass(frozen=True)
class ConnectOptions:
    """Everything a client needs. ``tls``: the context where the addresses are ``tls://``, else None: a client
    of one's own must then end a connection whose INFO does not say ``tls_required``."""

    servers: tuple[Server, ...]
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    identity: Identity | None = None

    @property
    def urls(self) -> list[str]:
        """The addresses, in order."""
        return [server.url for server in self.servers]

    def __str__(self) -> str:
        return ", ".join(self.urls)

    def keywords(self) -> dict[str, Any]:
        """Keywords for nats-py's ``connect``; ``connect`` below adds what it lacks."""
        found: dict[str, Any] = {"servers": self.urls}
        if self.tls is not None:
            found["tls"] = self.tls
        if self.identity is not None:
            found |= self.identity._keywords()
        return found


class _Client(Client):
    """nats-py sends CONNECT in the clear to a server that does not ask for TLS, whatever the address says."""

    tls_demanded = False

    def _connect_command(self) -> bytes:
        if self.tls_demanded and not self._server_info.get("tls_required"):
            raise nats.errors.Error("the server does not speak TLS, and the address demands it")
        command: bytes = super()._connect_command()
        return command


async def connect(options: ConnectOptions, **keywords: Any) -> Client:
    """A connected nats-py client; ``keywords`` are those of nats-py's ``connect``.

    Raises what that raises: ``OSError``, ``nats.errors.Error``, ``TimeoutError``.
    """
    client = _Client()
    client.tls_demanded = options.tls is not None
    await client.connect(**{**options.keywords(), **keywords})
    return client


async def connect_session(options: ConnectOptions, name: str, **callbacks: Any) -> Client:
    """``connect`` for one session that ends with its connection: whoever asks begins the next one, so that
    nothing is done in it twice. ``callbacks``: nats-py's ``closed_cb`` and ``error_cb``."""
    return await connect(
        options,
        name=name,
        allow_reconnect=False,
        max_reconnect_attempts=1,
        reconnect_time_wait=0,
        connect_timeout=2,
        ping_interval=5,
        **callbacks,
    )


def connect_options(settings: Nats, url: str = "") -> ConnectOptions:
    """From ``[nats]``; ``url``: addresses that stand in for its own, as a run's embedded server's.

    Files are read here. ``HftError`` CONFIG names every key that is wrong, and what would be right.
    """
    given = url or settings.url
    if given == EMBEDDED:
        raise HftError("[nats] url: embedded has no address before it runs; give one", ExitCode.CONFIG)
    servers, wrong = parse_urls(given, plaintext_anywhere=settings.plaintext == "anywhere")
    tls: ssl.SSLContext | None = None
    if servers and servers[0].scheme == "tls":
        tls = _collect(wrong, lambda: _context(settings))
    identity = _collect(wrong, lambda: _identity(settings))
    if wrong:
        raise HftError("\n".join(wrong), ExitCode.CONFIG)
    return ConnectOptions(servers, tls, identity)


def key_pair(seed: bytes) -> nkeys.KeyPair:
    """A user's NKey seed as keys; ``ValueError`` when it is none, without any part of it."""
    try:
        # The library looks at the prefix, not at the checksum: a mistyped seed would be another's.
        raw = base64.b32decode(seed + b"=" * (-len(seed) % 8))
        prefix, key = nkeys.decode_seed(bytearray(seed))
        if prefix != nkeys.PREFIX_BYTE_USER or len(key) != 32 or not _checksum_holds(raw):
            raise ValueError
        return nkeys.from_seed(bytearray(seed))
    except (nkeys.NkeysError, ValueError, IndexError, TypeError):
        raise ValueError("no seed of an NKey user (SU…, 58 letters and digits)") from None


def public_key_bytes(text: str) -> bytes:
    """A user's public NKey, ``U…``, as the 32 bytes of its Ed25519 key. ``ValueError`` when it is none."""
    try:
        raw = base64.b32decode(text.encode("ascii"))
    except (binascii.Error, UnicodeEncodeError, ValueError):
        raw = b""
    if len(raw) != 35 or raw[0] != nkeys.PREFIX_BYTE_USER or not _checksum_holds(raw):
        raise ValueError(f"{text[:60]!r} is no public NKey of a user (U…, 56 letters and digits)")
    return raw[1:33]


def _checksum_holds(raw: bytes) -> bool:
    return bool(int.from_bytes(raw[-2:], "little") == nkeys.crc16(bytearray(raw[:-2])))


def read_seed(path: Path) -> bytes:
    """The seed in a file of mode 0600, bare or within a ``.creds`` file.

    ``KeystoreError`` when others can get at it; ``ValueError`` when it holds none.
    """
    text = read_private(path).reveal()
    creds = _CREDENTIALS.search(text)
    return creds.group(2) if creds else text.strip()


def _identity(settings: Nats) -> Identity | None:
    key = "credentials_file" if settings.credentials_file else "nkey_seed_file"
    name = settings.credentials_file or settings.nkey_seed_file
    if not name:
        return None
    try:
        text = read_private(Path(name).expanduser()).reveal()
        if key == "nkey_seed_file":
            return Identity(text.strip())
        creds = _CREDENTIALS.search(text)
        if creds is None:
            raise ValueError("no .creds file: a user's JWT and seed belong there")
        return Identity(creds.group(2), creds.group(1).decode())
    except KeystoreError as error:
        raise HftError(f"[nats] {key}: {error}", ExitCode.CONFIG) from None
    except ValueError as error:
        raise HftError(f"[nats] {key}: {name}: {error}", ExitCode.CONFIG) from None


def _context(settings: Nats) -> ssl.SSLContext:
    """TLS as a client: the server is verified by ``tls_ca_file``, else by the system's authorities."""
    try:
        context = ssl.create_default_context(cafile=settings.tls_ca_file or None)
    except OSError as error:
        raise HftError(
            f"[nats] tls_ca_file: {settings.tls_ca_file}: {_why(error)}", ExitCode.CONFIG
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.tls_cert_file:
        try:
            read_private(Path(settings.tls_key_file)).wipe()
            context.load_cert_chain(settings.tls_cert_file, settings.tls_key_file, password=_no_password)
        except KeystoreError as error:
            raise HftError(f"[nats] tls_key_file: {error}", ExitCode.CONFIG) from None
        except OSError as error:
            names = f"{settings.tls_cert_file}, {settings.tls_key_file}"
            raise HftError(
                f"[nats] tls_cert_file, tls_key_file: {names}: {_why(error)}", ExitCode.CONFIG
            ) from None
    return context


def _no_password() -> str:
    """Else OpenSSL would ask at the terminal."""
    return ""


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"no certificates or keys in PEM form that belong together ({error.reason or 'unreadable'})"
    return error.strerror or str(error)


def _collect(wrong: list[str], make: Callable[[], T]) -> T | None:
    try:
        return make()
    except HftError as error:
        wrong.append(str(error))
        return None
