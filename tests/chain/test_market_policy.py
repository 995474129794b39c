"""Merging sources, slots, blockhashes, ends, tips, fees and references: decisions and parsers alone."""

import struct
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solders.pubkey import Pubkey

from hft.chain import rpc_parse
from hft.chain.endpoint import Reach, open_session
from hft.chain.follow_state import Followed, FollowRule, Point
from hft.chain.jito import BundleState
from hft.chain.journal_records import Intent
from hft.chain.jupiter import JupiterClient, quote_path, read_quote
from hft.chain.mailbox import NewestBox
from hft.chain.priority_fees import FeeRule, PriorityFees, priority_fee_lamports
from hft.chain.pyth import DISCRIMINATOR, HermesClient, PythPrice, read_account, read_latest
from hft.chain.rpc_parse import LatestBlockhash, PriorityFee, ShapeError, SignatureStatus
from hft.chain.submit import SendRule, deadlines, error_of
from hft.chain.subscribe_merge import Merger, Verdict, Version
from hft.chain.tips import TIP_ACCOUNTS, TipAccounts, TipFloor, read_tip_floor, tip_policy
from hft.chain.trackers import BlockhashTracker, HashVerdict, SlotTracker
from hft.strategy.tip import price_tip
from hft.venues import Account
from hft.wire.enums import EndState, ExecutionReason
from tests.chain.rpc_support import FAST, run, served
from tests.chain.simnet_support import soon

INTENT = Intent(bytes(16), bytes(64), 1_150, 1_000, b"signed")
RULE = FollowRule("confirmed", 100)
DEAD = Point(2_000, 1_151)


def version(
    slot: int, lamports: int, source: str = "a", write: int = 0, *, snapshot: bool = False
) -> Version:
    return Version(bytes(32), slot, write, Account(bytes(32), b"", lamports), source, 0, snapshot)


@pytest.mark.parametrize(
    ("told", "verdicts"),
    [
        ([version(5, 1), version(4, 2), version(6, 3)], "new old new"),
        (
            [version(5, 1), version(5, 1, "b"), version(5, 2), version(5, 2, "b")],
            "new duplicate new duplicate",
        ),
        ([version(5, 1), version(5, 2), version(5, 1, "b")], "new new duplicate"),
        ([version(5, 1), version(5, 2), version(5, 1)], "new new new"),
        ([version(5, 1, write=3), version(5, 2, write=2), version(5, 2, write=4)], "new old new"),
        ([version(5, 1, write=3), version(5, 9, "b", write=3)], "new duplicate"),
        ([version(5, 1), version(5, 2, snapshot=True), version(6, 2, snapshot=True)], "new old new"),
    ],
)
def test_row_06_versions_are_ordered_by_slot_and_write_version(told: list[Version], verdicts: str) -> None:
    merger = Merger()
    assert [merger.offer(one).value for one in told] == verdicts.split()


def test_row_06_a_slot_that_never_was_counts_for_nothing() -> None:
    merger = Merger()
    for slot in (5, 6, 7):
        merger.offer(version(slot, slot))
    assert merger.revert(frozenset((6, 7))) == [bytes(32)]
    assert merger.offer(version(7, 9, "b")) is Verdict.DEAD
    assert merger.offer(version(5, 5, snapshot=True)) is Verdict.NEW
    assert merger.slot_of(bytes(32)) == 5
    assert merger.revert(frozenset((100,))) == []


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(1, 50), st.sampled_from("ab")), max_size=60))
@settings(max_examples=60, deadline=None)
def test_the_newest_version_wins_in_any_order(told: list[tuple[int, int, str]]) -> None:
    """With write versions from all sources the end state does not depend on the order of arrival."""
    merger, kept = Merger(), None
    for slot, write, source in told:
        one = version(slot, slot * 100 + write, source, write)
        if merger.offer(one) is Verdict.NEW:
            assert kept is None or (slot, write) > kept
            kept = (slot, write)
    assert kept == max(((slot, write) for slot, write, _ in told), default=None)


