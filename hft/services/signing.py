"""The wallet that trades: the paper wallet, or in live mode the one that the settings name in the keystore,
or whose key is in Vault or AWS KMS.

A live key, and a service's token, is opened in the executor alone, after the process was shut against core
dumps and readers.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from solders.pubkey import Pubkey

from hft.chain.keys import paper_keypair
from hft.chain.keystore import Keystore, KeystoreError, KeystoreErrorCode, read_private
from hft.chain.keystore_memory import Secret, protect_process
from hft.chain.lock import WalletLock, WalletLockError
from hft.chain.signers import LocalSigner, Signer, SignerError
from hft.runtime.exit_codes import ExitCode, HftError
from hft.runtime.modes import KEYSTORE
from hft.runtime.wallet import LIVE, keys_folder

if TYPE_CHECKING:
    from hft.runtime.context import Run
    from hft.runtime.settings_chain import Chain


def open_signer(run: "Run") -> Signer:
    """Who signs for the run's wallet: here (``LocalSigner``), or by a round trip. ``HftError`` CONFIG when
    the key can't be opened or is another wallet's, with the reason."""
    if run.config.hft.mode != LIVE:
        return LocalSigner.of(paper_keypair(run.config.simnet.seed))
    if run.config.chain.signer != KEYSTORE:
        return _service(run.config.chain)
    (name,) = run.config.chain.wallets
    try:
        with _first_line(Path(run.config.chain.passphrase_file).expanduser()) as passphrase:
            return Keystore(keys_folder(run)).signer(name, passphrase)
    except KeystoreError as error:
        raise HftError(f"[chain] wallets: {error}", ExitCode.CONFIG) from error
    except OSError as error:
        raise _unprotected(error) from error


def _service(chain: "Chain") -> Signer:
    """Vault or KMS, asked for the public key, which must be the wallet's."""
    limit_s = chain.sign_limit_ms / 1_000
    try:
        protect_process()
        if chain.signer == "vault":
            # Only here: most runs need neither package.
            from hft.chain.signers_vault import VaultSigner

            token = _first_line(Path(chain.vault_token_file).expanduser())
            signer: Signer = VaultSigner(
                chain.vault_url,
                chain.vault_key,
                token,
                mount=chain.vault_mount,
                namespace=chain.vault_namespace,
                timeout_s=limit_s,
            )
        else:
            from hft.chain.signers_kms import KmsSigner

            signer = KmsSigner(chain.kms_region, chain.kms_key, endpoint_url=chain.kms_url, timeout_s=limit_s)
    except KeystoreError as error:
        raise HftError(f"[chain] vault_token_file: {error}", ExitCode.CONFIG) from error
    except SignerError as error:
        raise HftError(f"[chain] signer = {chain.signer}: {error}", ExitCode.CONFIG) from error
    except OSError as error:
        raise _unprotected(error) from error
    found = str(Pubkey(signer.public_key))
    if found != chain.wallet_address:
        raise HftError(
            f"[chain] wallet_address: {chain.wallet_address}; the key of {chain.signer} is {found}",
            ExitCode.CONFIG,
        )
    return signer


def _unprotected(error: OSError) -> HftError:
    return HftError(
        f"the executor can't be shut against core dumps, so no key is opened: {error.strerror}",
        ExitCode.FAILURE,
    )


def lock_wallet(run: "Run", wallet: bytes) -> WalletLock:
    """One live instance a wallet, on the whole machine: the lock lies beside its key. A paper wallet, whose
    cluster is the run's own, is locked in the run's state folder. ``HftError`` ALREADY_RUNNING."""
    live = run.config.hft.mode == LIVE
    try:
        return WalletLock(wallet, keys_folder(run) if live else run.state_dir)
    except WalletLockError as error:
        raise HftError(str(error), ExitCode.ALREADY_RUNNING) from error


def _first_line(file: Path) -> Secret:
    with read_private(file) as content:
        line = content.reveal().split(b"\n", 1)[0].rstrip(b"\r")
        if not line:
            raise KeystoreError(KeystoreErrorCode.PASSPHRASE, f"{file}: its first line is empty")
        return Secret(line)
