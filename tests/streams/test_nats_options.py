"""How NATS is reached: what is refused before a socket opens; real servers with TLS, NKeys and JWTs."""

import asyncio
import contextlib
import socket
import threading
from pathlib import Path

import nats.errors
import pytest
from secure_server import Accounts, new_seed, public_key, running, seed_file, tls_block, users_block

from hft.runtime import config
from hft.runtime.exit_codes import ExitCode, HftError
from hft.runtime.nats_address import parse_urls
from hft.runtime.nats_options import (
    ConnectOptions,
    Identity,
    connect,
    connect_options,
    public_key_bytes,
)
from hft.runtime.settings import Nats
from tests.certificates import Authority

QUIET = {"allow_reconnect": False, "max_reconnect_attempts": 1, "connect_timeout": 3}


def streams_made(options: ConnectOptions) -> int:
    """Connects, makes a stream, and counts the streams there are."""

    async def ask() -> int:
        async def quiet(_: Exception) -> None: ...

        client = await connect(options, error_cb=quiet, **QUIET)
        try:
            js = client.jetstream()
            await js.add_stream(name="PROOF", subjects=["proof"])
            return int((await js.account_info()).streams)
        finally:
            await client.close()

    return asyncio.run(ask())


def refused(settings: Nats, url: str = "") -> str:
    with pytest.raises(HftError) as caught:
        connect_options(settings, url)
    assert caught.value.code == ExitCode.CONFIG
    return str(caught.value)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("nats://10.0.0.1:4222", "leaves this machine in the clear"),
        ("nats://me:secret@127.0.0.1:4222", "no user, password or token belongs in an address"),
        ("http://127.0.0.1:4222", "is none of embedded, nats://HOST:PORT, tls://HOST:PORT"),
        ("nats://127.0.0.1:99999", "is none of"),
        ("127.0.0.1:4222", "is none of"),
        ("", "is none of"),
        ("nats://127.0.0.1:4222,tls://nats.example:4222", "can't be mixed"),
    ],
)
def test_row_36_an_address_that_may_not_be_used_is_refused_and_no_secret_is_repeated(
    url: str, says: str
) -> None:
    (error,) = parse_urls(url)[1]
    assert says in error
    assert "secret" not in error


def test_several_addresses_and_default_ports() -> None:
    servers, wrong = parse_urls("tls://a.example, tls://b.example:5222,tls://[2001:db8::1]")
    assert not wrong
    assert [server.url for server in servers] == [
        "tls://a.example:4222",
        "tls://b.example:5222",
        "tls://[2001:db8::1]:4222",
    ]


def test_plain_tcp_beyond_this_machine_is_an_explicit_choice() -> None:
    (error,) = _errors("nats.url=nats://10.0.0.1:4222")
    assert "leaves this machine" in error
    loaded = config.load(None, (), ("nats.url=nats://10.0.0.1:4222", "nats.plaintext=anywhere"))
    assert connect_options(loaded.nats).urls == ["nats://10.0.0.1:4222"]


@pytest.mark.parametrize(
    ("sets", "says"),
    [
        (("nats.tls_cert_file=a.pem",), "one without the other"),
        (("nats.credentials_file=a", "nats.nkey_seed_file=b"), "only one can say who we are"),
        (("nats.replicas=3",), "need a cluster"),
        (("nats.replicas=2", "nats.url=nats://127.0.0.1:4222"), "2 is none of 1, 3, 5"),
    ],
)
def test_settings_that_contradict_are_refused(sets: tuple[str, ...], says: str) -> None:
    (error,) = _errors(*sets)
    assert says in error


def _errors(*sets: str) -> list[str]:
    with pytest.raises(config.ConfigError) as caught:
        config.load(None, (), sets)
    return caught.value.errors


def test_row_28_a_seed_file_others_can_read_is_refused(tmp_path: Path) -> None:
    seed = new_seed()
    file = seed_file(tmp_path / "seed", seed, mode=0o640)
    said = refused(Nats(nkey_seed_file=str(file)), "nats://127.0.0.1:4222")
    assert "mode 0640" in said
    assert seed.decode() not in said


@pytest.mark.parametrize("key", ["nkey_seed_file", "credentials_file"])
def test_row_28_a_malformed_key_file_is_refused_without_its_content(tmp_path: Path, key: str) -> None:
    seed = bytearray(new_seed())
    seed[20] = ord("A") if seed[20] != ord("A") else ord("B")
    file = seed_file(tmp_path / "seed", bytes(seed))
    said = refused(Nats(**{key: str(file)}), "nats://127.0.0.1:4222")
    assert f"[nats] {key}: {file}: no " in said
    assert bytes(seed[:10]).decode() not in said