def test_slots_tell_what_a_fork_took_back() -> None:
    slots = SlotTracker()
    assert slots.advance(10, 9, 0).dead == frozenset()
    assert slots.advance(11, 10, 0) == (True, frozenset())
    assert not slots.advance(11, 10, 0).is_new
    assert slots.advance(14, 11, 3).dead == frozenset()
    assert slots.advance(15, 10, 3).dead == frozenset((11, 12, 13, 14))
    assert slots.advance(20, 19, 3).dead == frozenset()
    slots.told(25)
    assert slots.advance(26, 24, 3).dead == frozenset((25,))
    assert (slots.newest, slots.root, slots.forks) == (26, 3, 2)
    assert not slots.advance(30, 30, 3).is_new


def test_row_20_a_lagging_blockhash_is_stale_by_slot_or_by_height() -> None:
    tracker = BlockhashTracker(lag_limit=4)

    def told(slot: int, height: int) -> LatestBlockhash:
        return LatestBlockhash(slot, bytes(32), height)

    assert tracker.usable(1) is None
    assert tracker.offer(told(100, 1_000)) is HashVerdict.NEWER
    assert tracker.offer(told(99, 999)) is HashVerdict.SAME
    assert tracker.offer(told(100, 995)) is HashVerdict.STALE
    tracker.on_slot(120)
    assert tracker.offer(told(110, 1_010)) is HashVerdict.STALE
    tracker.on_height(980)
    assert tracker.blocks_left() == 20
    assert tracker.usable(21) is None
    assert tracker.usable(20) == told(100, 1_000)
    tracker.on_height(1_001)
    assert tracker.offer(told(121, 1_000)) is HashVerdict.STALE
    assert tracker.blocks_left() == 0
    assert tracker.stale == 3


def followed_after(*evidence: Any, bundle: BundleState | None = None, now_ns: int = 0) -> Any:
    one = Followed(INTENT, 0)
    if bundle is not None:
        one.on_bundle(bundle, None)
    for status, asked_slot, searched, point in evidence:
        one.on_status(status, now_ns, asked_slot=asked_slot, searched=searched, point=point)
    return one.end(RULE, now_ns)


NULL = (None, 2_000, True, DEAD)
LANDED = SignatureStatus(1_900, None, "confirmed")


@pytest.mark.parametrize(
    "evidence",
    [
        [],
        [NULL],
        [(None, 2_000, True, Point(2_000, 1_150))] * 3,
        [(None, 1_999, True, DEAD)] * 3,
        [(None, 2_000, False, DEAD)] * 3,
        [(None, 2_000, True, None)] * 3,
        [(SignatureStatus(5, None, "processed"), 2_000, True, DEAD)] * 3,
        [NULL, (SignatureStatus(5, None, "processed"), 2_000, True, DEAD), NULL],
    ],
)
def test_row_16_too_little_evidence_is_no_end(evidence: list[Any]) -> None:
    assert followed_after(*evidence) is None


def test_row_13_a_bundles_status_is_never_an_end() -> None:
    for state in BundleState:
        assert followed_after(bundle=state) is None
    assert followed_after(NULL, NULL, bundle=BundleState.INVALID).reason is ExecutionReason.BUNDLE_INVALID
    assert followed_after(NULL, NULL, bundle=BundleState.FAILED).reason is ExecutionReason.BUNDLE_FAILED
    end = followed_after(NULL, NULL, (LANDED, 2_001, True, DEAD), bundle=BundleState.INVALID)
    assert end.state is EndState.LANDED_OK


def test_a_bundle_that_only_a_failing_engine_had_is_expired_some_blocks_later() -> None:
    failed_at, later = Point(1_900, 900), Point(1_909, 909)
    for engine_only, point, state in ((True, later, "expired"), (False, later, ""), (True, failed_at, "")):
        one = Followed(INTENT, 0, engine_only=engine_only)
        one.on_bundle(BundleState.FAILED, failed_at)
        for _ in range(3):
            one.on_status(None, 0, asked_slot=1_910, searched=False, point=point)
        end = one.end(RULE, 0)
        assert (end.state.name.lower() if end is not None else "") == state
        if end is not None:
            assert end.reason is ExecutionReason.BUNDLE_FAILED
    # It landed after all, or the engine thought better of it.
    one = Followed(INTENT, 0, engine_only=True)
    one.on_bundle(BundleState.FAILED, failed_at)
    one.on_bundle(BundleState.PENDING, failed_at)
    for _ in range(3):
        one.on_status(None, 0, asked_slot=1_910, searched=False, point=later)
    assert one.end(RULE, 0) is None


