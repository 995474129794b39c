"""Market data over wss: by a certificate that is trusted, and by no other."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from hft.chain.endpoint import Endpoint, Reach, open_session
from hft.chain.rpc import RpcClient
from hft.chain.rpc_faults import RpcFault
from hft.chain.subscribe import AccountChanged, AccountFeed, AccountSource, FeedEvent
from hft.chain.subscribe_channel import Channel, ChannelError, ChannelErrorCode
from hft.chain.subscribe_merge import Watch
from hft.chain.why import why
from hft.runtime import config, reach
from hft.runtime.host import Level
from tests.certificates import Authority, Pair
from tests.chain.rpc_support import PATIENT, SECOND, run, until
from tests.chain.simnet_support import Simnet

PATH = "/node/secret-path"


@asynccontextmanager
async def tls_before(simnet: Simnet, pair: Pair) -> AsyncIterator[int]:
    """The cluster behind TLS, as a provider's front door is; gives its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    inner = urlsplit(simnet.base)
    pumps: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, before = await asyncio.open_connection(inner.hostname, inner.port)
        for ends in ((reader, before), (behind, writer)):
            pumps.add(asyncio.create_task(pump(*ends)))

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in pumps:
            task.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


def endpoint_at(port: int, simnet: Simnet) -> Endpoint:
    return Endpoint("node", f"{simnet.base}{PATH}", f"wss://127.0.0.1:{port}{PATH}")


def trust(monkeypatch: pytest.MonkeyPatch, authority: Authority) -> None:
    """As an operator does whose node has a certificate of the house's own authority."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))


@pytest.mark.parametrize("reaching", list(Reach))
def test_a_feed_lives_on_wss_whose_authority_is_trusted(
    simnet: Simnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reaching: Reach
) -> None:
    authority = Authority(tmp_path)
    trust(monkeypatch, authority)
    watches = [Watch(key, account.owner) for key, account in simnet.accounts.items() if account.data][:20]
    told: list[FeedEvent] = []

    async def work() -> None:
        async with (
            tls_before(simnet, authority.issue("node", "127.0.0.1")) as port,
            open_session(Reach.LOOPBACK) as http,
        ):
            feed = AccountFeed(watches)
            endpoint = endpoint_at(port, simnet)
            source = AccountSource(reaching, endpoint, simnet.rpc(http, "secret-path"), feed)
            following = asyncio.create_task(source.run())
            await until(lambda: feed.live)
            feed.poll(told.append, 1_000)
            assert not source.lost
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    run(work())
    assert {event.version.pubkey for event in told if isinstance(event, AccountChanged)} == {
        watch.pubkey for watch in watches
    }


@pytest.mark.parametrize("reaching", list(Reach))
@pytest.mark.parametrize(
    ("trusted", "host", "said"),
    [
        (False, "127.0.0.1", "unable to get local issuer certificate"),
        (True, "127.0.0.2", "IP address mismatch"),
    ],
)
def test_a_certificate_of_nobody_known_or_of_another_host_is_refused_and_named(
    simnet: Simnet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    reaching: Reach,
    trusted: bool,
    host: str,
    said: str,
) -> None:
    authority, stranger = Authority(tmp_path), Authority(tmp_path, "stranger")
    trust(monkeypatch, authority)
    pair = (authority if trusted else stranger).issue("node", host)

    async def work() -> None:
        async with tls_before(simnet, pair) as port:
            channel = Channel(
                reaching, endpoint_at(port, simnet), silence_ns=20 * SECOND, request_ns=20 * SECOND
            )
            with pytest.raises(ChannelError, match=f"node: certificate: .*{said}") as caught:
                await channel.open()
            assert caught.value.code is ChannelErrorCode.CERTIFICATE
            assert "secret-path" not in str(caught.value)
            words = why(caught.value)
            assert words.startswith("its certificate is not trusted: ")
            assert said in words
            await channel.close()
            async with open_session(reaching) as http:
                rpc = RpcClient(http, [Endpoint("node", f"https://127.0.0.1:{port}{PATH}")], PATIENT)
                with pytest.raises(RpcFault) as refused:
                    await rpc.slot(deadline_ns=rpc.now_ns + 20 * SECOND)
            # Its authorities were read when aiohttp was imported: it knows neither of ours.
            assert why(refused.value).startswith("JSON-RPC: its certificate is not trusted: ")
            sets = [f"chain.ws_urls=wss://127.0.0.1:{port}{PATH}", "hft.mode=live"]
            checked = await asyncio.to_thread(reach.chain, config.load(None, sets=sets))
            [found] = checked
            assert found.level is Level.FAIL
            assert f"127.0.0.1:{port}: its certificate is not trusted: " in found.found
            assert said in found.found

    run(work())
