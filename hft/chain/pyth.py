"""Pyth's reference prices, a sanity check only: push feeds move every 60 s or 0.5 %. Parsing is pure.

Two sources: Hermes over HTTP (needs an API key), and the PriceUpdateV2 account on the chain.
"""

from collections.abc import Sequence
from struct import Struct
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from hft.chain.rpc_caller import Caller
from hft.chain.rpc_faults import FaultKind, RpcFault
from hft.chain.rpc_parse import ShapeError, fields, items

LATEST: Final = "/v2/updates/price/latest"
PPM: Final = 1_000_000
MAX_FEEDS: Final = 100
DISCRIMINATOR: Final = bytes((34, 241, 35, 99, 157, 126, 244, 205))
"""First 8 bytes of SHA-256("account:PriceUpdateV2"), as Anchor marks an account."""
_LEVEL_AT: Final = 40
_PARTIAL, _FULL = 0, 1
_PRICE: Final = Struct("<32sqQiqqqQQ")
_I64: Final = 1 << 63


class PythPrice(NamedTuple):
    """price · 10^exponent ± conf · 10^exponent, told at ``publish_time`` (Unix seconds)."""

    feed_id: bytes
    price: int
    conf: int
    exponent: int
    publish_time: int

    def usable(self, unix_s: int, *, age_s: int, conf_ppm: int) -> bool:
        """Whether it may be compared with: positive, no older than ``age_s``, not from the future by more
        than that, and its confidence within ``conf_ppm`` of it."""
        return (
            self.price > 0
            and abs(unix_s - self.publish_time) <= age_s
            and self.conf * PPM <= self.price * conf_ppm
        )

    def scaled(self, exponent: int) -> int:
        """The price in units of 10^``exponent``, rounded down."""
        shift = self.exponent - exponent
        if shift >= 0:
            return self.price * int(10**shift)
        return self.price // int(10**-shift)


def read_account(data: bytes) -> PythPrice:
    """The price in a PriceUpdateV2 account. ``ShapeError`` if it is none, or only partially verified."""
    if len(data) <= _LEVEL_AT or data[:8] != DISCRIMINATOR:
        raise ShapeError(f"price account: {len(data)} bytes beginning {data[:8].hex()}; no PriceUpdateV2")
    level = data[_LEVEL_AT]
    if level == _PARTIAL:
        raise ShapeError("price account: only partially verified")
    if level != _FULL or len(data) < _LEVEL_AT + 1 + _PRICE.size:
        raise ShapeError(f"price account: verification level {level}, {len(data)} bytes")
    feed_id, price, conf, exponent, publish_time, *_ = _PRICE.unpack_from(data, _LEVEL_AT + 1)
    return _checked(PythPrice(feed_id, price, conf, exponent, publish_time))


def read_latest(told: Any) -> list[PythPrice]:
    """The prices in Hermes' answer (``parsed``). ``ShapeError`` if it is none."""
    found = []
    for one in items(fields(told, "latest").get("parsed"), "parsed"):
        entry = fields(one, "price feed")
        price = fields(entry.get("price"), "price")
        try:
            feed_id = bytes.fromhex(str(entry.get("id")).removeprefix("0x"))
            numbers = [int(str(price.get(name))[:21]) for name in ("price", "conf", "expo", "publish_time")]
        except ValueError as error:
            raise ShapeError(f"price feed: {str(entry)[:120]}") from error
        if len(feed_id) != 32:
            raise ShapeError(f"price feed: an id of {len(feed_id)} bytes; 32 belong there")
        found.append(_checked(PythPrice(feed_id, *numbers)))
    return found


class HermesClient(Caller):
    """Hermes over the network; its key is a header of the endpoint."""

    async def latest(self, feed_ids: Sequence[bytes], *, deadline_ns: int) -> list[PythPrice]:
        """The newest prices of at most 100 feeds, or ``RpcFault``."""
        if not 1 <= len(feed_ids) <= MAX_FEEDS:
            raise ValueError(f"{len(feed_ids)} feeds: 1 to {MAX_FEEDS} belong in one request")
        query = urlencode([*(("ids[]", one.hex()) for one in feed_ids), ("parsed", "true")])
        answer = await self.get(f"{LATEST}?{query}", deadline_ns=deadline_ns)
        try:
            return read_latest(answer.result)
        except ShapeError as error:
            raise RpcFault(FaultKind.MALFORMED, answer.endpoint, str(error)) from error


def _checked(price: PythPrice) -> PythPrice:
    within = -_I64 <= price.price < _I64 and 0 <= price.conf < 2 * _I64 and 0 <= price.publish_time < _I64
    if not within or not -18 <= price.exponent <= 18:
        raise ShapeError(f"price: {price.price}·10^{price.exponent} ± {price.conf}; out of range")
    return price
