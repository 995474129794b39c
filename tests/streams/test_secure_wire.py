"""The sidecar's own client against servers that ask for TLS and a key."""

import time
from pathlib import Path

import pytest
from secure_server import new_seed, running, seed_file, tls_block, users_block

from hft.runtime import nats_wire
from hft.runtime.nats_options import connect, connect_options
from hft.runtime.nats_wire import Answer, WireBroken
from hft.runtime.settings import Nats
from tests.certificates import Authority

INBOX = b"_INBOX.abcd."


def answers(connection: nats_wire.Wire, count: int) -> list[Answer]:
    found: list[Answer] = []
    deadline = time.monotonic() + 10
    while sum(answer.row for answer in found) < count:
        assert time.monotonic() < deadline
        found += connection.receive()
    return found


async def make_stream(settings: Nats, url: str) -> None:
    client = await connect(connect_options(settings, url))
    await client.jetstream().add_stream(name="THINGS", subjects=["thing.*"])
    await client.close()


def test_bulk_publishing_over_tls_with_an_nkey(tmp_path: Path) -> None:
    import asyncio

    authority, stranger = Authority(tmp_path), Authority(tmp_path, "stranger")
    seed = new_seed()
    good = Nats(
        nkey_seed_file=str(seed_file(tmp_path / "seed", seed)),
        tls_ca_file=str(authority.file),
    )
    other = Nats(nkey_seed_file=str(seed_file(tmp_path / "other", new_seed())), tls_ca_file=good.tls_ca_file)
    doubtful = Nats(nkey_seed_file=good.nkey_seed_file, tls_ca_file=str(stranger.file))
    block = tls_block(authority.issue("server", "127.0.0.1")) + users_block(seed)
    with running(tmp_path / "nats", block) as address:
        url = f"tls://{address}"
        asyncio.run(make_stream(good, url))
        connection = nats_wire.connect(connect_options(good, url), "test", INBOX)
        payload = bytes(range(256)) * 64
        count = 500
        for ticket in range(count):
            connection.send(b"PUB thing.a %b0.0.%d %d\r\n%b\r\n" % (INBOX, ticket, len(payload), payload))
        while connection.unsent:
            connection.send(b"")
        got = answers(connection, count)
        connection.close()
        assert [got[0].ticket - got[0].row + 1, got[-1].ticket, got[-1].stream_sequence] == [0, 499, 500]
        assert not any(answer.error for answer in got)
        for wrong, says in ((other, "Authorization Violation"), (doubtful, "certificate verify failed")):
            with pytest.raises(WireBroken, match=says):
                nats_wire.connect(connect_options(wrong, url), "test", INBOX)


def test_tls_is_never_given_up_and_no_signature_leaves_in_the_clear(tmp_path: Path) -> None:
    authority, seed = Authority(tmp_path), new_seed()
    settings = Nats(nkey_seed_file=str(seed_file(tmp_path / "seed", seed)), tls_ca_file=str(authority.file))
    with (
        running(tmp_path / "nats", users_block(seed)) as address,
        pytest.raises(WireBroken, match="does not speak TLS"),
    ):
        nats_wire.connect(connect_options(settings, f"tls://{address}"), "test", INBOX)
