"""Nonces of heeded commands on disk, so that a restart opens no door to a replay."""

import json
import zlib
from pathlib import Path

from hft.runtime.commands import Nonces
from hft.runtime.state import write_atomic

NONCE_FILE = "command_nonces.json"


def load(folder: Path, now_unix_ns: int) -> tuple[Nonces, str]:
    """What a predecessor knew, and what is wrong with the file (empty: nothing).

    Fails closed: where the file can't be read, everything issued up to now is refused.
    """
    file = folder / NONCE_FILE
    try:
        values = json.loads(file.read_text("utf-8"))
        checksum = values.pop("crc32")
        if checksum != _checksum(values):
            raise ValueError("its checksum does not match")
        nonces = Nonces(int(values["floor_unix_ns"]))
        for sender, entries in values["nonces"].items():
            for nonce, issued in entries.items():
                nonces.add(sender, bytes.fromhex(nonce), int(issued))
    except FileNotFoundError:
        return Nonces(), ""
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return Nonces(now_unix_ns), f"{file}: {error}: commands issued before now are refused"
    return nonces, ""


def save(folder: Path, nonces: Nonces) -> None:
    """Put them on disk; ``OSError`` when that cannot be done."""
    values: dict[str, object] = {
        "floor_unix_ns": nonces.floor_unix_ns,
        "nonces": {
            sender: {nonce.hex(): issued for nonce, issued in entries.items()}
            for sender, entries in nonces.issued.items()
        },
    }
    write_atomic(folder / NONCE_FILE, json.dumps({**values, "crc32": _checksum(values)}) + "\n")


def _checksum(values: dict[str, object]) -> int:
    return zlib.crc32(json.dumps(values, sort_keys=True).encode())
