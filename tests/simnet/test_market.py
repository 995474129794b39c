"""Markets from account files and from the shipped snapshot, and the error each kind of bad file gives."""

import base64
import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from simnet_helpers import key, set_files
from solders.pubkey import Pubkey

from hft.runtime.exit_codes import ExitCode
from hft.simnet.market import MarketError, MarketErrorCode, load_market, market_of_snapshot, shipped_profile
from hft.venues import ABSENT, WRAPPED_SOL, ChainClock, Venue, decode, quote, store

ROOT = Path(__file__).resolve().parents[2]
ISSUE_SETS = (
    "whirlpool/lst-2023-03",
    "raydium_v4/sol-lst-rehomed",
    "whirlpool/sol-usdc-2026-07",
    "raydium_v4/sol-usdc-2026-07",
)
SHIPPED = ("SOL/USDC", "SOL/jitoSOL", "SOL/mSOL")


def small_document(**changes: Any) -> dict[str, Any]:
    """An account file of one account, with one of its fields changed."""
    account = {
        "pubkey": str(Pubkey(b"\1" * 32)),
        "owner": str(Pubkey(b"\2" * 32)),
        "lamports": 5,
        "executable": False,
        "data_base64": base64.b64encode(b"abc").decode(),
    }
    account.update({name: value for name, value in changes.items() if name in account})
    return {
        "meta": changes.get("meta", {"slot": 1, "unix_timestamp": 2}),
        "accounts": changes.get("accounts", [account]),
    }


def refused(path: Path) -> MarketError:
    """The error that loading ``path`` gives; it names the file."""
    with pytest.raises(MarketError) as caught:
        load_market([path])
    assert str(path) in str(caught.value)
    assert caught.value.code is ExitCode.MARKET
    return caught.value


def test_the_shipped_snapshot_trades_usdc_on_six_venues_and_staked_sol_on_four() -> None:
    market = load_market()
    assert market.slot == 431140000
    assert market.unix_timestamp == 1783355350
    pairs: dict[frozenset[bytes], set[Venue]] = {}
    for pool in market.pools.values():
        assert WRAPPED_SOL in (pool.mint_a, pool.mint_b)
        pairs.setdefault(frozenset((pool.mint_a, pool.mint_b)), set()).add(pool.venue)
    assert len(pairs) == len(SHIPPED)
    usdc = key("EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v")
    staked = {Venue.WHIRLPOOL, Venue.RAYDIUM_V4, Venue.RAYDIUM_CPMM, Venue.RAYDIUM_CLMM}
    for pair, venues in pairs.items():
        assert venues == (set(Venue) - {Venue.UNKNOWN} if usdc in pair else staked)
    assert not market.notes


def test_the_shipped_snapshot_quotes_as_the_recorded_accounts_do(shared_data: Path) -> None:
    shipped = load_market()
    for name in ISSUE_SETS:
        recorded = load_market(set_files(shared_data, name))
        for pool in shipped.pools.keys() & recorded.pools.keys():
            ours, theirs = shipped.pools[pool], recorded.pools[pool]
            clock = ChainClock(shipped.slot, shipped.unix_timestamp)
            for mint in (ours.mint_a, ours.mint_b):
                for amount in (10_000, 10**6, 10**9, 10**11):
                    a, b = quote(ours, mint, amount, clock), quote(theirs, mint, amount, clock)
                    assert (a.amount_out, a.fee, a.crossings) == (b.amount_out, b.fee, b.crossings)
                    stored = store(a.pool_after, shipped.accounts)
                    assert set(stored) == set(store(b.pool_after, recorded.accounts))


def test_the_shipped_snapshot_is_what_the_tool_makes_of_the_account_files(shared_data: Path) -> None:
    command = [sys.executable, str(ROOT / "scripts" / "snapshot"), str(shared_data), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_files_of_the_issue_load_together(shared_data: Path) -> None:
    market = load_market(set_files(shared_data, *ISSUE_SETS))
    assert market.unix_timestamp == 1783355350
    assert len(market.pools) == 9
    left_out = [note for note in market.notes if "left out" in note]
    assert len(left_out) == 2, "SOL/USDC of 2023 is no market beside that of 2026"
    for pool in market.pools:
        decode(pool, market.accounts)


def test_later_files_win_over_earlier_ones(shared_data: Path) -> None:
    name = "raydium_v4/sol-lst-rehomed"
    plain = load_market(set_files(shared_data, name))
    moved = load_market(set_files(shared_data, name, "two_hop/dislocated-0"))
    pool = key("J5AGU6Gu9DPvxGda9qnVNc73vPi5JiSZVL6JytB9fJxA")
    assert moved.pools[pool].spot_price(WRAPPED_SOL) < 0.9 * plain.pools[pool].spot_price(WRAPPED_SOL)


def test_accounts_get_the_lamports_a_chain_demands(shared_data: Path) -> None:
    market = load_market(set_files(shared_data, "raydium_v4/sol-lst-rehomed"))
    for pubkey, account in market.accounts.items():
        assert account is ABSENT or account.lamports >= (len(account.data) + 128) * 6960, Pubkey(pubkey)
    vault = market.accounts[key("B6A22WYqXMZYp5imf2VhApZG5UB4d4L2kzEb7TPG9s5K")]
    assert vault.lamports == 20000354631774 + 2039280


def test_plain_json_loads_like_gzip(shared_data: Path, tmp_path: Path) -> None:
    packed = set_files(shared_data, "raydium_v4/sol-usdc-2026-07")[0]
    plain = tmp_path / "plain.json"
    plain.write_bytes(gzip.decompress(packed.read_bytes()))
    assert load_market([plain]).accounts == load_market([packed]).accounts


def test_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path / "absent.json.gz").reason is MarketErrorCode.UNREADABLE
    assert refused(tmp_path).reason is MarketErrorCode.UNREADABLE


