"""What each mode asks of the settings."""

from pathlib import Path

import pytest

from hft.runtime import config, topology
from hft.runtime.config import ConfigError

LIVE = (
    "hft.mode=live",
    "chain.rpc_urls=https://rpc.example",
    "chain.ws_urls=wss://rpc.example",
    "chain.jito_urls=https://engine.example",
    "chain.pools=Czfq3xZZDmsdGdUyrNLtRhGc47cXcZtLG4crryfu44zE",
    "chain.wallets=hot",
    "chain.passphrase_file=PASSPHRASE",
    "risk.accept_defaults=on",
)


@pytest.fixture(autouse=True)
def passphrase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A passphrase file of the right mode, in the folder the test works in."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "PASSPHRASE").touch(0o600)


def errors(*sets: str) -> list[str]:
    try:
        config.load(None, sets=sets, starting=True)
    except ConfigError as error:
        return list(error.errors)
    return []


def test_a_live_run_that_names_everything_is_accepted() -> None:
    assert errors(*LIVE) == []


def test_who_halts_a_run_is_not_held_up_by_what_its_mode_wants() -> None:
    config.load(None, sets=("hft.mode=live",))
    config.load(None, sets=("chain.wallets=hot",))


def test_row_36_live_mode_names_all_that_is_missing_at_once() -> None:
    told = errors("hft.mode=live")
    for key in ("rpc_urls", "ws_urls", "jito_urls", "pools", "wallets", "passphrase_file"):
        assert sum(line.startswith(f"[chain] {key}: live mode has no default") for line in told) == 1, key
    limits = [line for line in told if line.startswith("[risk] ")]
    assert len(limits) == 7
    assert all("accept_defaults = on" in line for line in limits)
    assert errors(*LIVE[:-1], "risk.maximum_size_lamports=5") == [
        line for line in limits if "maximum_size_lamports" not in line
    ]


VAULT = (
    "chain.wallets=",
    "chain.passphrase_file=",
    "chain.signer=vault",
    "chain.wallet_address=Czfq3xZZDmsdGdUyrNLtRhGc47cXcZtLG4crryfu44zE",
    "chain.vault_url=https://vault.example",
    "chain.vault_key=hot",
    "chain.vault_token_file=PASSPHRASE",
)
KMS = (*VAULT[:4], "chain.signer=kms", "chain.kms_region=eu-central-1", "chain.kms_key=alias/hot")


def test_each_signer_names_all_that_it_lacks_and_what_it_has_no_use_for() -> None:
    assert errors(*LIVE, *VAULT) == errors(*LIVE, *KMS) == []
    told = errors(*LIVE, *VAULT[:3])
    for key in ("wallet_address", "vault_url", "vault_key", "vault_token_file"):
        assert sum(line.startswith(f"[chain] {key}: live mode has no default") for line in told) == 1, key
    assert len(told) == 4
    told = errors(*LIVE, *VAULT, "chain.signer=kms", "chain.wallets=hot")
    assert [line.split(":")[0] for line in told] == [
        *("[chain] kms_region", "[chain] kms_key", "[chain] wallets"),
        *("[chain] vault_url", "[chain] vault_key", "[chain] vault_token_file"),
    ]
    assert "signer = kms has no use for it; it belongs to keystore" in told[2]
    (unheard,) = errors(*LIVE, VAULT[3])
    assert unheard.endswith("signer = keystore has no use for it; it belongs to vault and kms")
    assert "no base58 key" in errors(*LIVE, *VAULT, "chain.wallet_address=me")[0]
    (told_open,) = errors(*LIVE, *VAULT, "chain.vault_url=http://vault.example")
    assert told_open.startswith("[chain] vault_url: http://")


def test_one_wallet_trades_and_without_an_engine_the_method_says_so() -> None:
    assert errors(*LIVE, "chain.wallets=hot,cold") == [
        "[chain] wallets: 2 wallets; one trades in an instance: "
        "each wants an instance with a state folder of its own"
    ]
    assert "jito_urls" in errors(*LIVE, "chain.jito_urls=")[0]
    assert errors(*LIVE, "chain.jito_urls=", "chain.method=rpc") == []


def test_row_28_a_key_for_the_engine_goes_over_tls_alone() -> None:
    auth = "chain.jito_auth_file=PASSPHRASE"
    assert errors(*LIVE, auth) == []
    assert errors(*LIVE, auth, "chain.jito_urls=http://127.0.0.1:8899") == []
    (told,) = errors(*LIVE, auth, "chain.jito_urls=http://engine.example")
    assert told.startswith("[chain] jito_auth_file: http://")


@pytest.mark.parametrize(
    ("setting", "key"),
    [
        ("chain.rpc_urls=https://api.mainnet-beta.solana.com", "rpc_urls"),
        ("chain.ws_urls=wss://api.mainnet-beta.solana.com", "ws_urls"),
        ("chain.jito_urls=https://mainnet.block-engine.jito.wtf", "jito_urls"),
        ("chain.tip_floor_url=https://bundles.jito.wtf", "tip_floor_url"),
        ("chain.wallets=hot", "wallets"),
        ("chain.passphrase_file=PASSPHRASE", "passphrase_file"),
        ("chain.signer=vault", "signer"),
        ("chain.vault_token_file=PASSPHRASE", "vault_token_file"),
        ("chain.vault_url=https://vault.example", "vault_url"),
        ("chain.kms_url=https://kms.eu-central-1.amazonaws.com", "kms_url"),
    ],
)
def test_row_36_paper_mode_has_no_way_to_mainnet_and_the_refusal_names_the_key(
    setting: str, key: str
) -> None:
    (told,) = errors(setting)
    assert f"[chain] {key}: " in told
    assert "paper mode" in told


def test_loopback_addresses_are_welcome_on_paper() -> None:
    assert errors("chain.rpc_urls=http://127.0.0.1:8899", "chain.ws_urls=ws://[::1]:8900") == []


def test_the_local_cluster_is_for_paper_alone() -> None:
    paper = {spec.name for spec in topology.services("paper")}
    live = {spec.name for spec in topology.services("live")}
    assert paper - live == {topology.SIMNET}
    assert {name for wave in topology.start_waves("live") for name in wave} == live
    assert {name for wave in topology.start_waves("paper") for name in wave} == paper
