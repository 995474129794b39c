"""Reading landed transactions: real ones against their right answers, in both encodings."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rpc_results import SYSTEM, TOKEN, TOKEN_2022, as_json, made
from solders.pubkey import Pubkey

from hft.chain.compute import priority_fee_lamports
from hft.chain.reading import Failure, Reading, read_transaction
from hft.chain.reading_calls import ReadingError, ReadingErrorCode
from hft.chain.reading_legs import Leg
from hft.chain.tips import TIP_ACCOUNTS

SOL = "So11111111111111111111111111111111111111112"
FILES = (
    "arb-2hop-damm_v2-whirlpool-nonce",
    "arb-2hop-dlmm-other-vault-owned",
    "arb-2hop-dlmm-pumpswap-jito-tip",
    "arb-3hop-clmm-damm_v2-dlmm-nonce",
    "arb-3hop-usdc-base-jito-tip",
    "failed-arb-custom-1",
    "failed-jupiter-slippage",
    "other-damm_v2-claim-and-close-jito-tip",
    "other-damm_v2-zap-protocol-fee-rent-locked",
    "other-dlmm-place-limit-order-multisig",
    "other-dlmm-remove-liquidity-close-position",
    "other-dlmm-zap-protocol-fee",
    "swap-amm_v4-18-accounts-legacy",
    "swap-clmm-relayed-other-owner",
    "swap-cpmm-temporary-wsol-account",
    "swap-damm_v2-two-signers-wrap-unwrap",
    "swap-dlmm-exact-out-vault-owned-tip",
    "swap-dlmm-keeper-refund",
    "swap-dlmm-legacy-with-transfer-out",
)
NOT_THE_SIGNERS_TRADE = "other-damm_v2-zap-protocol-fee-rent-locked"
"""The index names no legs for it, since the proceeds are not the signer's; the swaps ran all the same."""


def text(key: bytes) -> str:
    return str(Pubkey(key))


def key(name: str) -> bytes:
    return bytes(Pubkey.from_string(name))


def wallet(number: int) -> str:
    return str(Pubkey(bytes([number] * 32)))


@pytest.fixture(scope="module")
def answers(shared_data: Path) -> dict[str, dict[str, Any]]:
    index = json.loads((shared_data / "transactions" / "index.json").read_text())
    found = {entry["file"].removesuffix(".json"): entry for entry in index["transactions"]}
    assert sorted(found) == sorted(FILES)
    return found