def test_a_truncated_file_is_refused(shared_data: Path, tmp_path: Path) -> None:
    packed = set_files(shared_data, "raydium_v4/sol-usdc-2026-07")[0].read_bytes()
    for keep in (3, 20, len(packed) // 2, len(packed) - 1):
        path = tmp_path / f"cut-{keep}.json.gz"
        path.write_bytes(packed[:keep])
        assert refused(path).reason is MarketErrorCode.TRUNCATED
    plain = tmp_path / "cut.json"
    text = gzip.decompress(packed)
    plain.write_bytes(text[: text.index(b"lamports")])
    assert refused(plain).reason in (MarketErrorCode.TRUNCATED, MarketErrorCode.NOT_JSON)
    plain.write_bytes(b"")
    assert refused(plain).reason is MarketErrorCode.TRUNCATED


@pytest.mark.parametrize(
    "content", [b"\x00\xff\x80 garbage", b"{not json}", b"[" * 100_000, b'{"a":1}\n{"b":2}']
)
def test_garbage_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "garbage.json"
    path.write_bytes(content)
    assert refused(path).reason in (MarketErrorCode.NOT_JSON, MarketErrorCode.TRUNCATED)


def test_a_damaged_gzip_is_refused(shared_data: Path, tmp_path: Path) -> None:
    packed = bytearray(set_files(shared_data, "raydium_v4/sol-usdc-2026-07")[0].read_bytes())
    packed[len(packed) // 2] ^= 0xFF
    path = tmp_path / "damaged.json.gz"
    path.write_bytes(packed)
    assert refused(path).reason in (MarketErrorCode.TRUNCATED, MarketErrorCode.NOT_JSON)
    path.write_bytes(b"{}")
    assert refused(path).reason is MarketErrorCode.NOT_JSON


@pytest.mark.parametrize(
    ("document", "reason", "word"),
    [
        ([], MarketErrorCode.WRONG_FORM, "accounts"),
        ({"accounts": 5}, MarketErrorCode.WRONG_FORM, "accounts"),
        ({"accounts": [], "meta": 3}, MarketErrorCode.WRONG_FORM, "meta"),
        (small_document(meta={"slot": "x"}), MarketErrorCode.WRONG_FORM, "meta.slot"),
        (small_document(meta={"unix_timestamp": -1}), MarketErrorCode.WRONG_FORM, "meta.unix_timestamp"),
        (small_document(accounts=[7]), MarketErrorCode.BAD_ACCOUNT, "account 0"),
        (small_document(pubkey="short"), MarketErrorCode.BAD_ACCOUNT, "pubkey"),
        (small_document(owner=None), MarketErrorCode.BAD_ACCOUNT, "owner"),
        (small_document(lamports=-1), MarketErrorCode.BAD_ACCOUNT, "lamports"),
        (small_document(lamports=2**64), MarketErrorCode.BAD_ACCOUNT, "lamports"),
        (small_document(lamports=1.5), MarketErrorCode.BAD_ACCOUNT, "lamports"),
        (small_document(data_base64="???"), MarketErrorCode.BAD_ACCOUNT, "data_base64"),
        (small_document(data_base64=7), MarketErrorCode.BAD_ACCOUNT, "data_base64"),
        (small_document(), MarketErrorCode.NO_POOL, "no pool"),
    ],
)
def test_a_wrong_form_is_refused(
    tmp_path: Path, document: object, reason: MarketErrorCode, word: str
) -> None:
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps(document))
    error = refused(path)
    assert error.reason is reason
    assert word in str(error)


def test_sets_without_a_clock_are_refused(shared_data: Path, tmp_path: Path) -> None:
    packed = set_files(shared_data, "raydium_v4/sol-usdc-2026-07")[0].read_bytes()
    document = json.loads(gzip.decompress(packed))
    document["meta"] = {"slot": None, "unix_timestamp": None}
    path = tmp_path / "timeless.json"
    path.write_text(json.dumps(document))
    assert refused(path).reason is MarketErrorCode.NO_CLOCK


def test_row_08_a_pool_that_does_not_decode_is_left_alone_and_the_others_go_on(
    shared_data: Path, tmp_path: Path
) -> None:
    packed = set_files(shared_data, "raydium_v4/sol-lst-rehomed")[0].read_bytes()
    document = json.loads(gzip.decompress(packed))
    broken = "3sYWNY2U85qv7irVaLJLWjbtj54HQsKU45fe6jaLQ47x"
    for account in document["accounts"]:
        if account["pubkey"] == broken:
            data = bytearray(base64.b64decode(account["data_base64"]))
            data[0] = 1
            account["data_base64"] = base64.b64encode(data).decode()
    path = tmp_path / "broken.json"
    path.write_text(json.dumps(document))
    market = load_market([path])
    assert set(market.pools) == {key("J5AGU6Gu9DPvxGda9qnVNc73vPi5JiSZVL6JytB9fJxA")}
    assert any(broken in note and "status" in note for note in market.notes)
    assert key(broken) in market.accounts


@pytest.mark.parametrize(
    "document", [{}, {"pools": []}, {"pools": [{}]}, {"pools": [{"figures": {"venue": "x"}}]}]
)
def test_figures_that_are_no_snapshot_are_refused(document: dict[str, object]) -> None:
    with pytest.raises(MarketError) as caught:
        market_of_snapshot(document)
    assert caught.value.reason is MarketErrorCode.WRONG_FORM


def test_the_snapshot_ships_the_figures_of_the_tape() -> None:
    flow = shipped_profile()
    assert "4691 swaps" in str(flow["source"])
