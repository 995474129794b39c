"""An independent client, solana-py's, calls every method of the local cluster and parses the answers."""

import asyncio
import json
from collections.abc import Iterator

import pytest
from door_helpers import Served
from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Confirmed, Finalized, Processed
from solana.rpc.models import DataSliceOpts, MemcmpOpts, TokenAccountOpts, TxOpts
from solana.rpc.websocket_api import SolanaWsClient
from solders.hash import Hash
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.rpc.config import RpcTransactionLogsFilterMentions
from solders.rpc.responses import (
    AccountNotification,
    IsBlockhashValidResp,
    LogsNotification,
    ProgramNotification,
    RootNotification,
    SignatureNotification,
    SlotNotification,
)
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction
from solders.transaction_status import TransactionConfirmationStatus

from hft.chain.tips import TIP_ACCOUNTS
from hft.chain.transaction import TwoHop, build_two_hop
from hft.venues import TOKEN_PROGRAM, WRAPPED_SOL, associated_token_address

LIMIT_S = 60.0
pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    one = Served(slot_ms=30, swaps_per_second=100)
    yield one
    one.close()


async def test_every_reading_method_is_parsed(served: Served) -> None:
    wallet = served.wallet.pubkey()
    wrapped = Pubkey(associated_token_address(bytes(wallet), WRAPPED_SOL))
    async with AsyncClient(served.url, Processed) as client:
        assert await client.is_connected()
        assert (await client.get_version()).value.solana_core
        assert (await client.get_genesis_hash()).value != Hash.default()
        assert (await client.get_identity()).value.identity
        slot = (await client.get_slot()).value
        assert slot > 431_000_000
        assert (await client.get_slot(Finalized)).value < slot
        assert (await client.get_block_height(Confirmed)).value < slot
        epoch = (await client.get_epoch_info()).value
        assert epoch.slot_index == epoch.absolute_slot % epoch.slots_in_epoch
        assert (await client.get_epoch_schedule()).value.slots_per_epoch == epoch.slots_in_epoch
        latest = (await client.get_latest_blockhash()).value
        assert latest.last_valid_block_height > (await client.get_block_height()).value
        assert (await client.get_balance(wallet)).value == 20_000_000_000
        info = (await client.get_account_info(wrapped)).value
        assert info is not None
        assert len(info.data) == 165
        assert (await client.get_account_info(Pubkey.new_unique())).value is None
        cut = await client.get_account_info(wrapped, data_slice=DataSliceOpts(offset=64, length=8))
        assert cut.value is not None
        amount = (await client.get_token_account_balance(wrapped)).value
        assert int.from_bytes(cut.value.data, "little") == int(amount.amount) == 180_000_000_000
        assert amount.decimals == 9
        many = (await client.get_multiple_accounts([wrapped, Pubkey.new_unique(), wallet])).value
        assert many[0] == info
        assert many[1] is None
        assert many[2] is not None
        parsed = (await client.get_account_info_json_parsed(wrapped)).value
        assert parsed is not None
        assert parsed.data.parsed["info"]["owner"] == str(wallet)
        assert (await client.get_token_supply(Pubkey(WRAPPED_SOL))).value.decimals == 9
        owned = await client.get_token_accounts_by_owner(wallet, TokenAccountOpts(mint=Pubkey(WRAPPED_SOL)))
        assert [one.pubkey for one in owned.value] == [wrapped]
        held = await client.get_program_accounts(
            Pubkey(TOKEN_PROGRAM), encoding="base64", filters=[165, MemcmpOpts(offset=32, bytes=str(wallet))]
        )
        assert wrapped in {one.pubkey for one in held.value}
        assert (await client.get_minimum_balance_for_rent_exemption(165)).value == 2_039_280
        fees = (await client.get_recent_prioritization_fees([wallet])).value
        assert fees
        assert all(one.prioritization_fee >= 0 for one in fees)
        assert (await client.get_transaction_count()).value >= 0
        blocks = (await client.get_blocks(slot - 40, slot - 33)).value
        assert len(blocks) == 8
        block = (await client.get_block(blocks[-1], commitment=Finalized)).value
        assert block is not None
        assert block.parent_slot == blocks[-2]
        assert (await client.get_block_time(blocks[0])).value is not None


async def test_blockhashes_and_packed_accounts_are_parsed(served: Served) -> None:
    wrapped = Pubkey(associated_token_address(bytes(served.wallet.pubkey()), WRAPPED_SOL))
    async with AsyncClient(served.url, Processed) as client:
        packed = (await client.get_account_info(wrapped, encoding="base64+zstd")).value
        assert packed == (await client.get_account_info(wrapped)).value
        options = {"commitment": "processed"}
        latest = (await client.get_latest_blockhash()).value.blockhash
        for blockhash, valid in ((latest, True), (Hash.new_unique(), False)):
            # The client has no method for this one; its types parse the answer all the same.
            asked = {"jsonrpc": "2.0", "id": 1, "method": "isBlockhashValid"}
            _, answer, _ = served.post({**asked, "params": [str(blockhash), options]})
            told = IsBlockhashValidResp.from_json(json.dumps(answer))
            assert isinstance(told, IsBlockhashValidResp)
            assert told.value is valid


