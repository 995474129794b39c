"""A transaction as the SVM is to run it: each venue's swap carried out by token transfers.

A venue's swap instruction is priced by ``hft.venues`` on the state at hand and replaced by the token
transfers it amounts to (user → vault, vault → user, and the share of a host account if one is named). A
vault belongs to a program-derived address, which signs here by leave of the SVM's switched-off signature
check; the user's own signatures are verified before, by themselves. What the venue would refuse becomes an
instruction that fails at the same place, with the venue's own error code. Swaps of venues whose program is
loaded are left as they are.
"""

from collections import ChainMap
from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

from hft.chain.svm_envelope import Call, Envelope
from hft.chain.svm_units import COMPUTE_BUDGET_PROGRAM, Budget, requested_limit, set_limit
from hft.chain.svm_verdicts import (
    EXCEEDED,
    MISSING_SIGNATURE,
    NO_POOL,
    WRONG_ACCOUNT,
    Verdict,
    funds_verdict,
    minimum_lines,
    minimum_verdict,
    quote_verdict,
)
from hft.venues import (
    Account,
    ChainClock,
    Pool,
    Quote,
    QuoteError,
    SwapCall,
    Venue,
    decode,
    parse_swap,
    quote,
    store,
)
from hft.venues.spl import ASSOCIATED_TOKEN_PROGRAM, TOKEN_2022_PROGRAM

_TRANSFER: Final = b"\x03"
_TRANSFER_CHECKED: Final = b"\x0c"
_DECIMALS_AT: Final = 44
_HOSTED: Final = frozenset((Venue.METEORA_DLMM, Venue.METEORA_DAMM_V2))
# The system program knows no instruction 2^32-1: it fails wherever it stands, and touches nothing.
FAIL: Final = Instruction(Pubkey(bytes(32)), b"\xff\xff\xff\xff", [])


class State(Protocol):
    """What swaps are priced on: the cluster's state, or as much of it as is known."""

    @property
    def accounts(self) -> Mapping[bytes, Account]:
        """Accounts by address."""

    @property
    def pools(self) -> Mapping[bytes, Pool]:
        """Decoded pools by address."""

    @property
    def clock(self) -> ChainClock:
        """Slot and time."""

    def account(self, pubkey: bytes) -> Account:
        """The account, ``ABSENT`` if there is none."""


class Step(NamedTuple):
    """One instruction as it runs here: where it stood (-1: nowhere), what its failure means (``None``: what
    the SVM says), and whether it is part of what replaces a swap."""

    place: int
    instruction: Instruction
    verdict: Verdict | None = None
    of_swap: bool = False
    lines: tuple[str, ...] = ()
    """What the venue's program logs where it fails."""


class Plan:
    """A transaction rewritten for the SVM."""

    def __init__(self, limit: int) -> None:
        self.steps: list[Step] = []
        self.authorities: set[bytes] = set()
        self.quotes: dict[bytes, Quote] = {}
        """The last swap of each pool that is moved."""
        self.budget = Budget(limit)
        self.doomed = False

    @property
    def pools(self) -> dict[bytes, Pool]:
        """The pools that its swaps move, as they leave them."""
        return {key: quoted.pool_after for key, quoted in self.quotes.items()}

    def add(self, index: int, instruction: Instruction, verdict: Verdict | None = None) -> None:
        """A transfer of the swap that stood at ``index``."""
        self.steps.append(Step(index, instruction, verdict, True))

    def fail(self, index: int, verdict: Verdict, lines: tuple[str, ...] = ()) -> None:
        """Fails here for certain, with these log lines: what comes after needs no pricing."""
        self.steps.append(Step(index, FAIL, verdict, True, lines))
        self.doomed = True


def rewrite(state: State, envelope: Envelope, programs: Collection[bytes]) -> Plan:
    """The plan of ``envelope`` on ``state``; ``programs``: venue programs that the SVM holds."""
    limit = requested_limit(envelope.calls)
    plan = Plan(limit)
    if set_limit(envelope.calls) is None:
        # The limit follows the number of instructions where none is set, and that number changes here.
        data = b"\x02" + limit.to_bytes(4, "little")
        plan.steps.append(Step(-1, Instruction(Pubkey(COMPUTE_BUDGET_PROGRAM), data, [])))
    others = []
    for index, call in enumerate(envelope.calls):
        swap = None
        if call.program not in programs:
            swap = parse_swap(call.program, [named.pubkey for named in call.accounts], call.data)
        if plan.doomed:
            if call.program == COMPUTE_BUDGET_PROGRAM:  # it sets the fee wherever it stands
                plan.steps.append(Step(index, _instruction(call)))
        elif swap is None:
            others.append((len(plan.steps), call))
            plan.steps.append(Step(index, _instruction(call)))
        else:
            _rewrite_swap(state, plan, index, swap, envelope)
    for at, call in others:
        # An authority signs for its own vault's payment only: anywhere else its signature would be forged.
        if any(named.pubkey in plan.authorities for named in call.accounts):
            plan.steps[at] = Step(plan.steps[at].place, FAIL, MISSING_SIGNATURE)
    return plan


