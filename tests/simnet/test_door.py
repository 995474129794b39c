"""The local cluster's JSON-RPC: limits, error codes, commitments, forks, lookup tables."""

import base64
from collections.abc import Iterator

import pytest
from door_helpers import RpcFailed, Served, ask, until
from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from hft.chain.svm_envelope import LOOKUP_TABLE_PROGRAM
from hft.chain.transaction import SignedTransaction

NOBODY = str(Pubkey(b"\7" * 32))
PROCESSED = {"commitment": "processed"}


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    one = Served()
    yield one
    one.close()


def refusal(served: Served, method: str, *params: object) -> RpcFailed:
    with pytest.raises(RpcFailed) as caught:
        served.call(method, *params)
    return caught.value


def landed(served: Served, transaction: SignedTransaction) -> dict[str, object]:
    """Sends it and waits for its status."""
    signature = served.send(transaction)
    return dict(until(lambda: served.status(signature), "a status"))


def test_limits_and_malformed_requests(served: Served) -> None:
    assert len(served.call("getMultipleAccounts", [NOBODY] * 100)["value"]) == 100
    assert refusal(served, "getMultipleAccounts", [NOBODY] * 101).code == -32602
    signature = str(served.pay(b"\1" * 32, 10**6).data[1:2].hex())
    assert refusal(served, "getSignatureStatuses", [signature]).code == -32602
    good = str(VersionedTransaction.from_bytes(served.pay(b"\1" * 32, 10**6).data).signatures[0])
    assert served.call("getSignatureStatuses", [good] * 256)["value"] == [None] * 256
    assert refusal(served, "getSignatureStatuses", [good] * 257).code == -32602
    assert refusal(served, "getRecentPrioritizationFees", [NOBODY] * 129).code == -32602
    assert refusal(served, "getNothing").code == -32601
    assert refusal(served, "getBalance").code == -32602
    assert refusal(served, "getBalance", "no key").code == -32602
    assert refusal(served, "getBalance", NOBODY, {"commitment": "perhaps"}).code == -32602
    status, answer, _ = served.post(b"{")
    assert (status, answer["error"]["code"]) == (200, -32700)
    status, answer, _ = served.post([{"id": 1, "method": "getSlot"}, {"id": 2, "method": "getHealth"}])
    assert [one["id"] for one in answer] == [1, 2]
    assert ask(served.url, None)[0] == 405
    assert served.post(b"x" * 300_000)[0] == 413
    # A data encoding that nobody asked for is the legacy one, which is too small for most accounts.
    pool = str(Pubkey(next(iter(served.alone.cluster.bank.pools))))
    assert refusal(served, "getAccountInfo", pool).code == -32600


def test_row_20_a_node_that_is_not_there_yet_says_so(served: Served) -> None:
    slot = served.call("getSlot", PROCESSED)
    error = refusal(served, "getBalance", NOBODY, {**PROCESSED, "minContextSlot": slot + 10_000})
    assert error.code == -32016
    assert error.error["data"]["contextSlot"] >= slot
    served.fault("lagging_node", node="late", slots=200, times=0)
    with pytest.raises(RpcFailed) as caught:
        served.call("getHealth", node="late")
    assert caught.value.code == -32005
    assert caught.value.error["data"] == {"numSlotsBehind": 200}
    assert served.call("getSlot", PROCESSED, node="late") < served.call("getSlot", PROCESSED)
    late = served.call("getLatestBlockhash", PROCESSED, node="late")["value"]
    new = served.call("getLatestBlockhash", PROCESSED)["value"]
    assert late["lastValidBlockHeight"] < new["lastValidBlockHeight"]
    assert served.call("getHealth") == "ok"
    ask_clear(served)


def ask_clear(served: Served) -> None:
    served.alone.cluster.faults.clear()


