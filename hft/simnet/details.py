"""What a transaction did, as an RPC node tells it: error, balances before and after, logs, inner
instructions.

Balances are kept as plain figures when the transaction runs; logs and inner instructions are put together
when somebody asks. Where a swap was carried out by transfers, they read as if the venue's program had run
and had called the token program.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from solders.instruction import Instruction
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.transaction_metadata import TransactionMetadata
from solders.transaction_status import InstructionErrorFieldless

from hft.chain.base58 import b58encode
from hft.chain.svm_envelope import Envelope, Refusal
from hft.chain.svm_rewrite import FAIL, Step
from hft.chain.svm_units import SWAP_UNITS
from hft.chain.svm_verdicts import INSTRUCTION_LOGS, SHORT_OF_FUNDS, Verdict
from hft.venues import Account, Venue
from hft.venues.registry import BY_PROGRAM
from hft.venues.spl import TOKEN_2022_PROGRAM, TOKEN_ACCOUNT_SIZE, TOKEN_PROGRAM

_TOKEN_PROGRAMS: Final = (TOKEN_PROGRAM, TOKEN_2022_PROGRAM)
# Refusals that are the chain's own errors go by their names; the others mean a transaction of bad form.
_REFUSALS: Final = {
    Refusal.MALFORMED: "SanitizeFailure",
    Refusal.TOO_LARGE: "SanitizeFailure",
    Refusal.OVERLOADED: "ClusterMaintenance",
    Refusal.DROPPED: "CommitCancelled",
}
_INSTRUCTION_ERRORS: Final = frozenset(name for name in dir(InstructionErrorFieldless) if name[0].isupper())


class TokenBalance(NamedTuple):
    """A token account's balance: its place among the transaction's accounts, and what it holds."""

    place: int
    mint: bytes
    owner: bytes
    program: bytes
    amount: int
    decimals: int


class Ran(NamedTuple):
    """One instruction as it ran here (see ``Step``); what carried out a swap is its ``transfer``, and that of
    none if it only was to fail."""

    place: int
    of_swap: bool
    transfer: Instruction | None
    fails: bool
    lines: tuple[str, ...]

    @classmethod
    def of(cls, step: Step) -> "Ran":
        """A record keeps no more of a step than is told of it."""
        fails = step.instruction == FAIL
        transfer = step.instruction if step.of_swap and not fails else None
        return cls(step.place, step.of_swap, transfer, fails, step.lines)


class Details(NamedTuple):
    """One executed (or simulated) transaction; ``error`` is the RPC's JSON of it, ``None`` if all went
    well."""

    error: Any
    units: int
    lamports_before: tuple[int, ...]
    lamports_after: tuple[int, ...]
    tokens_before: tuple[TokenBalance, ...]
    tokens_after: tuple[TokenBalance, ...]
    steps: tuple[Ran, ...]
    unit_limit: int
    message: MessageV0
    meta: TransactionMetadata
    failed_at: int | None
    verdict: Verdict

    def logs(self, envelope: Envelope) -> list[str]:
        """The log lines, instruction by instruction."""
        return _logs(self, envelope)

    def inner(self, envelope: Envelope) -> list[dict[str, Any]]:
        """Inner instructions as the RPC's JSON has them."""
        return _inner(self, envelope)


def error_json(index: int | None, verdict: Verdict) -> Any:
    """A transaction's error as the RPC writes it; ``index`` is that of the failed instruction."""
    code, name = verdict
    if index is None:
        refusal = _REFUSALS.get(Refusal(name)) if name in Refusal.__members__.values() else None
        return refusal or name
    if code:
        return {"InstructionError": [index, {"Custom": code}]}
    return {"InstructionError": [index, name if name in _INSTRUCTION_ERRORS else "InvalidAccountData"]}


def token_balances(
    pubkeys: Sequence[bytes], accounts: Mapping[bytes, Account], mints: Mapping[bytes, Account]
) -> tuple[TokenBalance, ...]:
    """The token accounts among ``accounts``; ``mints`` tells their decimals."""
    found = []
    for index, pubkey in enumerate(pubkeys):
        owner, data, _ = accounts[pubkey]
        if len(data) < TOKEN_ACCOUNT_SIZE or owner not in _TOKEN_PROGRAMS or not data[108]:
            continue
        mint, holder = _whose(data[0:64])
        held = mints.get(mint)
        decimals = held.data[44] if held is not None and len(held.data) > 44 else 0
        amount = int.from_bytes(data[64:72], "little")
        found.append(TokenBalance(index, mint, holder, owner, amount, decimals))
    return tuple(found)


