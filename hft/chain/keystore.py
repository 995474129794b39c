"""The keystore: one encrypted file a wallet, readable by its owner alone.

A file is JSON: version, name, address, how the passphrase becomes a key (scrypt), how the seed is sealed
(ChaCha20-Poly1305) and the sealed seed. Everything but the last is authenticated with it, so that no field
can be changed unnoticed. A folder has mode 0700, a file 0600; anything looser is refused, not mended.
"""

import json
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import Any, Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from solders.pubkey import Pubkey

from hft.chain.base58 import b58decode
from hft.chain.keystore_memory import Secret, protect_process
from hft.chain.signers import SEED_BYTES, LocalSigner

VERSION: Final = 1
SUFFIX: Final = ".key.json"
MAX_FILE_BYTES: Final = 16_384
MINIMUM_PASSPHRASE: Final = 12
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_KDF, _CIPHER = "scrypt", "chacha20poly1305"
_SALT_BYTES, _NONCE_BYTES, _KEY_BYTES = 16, 12, 32


class KeystoreErrorCode(IntEnum):
    """Why a key can't be had or kept."""

    MISSING = 1
    EXISTS = 2
    PERMISSIONS = 3
    MALFORMED = 4
    PASSPHRASE = 5
    NAME = 6
    COST = 7