def test_row_28_no_secret_is_in_what_is_shown_of_the_options(tmp_path: Path) -> None:
    seed = new_seed()
    file = seed_file(tmp_path / "seed", seed)
    options = connect_options(Nats(nkey_seed_file=str(file)), "nats://127.0.0.1:4222")
    shown = f"{options!r} {options} {options.identity!r}"
    assert public_key(seed) in shown
    assert seed.decode() not in shown


def test_every_missing_file_is_told_at_once(tmp_path: Path) -> None:
    missing = {name: str(tmp_path / name) for name in ("tls_ca_file", "nkey_seed_file")}
    said = refused(Nats(**missing), "tls://127.0.0.1:4222")
    assert len(said.splitlines()) == 2
    assert all(f"[nats] {name}" in said for name in missing)


def test_public_keys_are_read_with_their_checksum() -> None:
    seed = new_seed()
    text = public_key(seed)
    identity = Identity(seed)
    assert len(public_key_bytes(text)) == 32
    assert identity.public_key == text
    for wrong in (text[:-1], text[:20] + ("A" if text[20] != "A" else "B") + text[21:], "A" + text[1:], "ü"):
        with pytest.raises(ValueError, match="no public NKey"):
            public_key_bytes(wrong)


def test_tls_and_an_nkey_open_a_server_that_asks_for_both(tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path), Authority(tmp_path, "stranger")
    seed, other = new_seed(), new_seed()
    files = {"nkey_seed_file": str(seed_file(tmp_path / "seed", seed)), "tls_ca_file": str(authority.file)}
    block = tls_block(authority.issue("server", "127.0.0.1", "localhost")) + users_block(seed)
    with running(tmp_path / "nats", block) as address:
        url = f"tls://{address}"
        assert streams_made(connect_options(Nats(**files), url)) == 1
        by_name = url.replace("127.0.0.1", "localhost")
        assert streams_made(connect_options(Nats(**files), by_name)) == 1, "a name in the certificate"
        wrong_user = {**files, "nkey_seed_file": str(seed_file(tmp_path / "other", other))}
        with pytest.raises(nats.errors.Error):
            streams_made(connect_options(Nats(**wrong_user), url))
        with pytest.raises((OSError, nats.errors.Error)):
            streams_made(connect_options(Nats(**{**files, "tls_ca_file": str(stranger.file)}), url))
        with pytest.raises((OSError, nats.errors.Error)):
            streams_made(connect_options(Nats(**{**files, "tls_ca_file": ""}), url))


def test_a_certificate_for_another_name_is_refused(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with running(tmp_path / "nats", tls_block(authority.issue("server", "elsewhere.example"))) as address:
        options = connect_options(Nats(tls_ca_file=str(authority.file)), f"tls://{address}")
        with pytest.raises((OSError, nats.errors.Error)):
            streams_made(options)


def test_our_own_certificate_is_shown_where_the_server_asks(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    ours = authority.issue("client")
    block = tls_block(authority.issue("server", "127.0.0.1"), authority)
    settings = Nats(tls_ca_file=str(authority.file))
    with running(tmp_path / "nats", block) as address:
        with pytest.raises((OSError, nats.errors.Error)):
            streams_made(connect_options(settings, f"tls://{address}"))
        shown = Nats(
            tls_ca_file=str(authority.file),
            tls_cert_file=str(ours.certificate),
            tls_key_file=str(ours.key),
        )
        assert streams_made(connect_options(shown, f"tls://{address}")) == 1
        ours.key.chmod(0o644)
        assert "[nats] tls_key_file" in refused(shown, f"tls://{address}")


def test_a_credentials_file_opens_a_server_that_knows_its_operator(tmp_path: Path) -> None:
    accounts, seed = Accounts(), new_seed()
    file = tmp_path / "user.creds"
    file.touch(0o600)
    file.write_text(accounts.credentials(seed))
    with running(tmp_path / "nats", accounts.configuration()) as address:
        options = connect_options(Nats(credentials_file=str(file)), f"nats://{address}")
        assert options.identity is not None
        assert options.identity.public_key == public_key(seed)
        assert streams_made(options) == 1


def test_tls_never_falls_back_to_plain_tcp(tmp_path: Path) -> None:
    """A server, or someone between, whose INFO asks for no TLS gets no CONNECT, with or without signature."""
    got = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(1)
                connection.sendall(
                    b'INFO {"server_id":"x","version":"2.12.0","max_payload":1,"nonce":"abc",'
                    b'"auth_required":true}\r\n'
                )
                with contextlib.suppress(TimeoutError, ConnectionError):
                    while data := connection.recv(4096):
                        got.extend(data)

        thread = threading.Thread(target=serve)
        thread.start()
        settings = Nats(
            tls_ca_file=str(Authority(tmp_path).file),
            nkey_seed_file=str(seed_file(tmp_path / "seed", new_seed())),
        )
        with pytest.raises(nats.errors.Error):
            streams_made(connect_options(settings, f"tls://127.0.0.1:{port}"))
        thread.join(10)
    assert not thread.is_alive()
    assert not got
