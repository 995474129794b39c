"""``hft quote``: what it prints is what the executed swaps paid; what is wrong is one clear line."""

import base64
import gzip
import json
from pathlib import Path

import pytest
from solders.pubkey import Pubkey

from hft.cli.main import run
from hft.runtime.exit_codes import ExitCode
from hft.simnet.market import load_market
from hft.venues import ChainClock, quote

Capture = pytest.CaptureFixture[str]
WHIRLPOOL = "Czfq3xZZDmsdGdUyrNLtRhGc47cXcZtLG4crryfu44zE"
SOL = "So11111111111111111111111111111111111111112"


def printed(pubkey: str, owner: str, lamports: int, data: bytes) -> str:
    """As ``solana account KEY --output json`` prints it."""
    account = {
        "lamports": lamports,
        "data": [base64.b64encode(data).decode(), "base64"],
        "owner": owner,
        "executable": False,
        "rentEpoch": 2**64 - 1,
        "space": len(data),
    }
    return json.dumps({"pubkey": pubkey, "account": account}, indent=2) + "\n"


@pytest.fixture(scope="module")
def printed_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The shipped market's accounts, printed one after another into a file, and as a list into another."""
    folder = tmp_path_factory.mktemp("printed")
    parts = [
        printed(str(Pubkey(key)), str(Pubkey(account.owner)), account.lamports, account.data)
        for key, account in load_market().accounts.items()
        if account.data
    ]
    (folder / "several.json").write_text("\n".join(parts))
    (folder / "list.json").write_text("[" + ",".join(parts) + "]")
    return folder / "several.json", folder / "list.json"


def test_the_figures_are_those_of_the_library(capsys: Capture) -> None:
    market = load_market()
    clock = ChainClock(market.slot, market.unix_timestamp)
    for pool in market.pools.values():
        key = str(Pubkey(pool.key))
        assert run(["quote", "--pool", key, "--in", SOL, "--amount", "1_000_000_007", "--json"]) == 0
        shown = json.loads(capsys.readouterr().out)
        made = quote(pool, bytes(Pubkey.from_string(SOL)), 1_000_000_007, clock)
        assert (shown["amount_in"], shown["amount_out"]) == (1_000_000_007, made.amount_out)
        assert (shown["fee"], shown["crossings"]) == (made.fee, made.crossings)
        assert (shown["pool"], shown["venue"]) == (key, pool.venue.name.lower())


@pytest.mark.parametrize(
    "name",
    ["whirlpool", "raydium_v4", "raydium_cpmm", "raydium_clmm", "meteora_dlmm", "meteora_damm_v2"],
)
def test_real_accounts_quote_what_the_program_paid(name: str, shared_data: Path, capsys: Capture) -> None:
    chosen = "sol-usdc-2026-07"
    with gzip.open(shared_data / "vectors" / f"{name}.jsonl.gz", "rt") as lines:
        rows = [row for row in map(json.loads, lines) if row["set"] == chosen and "amount_out" in row]
    assert rows
    file = shared_data / "accounts" / name / f"{chosen}.json.gz"
    for row in rows[::25]:
        arguments = ["quote", "--accounts", str(file), "--pool", row["pool"], "--in", row["input_mint"]]
        arguments += ["--amount", str(row["amount_in"]), "--json"]
        arguments += ["--time", str(row["unix_timestamp"]), "--slot", str(row["slot"])]
        assert run(arguments) == 0
        assert json.loads(capsys.readouterr().out)["amount_out"] == row["amount_out"]


