"""Jupiter's quotes (swap v1), a fallback where our own venues know no way. Parsing is pure.

Used only where the settings name an endpoint; the endpoint's interval is the plan's rate (keyless 0.5/s).
"""

from decimal import Decimal, InvalidOperation
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from solders.pubkey import Pubkey

from hft.chain.rpc_caller import Caller
from hft.chain.rpc_faults import FaultKind, RpcFault, is_count
from hft.chain.rpc_parse import ShapeError, fields, items, key

QUOTE: Final = "/swap/v1/quote"
MAX_STEPS: Final = 32
PPM: Final = 1_000_000


class RouteStep(NamedTuple):
    """One swap of a route: the pool, the venue's label, amounts in base units, and its share of the input in
    ppm."""

    pool: bytes
    label: str
    input_mint: bytes
    output_mint: bytes
    amount_in: int
    amount_out: int
    share_ppm: int


class JupiterQuote(NamedTuple):
    """``threshold``: the least output (ExactIn) or the most input (ExactOut) after slippage."""

    input_mint: bytes
    output_mint: bytes
    amount_in: int
    amount_out: int
    threshold: int
    price_impact_ppm: int
    slot: int
    steps: tuple[RouteStep, ...]


def quote_path(
    input_mint: bytes,
    output_mint: bytes,
    amount: int,
    *,
    slippage_bps: int,
    exact_out: bool = False,
    only_direct: bool = False,
    max_accounts: int | None = None,
) -> str:
    """Path and query. ``ValueError`` for a circular quote, which Jupiter refuses: two quotes are needed."""
    if input_mint == output_mint:
        raise ValueError(f"input and output are both {Pubkey(input_mint)}: ask for the two ways one by one")
    if not is_count(amount) or amount == 0 or not 0 <= slippage_bps <= 10_000:
        raise ValueError(f"amount {amount}, slippage {slippage_bps} bps: 1 to 2⁶⁴−1 and 0 to 10,000")
    query = {
        "inputMint": str(Pubkey(input_mint)),
        "outputMint": str(Pubkey(output_mint)),
        "amount": str(amount),
        "slippageBps": str(slippage_bps),
        "swapMode": "ExactOut" if exact_out else "ExactIn",
        "onlyDirectRoutes": str(only_direct).lower(),
        "restrictIntermediateTokens": "true",
    }
    if max_accounts is not None:
        query["maxAccounts"] = str(max_accounts)
    return f"{QUOTE}?{urlencode(query)}"


def read_quote(
    told: Any, input_mint: bytes, output_mint: bytes, amount: int, *, exact_out: bool
) -> JupiterQuote:
    """The answer's quote. ``ShapeError`` if it is none, or one of something else than was asked for."""
    whole = fields(told, "quote")
    if "error" in whole or "errorCode" in whole:
        raise ShapeError(f"quote: {str(whole.get('errorCode') or whole.get('error'))[:80]}")
    mints = key(whole.get("inputMint"), "inputMint"), key(whole.get("outputMint"), "outputMint")
    quote = JupiterQuote(
        *mints,
        _amount(whole.get("inAmount"), "inAmount"),
        _amount(whole.get("outAmount"), "outAmount"),
        _amount(whole.get("otherAmountThreshold"), "otherAmountThreshold"),
        _ppm(whole.get("priceImpactPct", 0)),
        int(whole["contextSlot"]) if is_count(whole.get("contextSlot")) else 0,
        tuple(_step(one) for one in items(whole.get("routePlan"), "routePlan")[: MAX_STEPS + 1]),
    )
    fixed = quote.amount_out if exact_out else quote.amount_in
    if mints != (input_mint, output_mint) or fixed != amount:
        raise ShapeError("quote: of other mints or another amount than were asked for")
    if not 1 <= len(quote.steps) <= MAX_STEPS:
        raise ShapeError(f"routePlan: {len(quote.steps)} steps; 1 to {MAX_STEPS} belong there")
    if (quote.threshold < quote.amount_in) if exact_out else (quote.threshold > quote.amount_out):
        raise ShapeError(f"otherAmountThreshold: {quote.threshold} is on the wrong side of the quote")
    return quote


class JupiterClient(Caller):
    """Quotes over the network; the header ``x-api-key`` is the endpoint's."""

    async def quote(
        self,
        input_mint: bytes,
        output_mint: bytes,
        amount: int,
        *,
        slippage_bps: int,
        deadline_ns: int,
        exact_out: bool = False,
    ) -> JupiterQuote:
        """A quote, or ``RpcFault`` (MALFORMED for an answer that is none)."""
        path = quote_path(input_mint, output_mint, amount, slippage_bps=slippage_bps, exact_out=exact_out)
        answer = await self.get(path, deadline_ns=deadline_ns)
        try:
            return read_quote(answer.result, input_mint, output_mint, amount, exact_out=exact_out)
        except ShapeError as error:
            raise RpcFault(FaultKind.MALFORMED, answer.endpoint, str(error)) from error


def _step(told: Any) -> RouteStep:
    step = fields(told, "routePlan")
    info = fields(step.get("swapInfo"), "swapInfo")
    if step.get("bps") is not None:
        share = _amount(step["bps"], "bps") * 100
    else:
        share = _amount(step.get("percent"), "percent") * 10_000
    if share > PPM:
        raise ShapeError(f"routePlan: a share of {share} ppm")
    return RouteStep(
        key(info.get("ammKey"), "ammKey"),
        str(info.get("label", ""))[:40],
        key(info.get("inputMint"), "inputMint"),
        key(info.get("outputMint"), "outputMint"),
        _amount(info.get("inAmount"), "inAmount"),
        _amount(info.get("outAmount"), "outAmount"),
        share,
    )


def _amount(value: Any, what: str) -> int:
    """A u64, written as a decimal string or a number."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 20:
        value = int(value)
    if not is_count(value):
        raise ShapeError(f"{what}: {str(value)[:40]!r}; a u64 belongs there")
    return int(value)


def _ppm(value: Any) -> int:
    """A fraction (string or number) as millionths, at most a whole."""
    try:
        exact = Decimal(str(value))
    except InvalidOperation as error:
        raise ShapeError(f"priceImpactPct: {str(value)[:40]!r}") from error
    if not exact.is_finite():
        raise ShapeError(f"priceImpactPct: {str(value)[:40]!r}")
    return int(min(max(exact, Decimal(-1)), Decimal(1)) * PPM)
