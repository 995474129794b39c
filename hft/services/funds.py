"""Can the wallet that is to trade pay for a trade, and has it an account for every token? Asked of the chain
by ``hft check`` and before a live run begins; every plan is judged by the newest balances besides.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from solders.pubkey import Pubkey

from hft.chain.accounts import FundsError, check_funds, needed_lamports
from hft.chain.endpoint import Endpoint, EndpointError, Reach, check_endpoints, open_session
from hft.chain.rpc import RpcClient
from hft.chain.rpc_faults import RpcFault
from hft.runtime.exit_codes import ExitCode, HftError
from hft.runtime.host import Finding, Level
from hft.runtime.settings import Config
from hft.runtime.wallet import LIVE, address_of
from hft.services.pools import accounts_of, named_pools, sound_pools
from hft.venues import (
    TOKEN_PROGRAM,
    WRAPPED_SOL,
    Account,
    Pool,
    associated_token_address,
    token_amount,
)
from hft.venues.spl import TOKEN_ACCOUNT_SIZE
from hft.venues.tokens import load_tokens

WHAT: Final = "wallet"
_OWNER, _STATE_AT, _INITIALIZED = slice(32, 64), 108, 1
"""Of a token account's data: whose it is; its state, which is 2 when it is frozen."""
COMPUTE_UNITS: Final = 200_000
"""What two swaps take, about: the cheapest trade is reckoned with it."""


def look(config: Config, state_dir: Path) -> list[Finding]:
    """What the wallet has and lacks; nothing is asked in paper mode, whose cluster funds its own. Failures
    are warnings in a dry run."""
    if config.hft.mode != LIVE:
        return []
    try:
        wallet, pools = address_of(config, state_dir), named_pools(config)
        accounts, traded = asyncio.run(_asked(config, wallet, pools))
    except (HftError, EndpointError) as error:
        return [Finding(Level.FAIL, WHAT, line, "mend it") for line in str(error).splitlines()]
    except RpcFault as fault:
        return [
            Finding(
                Level.WARN,
                WHAT,
                f"no node told what it holds: {fault}",
                "another node, or mend [chain] rpc_urls",
            )
        ]
    found = judge(config, wallet, accounts, traded)
    if config.chain.dry_run == "on":
        found = [one._replace(level=Level.WARN) if one.level is Level.FAIL else one for one in found]
    return found


def require(config: Config, state_dir: Path) -> list[str]:
    """Lines for a person about a wallet that is not ready, which do not keep a run from starting.

    ``HftError`` WALLET, all of it together, if the wallet can't trade and the run is to send.
    """
    findings = [one for one in look(config, state_dir) if one.level is not Level.OK]
    wrong = [f"{one.found} ({one.advice})" for one in findings if one.level is Level.FAIL]
    if wrong:
        raise HftError("\n".join(wrong), ExitCode.WALLET)
    return [f"{WHAT}: {one.found} ({one.advice})" for one in findings]


def judge(
    config: Config, wallet: bytes, accounts: Mapping[bytes, Account], pools: Sequence[Pool]
) -> list[Finding]:
    """``accounts``: the wallet and its token accounts, as far as the chain has them."""
    who, symbols = Pubkey(wallet), {mint: token.symbol for mint, token in load_tokens().items()}
    findings = []
    lamports = accounts[wallet].lamports if wallet in accounts else 0
    planner = config.planner
    needed = config.risk.minimum_wallet_lamports + needed_lamports(
        compute_unit_limit=COMPUTE_UNITS,
        compute_unit_price_micro_lamports=planner.compute_unit_price_micro_lamports,
        tip_lamports=planner.tip_floor_lamports,
    )
    try:
        check_funds(lamports, needed)
    except FundsError as error:
        least = f"{error}, [risk] minimum_wallet_lamports among them"
        findings.append(
            Finding(Level.FAIL, WHAT, least, f"send {who} {error.missing_lamports} lamports or more")
        )
    wanted = _wanted(pools)
    for mint, program in wanted.items():
        key = associated_token_address(wallet, mint, program)
        fault, advice = _fault(accounts[key].data, wallet)
        if fault:
            name = symbols.get(mint, str(Pubkey(mint)))
            told = f"{who} has no token account for {name}: {Pubkey(key)} {fault}"
            findings.append(Finding(Level.FAIL, WHAT, told, advice.format(mint=Pubkey(mint), who=who)))
    purse = accounts[associated_token_address(wallet, WRAPPED_SOL)]
    held = token_amount(purse.data) if len(purse.data) >= TOKEN_ACCOUNT_SIZE else 0
    least_size = config.scanner.minimum_size_lamports
    if held < least_size:
        told = f"{who} holds {held} lamports of wrapped SOL: the smallest trade takes {least_size}"
        findings.append(Finding(Level.FAIL, WHAT, told, "wrap some SOL, or mend [service:scanner] sizes"))
    if not findings:
        told = f"{who}: {lamports} lamports for fees, {held} to trade with, {len(wanted)} token accounts"
        findings.append(Finding(Level.OK, WHAT, told))
    return findings


def _fault(data: bytes, wallet: bytes) -> tuple[str, str]:
    """Why that is no token account to trade with, and what to do; nothing if it is one."""
    if len(data) < TOKEN_ACCOUNT_SIZE:
        return "is not there", "spl-token create-account {mint} --owner {who}"
    if data[_OWNER] != wallet:
        return f"belongs to {Pubkey(data[_OWNER])}", "trade with another wallet"
    if data[_STATE_AT] != _INITIALIZED:
        return "is frozen", "take its pools out of [chain] pools"
    return "", ""


def _wanted(pools: Sequence[Pool]) -> dict[bytes, bytes]:
    """Mint → token program, of all that a trade with SOL passes through."""
    wanted = {WRAPPED_SOL: TOKEN_PROGRAM}
    for pool in pools:
        sides = {pool.mint_a: pool.program_a, pool.mint_b: pool.program_b}
        if WRAPPED_SOL in sides:
            wanted |= sides
    return wanted


async def _asked(
    config: Config, wallet: bytes, pools: Sequence[bytes]
) -> tuple[dict[bytes, Account], list[Pool]]:
    """The wallet's accounts, and the pools that are sound."""
    nodes = [Endpoint(f"rpc-{place}", url) for place, url in enumerate(config.chain.rpc_urls, 1)]
    async with open_session(Reach.ANYWHERE) as http:
        rpc = RpcClient(http, check_endpoints(nodes, Reach.ANYWHERE))
        sound = await sound_pools(rpc, pools)
        held = [associated_token_address(wallet, *one) for one in _wanted(sound).items()]
        return await accounts_of(rpc, [wallet, *held]), sound
