"""Prices from outside: asked of servers on loopback, told as quotes; what can't be asked is refused."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from service_support import QUIET, House, settings

from hft import wire
from hft.chain.base58 import b58encode
from hft.chain.endpoint import Reach
from hft.runtime.config import ConfigError
from hft.runtime.settings import Feed
from hft.services.references import References
from hft.services.secret_files import secret_of
from hft.venues.tokens import SOL_MINT, USDC_MINT, load_tokens
from hft.wire.enums import QuoteSource

Make = Callable[..., House]
TOKENS = load_tokens()
SOL_FEED = "ef" * 32
SECRET = "a-key-nobody-may-see"


class Answering(BaseHTTPRequestHandler):
    """Jupiter's quote and Hermes' prices, in the form of each."""

    def do_GET(self) -> None:
        assert self.headers["x-api-key"] == SECRET
        path, _, query = self.path.partition("?")
        if path.endswith("/latest"):
            price = {"price": "15012345678", "conf": "7500000", "expo": -8, "publish_time": 1_790_000_000}
            told: dict[str, Any] = {"parsed": [{"id": SOL_FEED, "price": price}]}
        else:
            asked = dict(parse_qsl(query))
            mints = {name: asked[name] for name in ("inputMint", "outputMint")}
            amounts = {"inAmount": asked["amount"], "outAmount": "1234567"}
            swap = {"ammKey": b58encode(bytes(range(32))), "label": "Whirlpool", **mints, **amounts}
            told = {
                **mints,
                **amounts,
                "otherAmountThreshold": "1230000",
                "priceImpactPct": "0",
                "contextSlot": 77,
                "routePlan": [{"percent": 100, "swapInfo": swap}],
            }
        body = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def outside() -> Iterator[str]:
    """Both servers at one address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(10)


def test_what_jupiter_and_pyth_say_is_told_as_quotes(house: Make, tmp_path: Path, outside: str) -> None:
    key_file = tmp_path / "key"
    key_file.write_text(SECRET + "\n")
    key_file.chmod(0o600)
    config = settings(simnet=QUIET)
    run = house(config)
    run.open("simnet")
    feed = replace(
        config.feed,
        jupiter_url=outside,
        jupiter_key_file=str(key_file),
        pyth_url=outside,
        pyth_key_file=str(key_file),
        pyth_feeds=(f"SOL={SOL_FEED}",),
        reference_interval_ms=100,
    )
    object.__setattr__(run.run, "config", replace(config, feed=feed))
    reader = run.reader("market_data")
    run.open("feed")
    quotes: dict[int, wire.Quote] = {}

    def both() -> bool:
        for message in reader.take_batch(64):
            if wire.identifier(message) == b"HFQU":
                told = wire.quote.decode(message)
                quotes[told.source] = told
        return len(quotes) == 2

    run.until(both)
    jupiter, pyth = quotes[QuoteSource.JUPITER], quotes[QuoteSource.PYTH]
    assert (jupiter.base_mint, jupiter.slot) == (SOL_MINT, 77)
    assert (jupiter.amount_in, jupiter.amount_out) == (10**9, 1_234_567)
    assert jupiter.quote_mint in TOKENS
    assert (pyth.base_mint, pyth.quote_mint, pyth.account.hex()) == (SOL_MINT, USDC_MINT, SOL_FEED)
    assert (pyth.amount_in, pyth.amount_out) == (10**9, 150_123_456)
    assert (pyth.uncertainty_ppm, pyth.source_unix_ns) == (499, 1_790_000_000 * 10**9)
    assert 0 < jupiter.received_ns <= jupiter.published_ns


def wrong(**keys: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        References(replace(Feed(), **keys), Reach.LOOPBACK, TOKENS, lambda: 0)
    return str(caught.value)


def test_row_36_paper_mode_asks_nobody_outside_and_names_the_key() -> None:
    assert "jupiter_url" in wrong(jupiter_url="https://lite-api.jup.ag")
    text = wrong(pyth_url="https://hermes.pyth.network", pyth_feeds=("SOL=12", "DOGE=" + SOL_FEED))
    assert "pyth_url" in text
    assert "'SOL=12'" in text
    assert "DOGE" in text
    assert "pyth_feeds" in wrong(pyth_url="http://127.0.0.1:1")


def test_row_28_a_secret_that_others_can_read_is_refused_and_never_shown(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(SECRET)
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="others can read it") as caught:
        secret_of(str(file), "[chain] yellowstone_token_file")
    assert SECRET not in str(caught.value)
    file.chmod(0o600)
    assert secret_of(str(file), "key") == SECRET
    file.write_text("\n")
    with pytest.raises(ConfigError, match="first line is empty"):
        secret_of(str(file), "key")
    with pytest.raises(ConfigError, match="cannot be read"):
        secret_of(str(tmp_path / "none"), "key")


def test_nothing_set_asks_nobody() -> None:
    async def none() -> list[Any]:
        return list(References(Feed(), Reach.LOOPBACK, TOKENS, lambda: 0).tasks(None, print))  # type: ignore[arg-type]

    assert asyncio.run(none()) == []