async def test_a_transaction_is_simulated_sent_followed_and_read(served: Served) -> None:
    user, target = served.wallet.pubkey(), Pubkey.new_unique()
    async with AsyncClient(served.url, Processed) as client:
        latest = (await client.get_latest_blockhash()).value
        give = transfer(TransferParams(from_pubkey=user, to_pubkey=target, lamports=5_000_000))
        message = MessageV0.try_compile(user, [give], [], latest.blockhash)
        assert (await client.get_fee_for_message(message)).value == 5000
        signed = VersionedTransaction(message, [served.wallet])
        simulated = (await client.simulate_transaction(signed, accounts_addresses=[target])).value
        assert simulated.err is None
        assert simulated.units_consumed == 150
        assert simulated.accounts is not None
        assert simulated.accounts[0].lamports == 5_000_000
        options = TxOpts(preflight_commitment=Processed)
        signature = (await client.send_raw_transaction(bytes(signed), options)).value
        assert signature == signed.signatures[0]
        await client.confirm_transaction(signature, Confirmed, sleep_seconds=0.02)
        status = (await client.get_signature_statuses([signature])).value[0]
        assert status is not None
        assert status.err is None
        assert status.confirmation_status in (
            TransactionConfirmationStatus.Confirmed,
            TransactionConfirmationStatus.Finalized,
        )
        for encoding in ("json", "base64"):
            read = await client.get_transaction(
                signature, encoding, Confirmed, max_supported_transaction_version=0
            )
            assert read.value is not None
            meta = read.value.transaction.meta
            assert meta is not None
            assert meta.err is None
            assert meta.fee == 5000
            assert [b - a for a, b in zip(meta.pre_balances, meta.post_balances, strict=True)] == [
                -5_005_000,
                5_000_000,
                0,
            ]
            assert meta.log_messages == [
                "Program 11111111111111111111111111111111 invoke [1]",
                "Program 11111111111111111111111111111111 success",
            ]
        found = (await client.get_signatures_for_address(target)).value
        assert [one.signature for one in found] == [signature]
        given = (await client.request_airdrop(target, 1_000_000)).value
        await client.confirm_transaction(given, Confirmed, sleep_seconds=0.02)
        assert (await client.get_balance(target)).value == 6_000_000


async def test_a_two_hop_reads_as_if_the_programs_had_run(served: Served) -> None:
    pools = served.alone.cluster.bank.pools
    first, second = [pool for pool in pools.values() if WRAPPED_SOL in (pool.mint_a, pool.mint_b)][:2]
    for second in pools.values():
        if second.key != first.key and {second.mint_a, second.mint_b} == {first.mint_a, first.mint_b}:
            break
    async with AsyncClient(served.url, Processed) as client:
        latest = (await client.get_latest_blockhash()).value
        order = TwoHop(first, second, WRAPPED_SOL, 10**8, 1, 1, 400_000, 1000, 1000, TIP_ACCOUNTS[0])
        signed = build_two_hop(order, served.wallet, bytes(latest.blockhash))
        sent = await client.send_raw_transaction(signed.data, TxOpts(skip_preflight=True))
        await client.confirm_transaction(sent.value, Confirmed, sleep_seconds=0.02)
        read = await client.get_transaction(sent.value, "json", Confirmed, 0)
        assert read.value is not None
        meta = read.value.transaction.meta
        assert meta is not None
        assert meta.err is None
        assert meta.inner_instructions is not None
        assert [one.index for one in meta.inner_instructions] == [2, 3]
        assert all(len(one.instructions) >= 2 for one in meta.inner_instructions)
        assert meta.pre_token_balances
        assert meta.post_token_balances
        moved = {(str(one.owner), str(one.mint)) for one in meta.post_token_balances}
        assert (str(served.wallet.pubkey()), str(Pubkey(WRAPPED_SOL))) in moved
        depths = [line for line in meta.log_messages or [] if line.endswith("invoke [2]")]
        assert len(depths) >= 4
        block = await client.get_block(read.value.slot, "json", 0, commitment=Confirmed)
        assert block.value is not None
        assert signed.signature in {
            bytes(one.transaction.signatures[0]) for one in block.value.transactions or []
        }


async def test_every_subscription_is_parsed(served: Served) -> None:
    user, target = served.wallet.pubkey(), Pubkey.new_unique()
    pool = next(iter(served.alone.cluster.bank.pools.values()))
    async with SolanaWsClient(served.url.replace("http", "ws")) as socket:
        slots = await socket.slot_subscribe()
        logs = await socket.logs_subscribe(
            filter_=RpcTransactionLogsFilterMentions(target), commitment=Confirmed
        )
        roots = await socket.root_subscribe()
        account = await socket.account_subscribe(pubkey=target, commitment=Processed, encoding="base64")
        program = await socket.program_subscribe(
            program_id=Pubkey(TOKEN_PROGRAM),
            commitment=Processed,
            encoding="base64",
            filters=[165, MemcmpOpts(offset=32, bytes=str(pool_authority(served, pool.vault_a)))],
        )
        signed = served.pay(bytes(target), 3_000_000)
        text = served.send(signed)
        signature = VersionedTransaction.from_bytes(signed.data).signatures[0]
        assert text == str(signature)
        follow = await socket.signature_subscribe(signature=signature, commitment=Confirmed)
        wanted = {
            SlotNotification,
            RootNotification,
            LogsNotification,
            AccountNotification,
            SignatureNotification,
            ProgramNotification,
        }
        seen: set[type] = set()
        async with asyncio.timeout(LIMIT_S):
            while wanted - seen:
                notification = await socket.recv()
                seen.add(type(notification))
                if isinstance(notification, AccountNotification):
                    assert notification.result.value.lamports == 3_000_000
                if isinstance(notification, LogsNotification):
                    assert str(notification.result.value.signature) == text
                    assert notification.result.value.err is None
                    assert notification.result.value.logs[-1].endswith(" success")
        await socket.unsubscribe(logs)
        await socket.unsubscribe(roots)
        await socket.unsubscribe(slots)
        await socket.unsubscribe(account)
        await socket.unsubscribe(program)
        assert follow is not None
        assert user


def pool_authority(served: Served, vault: bytes) -> Pubkey:
    """Owner of a vault."""
    return Pubkey(served.alone.cluster.bank.account(vault).data[32:64])
