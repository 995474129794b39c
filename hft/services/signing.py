"""The wallet that trades: the paper wallet, or in live mode the one that the settings name in the keystore.

A live key is opened in the executor alone, after the process was shut against core dumps and readers.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from hft.chain.keys import paper_keypair
from hft.chain.keystore import Keystore, KeystoreError, KeystoreErrorCode, read_private
from hft.chain.keystore_memory import Secret
from hft.chain.lock import WalletLock, WalletLockError
from hft.chain.signers import LocalSigner
from hft.runtime.exit_codes import ExitCode, HftError
from hft.runtime.wallet import LIVE, keys_folder

if TYPE_CHECKING:
    from hft.runtime.context import Run


def open_signer(run: "Run") -> LocalSigner:
    """Who signs for the run's wallet. ``HftError`` CONFIG when the key can't be opened, with the reason."""
    if run.config.hft.mode != LIVE:
        return LocalSigner.of(paper_keypair(run.config.simnet.seed))
    (name,) = run.config.chain.wallets
    try:
        with _passphrase(Path(run.config.chain.passphrase_file).expanduser()) as passphrase:
            return Keystore(keys_folder(run)).signer(name, passphrase)
    except KeystoreError as error:
        raise HftError(f"[chain] wallets: {error}", ExitCode.CONFIG) from error
    except OSError as error:
        raise HftError(
            f"the executor can't be shut against core dumps, so no key is opened: {error.strerror}",
            ExitCode.FAILURE,
        ) from error


def lock_wallet(run: "Run", wallet: bytes) -> WalletLock:
    """One live instance a wallet, on the whole machine: the lock lies beside its key. A paper wallet, whose
    cluster is the run's own, is locked in the run's state folder. ``HftError`` ALREADY_RUNNING."""
    live = run.config.hft.mode == LIVE
    try:
        return WalletLock(wallet, keys_folder(run) if live else run.state_dir)
    except WalletLockError as error:
        raise HftError(str(error), ExitCode.ALREADY_RUNNING) from error


def _passphrase(file: Path) -> Secret:
    with read_private(file) as content:
        line = content.reveal().split(b"\n", 1)[0].rstrip(b"\r")
        if not line:
            raise KeystoreError(KeystoreErrorCode.PASSPHRASE, f"{file}: its first line is empty")
        return Secret(line)
