"""``hft keys``: the encrypted wallets of the keystore. No command ever shows a secret."""

import contextlib
import getpass
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from solders.pubkey import Pubkey

from hft.chain.keystore import (
    KeyInfo,
    Keystore,
    KeystoreError,
    KeystoreErrorCode,
    export_bytes,
    import_seed,
    read_private,
    write_private,
)
from hft.chain.keystore_memory import Secret, protect_process
from hft.cli.options import StateDir, state_folder
from hft.runtime.exit_codes import ExitCode, HftError

FOLDER = "keys"
T = TypeVar("T")
Name = Annotated[str, typer.Argument(metavar="NAME", help="The wallet's name: a-z, 0-9, _ and -.")]
KeysDir = Annotated[
    Path | None,
    typer.Option("--keys-dir", metavar="DIR", help="Keystore; default: keys in the state folder."),
]
PassphraseFile = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        metavar="FILE",
        help="Its first line, of 12 bytes at least; a file of mode 0600. Default: asked for.",
    ),
]

keys = typer.Typer(
    help="Encrypted wallets: new, import, list, export.", no_args_is_help=True, rich_markup_mode=None
)


@keys.command()
def new(
    name: Name,
    keys_dir: KeysDir = None,
    state_dir: StateDir = None,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Make a wallet from the system's random source."""

    def make() -> KeyInfo:
        store = _store(keys_dir, state_dir)
        _check_free(store, name)
        with _sealed_by(passphrase_file):
            return store.new(name, _passphrase(passphrase_file, repeat=True))

    _show(_told(make))


@keys.command("import")
def import_(
    name: Name,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="solana-keygen's JSON, or base58 or hex; mode 0600. Not removed afterwards."
        ),
    ],
    keys_dir: KeysDir = None,
    state_dir: StateDir = None,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Take a wallet over from a file of another program."""

    def take() -> KeyInfo:
        store = _store(keys_dir, state_dir)
        _check_free(store, name)
        with _seed_in(file) as seed, _sealed_by(passphrase_file):
            return store.add(name, seed, _passphrase(passphrase_file, repeat=True))

    _show(_told(take))


@keys.command("list")
def list_(
    keys_dir: KeysDir = None,
    state_dir: StateDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """List the wallets: name and address."""
    found = _told(lambda: _store(keys_dir, state_dir).list())
    if as_json:
        listed = [{"name": key.name, "address": str(Pubkey(key.address))} for key in found]
        typer.echo(json.dumps(listed, indent=2))
        return
    if not found:
        typer.echo("there is none yet; hft keys new NAME makes one", err=True)
    for key in found:
        _show(key)


@keys.command()
def export(
    name: Name,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="New file, mode 0600, as solana-keygen writes it.")
    ],
    keys_dir: KeysDir = None,
    state_dir: StateDir = None,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Write a wallet's secret, unencrypted, to a new file.

    Nobody but you can read it.
    """

    def write() -> None:
        store = _store(keys_dir, state_dir)
        if not os.path.lexists(store.path(name)):
            raise HftError(f"there is no wallet {name}: {store.path(name)} is not there", ExitCode.CONFIG)
        with (
            _sealed_by(passphrase_file),
            store.seed(name, _passphrase(passphrase_file, repeat=False)) as seed,
            export_bytes(seed) as data,
        ):
            write_private(file, data)

    _told(write)
    typer.echo(f"{name}: secret key written to {file}; remove it when it is no longer needed")


def _store(keys_dir: Path | None, state_dir: Path | None) -> Keystore:
    return Keystore(keys_dir.expanduser().absolute() if keys_dir else state_folder(state_dir) / FOLDER)


def _check_free(store: Keystore, name: str) -> None:
    """Before a passphrase is asked for."""
    if os.path.lexists(store.path(name)):
        raise HftError(f"{store.path(name)} exists: a key is never written over another", ExitCode.CONFIG)


def _passphrase(file: Path | None, *, repeat: bool) -> Secret:
    if file is not None:
        try:
            with read_private(file) as data:
                return Secret(data.reveal().split(b"\n", 1)[0].rstrip(b"\r"))
        except KeystoreError as error:
            raise HftError(f"--passphrase-file: {error}", ExitCode.CONFIG) from None
    if not sys.stdin.isatty():
        raise HftError("no terminal to ask for the passphrase: --passphrase-file names one", ExitCode.CONFIG)
    given = Secret(getpass.getpass("Passphrase: ").encode())
    if repeat and getpass.getpass("Once more: ").encode() != given.reveal():
        raise HftError("the two passphrases differ", ExitCode.CONFIG)
    return given


@contextlib.contextmanager
def _sealed_by(file: Path | None) -> Iterator[None]:
    """Within, what is wrong with the passphrase names the option that told it."""
    try:
        yield
    except KeystoreError as error:
        if file is None or error.code is not KeystoreErrorCode.PASSPHRASE:
            raise
        raise HftError(f"--passphrase-file {file}: {error}", ExitCode.CONFIG) from None


def _seed_in(file: Path) -> Secret:
    """The seed in another program's file."""
    with read_private(file) as data:
        try:
            return import_seed(data)
        except KeystoreError as error:
            raise HftError(f"{file}: {error}", ExitCode.CONFIG) from None


def _told(action: Callable[[], T]) -> T:
    """``action`` in a process that leaves no core; its failures as one line."""
    protect_process()
    try:
        return action()
    except KeystoreError as error:
        raise HftError(str(error), ExitCode.CONFIG) from None


def _show(key: KeyInfo) -> None:
    typer.echo(f"{key.name}  {Pubkey(key.address)}")