class KeystoreError(Exception):
    """The text names file and reason, never a secret."""

    def __init__(self, code: KeystoreErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class Cost(NamedTuple):
    """Work of one guess at a passphrase: 128·n·r bytes of memory, p times."""

    n: int = 2**17
    r: int = 8
    p: int = 1


DEFAULT_COST: Final = Cost()
_N_RANGE = (2**14, 2**20)
_MAX_R, _MAX_P = 16, 4


class KeyInfo(NamedTuple):
    """A wallet as its file names it, without opening it."""

    name: str
    address: bytes
    path: Path


class Keystore:
    """The keys in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path:
        """Where the key ``name`` lies. ``KeystoreError`` NAME."""
        if not _NAME.fullmatch(name):
            raise KeystoreError(
                KeystoreErrorCode.NAME,
                f"key name {name[:40]!r}: 1 to 32 of a-z, 0-9, _ and - belong there, a letter or digit first",
            )
        return self.folder / (name + SUFFIX)

    def new(self, name: str, passphrase: Secret, cost: Cost = DEFAULT_COST) -> KeyInfo:
        """Makes a key from the system's random source."""
        with Secret(secrets.token_bytes(SEED_BYTES)) as seed:
            return self.add(name, seed, passphrase, cost)

    def add(self, name: str, seed: Secret, passphrase: Secret, cost: Cost = DEFAULT_COST) -> KeyInfo:
        """Seals ``seed`` (32 bytes) under ``passphrase`` and writes it to disk. ``KeystoreError``: EXISTS,
        PERMISSIONS, PASSPHRASE (shorter than 12), COST, NAME, MALFORMED.
        """
        path = self.path(name)
        if len(passphrase) < MINIMUM_PASSPHRASE:
            raise KeystoreError(
                KeystoreErrorCode.PASSPHRASE,
                f"passphrase of {len(passphrase)} bytes: at least {MINIMUM_PASSPHRASE} belong there",
            )
        if len(seed) != SEED_BYTES:
            raise KeystoreError(
                KeystoreErrorCode.MALFORMED, f"seed of {len(seed)} bytes: {SEED_BYTES} belong there"
            )
        _check_cost(cost, path)
        address = LocalSigner(seed.reveal()).public_key
        head = {
            "version": VERSION,
            "name": name,
            "address": str(Pubkey(address)),
            "kdf": {"name": _KDF, "salt": secrets.token_bytes(_SALT_BYTES).hex(), **cost._asdict()},
            "cipher": {"name": _CIPHER, "nonce": secrets.token_bytes(_NONCE_BYTES).hex()},
        }
        with _derived(head, passphrase) as key:
            sealed = ChaCha20Poly1305(key.reveal()).encrypt(
                bytes.fromhex(str(head["cipher"]["nonce"])),  # type: ignore[index]
                seed.reveal(),
                _bound(head),
            )
        _make_folder(self.folder)
        write_private(path, json.dumps({**head, "sealed": sealed.hex()}, indent=1).encode() + b"\n")
        return KeyInfo(name, address, path)

    def list(self) -> tuple[KeyInfo, ...]:
        """All keys, by name; nothing is opened. ``KeystoreError`` for a file that is none or too open."""
        if not self.folder.is_dir():
            if self.folder.exists():
                raise KeystoreError(KeystoreErrorCode.MALFORMED, f"{self.folder} is no folder")
            return ()
        return tuple(self._info(path) for path in sorted(self.folder.glob("*" + SUFFIX)))

    def signer(self, name: str, passphrase: Secret) -> LocalSigner:
        """Opens a live key for signing; first this process is protected (see ``protect_process``).
        ``KeystoreError``: MISSING, PERMISSIONS, MALFORMED, PASSPHRASE, COST.
        """
        protect_process()
        with self.seed(name, passphrase) as seed:
            return LocalSigner(seed.reveal())

    @contextmanager
    def seed(self, name: str, passphrase: Secret) -> Iterator[Secret]:
        """The seed itself, overwritten at the end of the context."""
        path = self.path(name)
        found = _read(path)
        with _derived(found, passphrase) as key:
            try:
                opened = Secret(
                    ChaCha20Poly1305(key.reveal()).decrypt(
                        bytes.fromhex(found["cipher"]["nonce"]), bytes.fromhex(found["sealed"]), _bound(found)
                    )
                )
            except InvalidTag:
                raise KeystoreError(
                    KeystoreErrorCode.PASSPHRASE, f"{path}: wrong passphrase, or the file was changed"
                ) from None
        with opened:
            address = LocalSigner(opened.reveal()).public_key if len(opened) == SEED_BYTES else b""
            if found["name"] != name or str(Pubkey(address or bytes(32))) != found["address"]:
                raise KeystoreError(
                    KeystoreErrorCode.MALFORMED, f"{path} holds another key than its name says"
                )
            yield opened

    def _info(self, path: Path) -> KeyInfo:
        found = _read(path)
        return KeyInfo(found["name"], bytes(Pubkey.from_string(found["address"])), path)


def import_seed(data: Secret) -> Secret:
    """The seed in a wallet file: solana-keygen's JSON array of 64 numbers, or base58 or hex of 64 or 32.

    64 bytes are seed and public key, which must belong together. ``KeystoreError`` MALFORMED.
    """
    text = data.reveal().strip()
    try:
        if text.startswith(b"["):
            raw = bytes(json.loads(text))
        elif len(text) in (64, 128) and re.fullmatch(rb"[0-9a-fA-F]+", text):
            raw = bytes.fromhex(text.decode())
        else:
            raw = b58decode(text.decode("ascii"))
    except (ValueError, TypeError):
        raw = b""
    finally:
        del text
    with Secret(raw) as whole:
        size = len(whole)
        del raw
        if size not in (SEED_BYTES, 2 * SEED_BYTES):
            raise KeystoreError(
                KeystoreErrorCode.MALFORMED,
                "no secret key: a JSON array of 64 numbers, or base58 or hex of 64 or 32 bytes belongs there",
            )
        seed = Secret(whole.reveal()[:SEED_BYTES])
        if size == 2 * SEED_BYTES and LocalSigner(seed.reveal()).public_key != whole.reveal()[SEED_BYTES:]:
            seed.wipe()
            raise KeystoreError(
                KeystoreErrorCode.MALFORMED, "secret and public part of the key do not belong together"
            )
        return seed


def export_bytes(seed: Secret) -> Secret:
    """A wallet file as solana-keygen writes it: the JSON array of seed and public key."""
    whole = seed.reveal() + LocalSigner(seed.reveal()).public_key
    return Secret(json.dumps(list(whole)).encode())


def read_private(path: Path) -> Secret:
    """A file's bytes, if nobody else could read or change it. ``KeystoreError``: MISSING, PERMISSIONS,
    MALFORMED (over 16 KiB).
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise KeystoreError(KeystoreErrorCode.MISSING, f"there is no file {path}") from None
    except OSError as error:
        raise KeystoreError(KeystoreErrorCode.PERMISSIONS, f"{path}: {error.strerror}") from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise KeystoreError(KeystoreErrorCode.PERMISSIONS, f"{path} is no regular file")
    with os.fdopen(descriptor, "rb") as file:
        if status.st_mode & 0o077:
            raise KeystoreError(
                KeystoreErrorCode.PERMISSIONS,
                f"{path} has mode {stat.S_IMODE(status.st_mode):04o}: others can get at it; "
                f"0600 belongs there (chmod 600 {path})",
            )
        if status.st_uid not in (os.geteuid(), 0):
            raise KeystoreError(
                KeystoreErrorCode.PERMISSIONS, f"{path} belongs to user {status.st_uid}, not to this one"
            )
        if status.st_size > MAX_FILE_BYTES:
            raise KeystoreError(
                KeystoreErrorCode.MALFORMED, f"{path} has {status.st_size} bytes: at most {MAX_FILE_BYTES}"
            )
        return Secret(file.read(MAX_FILE_BYTES))


def write_private(path: Path, data: bytes | Secret) -> None:
    """Makes a new file of mode 0600, on disk when this returns. ``KeystoreError``: EXISTS, PERMISSIONS."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise KeystoreError(
            KeystoreErrorCode.EXISTS, f"{path} exists: a key is never written over another"
        ) from None
    except OSError as error:
        raise KeystoreError(KeystoreErrorCode.PERMISSIONS, f"{path}: {error.strerror}") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data.reveal() if isinstance(data, Secret) else data)
            file.flush()
            os.fsync(descriptor)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise KeystoreError(KeystoreErrorCode.PERMISSIONS, f"{path}: {error.strerror}") from None
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        mode = stat.S_IMODE(folder.stat().st_mode)
    except OSError as error:
        raise KeystoreError(KeystoreErrorCode.PERMISSIONS, f"{folder}: {error.strerror}") from None
    if mode & 0o077:
        raise KeystoreError(
            KeystoreErrorCode.PERMISSIONS, f"folder {folder} has mode {mode:04o}: 0700 belongs there"
        )