def _rewrite_swap(state: State, plan: Plan, index: int, swap: SwapCall, envelope: Envelope) -> None:
    before = plan.quotes.get(swap.pool)
    pool = state.pools.get(swap.pool) if before is None else before.pool_after
    if pool is None:
        plan.fail(index, NO_POOL)
        return
    try:
        if swap.a_to_b is None:
            swap = swap.directed(pool, _mint_of(state, swap.user_in, envelope.calls))
        if (swap.vault_a, swap.vault_b) != (pool.vault_a, pool.vault_b):
            plan.fail(index, WRONG_ACCOUNT)
            return
        quoted = _quote(state, pool, swap)
    except QuoteError as error:
        plan.fail(index, quote_verdict(swap.venue, error.code))
        return
    if not plan.budget.charge(swap.venue, quoted.crossings):
        plan.fail(index, EXCEEDED)
        return
    mints = (pool.mint_a, pool.mint_b) if swap.a_to_b else (pool.mint_b, pool.mint_a)
    signed = any(named.pubkey == swap.user and named.signer for named in envelope.accounts)
    pay = _transfer(
        state, pool, mints[0], swap.user_in, swap.vault_in, swap.user, quoted.amount_in_used, signed
    )
    short = funds_verdict(swap.venue)
    if quoted.amount_out < swap.minimum_out:
        if short is not None:
            plan.add(index, pay, short)
        verdict = minimum_verdict(swap.venue)
        plan.fail(index, verdict, minimum_lines(swap.venue, quoted.amount_out, swap.minimum_out))
        return
    authority = swap.vault_authority
    plan.add(index, pay, short)
    plan.add(
        index,
        _transfer(state, pool, mints[1], swap.vault_out, swap.user_out, authority, quoted.paid, True),
    )
    if swap.host is not None and quoted.rebate:
        in_b = _mint_of(state, swap.host, envelope.calls) == pool.mint_b
        mint, vault = (pool.mint_b, pool.vault_b) if in_b else (pool.mint_a, pool.vault_a)
        plan.add(index, _transfer(state, pool, mint, vault, swap.host, authority, quoted.rebate, True))
    plan.authorities.add(authority)
    plan.quotes[pool.key] = quoted


def is_read_otherwise(pool: Pool, swap: SwapCall) -> bool:
    """Where a host could share the fee: whether the swap names one and the pool was read without, or the
    other way round."""
    return swap.venue in _HOSTED and pool.settings.own_host_fee != (swap.host is not None)


def _quote(state: State, pool: Pool, swap: SwapCall) -> Quote:
    """The venue's price. Where a host could share the fee, the pool is read as the swap names one or not."""
    if is_read_otherwise(pool, swap):
        stored = {
            pubkey: state.account(pubkey)._replace(data=data)
            for pubkey, data in store(pool, state.accounts).items()
        }
        settings = pool.settings._replace(own_host_fee=swap.host is not None)
        read = ChainMap(stored, state.accounts)  # type: ignore[arg-type]  # nobody writes to it
        pool = decode(pool.key, read, settings)
    return quote(pool, pool.mint_a if swap.a_to_b else pool.mint_b, swap.amount_in, state.clock)


def _mint_of(state: State, pubkey: bytes, calls: Sequence[Call]) -> bytes:
    """Mint of a token account, which an earlier instruction may only be creating."""
    data = state.account(pubkey).data
    if data:
        return bytes(data[0:32])
    for call in calls:
        created = call.program == ASSOCIATED_TOKEN_PROGRAM and len(call.accounts) > 3
        if created and call.accounts[1].pubkey == pubkey:
            return call.accounts[3].pubkey
    return bytes(32)


def _instruction(call: Call) -> Instruction:
    metas = [AccountMeta(Pubkey(named.pubkey), named.signer, named.writable) for named in call.accounts]
    return Instruction(Pubkey(call.program), call.data, metas)


def _transfer(
    state: State,
    pool: Pool,
    mint: bytes,
    source: bytes,
    destination: bytes,
    authority: bytes,
    amount: int,
    signed: bool,
) -> Instruction:
    program = pool.program_a if mint == pool.mint_a else pool.program_b
    if program == TOKEN_2022_PROGRAM:
        # A mint that withholds fees takes the checked form only, as the venues use for every such mint.
        checked = [
            AccountMeta(Pubkey(source), False, True),
            AccountMeta(Pubkey(mint), False, False),
            AccountMeta(Pubkey(destination), False, True),
            AccountMeta(Pubkey(authority), signed, False),
        ]
        decimals = state.account(mint).data[_DECIMALS_AT : _DECIMALS_AT + 1]
        data = _TRANSFER_CHECKED + amount.to_bytes(8, "little") + decimals
        return Instruction(Pubkey(program), data, checked)
    metas = [
        AccountMeta(Pubkey(source), False, True),
        AccountMeta(Pubkey(destination), False, True),
        AccountMeta(Pubkey(authority), signed, False),
    ]
    return Instruction(Pubkey(program), _TRANSFER + amount.to_bytes(8, "little"), metas)
