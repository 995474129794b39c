"""Which wallet a run trades with: its address alone, no secret is opened here."""

from pathlib import Path
from typing import Final

from solders.pubkey import Pubkey

from hft.chain.keys import paper_keypair
from hft.chain.keystore import Keystore, KeystoreError
from hft.runtime.context import Run
from hft.runtime.exit_codes import ExitCode, HftError
from hft.runtime.modes import KEYSTORE
from hft.runtime.settings import Config

KEYS_FOLDER: Final = "keys"
LIVE: Final = "live"
"""Every other mode trades with the paper wallet, whose key is no secret."""


def keys_folder(run: Run) -> Path:
    """Where the run's keystore is."""
    return _folder(run.config, run.state_dir)


def wallet_address(run: Run) -> bytes:
    """The public key of the wallet that trades, 32 bytes. ``HftError`` CONFIG when the keystore has none of
    that name."""
    return address_of(run.config, run.state_dir)


def address_of(config: Config, state_dir: Path) -> bytes:
    """The same before there is a run."""
    if config.hft.mode != LIVE:
        return bytes(paper_keypair(config.simnet.seed).pubkey())
    if config.chain.signer != KEYSTORE:
        return bytes(Pubkey.from_string(config.chain.wallet_address))
    if len(config.chain.wallets) != 1:
        raise HftError("[chain] wallets: live mode wants the name of the one that trades", ExitCode.CONFIG)
    (name,) = config.chain.wallets
    folder = _folder(config, state_dir)
    try:
        for key in Keystore(folder).list():
            if key.name == name:
                return key.address
    except KeystoreError as error:
        raise HftError(f"[chain] wallets: {error}", ExitCode.CONFIG) from error
    raise HftError(f"[chain] wallets: there is no wallet {name} in {folder}", ExitCode.CONFIG)


def _folder(config: Config, state_dir: Path) -> Path:
    setting = config.chain.keys_dir
    return Path(setting).expanduser().absolute() if setting else state_dir / KEYS_FOLDER