def _read(path: Path) -> dict[str, Any]:
    """A key file's fields, each of the right form."""
    found: Any = None
    try:
        found = json.loads(read_private(path).reveal())
        kdf, cipher = found["kdf"], found["cipher"]
        right = (
            found["version"] == VERSION
            and found.keys() == {"version", "name", "address", "kdf", "cipher", "sealed"}
            and (kdf["name"], cipher["name"]) == (_KDF, _CIPHER)
            and path.name == found["name"] + SUFFIX
            and len(bytes.fromhex(kdf["salt"])) == _SALT_BYTES
            and len(bytes.fromhex(cipher["nonce"])) == _NONCE_BYTES
            and len(bytes.fromhex(found["sealed"])) == SEED_BYTES + 16
        )
        Pubkey.from_string(found["address"])
        cost = Cost(kdf["n"], kdf["r"], kdf["p"])
    except (ValueError, KeyError, TypeError, AttributeError):
        right = False
    if not right:
        raise KeystoreError(KeystoreErrorCode.MALFORMED, f"{path} is no key file of version {VERSION}")
    _check_cost(cost, path)
    assert isinstance(found, dict)
    return found


def _check_cost(cost: Cost, path: Path) -> None:
    """A file must not ask for so little work that guessing is easy, nor for so much that it stops us."""
    low, high = _N_RANGE
    whole = all(type(value) is int for value in cost)
    if not (
        whole
        and low <= cost.n <= high
        and cost.n & (cost.n - 1) == 0
        and 8 <= cost.r <= _MAX_R
        and 1 <= cost.p <= _MAX_P
    ):
        raise KeystoreError(
            KeystoreErrorCode.COST,
            f"{path}: scrypt cost n={cost.n} r={cost.r} p={cost.p}: n a power of two in {low}..{high}, "
            f"r in 8..{_MAX_R}, p in 1..{_MAX_P} belong there",
        )


def _derived(head: dict[str, Any], passphrase: Secret) -> Secret:
    kdf = head["kdf"]
    scrypt = Scrypt(salt=bytes.fromhex(kdf["salt"]), length=_KEY_BYTES, n=kdf["n"], r=kdf["r"], p=kdf["p"])
    return Secret(scrypt.derive(passphrase.reveal()))


def _bound(head: dict[str, Any]) -> bytes:
    """The fields that the seal covers, in one form."""
    return json.dumps(
        {name: value for name, value in head.items() if name != "sealed"},
        sort_keys=True,
        separators=(",", ":"),
    ).encode()
