"""Swap legs of a transaction, from the token transfers that each program's call made."""

from collections.abc import Collection, Mapping, Sequence
from hashlib import sha256
from typing import Final, NamedTuple

from solders.pubkey import Pubkey

from hft.chain.reading_calls import Call
from hft.chain.reading_events import COMPUTE_BUDGET, LEAF_PROGRAMS, PRECOMPILES, TokenTransfer
from hft.venues import VENUES, Venue

PUMPSWAP: Final = bytes(Pubkey.from_string("pAMMBay6oceH9fJKBRHGP5D4bD4sWpmSwMn52FMfXEA"))
JUPITER_V6: Final = bytes(Pubkey.from_string("JUP6LkbZbjS1jKKwapdHNy74zcZ3tLUZoi5QNyVTaV4"))
DEX_NAMES: Final[Mapping[bytes, str]] = {
    **{spec.program: spec.venue.name.lower() for spec in VENUES},
    PUMPSWAP: "pumpswap",
    JUPITER_V6: "jupiter_v6",
}
_ROUTERS = frozenset((JUPITER_V6,))
_NO_DEX = LEAF_PROGRAMS | PRECOMPILES | _ROUTERS | {COMPUTE_BUDGET}
_AMM_V4 = next(spec.program for spec in VENUES if spec.venue is Venue.RAYDIUM_V4)
_AMM_V4_SWAPS = frozenset((9, 11, 16, 17))
_SWAPS = frozenset(
    sha256(f"global:{name}".encode()).digest()[:8]
    for name in (
        *("swap", "swap2", "swap_v2", "two_hop_swap", "two_hop_swap_v2"),
        *("swap_exact_out", "swap_exact_out2", "swap_with_price_impact", "swap_with_price_impact2"),
        *("swap_base_input", "swap_base_output", "buy", "sell", "buy_exact_quote_in"),
    )
)


class Leg(NamedTuple):
    """One swap as it happened. ``rebate`` came back to the trader as host or referrer, in ``rebate_mint``;
    ``paid_to_others`` are the venue's payments of the two tokens to third parties.

    ``amount_in`` and ``amount_out`` are what the transfers name: a Token-2022 fee comes off on the way.
    """

    dex: str
    program: bytes
    trader: bytes
    input_mint: bytes
    amount_in: int
    output_mint: bytes
    amount_out: int
    rebate: int
    rebate_mint: bytes
    paid_to_others: int
    transfers: tuple[int, ...]
    """Indexes of its transfers among the calls."""


class Holder(NamedTuple):
    """Whose a token account is and what it holds."""

    owner: bytes
    mint: bytes


class _Flow(NamedTuple):
    call: int
    payer: bytes
    payee: bytes
    mint: bytes
    amount: int


def dexes(calls: Sequence[Call]) -> tuple[str, ...]:
    """Names of the known trading programs that ran, in the order of their first call."""
    return tuple(dict.fromkeys(DEX_NAMES[call.program] for call in calls if call.program in DEX_NAMES))


def legs(calls: Sequence[Call], holders: Mapping[bytes, Holder], ours: Collection[bytes]) -> tuple[Leg, ...]:
    """The swaps that ran, in order. ``holders`` knows the token accounts, ``ours`` are signers and wallets.

    A call of a known venue counts if its instruction is a swap; one of an unknown program if its own
    transfers take one token from somebody and give him another. A router is no leg: calls below it are.
    """
    found: list[Leg] = []
    covered: list[range] = []
    trader = b""
    for at, call in enumerate(calls):
        if call.program in _NO_DEX:
            continue
        known = call.program in DEX_NAMES
        if known and not _is_swap(call):
            continue
        end = _end(calls, at)
        if not known and any(
            calls[i].program not in _NO_DEX and _own(calls, at, i) for i in range(at + 1, end)
        ):
            continue  # it calls other programs to trade
        leg = _leg(call, _flows(calls, at, end, holders), ours, trader)
        if leg is not None and not any(at in inside for inside in covered):
            found.append(leg)
            covered.append(range(at, end))
            trader = leg.trader
    return tuple(found)


def _is_swap(call: Call) -> bool:
    if call.program == _AMM_V4:
        return bool(call.data) and call.data[0] in _AMM_V4_SWAPS
    return call.data[:8] in _SWAPS


def _end(calls: Sequence[Call], at: int) -> int:
    """One past the last call below the one at ``at``."""
    end = at + 1
    while end < len(calls) and calls[end].top == calls[at].top and calls[end].height > calls[at].height:
        end += 1
    return end


def _own(calls: Sequence[Call], at: int, below: int) -> bool:
    """Another program's call right below, not the program calling itself (that is how events are logged)."""
    return calls[below].program != calls[at].program


def _flows(calls: Sequence[Call], at: int, end: int, holders: Mapping[bytes, Holder]) -> list[_Flow]:
    flows = []
    for index in range(at + 1, end):
        event = calls[index].event
        if calls[index].height != calls[at].height + 1 or not isinstance(event, TokenTransfer):
            continue
        source, destination = holders.get(event.source), holders.get(event.destination)
        if source is not None and destination is not None and source.mint == destination.mint:
            flows.append(_Flow(index, source.owner, destination.owner, source.mint, event.amount))
    return flows


def _leg(call: Call, flows: Sequence[_Flow], ours: Collection[bytes], previous: bytes) -> Leg | None:
    traders = []
    for person in dict.fromkeys(flow.payer for flow in flows):
        net: dict[bytes, int] = {}
        for flow in flows:
            net[flow.mint] = (
                net.get(flow.mint, 0)
                + flow.amount * (flow.payee == person)
                - flow.amount * (flow.payer == person)
            )
        gives = [mint for mint, amount in net.items() if amount < 0]
        takes = [mint for mint, amount in net.items() if amount > 0]
        if len(gives) == 1 and len(takes) == 1:
            traders.append((person, gives[0], takes[0]))
    if not traders:
        return None
    # Of the two sides the trader is the one who signed, or who traded before; else who paid first.
    trader, gives_mint, takes_mint = next(
        (side for wanted in (ours, (previous,)) for side in traders if side[0] in wanted), traders[0]
    )
    paid = sum(flow.amount for flow in flows if flow.payer == trader and flow.mint == gives_mint)
    back = sum(flow.amount for flow in flows if flow.payee == trader and flow.mint == gives_mint)
    received = [flow.amount for flow in flows if flow.payee == trader and flow.mint == takes_mint]
    amount_out = max(received)
    counterparties = {flow.payer for flow in flows if flow.payee == trader}
    counterparties |= {flow.payee for flow in flows if flow.payer == trader}
    others = sum(
        flow.amount
        for flow in flows
        if flow.payer != trader
        and flow.payee not in counterparties | {trader}
        and flow.mint in (gives_mint, takes_mint)
    )
    return Leg(
        DEX_NAMES.get(call.program) or str(Pubkey(call.program)),
        call.program,
        trader,
        gives_mint,
        paid,
        takes_mint,
        amount_out,
        back or sum(received) - amount_out,
        gives_mint if back else takes_mint,
        others,
        tuple(flow.call for flow in flows),
    )
