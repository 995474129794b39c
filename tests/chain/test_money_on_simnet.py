"""What costs money though nothing is broken, on the local cluster: tables, tip floors, rent, deposits."""

import asyncio
from typing import Any

from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import TransferParams, transfer

from hft.chain.accounts import token_accounts
from hft.chain.endpoint import Reach, open_session
from hft.chain.lookup import LOOKUP_TABLE_PROGRAM, TableCache
from hft.chain.reading import read_transaction
from hft.chain.rpc import RpcClient
from hft.chain.tips import read_tip_floor, tip_policy
from hft.chain.transaction import TransactionError, TransactionErrorCode, check_transaction, sign
from hft.strategy.tip import price_tip
from hft.venues import TOKEN_PROGRAM, WRAPPED_SOL
from tests.chain.rpc_support import run
from tests.chain.simnet_support import WALLET, Simnet, signed, soon

USER = WALLET.pubkey()
SYSTEM = Pubkey(bytes(32))
CLOSED_RENT = 2_039_280


async def landed(rpc: RpcClient, *instructions: Instruction) -> dict[str, Any]:
    """Sends it, waits until it is confirmed, and reads it."""
    latest, _ = await rpc.latest_blockhash(deadline_ns=soon())
    made = signed(latest.blockhash, *instructions)
    await rpc.send_transaction(made.data, deadline_ns=soon(), guard=lambda: False)
    return await told(rpc, made.signature)


async def told(rpc: RpcClient, signature: bytes) -> dict[str, Any]:
    """What the cluster tells of a transaction, once it is confirmed."""
    options = {"encoding": "json", "commitment": "confirmed", "maxSupportedTransactionVersion": 0}
    while True:
        params = [str(Signature(signature)), options]
        answer = await rpc.call("getTransaction", params, deadline_ns=soon())
        if answer.result is not None:
            return dict(answer.result)
        await asyncio.sleep(0.01)


def table_instruction(tag: int, data: bytes, table: Pubkey) -> Instruction:
    """Of the lookup-table program, by its authority and payer."""
    metas = [AccountMeta(table, False, True), AccountMeta(USER, True, False), AccountMeta(USER, True, True)]
    metas.append(AccountMeta(SYSTEM, False, False))
    return Instruction(Pubkey(LOOKUP_TABLE_PROGRAM), tag.to_bytes(4, "little") + data, metas)


def test_row_18_a_table_just_extended_or_deactivated_on_the_cluster_is_refused_locally(
    simnet: Simnet,
) -> None:
    async def work() -> None:
        async with open_session(Reach.LOOPBACK) as http:
            rpc = simnet.rpc(http, "tables")
            slot = await rpc.slot(deadline_ns=soon()) - 2
            seed = slot.to_bytes(8, "little")
            table, bump = Pubkey.find_program_address([bytes(USER), seed], Pubkey(LOOKUP_TABLE_PROGRAM))
            others = [Keypair().pubkey() for _ in range(3)]
            await landed(rpc, table_instruction(0, seed + bytes([bump]), table))
            keys = b"".join(bytes(one) for one in others)
            await landed(rpc, table_instruction(2, (3).to_bytes(8, "little") + keys, table))

            async def read() -> tuple[TableCache, int]:
                found = await rpc.accounts([bytes(table)], deadline_ns=soon())
                cache = TableCache([bytes(table)])
                cache.update({bytes(table): found.accounts[0]}, found.slot)
                return cache, found.slot

            cache, slot = await read()
            form = AddressLookupTableAccount(table, others)
            pay = [
                transfer(TransferParams(from_pubkey=USER, to_pubkey=one, lamports=10**6)) for one in others
            ]
            latest, _ = await rpc.latest_blockhash(deadline_ns=soon())
            made = sign(pay, WALLET, latest.blockhash, tables=(form,))
            extended = cache.tables()[bytes(table)].last_extended_slot

            def judged(at: int) -> TransactionErrorCode | None:
                try:
                    check_transaction(made.data, cache.tables(), at)
                except TransactionError as error:
                    return error.code
                return None

            assert [one.key for one in cache.usable(slot)] == [table]
            assert judged(slot) is None
            # In the slot that extended it the chain does not know the new keys yet.
            assert judged(extended) is TransactionErrorCode.LOOKUP_TABLE
            assert cache.usable(extended) == ()
            await landed(rpc, table_instruction(3, b"", table))
            cache, slot = await read()
            assert not cache.tables()[bytes(table)].active
            assert cache.usable(slot) == ()
            assert judged(slot) is TransactionErrorCode.LOOKUP_TABLE

    run(work())


def test_row_19_a_floor_absent_in_lamports_or_spiking_leaves_the_cap(simnet: Simnet) -> None:
    async def work() -> None:
        async with open_session(Reach.LOOPBACK) as http:
            jito = simnet.jito(http, "floors")
            usual = read_tip_floor(await jito.tip_floor(deadline_ns=soon()))
            assert usual is not None
            assert 1_000 <= usual.landed[50] <= 10**6
            for kind, usable in (
                ("tip_floor_absent", False),
                ("tip_floor_lamports", False),
                ("tip_floor_spike", True),
            ):
                await asyncio.to_thread(simnet.fault, kind, node="floors")
                floor = read_tip_floor(await jito.tip_floor(deadline_ns=soon()))
                assert (floor is not None) is usable, kind
                policy = tip_policy(500_000, 1_000, 300_000, 50, floor)
                tip = price_tip(1_000_000, 10_000, policy)
                assert tip is not None
                assert tip <= 300_000
                assert price_tip(11_000, 10_000, policy) is None, "tip and fees eat the whole profit"
                if floor is not None:
                    assert floor.landed[50] == usual.landed[50] * 100

    run(work())


def test_row_31_wrapping_rent_and_a_deposit_read_from_the_cluster_are_no_profit(simnet: Simnet) -> None:
    async def work() -> None:
        async with open_session(Reach.LOOPBACK) as http:
            rpc = simnet.rpc(http, "reader")
            stranger = Keypair()
            fund = TransferParams(from_pubkey=USER, to_pubkey=stranger.pubkey(), lamports=10**9)
            await landed(rpc, transfer(fund))
            latest, _ = await rpc.latest_blockhash(deadline_ns=soon())
            give = TransferParams(from_pubkey=stranger.pubkey(), to_pubkey=USER, lamports=7 * 10**6)
            gift = sign([transfer(give)], stranger, latest.blockhash)
            await rpc.send_transaction(gift.data, deadline_ns=soon(), guard=lambda: False)
            found = read_transaction(await told(rpc, gift.signature), [bytes(USER)])
            assert [one.lamports for one in found.deposits] == [7 * 10**6]
            assert found.trading_profit_lamports in (0, None)
            # Another wallet of ours opens an account for wrapped SOL, wraps into it and leaves it open.
            user = stranger.pubkey()
            opened = token_accounts(bytes(user), [(WRAPPED_SOL, TOKEN_PROGRAM)], (), wrap_lamports=10**6)
            latest, _ = await rpc.latest_blockhash(deadline_ns=soon())
            made = sign([*opened.setup], stranger, latest.blockhash)
            await rpc.send_transaction(made.data, deadline_ns=soon(), guard=lambda: False)
            read = read_transaction(await told(rpc, made.signature), [bytes(user)])
            assert read.failure is None
            assert read.rent_locked_lamports == CLOSED_RENT
            assert read.lamports_delta == -(10**6 + CLOSED_RENT + 5_000)
            assert read.trading_profit_lamports == -5_000

    run(work())