def test_silence_ends_as_unknown_only_after_its_limit() -> None:
    one = Followed(INTENT, 0)
    assert one.end(RULE, 100) is None
    end = one.end(RULE, 101)
    assert end is not None
    assert end.state is EndState.UNKNOWN


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (None, (None, None, "")),
        ("BlockhashNotFound", (None, None, "BlockhashNotFound")),
        ({"InstructionError": [2, {"Custom": 6036}]}, (2, 6036, "Custom")),
        ({"InstructionError": [0, "InvalidAccountData"]}, (0, None, "InvalidAccountData")),
        ({"InstructionError": [0, {"BorshIoError": "x"}]}, (0, None, "BorshIoError")),
        ({"InsufficientFundsForRent": {"account_index": 1}}, (None, None, "InsufficientFundsForRent")),
        ({"InstructionError": ["x", []]}, (None, None, "")),
        ([1], (None, None, "[1]")),
    ],
)
def test_a_transactions_error_is_taken_apart(error: Any, told: Any) -> None:
    assert error_of(error) == told


def test_row_12_deadlines_lie_within_the_plans_life() -> None:
    rule = SendRule(limit_ns=400, jito_share_ppm=250_000)
    assert deadlines(rule, 1_000, 10_000) == (1_100, 1_400)
    assert deadlines(rule, 1_000, 1_200) == (1_050, 1_200)
    assert deadlines(rule, 1_000, 1_000) is None


def floor_of(**values: Any) -> list[dict[str, Any]]:
    return [{"time": "x"} | {f"landed_tips_{name}": value for name, value in values.items()}]


def test_row_19_the_tip_floor_is_sol_and_becomes_lamports() -> None:
    told = [
        {"landed_tips_25th_percentile": Decimal("0.0000010001"), "landed_tips_50th_percentile": 1e-05}
        | {"ema_landed_tips_50th_percentile": 0}
    ]
    floor = read_tip_floor(told)
    assert floor == TipFloor({25: 1_001, 50: 10_000}, 0)
    assert tip_policy(500_000, 2_000, 1_000_000, 50, floor).floor_lamports == 10_000
    assert tip_policy(500_000, 2_000, 1_000_000, 75, floor).floor_lamports == 2_000


@pytest.mark.parametrize(
    "told",
    [
        None,
        [],
        "x",
        [{}],
        floor_of(**{"50th_percentile": 10_000}),
        floor_of(**{"50th_percentile": "0.1"}),
        floor_of(**{"50th_percentile": True}),
        floor_of(**{"50th_percentile": -1}),
        floor_of(**{"50th_percentile": Decimal("1e999999999")}),
        floor_of(**{"50th_percentile": float("nan")}),
    ],
)
def test_row_19_a_floor_in_lamports_or_absent_or_odd_is_none(told: Any) -> None:
    assert read_tip_floor(told) is None
    assert tip_policy(500_000, 2_000, 1_000_000, 50, None).floor_lamports == 2_000


def test_row_19_the_cap_holds_against_a_spike_and_no_trade_pays_more_than_it_earns() -> None:
    spike = read_tip_floor(floor_of(**{"50th_percentile": 2.5}))
    assert spike is not None
    assert spike.landed[50] == 2_500_000_000
    policy = tip_policy(500_000, 1_000, 300_000, 50, spike)
    assert price_tip(1_000_000, 10_000, policy) == 300_000
    assert price_tip(310_000, 10_000, policy) is None
    assert price_tip(310_001, 10_000, policy) == 300_000


