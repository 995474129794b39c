"""Who signs, by the settings: a service's key must be the wallet's, its token its owner's alone."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hft.chain.base58 import b58encode
from hft.chain.keys import paper_keypair
from hft.runtime.context import Run
from hft.runtime.exit_codes import ExitCode, HftError
from hft.runtime.settings import Config
from hft.runtime.wallet import wallet_address
from hft.services.signing import open_signer
from tests.chain.signing_services import ACCESS_KEY, REGION, SECRET_KEY, TOKEN, kms, serve, vault

KEY, OTHER = paper_keypair(1), paper_keypair(2)
ADDRESS = b58encode(bytes(KEY.pubkey()))


@pytest.fixture(autouse=True)
def unprotected(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """The test's own process stays open to debuggers; that it would be shut first is noted."""
    shut: list[bool] = []
    monkeypatch.setattr("hft.services.signing.protect_process", lambda: shut.append(True))
    return shut


def run_of(tmp_path: Path, **chain: Any) -> Run:
    config = replace(
        Config(),
        hft=replace(Config().hft, mode="live"),
        chain=replace(Config().chain, wallet_address=ADDRESS, **chain),
    )
    return Run(b"r" * 16, tmp_path, "hft", config, {}, {})


def token_file(tmp_path: Path, text: str = TOKEN + "\n", mode: int = 0o600) -> str:
    file = tmp_path / "token"
    file.write_text(text)
    file.chmod(mode)
    return str(file)


def of_vault(tmp_path: Path, url: str, **more: Any) -> Run:
    file = more.pop("token", None) or token_file(tmp_path)
    return run_of(tmp_path, signer="vault", vault_url=url, vault_key="hot", vault_token_file=file, **more)


def refusal(run: Run) -> str:
    with pytest.raises(HftError) as caught:
        open_signer(run)
    assert caught.value.code is ExitCode.CONFIG
    assert TOKEN not in str(caught.value)
    return str(caught.value)


def test_vault_signs_for_the_wallet_that_the_settings_name(tmp_path: Path, unprotected: list[bool]) -> None:
    with serve(vault([KEY])) as service:
        run = of_vault(tmp_path, service.url)
        signer = open_signer(run)
        assert unprotected == [True]
        assert signer.public_key == wallet_address(run) == bytes(KEY.pubkey())
        assert signer.sign(b"x") == bytes(KEY.sign_message(b"x"))
        assert TOKEN not in repr(signer) + run.to_json()


def test_kms_signs_with_the_credentials_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unprotected: list[bool]
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    with serve(kms(KEY)) as service:
        run = run_of(tmp_path, signer="kms", kms_region=REGION, kms_key="alias/hot", kms_url=service.url)
        assert open_signer(run).sign(b"x") == bytes(KEY.sign_message(b"x"))
        assert unprotected == [True]
        missing = replace(run.config, chain=replace(run.config.chain, kms_key="alias/cold"))
        assert "[chain] signer = kms: key_missing" in refusal(replace(run, config=missing))


def test_row_28_another_wallets_key_is_refused_and_so_is_a_token_that_others_can_read(tmp_path: Path) -> None:
    with serve(vault([OTHER])) as service:
        told = refusal(of_vault(tmp_path, service.url))
        assert (
            told
            == f"[chain] wallet_address: {ADDRESS}; the key of vault is {b58encode(bytes(OTHER.pubkey()))}"
        )
    with serve(vault([KEY])) as service:
        open_to_all = token_file(tmp_path, mode=0o640)
        assert "has mode 0640: others can get at it" in refusal(
            of_vault(tmp_path, service.url, token=open_to_all)
        )
        wrong = token_file(tmp_path, "hvs.another")
        assert "[chain] signer = vault: denied" in refusal(of_vault(tmp_path, service.url, token=wrong))
        empty = token_file(tmp_path, "\n")
        assert "its first line is empty" in refusal(of_vault(tmp_path, service.url, token=empty))
        assert len(service.requests) == 1