@pytest.fixture(scope="module")
def result_of(shared_data: Path) -> Callable[[str], dict[str, Any]]:
    def load(name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((shared_data / "transactions" / f"{name}.json").read_text())
        return found

    return load


def check_legs(legs: tuple[Leg, ...], listed: list[dict[str, Any]], fee_payer: str) -> None:
    assert [
        (leg.dex, text(leg.input_mint), leg.amount_in, text(leg.output_mint), leg.amount_out) for leg in legs
    ] == [
        (leg["dex"], leg["input_mint"], leg["amount_in"], leg["output_mint"], leg["amount_out"])
        for leg in listed
    ]
    for leg, wanted in zip(legs, listed, strict=True):
        assert leg.rebate == wanted.get("host_fee_back", 0) + wanted.get("referral_fee_back", 0)
        assert text(leg.trader) == wanted.get("trader", text(leg.trader))
        if "host_fee_to_third_party" in wanted:
            assert leg.paid_to_others == wanted["host_fee_to_third_party"]


@pytest.mark.parametrize("encoding", ["jsonParsed", "json"])
@pytest.mark.parametrize("name", FILES)
def test_row_17_30_31_a_real_transaction_reads_as_its_index_says(
    result_of: Callable[[str], dict[str, Any]],
    answers: dict[str, dict[str, Any]],
    name: str,
    encoding: str,
) -> None:
    result, want = result_of(name), answers[name]
    found = read_transaction(as_json(result) if encoding == "json" else result)
    assert found.signature == want["signature"]
    assert (found.slot, found.block_time) == (want["slot"], want["block_time"])
    assert found.version == (None if want["version"] == "legacy" else want["version"])
    assert found.succeeded is want["success"]
    assert text(found.fee_payer) == want["fee_payer"]
    assert found.signatures == want["signatures"]
    assert (found.fee_lamports, found.compute_units) == (want["fee_lamports"], want["compute_units"])
    assert found.lamports_delta == want["signer_lamports_delta"]
    assert {text(mint): amount for mint, amount in found.token_deltas.items()} == want["signer_token_deltas"]
    assert found.jito_tip_lamports == want["jito_tip_lamports"]
    assert [
        {"to": text(paid.destination), "lamports": paid.lamports}
        for paid in found.payments
        if paid.service != "jito"
    ] == want["other_payments"]
    assert [
        {"to": text(paid.destination), "lamports": paid.lamports} for paid in found.planned_payments
    ] == want.get("planned_payments_not_made", [])
    assert found.net_sol_lamports == want["net_sol_lamports"]
    assert found.net_profit_lamports == want["net_profit_lamports"]
    assert list(found.dexes) == want["dexes"]
    if name != NOT_THE_SIGNERS_TRADE:
        check_legs(found.legs, want["legs"], want["fee_payer"])
    check_legs(found.attempted_legs, want.get("attempted_legs", []), want["fee_payer"])
    # The fee follows from what was asked for, which nothing above read.
    if found.compute_unit_limit is not None:
        asked = priority_fee_lamports(found.compute_unit_limit, found.compute_unit_price_micro_lamports)
        assert found.priority_fee_lamports == asked


def test_swaps_on_others_behalf_are_still_swaps(result_of: Callable[[str], dict[str, Any]]) -> None:
    found = read_transaction(result_of(NOT_THE_SIGNERS_TRADE))
    assert [leg.dex for leg in found.legs] == ["meteora_damm_v2", "whirlpool", "whirlpool"]
    assert [(leg.amount_in, leg.amount_out) for leg in found.legs] == [
        (1228454277679, 1615941369),
        (1615941369, 112888947),
        (112888947, 112874219),
    ]


def test_row_31_rent_is_told_apart_in_real_transactions(result_of: Callable[[str], dict[str, Any]]) -> None:
    def rents(name: str) -> tuple[int, int, int | None]:
        found = read_transaction(result_of(name))
        return found.rent_locked_lamports, found.rent_returned_lamports, found.trading_profit_lamports

    assert rents(NOT_THE_SIGNERS_TRADE) == (2192400, 0, -5000)
    closed = 3730560 + 4127280 + 2039280
    assert rents("other-damm_v2-claim-and-close-jito-tip") == (0, closed, None)
    assert rents("other-dlmm-remove-liquidity-close-position") == (0, 57406080, -6400)
    assert rents("swap-cpmm-temporary-wsol-account") == (0, 0, None)
    assert rents("swap-damm_v2-two-signers-wrap-unwrap") == (0, 0, None)


def test_row_31_income_that_no_trade_earned_is_not_counted_as_profit(
    result_of: Callable[[str], dict[str, Any]],
) -> None:
    keeper = read_transaction(result_of("swap-dlmm-keeper-refund"))
    assert [paid.lamports for paid in keeper.deposits] == [995880]
    assert (keeper.net_profit_lamports, keeper.trading_profit_lamports) == (990880, -5000)
    refunded = read_transaction(result_of("arb-2hop-dlmm-other-vault-owned"))
    assert (refunded.program_income_lamports, refunded.net_profit_lamports) == (5031, 0)
    vault = key("HWGoJ1HaMFUiDgfD7FVxMaYJAE2A5JjF7si6CgWSvRFQ")
    usdc = key("EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v")
    theirs = read_transaction(result_of("arb-2hop-dlmm-other-vault-owned"), [vault])
    assert theirs.token_deltas == {usdc: 1798}
    assert theirs.lamports_delta == -5031


def test_tips_to_other_services_are_tips(result_of: Callable[[str], dict[str, Any]]) -> None:
    for name, service, lamports in (
        ("arb-2hop-damm_v2-whirlpool-nonce", "astralane", 100000),
        ("arb-3hop-clmm-damm_v2-dlmm-nonce", "helius", 200000),
        ("swap-dlmm-exact-out-vault-owned-tip", "astralane", 49323),
        ("swap-cpmm-temporary-wsol-account", "", 0),
    ):
        found = read_transaction(result_of(name))
        assert (found.jito_tip_lamports, found.service_tips_lamports) == (0, lamports)
        assert found.tip_lamports == lamports
        assert {paid.service for paid in found.payments} == {service}


def test_row_17_and_30_a_failed_transaction_lost_its_fee_and_no_tip(
    result_of: Callable[[str], dict[str, Any]],
) -> None:
    for name, failure in (
        ("failed-jupiter-slippage", Failure(3, 6001, "Custom")),
        ("failed-arb-custom-1", Failure(4, 1, "Custom")),
    ):
        found = read_transaction(result_of(name))
        assert found.failure == failure
        assert (found.legs, found.payments, found.tip_lamports) == ((), (), 0)
        assert len(found.attempted_legs) == 2
        assert found.trading_profit_lamports == -found.fee_lamports
        assert found.base_fee_lamports + found.priority_fee_lamports == found.fee_lamports


A, B, OURS, THEIRS = wallet(1), wallet(2), wallet(3), wallet(4)
MINT = wallet(9)


def transfer(source: str, destination: str, lamports: int) -> tuple[str, str, dict[str, Any]]:
    return SYSTEM, "transfer", {"source": source, "destination": destination, "lamports": lamports}


def token_transfer(
    source: str, destination: str, amount: int, program: str = TOKEN
) -> tuple[str, str, dict[str, Any]]:
    return (
        program,
        "transferChecked",
        {
            "source": source,
            "destination": destination,
            "tokenAmount": {"amount": str(amount), "decimals": 6},
            "mint": MINT,
            "authority": A,
        },
    )


def both(result: dict[str, Any], wallets: tuple[bytes, ...] = ()) -> Reading:
    """Read in both encodings: the same."""
    keys = [entry["pubkey"] for entry in result["transaction"]["message"]["accountKeys"]]
    for program in (SYSTEM, TOKEN, TOKEN_2022, MINT):
        if program not in keys:
            result["transaction"]["message"]["accountKeys"].append({"pubkey": program})
            result["meta"]["preBalances"].append(1)
            result["meta"]["postBalances"].append(1)
    found = read_transaction(result, wallets)
    assert read_transaction(as_json(result), wallets) == found
    return found


def test_row_31_an_outside_deposit_and_a_withdrawal_are_not_profit() -> None:
    result = made(
        {A: (10**9, 10**9 - 5000 + 700 - 40), B: (10**9, 10**9 - 700 + 40)},
        {OURS: (MINT, A, 10, 25), THEIRS: (MINT, B, 100, 85)},
        [transfer(B, A, 700), transfer(A, B, 40), token_transfer(THEIRS, OURS, 15)],
    )
    found = both(result)
    assert (found.lamports_delta, found.net_sol_lamports) == (-4340, -4340)
    assert [paid.lamports for paid in found.deposits] == [700]
    assert [paid.lamports for paid in found.payments] == [40]
    assert found.token_deposits == {key(MINT): 15}
    assert found.net_profit_lamports is None
    assert found.trading_profit_lamports == -5000
    both_wallets = both(result, (key(A), key(B)))
    assert (both_wallets.deposits, both_wallets.payments, both_wallets.token_deposits) == ((), (), {})
    assert (both_wallets.token_deltas, both_wallets.net_sol_lamports) == ({}, -5000)


def test_row_31_wrapping_moves_nothing() -> None:
    """SOL into our own wSOL account: no payment, no profit, the account's rent stays behind."""
    created = {
        "source": A,
        "newAccount": OURS,
        "lamports": 2_039_280,
        "space": 165,
        "owner": TOKEN,
    }
    opened = {"account": OURS, "mint": SOL, "owner": A}
    result = made(
        {A: (10**10, 10**10 - 5000 - 2_039_280 - 10**9), OURS: (0, 2_039_280 + 10**9), SOL: (1, 1)},
        {OURS: (SOL, A, None, 10**9)},
        [
            (SYSTEM, "createAccount", created),
            (TOKEN, "initializeAccount3", opened),
            transfer(A, OURS, 10**9),
            (TOKEN, "syncNative", {"account": OURS}),
        ],
    )
    found = both(result)
    assert (found.rent_locked_lamports, found.rent_returned_lamports) == (2_039_280, 0)
    assert (found.payments, found.deposits, found.program_income_lamports) == ((), (), 0)
    assert found.net_sol_lamports == -5000 - 2_039_280
    assert found.net_profit_lamports is None
    assert found.trading_profit_lamports == -5000
    closing = made(
        {A: (10**9, 10**9 - 5000 + 2_039_280 + 300), OURS: (2_039_280 + 300, 0), SOL: (1, 1)},
        {OURS: (SOL, A, 300, None)},
        [(TOKEN, "closeAccount", {"account": OURS, "destination": A, "owner": A})],
    )
    back = both(closing)
    assert (back.rent_locked_lamports, back.rent_returned_lamports) == (0, 2_039_280)
    assert back.trading_profit_lamports == -5000


@pytest.mark.parametrize("withheld", [0, 3])
def test_row_31_a_token_2022_transfer_fee_is_told(withheld: int) -> None:
    result = made(
        {A: (10**9, 10**9 - 5000), B: (1, 1)},
        {OURS: (MINT, A, 100, 40), THEIRS: (MINT, B, 0, 60 - withheld)},
        [token_transfer(OURS, THEIRS, 60, TOKEN_2022)],
        token_program=TOKEN_2022,
    )
    found = both(result)
    assert found.transfer_fees == ({key(MINT): withheld} if withheld else {})
    assert found.token_withdrawals == {key(MINT): 60}


def test_row_30_a_failed_transaction_s_tip_was_rolled_back() -> None:
    tip = text(TIP_ACCOUNTS[0])
    kept = made({A: (10**9, 10**9 - 7000), tip: (5, 5)}, {}, [transfer(A, tip, 9000)], fee=7000, error="X")
    found = both(kept)
    assert (found.tip_lamports, found.net_profit_lamports) == (0, -7000)
    assert [(paid.service, paid.lamports) for paid in found.planned_payments] == [("jito", 9000)]
    assert (found.base_fee_lamports, found.priority_fee_lamports) == (5000, 2000)
    landed = made({A: (10**9, 10**9 - 16000), tip: (5, 9005)}, {}, [transfer(A, tip, 9000)], fee=7000)
    assert (both(landed).jito_tip_lamports, both(landed).net_profit_lamports) == (9000, -16000)


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        ({"InstructionError": [2, {"Custom": 6036}]}, Failure(2, 6036, "Custom")),
        ({"InstructionError": [0, "InvalidAccountData"]}, Failure(0, None, "InvalidAccountData")),
        ({"InsufficientFundsForRent": {"account_index": 1}}, Failure(None, None, "InsufficientFundsForRent")),
        ("AccountInUse", Failure(None, None, "AccountInUse")),
    ],
)
def test_errors_of_every_form_are_named(error: Any, failure: Failure) -> None:
    assert read_transaction(made({A: (10, 5)}, {}, [], error=error)).failure == failure