def test_row_19_the_floor_over_the_network_and_tip_accounts_in_turns() -> None:
    async def work() -> None:
        from hft.chain.jito import JitoClient
        from tests.chain.rpc_support import result

        async def answer(asked: dict[str, Any], request: Any) -> Any:
            from aiohttp import web

            if request.method == "GET":
                return web.json_response(floor_of(**{"50th_percentile": 0.00002}))
            return result(asked, [str(Pubkey(key)) for key in reversed(TIP_ACCOUNTS)])

        async with served(answer) as server, open_session(Reach.LOOPBACK) as http:
            jito = JitoClient(http, [server.endpoint(headers=(("x-jito-auth", "uuid"),))], FAST)
            floor = read_tip_floor(await jito.tip_floor(deadline_ns=soon()))
            assert floor == TipFloor({50: 20_000}, 0)
            assert server.paths[-1] == "/api/v1/bundles/tip_floor"
            accounts = TipAccounts()
            assert accounts.replace(await jito.tip_accounts(deadline_ns=soon()))
            assert [accounts.account(n) for n in range(9)] == [*reversed(TIP_ACCOUNTS), TIP_ACCOUNTS[-1]]
            assert {headers["x-jito-auth"] for headers in server.headers} == {"uuid"}
            for odd in ([], [bytes(31)], [bytes(32)] * 2):
                assert not accounts.replace(odd)
            assert len(accounts.accounts) == len(TIP_ACCOUNTS)

    run(work())


def test_priority_fees_are_a_percentile_of_the_newest_blocks() -> None:
    fees = PriorityFees(FeeRule(75, 10, 5_000))
    assert fees.price() == 10
    fees.take([PriorityFee(slot, slot) for slot in range(1, 101)])
    assert fees.price() == 75
    fees.take([PriorityFee(slot, 1_000_000) for slot in range(101, 300)])
    assert len(fees) == 150
    assert fees.price() == 5_000
    assert priority_fee_lamports(1, 1) == 1
    assert priority_fee_lamports(2_000_000, 200_000) == 400_000
    with pytest.raises(ValueError, match="percentile"):
        PriorityFees(FeeRule(101))


A, B = bytes([1]) * 32, bytes([2]) * 32


def quote(**changes: Any) -> dict[str, Any]:
    swap = {"ammKey": str(Pubkey(B)), "label": "Whirlpool", "inputMint": str(Pubkey(A))}
    swap |= {"outputMint": str(Pubkey(B)), "inAmount": "1000", "outAmount": "2000"}
    return {
        "inputMint": str(Pubkey(A)),
        "outputMint": str(Pubkey(B)),
        "inAmount": "1000",
        "outAmount": "2000",
        "otherAmountThreshold": "1990",
        "priceImpactPct": "0.0012",
        "contextSlot": 77,
        "routePlan": [{"swapInfo": swap, "percent": 100}],
    } | changes


def test_a_jupiter_quote_is_read_and_comes_over_the_network() -> None:
    told = read_quote(quote(), A, B, 1_000, exact_out=False)
    assert (told.amount_out, told.threshold, told.price_impact_ppm, told.slot) == (2_000, 1_990, 1_200, 77)
    assert (told.steps[0].pool, told.steps[0].share_ppm) == (B, 1_000_000)
    with pytest.raises(ValueError, match="two ways"):
        quote_path(A, A, 1, slippage_bps=1)

    async def work() -> None:
        from aiohttp import web

        async def answer(asked: dict[str, Any], request: Any) -> Any:
            return web.json_response(quote())

        async with served(answer) as server, open_session(Reach.LOOPBACK) as http:
            client = JupiterClient(http, [server.endpoint()], FAST)
            assert await client.quote(A, B, 1_000, slippage_bps=50, deadline_ns=soon()) == told
            assert f"inputMint={Pubkey(A)}" in server.paths[0]

    run(work())