def test_a_preflight_failure_has_error_and_logs(served: Served) -> None:
    poor = Keypair()
    give = transfer(TransferParams(from_pubkey=poor.pubkey(), to_pubkey=Pubkey(b"\3" * 32), lamports=1))
    message = MessageV0.try_compile(poor.pubkey(), [give], [], Hash(served.blockhash()))
    raw = bytes(VersionedTransaction(message, [poor]))
    text = base64.b64encode(raw).decode()
    error = refusal(served, "sendTransaction", text, {"encoding": "base64"})
    assert error.code == -32002
    assert error.error["data"]["err"] == "InsufficientFundsForFee"
    over = served.pay(b"\4" * 32, 10**18)
    error = refusal(served, "sendTransaction", base64.b64encode(over.data).decode(), {"encoding": "base64"})
    assert error.code == -32002
    assert error.error["data"]["err"] == {"InstructionError": [0, {"Custom": 1}]}
    assert any("insufficient lamports" in line for line in error.error["data"]["logs"])
    forged = bytearray(served.pay(b"\4" * 32, 10**6).data)
    forged[5] ^= 1
    error = refusal(served, "sendTransaction", base64.b64encode(forged).decode(), {"encoding": "base64"})
    assert error.code == -32003
    stale = served.pay(b"\4" * 32, 2 * 10**6)
    served.fault("expired_blockhash")
    error = refusal(served, "sendTransaction", base64.b64encode(stale.data).decode(), {"encoding": "base64"})
    assert error.error["data"]["err"] == "BlockhashNotFound"


def test_row_16_a_blockhash_that_expires_in_flight_leaves_no_status() -> None:
    served = Served(landing_ms=300)
    try:
        before = served.call("getLatestBlockhash", PROCESSED)["value"]
        signature = served.send(served.pay(b"\5" * 32, 10**6))
        served.fault("expired_blockhash")
        height = until(
            lambda: served.call("getBlockHeight", PROCESSED) > before["lastValidBlockHeight"], "the height"
        )
        assert height
        assert served.call("isBlockhashValid", before["blockhash"], PROCESSED)["value"] is False
        until(lambda: served.state()["queued"] == 0, "its turn")
        assert served.status(signature, searchTransactionHistory=True) is None
        assert served.call("getTransaction", signature, {"commitment": "confirmed"}) is None
    finally:
        served.close()


def test_commitments_and_versions(served: Served) -> None:
    target = Keypair().pubkey()
    signature = served.send(served.pay(bytes(target), 10**6))
    until(lambda: served.status(signature), "a status")
    assert served.call("getBalance", str(target), PROCESSED)["value"] == 10**6
    first = served.status(signature)["slot"]
    assert refusal(served, "getTransaction", signature, PROCESSED).code == -32602
    until(lambda: served.call("getSlot", {"commitment": "confirmed"}) >= first, "confirmation")
    error = refusal(served, "getTransaction", signature, {"commitment": "confirmed"})
    assert error.code == -32015
    options = {"commitment": "confirmed", "maxSupportedTransactionVersion": 0}
    found = served.call("getTransaction", signature, options)
    assert (found["slot"], found["version"]) == (first, 0)
    assert served.call("getTransaction", signature, {**options, "commitment": "finalized"}) is None
    assert served.call("getBalance", str(target), {"commitment": "finalized"})["value"] == 0
    until(lambda: served.call("getSlot") >= first, "finality")
    assert served.call("getBalance", str(target))["value"] == 10**6
    assert served.status(signature)["confirmationStatus"] == "finalized"
    assert served.status(signature)["confirmations"] is None


def test_skipped_slots_have_no_block(served: Served) -> None:
    before = served.call("getSlot", PROCESSED)
    served.fault("skip_slots", slots=5)
    now = until(
        lambda: (found := served.call("getSlot", {"commitment": "confirmed"})) > before + 6 and found, "slots"
    )
    blocks = served.call("getBlocks", before, now, {"commitment": "confirmed"})
    missing = sorted(set(range(before, now + 1)) - set(blocks))
    assert len(missing) == 5
    assert refusal(served, "getBlock", missing[0], {"commitment": "confirmed"}).code == -32007
    assert refusal(served, "getBlock", now + 1000, {"commitment": "confirmed"}).code == -32004
    block = served.call("getBlock", missing[-1] + 1, {"commitment": "confirmed"})
    assert block["parentSlot"] == missing[0] - 1
    first = served.call("getBlock", missing[0] - 1, {"commitment": "confirmed"})
    assert block["blockHeight"] == first["blockHeight"] + 1