def test_transactions_of_version_1_are_read() -> None:
    result = made({A: (10**9, 10**9 - 5000)}, {}, [])
    result["version"] = 1
    assert read_transaction(result).version == 1


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda result: result.pop("meta"), ReadingErrorCode.MALFORMED),
        (lambda result: result.update(meta=None), ReadingErrorCode.MALFORMED),
        (lambda result: result.update(transaction=["AQ==", "base64"]), ReadingErrorCode.ENCODING),
        (lambda result: result["meta"]["preBalances"].pop(), ReadingErrorCode.MALFORMED),
        (lambda result: result["meta"].pop("err"), ReadingErrorCode.MALFORMED),
        (
            lambda result: result["transaction"]["message"]["instructions"].append({"programId": "l0"}),
            ReadingErrorCode.MALFORMED,
        ),
    ],
)
def test_what_is_no_result_is_refused_with_a_code(
    spoil: Callable[[dict[str, Any]], Any], code: ReadingErrorCode
) -> None:
    result = made({A: (10**9, 10**9 - 5000)}, {}, [])
    spoil(result)
    with pytest.raises(ReadingError) as caught:
        read_transaction(result)
    assert caught.value.code == code


def test_an_old_node_that_tells_no_depths_gives_the_same_legs(
    result_of: Callable[[str], dict[str, Any]],
) -> None:
    for name in ("arb-2hop-damm_v2-whirlpool-nonce", "swap-amm_v4-18-accounts-legacy"):
        result = result_of(name)
        legs = read_transaction(result).legs
        for group in result["meta"]["innerInstructions"]:
            for instruction in group["instructions"]:
                instruction["stackHeight"] = None
        old = read_transaction(result)
        assert [leg._replace(transfers=()) for leg in old.legs] == [
            leg._replace(transfers=()) for leg in legs
        ]