@lru_cache(maxsize=1024)
def _whose(head: bytes) -> tuple[bytes, bytes]:
    """Mint and holder of a token account: of the same one the same objects, however many records keep
    them."""
    return head[0:32], head[32:64]


def _segments(logs: Sequence[str]) -> list[list[str]]:
    """The lines of each instruction that ran."""
    found: list[list[str]] = []
    for line in logs:
        if line.endswith(" invoke [1]") or not found:
            found.append([])
        found[-1].append(line)
    return found


def _deeper(line: str) -> str:
    head, bracket, depth = line.rpartition(" invoke [")
    if not bracket or not depth.endswith("]") or not depth[:-1].isdigit():
        return line
    return f"{head} invoke [{int(depth[:-1]) + 1}]"


def _logs(details: Details, envelope: Envelope) -> list[str]:
    steps = details.steps
    segments = _segments(details.meta.logs())
    lines: list[str] = []
    at = 0
    while at < len(steps) and at < len(segments):
        place = steps[at].place
        last = at
        while last + 1 < len(steps) and steps[last + 1].place == place and steps[last + 1].of_swap:
            last += 1
        if steps[at].of_swap:
            lines += _swap_logs(details, envelope, steps[at : last + 1], segments[at : last + 1])
        elif steps[at].fails:
            program = Pubkey(envelope.calls[place].program)
            lines += [
                f"Program {program} invoke [1]",
                f"Program {program} failed: missing required signature",
            ]
        elif place >= 0:
            lines += segments[at]
        at = last + 1
    return lines


def _swap_logs(
    details: Details, envelope: Envelope, steps: Sequence[Ran], segments: Sequence[Sequence[str]]
) -> list[str]:
    call = envelope.calls[steps[0].place]
    program, spec = Pubkey(call.program), BY_PROGRAM.get(call.program)
    lines = [f"Program {program} invoke [1]"]
    if spec is not None and spec.venue in INSTRUCTION_LOGS:
        lines.append(f"Program log: Instruction: {INSTRUCTION_LOGS[spec.venue]}")
    failed = details.failed_at == steps[0].place
    # AMM v4 looks at balances before it moves anything.
    quiet = failed and spec is not None and spec.venue is Venue.RAYDIUM_V4
    for step, segment in zip(steps, segments, strict=False):
        if not step.fails and not quiet:
            lines += [_deeper(line) for line in segment]
    units = SWAP_UNITS[spec.venue].base if spec is not None else 0
    limit = details.unit_limit
    consumed = f"Program {program} consumed {min(units, limit)} of {limit} compute units"
    if not failed:
        return [*lines, consumed, f"Program {program} success"]
    code, name = details.verdict
    if code == 0:
        return [*lines, consumed, f"Program {program} failed: {name}"]
    told = [line for step in steps for line in step.lines]
    if told:
        lines += told
    elif spec is not None and (spec.venue, code) == SHORT_OF_FUNDS:
        lines.append("Program log: Error: insufficient funds")
    elif not lines[-1].endswith(f"custom program error: {code:#x}"):
        lines.append(
            f"Program log: AnchorError occurred. Error Code: {name}. Error Number: {code}. "
            f"Error Message: {name}."
        )
    return [*lines, consumed, f"Program {program} failed: custom program error: {code:#x}"]


def _inner(details: Details, envelope: Envelope) -> list[dict[str, Any]]:
    places = {named.pubkey: index for index, named in enumerate(envelope.accounts)}
    ran = len(_segments(details.meta.logs()))
    keys = [bytes(pubkey) for pubkey in details.message.account_keys]
    deeper = details.meta.inner_instructions()
    found: dict[int, list[dict[str, Any]]] = {}
    for at, step in enumerate(details.steps[:ran]):
        calls: list[tuple[bytes, list[bytes], bytes, int | None]] = []
        if step.transfer is not None:
            metas = [bytes(meta.pubkey) for meta in step.transfer.accounts]
            calls.append((bytes(step.transfer.program_id), metas, step.transfer.data, 2))
        if at < len(deeper) and not step.of_swap:
            for one in deeper[at]:
                inside = one.instruction()
                metas = [keys[index] for index in inside.accounts]
                calls.append((keys[inside.program_id_index], metas, inside.data, one.stack_height()))
        for program, metas, data, height in calls:
            if program in places and all(meta in places for meta in metas):
                found.setdefault(step.place, []).append(
                    {
                        "programIdIndex": places[program],
                        "accounts": [places[meta] for meta in metas],
                        "data": b58encode(bytes(data)),
                        "stackHeight": height,
                    }
                )
    return [{"index": index, "instructions": found[index]} for index in sorted(found) if index >= 0]