def test_row_06_a_fork_that_lost_takes_everything_back(served: Served) -> None:
    target = Keypair().pubkey()
    wallet = str(served.wallet.pubkey())
    before = served.call("getBalance", wallet, PROCESSED)["value"]
    transaction = served.pay(bytes(target), 10**6)
    assert landed(served, transaction)["err"] is None
    signature = served.send_again(transaction)
    served.fault("fork_revert", slots=40)
    assert served.status(signature, searchTransactionHistory=True) is None
    assert served.call("getBalance", str(target), PROCESSED)["value"] == 0
    assert served.call("getBalance", wallet, PROCESSED)["value"] == before
    for commitment in ("processed", "confirmed", "finalized"):
        assert served.call("getAccountInfo", str(target), {"commitment": commitment})["value"] is None


def test_a_lookup_table_serves_from_the_slot_after_its_extension(served: Served) -> None:
    user, slot = served.wallet.pubkey(), served.call("getSlot", {"commitment": "confirmed"})
    table, bump = Pubkey.find_program_address(
        [bytes(user), slot.to_bytes(8, "little")], Pubkey(LOOKUP_TABLE_PROGRAM)
    )
    metas = [AccountMeta(table, False, True), AccountMeta(user, True, False), AccountMeta(user, True, True)]
    metas.append(AccountMeta(Pubkey(bytes(32)), False, False))
    program = Pubkey(LOOKUP_TABLE_PROGRAM)
    create = Instruction(program, bytes(4) + slot.to_bytes(8, "little") + bytes([bump]), metas)
    target = Keypair().pubkey()
    extend = Instruction(program, b"\2\0\0\0" + (1).to_bytes(8, "little") + bytes(target), metas)
    made = served.pay(bytes(user), 1, create, extend)
    assert landed(served, made)["err"] is None
    keys = AddressLookupTableAccount(table, [target])
    extended = int.from_bytes(served.data(table)[12:20], "little")

    def through() -> bytes:
        give = transfer(TransferParams(from_pubkey=user, to_pubkey=target, lamports=10**6))
        message = MessageV0.try_compile(user, [give], [keys], Hash(served.blockhash()))
        return bytes(VersionedTransaction(message, [served.wallet]))

    until(lambda: served.call("getSlot", PROCESSED) > extended, "the next slot")
    raw = through()
    signature = served.call("sendTransaction", base64.b64encode(raw).decode(), {"encoding": "base64"})
    status = until(lambda: served.status(signature), "a status")
    assert status["err"] is None
    until(lambda: served.call("getSlot", {"commitment": "confirmed"}) >= status["slot"], "confirmation")
    options = {"commitment": "confirmed", "maxSupportedTransactionVersion": 0}
    found = served.call("getTransaction", signature, options)
    assert found["meta"]["loadedAddresses"] == {"writable": [str(target)], "readonly": []}
    assert found["meta"]["postBalances"][-1] == 10**6
    assert served.call("getBalance", str(target), PROCESSED)["value"] == 10**6
    error = refusal(served, "simulateTransaction", "", {"encoding": "base64"})
    assert error.code == -32602
    both = {"encoding": "base64", "sigVerify": True, "replaceRecentBlockhash": True}
    assert refusal(served, "simulateTransaction", base64.b64encode(raw).decode(), both).code == -32602
    again = {"encoding": "base64", "replaceRecentBlockhash": True, "commitment": "processed"}
    told = served.call("simulateTransaction", base64.b64encode(raw).decode(), again)["value"]
    assert told["err"] == "AlreadyProcessed"
    assert told["replacementBlockhash"]["lastValidBlockHeight"] > 0


def test_the_request_limit_is_kept() -> None:
    served = Served(rpc_requests_per_10s=5)
    try:
        results = [served.post({"id": 1, "method": "getSlot"})[0] for _ in range(7)]
        assert results == [200] * 5 + [429] * 2
        assert served.call("getSlot", node="other")
    finally:
        served.close()
