"""One live instance a wallet: a lock file that the kernel frees when its holder dies, however it dies."""

import fcntl
import os
from enum import IntEnum
from pathlib import Path

from solders.pubkey import Pubkey


class WalletLockErrorCode(IntEnum):
    """Why a wallet can't be had."""

    TAKEN = 1
    NO_FOLDER = 2


class WalletLockError(Exception):
    """A wallet can't be had; ``code`` says why, ``holder`` is the process that has it (0: not known)."""

    def __init__(self, code: WalletLockErrorCode, message: str, holder: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.holder = holder


class WalletLock:
    """Held from ``__init__`` to ``close``. All instances on a machine must use the same folder, whatever
    their state folders are."""

    def __init__(self, wallet: bytes, folder: Path) -> None:
        """``wallet``: public key, 32 bytes. ``WalletLockError`` TAKEN if another process (or this one) has
        it, NO_FOLDER if the file can't be made."""
        name = str(Pubkey(wallet))
        self._path = folder / f"wallet-{name}.lock"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise WalletLockError(
                WalletLockErrorCode.NO_FOLDER, f"{self._path}: {error.strerror}; a writable folder is needed"
            ) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = _holder(self._file)
            os.close(self._file)
            who = f"process {holder}" if holder else "another process"
            raise WalletLockError(
                WalletLockErrorCode.TAKEN,
                f"wallet {name} is in use by {who}: one instance a wallet ({self._path})",
                holder,
            ) from error
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def close(self) -> None:
        """Frees the wallet. The file stays: taking it away would race with the next holder."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _holder(file: int) -> int:
    text = os.pread(file, 32, 0).split(b"\n", 1)[0]
    return int(text) if text.isdigit() else 0
