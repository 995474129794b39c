"""What a landed transaction did to our wallets, from its ``getTransaction`` result.

Everything is worked out from balances before and after; instructions only tell what a change was *for*. In
lamports, for all our wallets together:

    net = Δ SOL + Δ wSOL
        = − fee − tips − other payments + deposits − rent left + program income + what trading gave

A failed transaction paid its fee and nothing else: its transfers, tip included, were rolled back.
"""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from hft.chain.compute import LAMPORTS_PER_SIGNATURE
from hft.chain.reading_calls import Call, Raw, parse_result
from hft.chain.reading_events import (
    COMPUTE_BUDGET,
    PRECOMPILES,
    TOKEN_PROGRAMS,
    AccountOpened,
    SolTransfer,
    SupplyChange,
    TokenTransfer,
)
from hft.chain.reading_legs import Holder, Leg, dexes, legs
from hft.chain.tip_services import tip_service
from hft.venues import TOKEN_2022_PROGRAM, WRAPPED_SOL


class Failure(NamedTuple):
    """Why a transaction failed: the instruction's number or None, a custom code or None, the chain's word."""

    instruction: int | None
    code: int | None
    name: str


class Payment(NamedTuple):
    """SOL moved by a system transfer from one of our wallets to somebody else (or the other way).

    ``service`` names a tip service (``jito``, ``helius``, ``astralane``), empty for anybody else.
    """

    source: bytes
    destination: bytes
    lamports: int
    service: str


class Reading(NamedTuple):
    """What happened. Amounts in lamports and base units, tokens by mint, without zeros. ``wallets`` are those
    asked for, else the fee payer alone.

    ``deposits`` and ``token_deposits`` came from others outside of swaps, ``payments`` and
    ``token_withdrawals`` went to them. ``rent_locked_lamports`` stays in accounts that are open now and were
    not, ``rent_returned_lamports`` came back from closed ones. ``program_income_lamports`` is what a program
    moved without a transfer (negative: took). ``transfer_fees`` are Token-2022 fees on our transfers.
    Of a failed transaction ``attempted_legs`` ran and were undone, ``planned_payments`` never were made.
    """

    signature: str
    slot: int
    block_time: int | None
    version: int | None
    failure: Failure | None
    fee_payer: bytes
    signatures: int
    wallets: frozenset[bytes]
    fee_lamports: int
    base_fee_lamports: int
    priority_fee_lamports: int
    compute_units: int
    compute_unit_limit: int | None
    compute_unit_price_micro_lamports: int
    lamports_delta: int
    token_deltas: Mapping[bytes, int]
    jito_tip_lamports: int
    service_tips_lamports: int
    payments: tuple[Payment, ...]
    deposits: tuple[Payment, ...]
    token_deposits: Mapping[bytes, int]
    token_withdrawals: Mapping[bytes, int]
    rent_locked_lamports: int
    rent_returned_lamports: int
    program_income_lamports: int
    transfer_fees: Mapping[bytes, int]
    dexes: tuple[str, ...]
    legs: tuple[Leg, ...]
    attempted_legs: tuple[Leg, ...]
    planned_payments: tuple[Payment, ...]
    net_sol_lamports: int
    net_profit_lamports: int | None
    trading_profit_lamports: int | None

    @property
    def succeeded(self) -> bool:
        """True unless the chain rolled it back."""
        return self.failure is None

    @property
    def tip_lamports(self) -> int:
        """Tips to any service."""
        return self.jito_tip_lamports + self.service_tips_lamports


def read_transaction(result: Mapping[str, Any], wallets: Collection[bytes] = ()) -> Reading:
    """Reads the ``result`` of getTransaction, encoding ``json`` or ``jsonParsed``; else ``ReadingError``.

    ``net_profit_lamports`` is the change of SOL + wSOL where it alone tells the result: None where another
    token's balance changed (rebates aside) or rent stayed behind or came back. ``trading_profit_lamports``
    takes rent, deposits, withdrawals and program income off as well: what the trade itself earned after fees
    and tips, None where a token's change needs a price.
    """
    raw = parse_result(result)
    return _Reader(raw, frozenset(wallets) or frozenset(raw.keys[:1])).read()


