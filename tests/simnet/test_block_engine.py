"""The block engine: bundles whole or not at all, by tip, and what their statuses say."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from door_helpers import RpcFailed, Served, until
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer

from hft.chain.tips import TIP_ACCOUNTS
from hft.chain.transaction import SignedTransaction, sign

BASE64 = {"encoding": "base64"}


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    one = Served()
    yield one
    one.close()


def text(transaction: SignedTransaction) -> str:
    return base64.b64encode(transaction.data).decode()


def give(served: Served, to: bytes, lamports: int) -> Instruction:
    user = served.wallet.pubkey()
    return transfer(TransferParams(from_pubkey=user, to_pubkey=Pubkey(to), lamports=lamports))


def tipped(served: Served, to: bytes, lamports: int, tip: int) -> SignedTransaction:
    """A transfer with a tip in the same transaction."""
    return served.pay(to, lamports, give(served, TIP_ACCOUNTS[1], tip))


def inflight(served: Served, name: str) -> Any:
    return served.jito("getInflightBundleStatuses", [name], path="getInflightBundleStatuses")["value"][0]


def ended(served: Served, name: str) -> Any:
    return until(lambda: (one := inflight(served, name))["status"] != "Pending" and one, "the bundle's end")


def balance(served: Served, of: bytes) -> int:
    return int(served.call("getBalance", str(Pubkey(of)), {"commitment": "processed"})["value"])


def test_a_bundle_lands_whole_and_pays_its_tip(served: Served) -> None:
    accounts = served.jito("getTipAccounts", path="getTipAccounts")
    assert accounts == [str(Pubkey(account)) for account in TIP_ACCOUNTS]
    target, before = bytes(Keypair().pubkey()), balance(served, TIP_ACCOUNTS[1])
    bundle = [tipped(served, target, 10**6, 2000), served.pay(target, 2 * 10**6)]
    status, answer, headers = served.post(
        {"jsonrpc": "2.0", "id": 4, "method": "sendBundle", "params": [[text(t) for t in bundle], BASE64]},
        "api/v1/bundles",
    )
    name = answer["result"]
    assert status == 200
    assert {key.lower(): value for key, value in headers.items()}["x-bundle-id"] == name
    assert ended(served, name)["status"] == "Landed"
    assert balance(served, target) == 3 * 10**6
    assert balance(served, TIP_ACCOUNTS[1]) == before + 2000
    found = served.jito("getBundleStatuses", [name], path="getBundleStatuses")["value"][0]
    assert found["bundle_id"] == name
    assert found["err"] == {"Ok": None}
    assert found["transactions"] == [served.send_again(one) for one in bundle]
    assert found["confirmation_status"] in ("processed", "confirmed", "finalized")


def test_a_bundle_with_a_failing_part_leaves_nothing(served: Served) -> None:
    target, before = bytes(Keypair().pubkey()), balance(served, bytes(served.wallet.pubkey()))
    bundle = [tipped(served, target, 10**6, 2000), served.pay(target, 10**18)]
    name = served.jito("sendBundle", [text(one) for one in bundle], BASE64)
    assert ended(served, name) == {"bundle_id": name, "status": "Failed", "landed_slot": None}
    assert balance(served, target) == 0
    assert balance(served, bytes(served.wallet.pubkey())) == before
    assert served.jito("getBundleStatuses", [name])["value"] == [None]
    assert served.status(served.send_again(bundle[0]), searchTransactionHistory=True) is None


def test_what_the_auction_does_not_take(served: Served) -> None:
    def refusal(*params: Any) -> RpcFailed:
        with pytest.raises(RpcFailed) as caught:
            served.jito("sendBundle", *params)
        return caught.value

    plain = text(served.pay(b"\1" * 32, 10**6))
    error = refusal([plain], BASE64)
    assert error.status == 400
    assert "write lock at least one tip account" in str(error)
    assert refusal([plain] * 6, BASE64).code == -32602
    assert refusal([plain]).code == -32602  # base58 is the default
    stale = sign([give(served, TIP_ACCOUNTS[0], 2000)], served.wallet, bytes(Hash.new_unique()))
    assert "expired blockhash" in str(refusal([text(stale)], BASE64))
    done = tipped(served, b"\1" * 32, 10**6, 2000)
    ended(served, served.jito("sendBundle", [text(done)], BASE64))
    again = refusal([text(done)], BASE64)
    assert again.code == -32602
    assert "already processed" in str(again)
    poor = served.jito("sendBundle", [text(tipped(served, b"\2" * 32, 10**6, 999))], BASE64)
    assert inflight(served, poor)["status"] == "Invalid"
    assert inflight(served, "0" * 64)["status"] == "Invalid"
    with pytest.raises(RpcFailed):
        served.jito("getBundleStatuses", ["0"] * 6)


def test_row_13_a_dropped_bundle_has_an_id_and_stays_invalid(served: Served) -> None:
    served.fault("dropped_bundle")
    target = bytes(Keypair().pubkey())
    bundle = tipped(served, target, 10**6, 5000)
    name = served.jito("sendBundle", [text(bundle)], BASE64)
    slot = served.call("getSlot", {"commitment": "processed"})
    assert inflight(served, name)["status"] == "Invalid"
    until(lambda: served.call("getSlot", {"commitment": "processed"}) > slot + 5, "slots")
    assert inflight(served, name) == {"bundle_id": name, "status": "Invalid", "landed_slot": None}
    assert balance(served, target) == 0


def test_row_17_an_unbundled_bundle_lands_part_by_part(served: Served) -> None:
    target = bytes(Keypair().pubkey())
    bundle = [tipped(served, target, 10**6, 2000), served.pay(target, 10**18)]
    served.fault("unbundled_bundle")
    name = served.jito("sendBundle", [text(one) for one in bundle], BASE64)
    assert ended(served, name)["status"] == "Failed"
    first, second = (served.status(served.send_again(one)) for one in bundle)
    assert first["err"] is None
    assert second["err"] == {"InstructionError": [0, {"Custom": 1}]}
    assert balance(served, target) == 10**6


def test_the_higher_price_goes_first() -> None:
    served = Served(slot_ms=1000)
    engine = served.alone.cluster.engine
    try:
        served.close()  # from here on the test steps it
        order: list[str] = []
        for price in (5, 9, 7):
            engine.bid(price, lambda price=price: order.append(str(price)), 10_000_000)
        assert engine.next_ns == 50_000_000
        engine.tick(50_000_000)
        assert order == ["9", "7", "5"]
    finally:
        assert engine.next_ns > 2**60


def test_a_transaction_by_the_block_engine_has_a_bundle_id(served: Served) -> None:
    target = bytes(Keypair().pubkey())
    one = tipped(served, target, 10**6, 3000)
    body = {"jsonrpc": "2.0", "id": 1, "method": "sendTransaction", "params": [text(one), BASE64]}
    status, answer, headers = served.post(body, "api/v1/transactions?bundleOnly=true")
    assert (status, answer["result"]) == (200, served.send_again(one))
    name = {key.lower(): value for key, value in headers.items()}["x-bundle-id"]
    assert ended(served, name)["status"] == "Landed"
    assert balance(served, target) == 10**6


def test_the_rate_limit_and_the_tip_floor() -> None:
    served = Served(bundle_requests_per_second=2)
    try:
        for _ in range(2):
            served.jito("getTipAccounts")
        with pytest.raises(RpcFailed) as caught:
            served.jito("getTipAccounts")
        assert (caught.value.status, caught.value.code) == (429, -32097)
        status, floor, _ = served.get("api/v1/bundles/tip_floor")
        assert status == 200
        shares = [floor[0][f"landed_tips_{share}th_percentile"] for share in (25, 50, 75, 95, 99)]
        assert shares == sorted(shares)
        assert all(isinstance(share, float) and 1e-6 <= share < 1 for share in shares)
        assert isinstance(floor[0]["time"], str)
    finally:
        served.close()