def test_printed_accounts_are_read_and_the_clock_says_where_it_is_from(
    printed_files: tuple[Path, Path], capsys: Capture
) -> None:
    outs = []
    for file in (None, *printed_files):
        arguments = ["quote", "--pool", WHIRLPOOL, "--in", "sol", "--amount", "2.5SOL", "--json"]
        arguments += ["--accounts", str(file)] if file else []
        assert run(arguments) == 0
        outs.append(json.loads(capsys.readouterr().out))
    assert len({out["amount_out"] for out in outs}) == 1
    assert outs[0]["amount_in"] == 2_500_000_000
    assert outs[0]["clock_source"] == "newest file"
    assert outs[1]["clock_source"] == outs[2]["clock_source"] == "now: no file says when, slot estimated"
    for written, units in (("1,250SOL", 1_250 * 10**9), ("1,000,000", 10**6), ("1_250.5SOL", 12_505 * 10**8)):
        assert run(["quote", "--pool", WHIRLPOOL, "--in", "sol", "--amount", written, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["amount_in"] == units


@pytest.mark.parametrize("amount", ["1,5SOL", "1,50", "1,0000", ",5SOL", "1.5", "SOL", "-1"])
def test_an_amount_that_can_be_read_in_two_ways_is_refused(
    amount: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["quote", "--pool", WHIRLPOOL, "--in", "sol", "--amount", amount]) == ExitCode.CONFIG
    assert f"--amount {amount} must be base units" in capsys.readouterr().err


def test_the_clock_account_among_the_printed_ones_is_the_clock(
    printed_files: tuple[Path, Path], tmp_path: Path, capsys: Capture
) -> None:
    data = (77).to_bytes(8, "little") + bytes(24) + (1_900_000_000).to_bytes(8, "little")
    clock = tmp_path / "clock.json"
    sysvar = "SysvarC1ock11111111111111111111111111111111"
    clock.write_text(printed(sysvar, "Sysvar1111111111111111111111111111111111111", 1_169_280, data))
    arguments = ["quote", "--accounts", str(printed_files[0]), str(clock), "--pool", WHIRLPOOL]
    assert run([*arguments, "--in", "USDC", "--amount", "1USDC", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["slot"], shown["unix_timestamp"]) == (77, 1_900_000_000)
    assert shown["amount_in"] == 1_000_000


def test_a_person_sees_tokens_and_base_units(capsys: Capture) -> None:
    assert run(["quote", "--pool", WHIRLPOOL[:6], "--in", "SOL", "--amount", "1500000000"]) == 0
    out = capsys.readouterr().out
    assert "1.500000000" in out
    assert "1,500,000,000" in out
    assert "USDC for 1 SOL" in out
    assert WHIRLPOOL in out


def test_exact_out_asks_for_what_is_to_be_received(capsys: Capture) -> None:
    arguments = ["quote", "--pool", WHIRLPOOL, "--in", "SOL", "--json"]
    assert run([*arguments, "--amount", "80USDC", "--exact-out"]) == 0
    bought = json.loads(capsys.readouterr().out)
    assert bought["amount_out"] >= 80_000_000
    assert run([*arguments, "--amount", str(bought["amount_in"])]) == 0
    assert json.loads(capsys.readouterr().out)["amount_out"] >= 80_000_000


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--pool", "nowhere", "--in", "SOL", "--amount", "1"], ExitCode.CONFIG, "none of the 14 pools"),
        (["--pool", "", "--in", "SOL", "--amount", "1"], ExitCode.CONFIG, "give more of the key"),
        (["--pool", WHIRLPOOL, "--in", "USDT", "--amount", "1"], ExitCode.CONFIG, "must be SOL or USDC"),
        (["--pool", WHIRLPOOL, "--in", "SOL", "--amount", "1.5"], ExitCode.CONFIG, "1,000,000,000 are 1 SOL"),
        (["--pool", WHIRLPOOL, "--in", "SOL", "--amount", "-5"], ExitCode.CONFIG, "--amount -5"),
        (["--pool", WHIRLPOOL, "--in", "SOL", "--amount", "1USDC"], ExitCode.CONFIG, "as 1.5SOL"),
        (["--pool", WHIRLPOOL, "--in", "SOL", "--amount", "0"], ExitCode.FAILURE, "bad_amount"),
        (["--pool", WHIRLPOOL, "--in", "SOL", "--amount", str(2**64)], ExitCode.FAILURE, "bad_amount"),
        (["--in", "SOL", "--amount", "1"], ExitCode.CONFIG, "--pool"),
        (
            ["--accounts", "no.json", "--pool", WHIRLPOOL, "--in", "SOL", "--amount", "1"],
            ExitCode.MARKET,
            "no.json",
        ),
    ],
)
def test_what_is_wrong_is_one_clear_line(
    arguments: list[str], code: ExitCode, says: str, capsys: Capture
) -> None:
    assert run(["quote", *arguments]) == code
    said = capsys.readouterr()
    assert says in said.err
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert not said.out


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"pubkey": "x"', "JSON ends early"),
        ('{"pubkey": "x"}', "solana account KEY --output json"),
        ('{"pubkey": "x", "account": {"data": "abc"}}', "print it with --output json"),
        ('{"pubkey": "x", "account": {"data": ["", "base58"]}}', "print it with --output json"),
        ('{"pubkey": "x", "account": {"data": ["", "base64"]}}', "no base58 key"),
        ('{"accounts": []}', "no pool of a known venue is among 0 accounts"),
        ('{"a": 1}\n{"b": 2}', "no JSON at line 2"),
    ],
)
def test_a_wrong_file_is_one_clear_line(content: str, says: str, tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "accounts.json"
    file.write_text(content)
    arguments = ["quote", "--accounts", str(file), "--pool", WHIRLPOOL, "--in", "SOL", "--amount", "1"]
    assert run(arguments) == ExitCode.MARKET
    said = capsys.readouterr()
    assert says in said.err
    assert str(file) in said.err
    assert said.err.count("\n") == 1


def test_a_pool_alone_names_what_is_missing(tmp_path: Path, capsys: Capture) -> None:
    account = load_market().accounts[bytes(Pubkey.from_string(WHIRLPOOL))]
    file = tmp_path / "pool.json"
    file.write_text(printed(WHIRLPOOL, str(Pubkey(account.owner)), account.lamports, account.data))
    arguments = ["quote", "--accounts", str(file), "--pool", WHIRLPOOL, "--in", "SOL", "--amount", "1"]
    assert run(arguments) == ExitCode.MARKET
    said = capsys.readouterr().err
    assert f"mint {SOL} is not among the accounts" in said
    assert "solana account KEY --output json" in said
    assert said.count("\n") == 1