class _Reader:
    """One reading; steps in the order of ``read``."""

    def __init__(self, raw: Raw, wallets: frozenset[bytes]) -> None:
        self.raw, self.wallets = raw, wallets
        self.failed = raw.error is not None
        self.holders = _holders(raw)
        self.own = {account for account, holder in self.holders.items() if holder.owner in wallets}
        self.ran: tuple[Call, ...] = () if self.failed else raw.calls
        self.before = dict(zip(raw.keys, raw.lamports_before, strict=True))
        self.after = dict(zip(raw.keys, raw.lamports_after, strict=True))

    def read(self) -> Reading:
        raw = self.raw
        found = legs(raw.calls, self.holders, {*self.wallets, *raw.keys[: len(raw.signatures)]})
        done = () if self.failed else found
        limit, price = _budget(raw.calls)
        payments, deposits = self._payments(self.ran)
        planned, _ = self._payments(call for call in raw.calls if self.failed and call.height == 1)
        tokens_in, tokens_out = self._outside_tokens(done)
        lamports = sum(self.after.get(key, 0) - self.before.get(key, 0) for key in self.wallets)
        deltas = self._token_deltas()
        locked, returned = self._rent()
        fee = raw.fee_lamports if raw.keys[0] in self.wallets else 0
        explained = (
            sum(payment.lamports for payment in deposits)
            - sum(payment.lamports for payment in payments)
            - fee
            - locked
            + returned
            + self._wrapped_flow()
        )
        net = lamports + deltas.get(WRAPPED_SOL, 0)
        closed, income = self._rest(net - explained)
        outside = tokens_in.get(WRAPPED_SOL, 0) - tokens_out.get(WRAPPED_SOL, 0)
        outside += sum(payment.lamports for payment in deposits) + income
        outside -= sum(payment.lamports for payment in payments if not payment.service)
        rent = locked - returned - closed
        priced = self._needs_no_price(deltas, done, {}, {})
        trade = self._needs_no_price(deltas, done, tokens_in, tokens_out)
        return Reading(
            signature=raw.signatures[0],
            slot=raw.slot,
            block_time=raw.block_time,
            version=raw.version,
            failure=_failure(raw.error),
            fee_payer=raw.keys[0],
            signatures=len(raw.signatures),
            wallets=self.wallets,
            fee_lamports=raw.fee_lamports,
            base_fee_lamports=_base_fee(raw),
            priority_fee_lamports=raw.fee_lamports - _base_fee(raw),
            compute_units=raw.compute_units,
            compute_unit_limit=limit,
            compute_unit_price_micro_lamports=price,
            lamports_delta=lamports,
            token_deltas=deltas,
            jito_tip_lamports=sum(p.lamports for p in payments if p.service == "jito"),
            service_tips_lamports=sum(p.lamports for p in payments if p.service not in ("", "jito")),
            payments=payments,
            deposits=deposits,
            token_deposits=tokens_in,
            token_withdrawals=tokens_out,
            rent_locked_lamports=locked,
            rent_returned_lamports=returned + closed,
            program_income_lamports=income,
            transfer_fees=self._transfer_fees(),
            dexes=dexes(raw.calls),
            legs=done,
            attempted_legs=found if self.failed else (),
            planned_payments=planned,
            net_sol_lamports=net,
            net_profit_lamports=net if priced and not rent else None,
            trading_profit_lamports=net + rent - outside if trade else None,
        )

    def _payments(self, calls: Any) -> tuple[tuple[Payment, ...], tuple[Payment, ...]]:
        """Plain system transfers from our wallets to others, and from others to us."""
        out, come = [], []
        ours = self.wallets | self.own
        for call in calls:
            event = call.event
            if not isinstance(event, SolTransfer) or event.created:
                continue
            payment = Payment(event.source, event.destination, event.lamports, tip_service(event.destination))
            if event.source in self.wallets and event.destination not in ours:
                out.append(payment)
            elif event.destination in ours and event.source not in ours:
                come.append(payment)
        return tuple(out), tuple(come)

    def _token_deltas(self) -> dict[bytes, int]:
        deltas: dict[bytes, int] = {}
        for sign, balances in ((-1, self.raw.tokens_before), (1, self.raw.tokens_after)):
            for balance in balances:
                if balance.account in self.own:
                    deltas[balance.mint] = deltas.get(balance.mint, 0) + sign * balance.amount
        return {mint: amount for mint, amount in deltas.items() if amount}

    def _rent(self) -> tuple[int, int]:
        """(left in accounts that are open now and were not, came back from token accounts of ours)."""
        held: tuple[dict[bytes, int], dict[bytes, int]] = ({}, {})
        for side, balances in zip(held, (self.raw.tokens_before, self.raw.tokens_after), strict=True):
            for balance in balances:
                if balance.account in self.own:
                    side[balance.account] = balance.amount if balance.mint == WRAPPED_SOL else 0
        before, after = held
        locked = sum(self.after[key] - wrapped for key, wrapped in after.items() if key not in before)
        returned = sum(self.before[key] - wrapped for key, wrapped in before.items() if key not in after)
        for call in self.ran:
            event = call.event
            if isinstance(event, SolTransfer) and event.created and event.source in self.wallets:
                there = self.after.get(event.destination, 0)
                if event.destination not in self.own and event.destination not in self.wallets:
                    locked += min(event.lamports, there)
        return locked, returned

    def _wrapped_flow(self) -> int:
        """wSOL that came into our accounts by token transfers, less what went out."""
        total = 0
        for call in self.ran:
            event = call.event
            if isinstance(event, TokenTransfer) and self._mint(event) == WRAPPED_SOL:
                total += event.amount * ((event.destination in self.own) - (event.source in self.own))
        return total

    def _rest(self, rest: int) -> tuple[int, int]:
        """What no transfer explains: rent of accounts that programs closed, and lamports programs moved."""
        gone = sum(
            lamports
            for key, lamports in self.before.items()
            if lamports and not self.after[key] and key not in self.own and key not in self.wallets
        )
        closed = max(min(rest, gone), 0)
        return closed, rest - closed

    def _outside_tokens(self, done: tuple[Leg, ...]) -> tuple[dict[bytes, int], dict[bytes, int]]:
        """Tokens that came from or went to others outside of swaps, by mint."""
        swapped = {index for leg in done for index in leg.transfers}
        come: dict[bytes, int] = {}
        gone: dict[bytes, int] = {}
        for index, call in enumerate(self.ran):
            event = call.event
            if index in swapped or not isinstance(event, TokenTransfer):
                continue
            into, out = event.destination in self.own, event.source in self.own
            if into != out:
                side = come if into else gone
                mint = self._mint(event)
                side[mint] = side.get(mint, 0) + event.amount
        return {m: n for m, n in come.items() if n}, {m: n for m, n in gone.items() if n}

    def _transfer_fees(self) -> dict[bytes, int]:
        """Token-2022 fees withheld on transfers from or to our accounts: what was sent and did not arrive."""
        flows: dict[bytes, int] = {}
        ours: set[bytes] = set()
        for call in self.ran:
            event = call.event
            if isinstance(event, TokenTransfer):
                flows[event.destination] = flows.get(event.destination, 0) + event.amount
                flows[event.source] = flows.get(event.source, 0) - event.amount
                if event.source in self.own or event.destination in self.own:
                    ours.add(event.destination)
            elif isinstance(event, SupplyChange):
                flows[event.account] = flows.get(event.account, 0) + event.amount
        delta: dict[bytes, int] = {}
        program: dict[bytes, bytes] = {}
        for sign, balances in ((-1, self.raw.tokens_before), (1, self.raw.tokens_after)):
            for balance in balances:
                delta[balance.account] = delta.get(balance.account, 0) + sign * balance.amount
                program[balance.account] = balance.program
        fees: dict[bytes, int] = {}
        for account in ours:
            missing = flows[account] - delta.get(account, flows[account])
            if program.get(account) == TOKEN_2022_PROGRAM and missing > 0:
                mint = self.holders[account].mint
                fees[mint] = fees.get(mint, 0) + missing
        return fees

    def _needs_no_price(
        self,
        deltas: Mapping[bytes, int],
        done: tuple[Leg, ...],
        come: Mapping[bytes, int],
        gone: Mapping[bytes, int],
    ) -> bool:
        """True if no other token's balance changed but by rebates, ``come`` and ``gone``."""
        for mint, delta in deltas.items():
            rebates = sum(
                leg.rebate for leg in done if leg.rebate_mint == mint and leg.trader in self.wallets
            )
            unknown = delta - come.get(mint, 0) + gone.get(mint, 0)
            if mint != WRAPPED_SOL and not 0 <= unknown <= rebates:
                return False
        return True

    def _mint(self, event: TokenTransfer) -> bytes:
        holder = self.holders.get(event.source) or self.holders.get(event.destination)
        return holder.mint if holder is not None else b""