@pytest.mark.parametrize(
    "odd",
    [
        {"inAmount": "999"},
        {"outAmount": "-1"},
        {"outAmount": "1e9"},
        {"outAmount": str(2**64)},
        {"otherAmountThreshold": "2001"},
        {"routePlan": []},
        {"routePlan": [{"swapInfo": None}]},
        {"routePlan": quote()["routePlan"] * 33},
        {"priceImpactPct": "NaN"},
        {"outputMint": str(Pubkey(A))},
        {"errorCode": "CIRCULAR_ARBITRAGE_IS_DISABLED"},
    ],
)
def test_an_odd_jupiter_quote_is_refused(odd: dict[str, Any]) -> None:
    with pytest.raises(ShapeError):
        read_quote(quote(**odd), A, B, 1_000, exact_out=False)


def price_account(level: bytes = b"\x01", **changes: int) -> bytes:
    values = {"price": 15_012_345_678, "conf": 7_000_000, "expo": -8, "time": 1_700_000_000} | changes
    told = struct.pack("<qQiqqqQQ", *values.values(), 1_699_999_999, 0, 0, 5)
    return DISCRIMINATOR + A + level + B + told


def test_pyths_account_and_hermes_give_the_same_price() -> None:
    price = read_account(price_account())
    assert price == PythPrice(B, 15_012_345_678, 7_000_000, -8, 1_700_000_000)
    assert price.scaled(-2) == 15_012
    assert price.scaled(-9) == 150_123_456_780
    assert price.usable(1_700_000_060, age_s=60, conf_ppm=1_000)
    assert not price.usable(1_700_000_061, age_s=60, conf_ppm=1_000)
    assert not price.usable(1_700_000_000, age_s=60, conf_ppm=400)
    entry = {"price": "15012345678", "conf": "7000000", "expo": -8, "publish_time": 1_700_000_000}
    told = {"parsed": [{"id": B.hex(), "price": entry}]}
    assert read_latest(told) == [price]

    async def work() -> None:
        from aiohttp import web

        async def answer(asked: dict[str, Any], request: Any) -> Any:
            return web.json_response(told)

        async with served(answer) as server, open_session(Reach.LOOPBACK) as http:
            client = HermesClient(http, [server.endpoint()], FAST)
            assert await client.latest([B], deadline_ns=soon()) == [price]

    run(work())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        price_account()[:60],
        bytes(200),
        price_account(b"\x00\x05"),
        price_account(b"\x02"),
        price_account(expo=40),
    ],
)
def test_an_account_that_is_no_price_is_refused(data: bytes) -> None:
    with pytest.raises(ShapeError):
        read_account(data)


def test_a_box_of_newest_values_is_late_but_never_stale() -> None:
    box: NewestBox[str] = NewestBox(2)
    box.put("a", "a1")
    assert [box.append(word) for word in ("x", "y", "z")] == [True, True, False]
    box.put("b", "b1")
    box.put("a", "a2")
    got: list[str] = []
    assert box.poll(got.append) == 4
    assert got == ["a2", "x", "y", "b1"]
    assert (box.dropped, box.replaced, len(box)) == (1, 1, 0)
    assert box.append("again")


@pytest.mark.parametrize(
    ("read", "odd"),
    [
        (rpc_parse.latest_blockhash, {"context": {"slot": 1}, "value": {"blockhash": "x"}}),
        (rpc_parse.latest_blockhash, {"context": {"slot": -1}, "value": {}}),
        (rpc_parse.latest_blockhash, None),
        (lambda told: rpc_parse.signature_statuses(told, 2), {"context": {"slot": 1}, "value": [None]}),
        (
            lambda told: rpc_parse.accounts(told, 1),
            {"context": {"slot": 1}, "value": [{"data": ["!", "base64"]}]},
        ),
        (
            lambda told: rpc_parse.accounts(told, 1),
            {"context": {"slot": 1}, "value": [{"data": ["", "base58"]}]},
        ),
        (rpc_parse.priority_fees, [{"slot": True, "prioritizationFee": 1}]),
    ],
)
def test_results_of_another_shape_are_refused(read: Any, odd: Any) -> None:
    with pytest.raises(ShapeError):
        read(odd)
