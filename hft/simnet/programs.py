"""Venue programs as files: ``<program id>.so`` in a folder, loaded into the SVM or fetched from an RPC.

An upgradeable program's account names its programdata account (bytes 4..36), whose ELF follows a header of
45 bytes; a program of an older loader is the ELF itself.
"""

import base64
import json
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlparse

from solders.litesvm import LiteSVM
from solders.pubkey import Pubkey

from hft.chain import svm_programs
from hft.chain.svm_programs import ELF_MAGIC, MAX_PROGRAM_BYTES, ProgramError
from hft.runtime.exit_codes import ExitCode, HftError
from hft.venues.registry import BY_PROGRAM
from hft.venues.spl import key

UPGRADEABLE_LOADER: Final = key("BPFLoaderUpgradeab1e11111111111111111111111")
PLAIN_LOADERS: Final = (
    key("BPFLoader2111111111111111111111111111111111"),
    key("BPFLoader1111111111111111111111111111111111"),
)
PROGRAMDATA_AT: Final = 45
_PROGRAM_SIZE: Final = 36
_PROGRAM_TAG: Final = 2
_PROGRAMDATA_TAG: Final = 3
_TIMEOUT_S: Final = 60.0


def load_programs(svm: LiteSVM, folder: str | Path) -> frozenset[bytes]:
    """``hft.chain.svm_programs.load_programs``; ``HftError`` (CONFIG) instead of its error."""
    try:
        return svm_programs.load_programs(svm, folder)
    except ProgramError as error:
        raise HftError(str(error), ExitCode.CONFIG) from error


def venue_programs() -> tuple[bytes, ...]:
    """Ids of the programs whose swaps the venues know."""
    return tuple(BY_PROGRAM)


def fetch_program(url: str, program: bytes) -> bytes:
    """The ELF of a deployed program. ``HftError`` (FAILURE) says what the RPC gave instead."""
    owner, data = _account(url, program)
    if owner in PLAIN_LOADERS:
        elf = data
    elif owner == UPGRADEABLE_LOADER:
        if len(data) < _PROGRAM_SIZE or int.from_bytes(data[:4], "little") != _PROGRAM_TAG:
            raise HftError(
                f"{Pubkey(program)} is no program account of the upgradeable loader", ExitCode.FAILURE
            )
        owner, data = _account(url, data[4:36])
        if owner != UPGRADEABLE_LOADER or int.from_bytes(data[:4], "little") != _PROGRAMDATA_TAG:
            raise HftError(f"{Pubkey(program)}: its programdata account holds none", ExitCode.FAILURE)
        elf = data[PROGRAMDATA_AT:]
    else:
        raise HftError(f"{Pubkey(program)} is owned by {Pubkey(owner)}, which is no loader", ExitCode.FAILURE)
    if not elf.startswith(ELF_MAGIC):
        raise HftError(f"{Pubkey(program)}: {len(elf)} bytes that are no ELF", ExitCode.FAILURE)
    return elf


def write_program(folder: Path, program: bytes, elf: bytes) -> Path:
    """Writes ``<program id>.so``, whole or not at all; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{Pubkey(program)}.so"
    partial = path.with_suffix(".part")
    partial.write_bytes(elf)
    partial.replace(path)
    return path


def _account(url: str, pubkey: bytes) -> tuple[bytes, bytes]:
    place = urlparse(url)
    if place.scheme not in ("http", "https") or not place.hostname:
        raise HftError("--rpc: http://HOST[:PORT]/… or https of a Solana RPC belongs there", ExitCode.CONFIG)
    host = place.netloc.rpartition("@")[2]  # a URL's path may hold a provider's key
    name = str(Pubkey(pubkey))
    question = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "getAccountInfo",
        "params": [name, {"encoding": "base64", "commitment": "confirmed"}],
    }
    request = urllib.request.Request(url, json.dumps(question).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
            found: Mapping[str, Any] = json.loads(answer.read(4 * MAX_PROGRAM_BYTES))
        value = found["result"]["value"]
    except OSError as error:
        reason = getattr(error, "reason", error)
        told = getattr(reason, "strerror", None) or reason
        raise HftError(f"{host}: {told}", ExitCode.FAILURE) from error
    except (ValueError, KeyError, TypeError) as error:
        raise HftError(
            f"{host}: no answer to getAccountInfo of {name}: {error!r:.200}", ExitCode.FAILURE
        ) from error
    if value is None:
        raise HftError(f"{host}: no account {name} is there", ExitCode.FAILURE)
    return bytes(Pubkey.from_string(value["owner"])), base64.b64decode(value["data"][0])