def _holders(raw: Raw) -> dict[bytes, Holder]:
    """Token accounts by what balances and initialisations tell."""
    holders = {
        call.event.account: Holder(call.event.owner, call.event.mint)
        for call in raw.calls
        if isinstance(call.event, AccountOpened) and call.program in TOKEN_PROGRAMS
    }
    for balance in (*raw.tokens_before, *raw.tokens_after):
        holders[balance.account] = Holder(balance.owner, balance.mint)
    return holders


def _budget(calls: tuple[Call, ...]) -> tuple[int | None, int]:
    limit, price = None, 0
    for call in calls:
        if call.program == COMPUTE_BUDGET and call.height == 1:
            if call.data[:1] == b"\x02":
                limit = int.from_bytes(call.data[1:5], "little")
            elif call.data[:1] == b"\x03":
                price = int.from_bytes(call.data[1:9], "little")
    return limit, price


def _base_fee(raw: Raw) -> int:
    """5000 for each signature, those that precompiles verify included."""
    verified = sum(call.data[0] for call in raw.calls if call.program in PRECOMPILES and call.data)
    return min(LAMPORTS_PER_SIGNATURE * (len(raw.signatures) + verified), raw.fee_lamports)


def _failure(error: Any) -> Failure | None:
    if error is None:
        return None
    if isinstance(error, Mapping) and "InstructionError" in error:
        index, kind = error["InstructionError"]
        if isinstance(kind, Mapping) and "Custom" in kind:
            return Failure(int(index), int(kind["Custom"]), "Custom")
        return Failure(int(index), None, str(next(iter(kind)) if isinstance(kind, Mapping) else kind))
    return Failure(None, None, str(next(iter(error)) if isinstance(error, Mapping) else error))
