"""Prices from outside, told on ``market_data`` as quotes beside our own: Jupiter's and Pyth's. Off unless an
address is set; they never wait for anyone and nobody waits for them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from itertools import cycle
from typing import TYPE_CHECKING, Final, NamedTuple

import aiohttp

from hft.chain.endpoint import Endpoint, EndpointError, Reach, check_endpoints
from hft.chain.jupiter import JupiterClient
from hft.chain.pyth import PPM, HermesClient, PythPrice
from hft.chain.rpc_faults import RpcFault
from hft.chain.why import why
from hft.runtime.config import ConfigError
from hft.runtime.settings import Feed
from hft.services.secret_files import secret_of
from hft.services.troubles import place_of
from hft.venues.tokens import SOL_MINT, USDC_MINT, Token
from hft.wire.enums import QuoteSource

if TYPE_CHECKING:
    from collections.abc import Coroutine

ANSWER_NS: Final = 2_000_000_000
SLIPPAGE_BPS: Final = 50
USDC_EXPONENT: Final = -6
LARGEST_U32: Final = 2**32 - 1


class Reference(NamedTuple):
    """One price: what ``amount_in`` of ``base_mint`` brings in ``quote_mint``, base units."""

    source: QuoteSource
    slot: int
    uncertainty_ppm: int
    base_mint: bytes
    quote_mint: bytes
    account: bytes
    amount_in: int
    amount_out: int
    source_unix_ns: int
    received_ns: int


Tell = Callable[[Reference], None]


class References:
    """See the module."""

    def __init__(
        self, settings: Feed, reach: Reach, tokens: Mapping[bytes, Token], clock_ns: Callable[[], int]
    ) -> None:
        """``ConfigError``: an address out of reach, a key file that others can read, a feed that is none."""
        self._tokens = tokens
        self._clock_ns = clock_ns
        self._every_s = settings.reference_interval_ms / 1_000
        self._amount = settings.jupiter_amount_lamports
        wrong: list[str] = []
        self._jupiter = _endpoint("jupiter", settings.jupiter_url, settings.jupiter_key_file, reach, wrong)
        self._pyth = _endpoint("pyth", settings.pyth_url, settings.pyth_key_file, reach, wrong)
        self._feeds = _feeds(settings.pyth_feeds, tokens, wrong)
        if self._pyth is not None and not self._feeds:
            wrong.append("[service:feed] pyth_feeds: pyth_url needs at least one SYMBOL=FEED_ID")
        if wrong:
            raise ConfigError(wrong)
        self.failures = 0
        self.troubles: dict[str, str] = {}
        """Place → why nothing comes from there."""

    def tasks(self, http: aiohttp.ClientSession, tell: Tell) -> "list[Coroutine[None, None, None]]":
        """What is to run in the loop; none if nothing is set."""
        found = []
        if self._jupiter is not None:
            client = JupiterClient(http, [self._jupiter], clock_ns=self._clock_ns)
            mints = [mint for mint, token in self._tokens.items() if mint != SOL_MINT and token.enabled]
            turn = cycle(mints)
            found.append(self._repeat(self._jupiter, lambda: self._ask_jupiter(client, next(turn), tell)))
        if self._pyth is not None:
            hermes = HermesClient(http, [self._pyth], clock_ns=self._clock_ns)
            found.append(self._repeat(self._pyth, lambda: self._ask_pyth(hermes, tell)))
        return found

    async def _repeat(self, endpoint: Endpoint, ask: Callable[[], Awaitable[None]]) -> None:
        place = place_of(endpoint)
        while True:
            try:
                await ask()
                self.troubles.pop(place, None)
            except RpcFault as fault:
                self.failures += 1
                self.troubles[place] = why(fault, self.troubles.get(place, ""))
            await asyncio.sleep(self._every_s)

    async def _ask_jupiter(self, client: JupiterClient, mint: bytes, tell: Tell) -> None:
        quote = await client.quote(
            SOL_MINT, mint, self._amount, slippage_bps=SLIPPAGE_BPS, deadline_ns=client.now_ns + ANSWER_NS
        )
        amounts = (quote.amount_in, quote.amount_out)
        now_ns = self._clock_ns()
        tell(Reference(QuoteSource.JUPITER, quote.slot, 0, SOL_MINT, mint, bytes(32), *amounts, 0, now_ns))

    async def _ask_pyth(self, client: HermesClient, tell: Tell) -> None:
        for price in await client.latest(list(self._feeds), deadline_ns=client.now_ns + ANSWER_NS):
            token = self._feeds.get(price.feed_id)
            told = None if token is None else pyth_reference(price, token, self._clock_ns())
            if told is not None:
                tell(told)


def pyth_reference(price: PythPrice, token: Token, received_ns: int) -> Reference | None:
    """One whole ``token`` in USDC; None for a price that is not positive or too large to tell."""
    amount_out = price.scaled(USDC_EXPONENT)
    if not 0 < amount_out < 1 << 64:
        return None
    unsure = min(price.conf * PPM // price.price, LARGEST_U32)
    one = 10**token.decimals
    date_ns = price.publish_time * 1_000_000_000
    what = (token.mint, USDC_MINT, price.feed_id, one, amount_out)
    return Reference(QuoteSource.PYTH, 0, unsure, *what, date_ns, received_ns)


def _endpoint(name: str, url: str, key_file: str, reach: Reach, wrong: list[str]) -> Endpoint | None:
    if not url:
        return None
    try:
        secret = secret_of(key_file, f"[service:feed] {name}_key_file") if key_file else ""
        headers = (("x-api-key", secret),) if secret else ()
        return check_endpoints([Endpoint(name, url, burst=2, headers=headers)], reach)[0]
    except (EndpointError, ConfigError) as error:
        wrong.append(f"[service:feed] {name}_url: {error}")
        return None


def _feeds(texts: tuple[str, ...], tokens: Mapping[bytes, Token], wrong: list[str]) -> dict[bytes, Token]:
    """Feed id → token, from entries such as SOL=ef0d…; ids are 32 bytes in hex."""
    by_symbol = {token.symbol.lower(): token for token in tokens.values()}
    found: dict[bytes, Token] = {}
    for text in texts:
        symbol, _, feed = text.partition("=")
        token = by_symbol.get(symbol.strip().lower())
        try:
            key = bytes.fromhex(feed.strip().removeprefix("0x"))
        except ValueError:
            key = b""
        if token is None or len(key) != 32:
            wrong.append(f"[service:feed] pyth_feeds: {text!r} is no SYMBOL=FEED_ID (64 hex digits)")
            continue
        found[key] = token
    return found
