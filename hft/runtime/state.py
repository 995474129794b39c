"""The state folder: what survives a run, and the lock that lets only one instance use it."""

import contextlib
import fcntl
import os
from pathlib import Path
from types import TracebackType

from hft.runtime.exit_codes import ExitCode, HftError

RUN_FILE = "run.json"
LOCK_FILE = "lock"
LOG_FOLDER = "logs"
NATS_FOLDER = "nats"


def choose(setting: str) -> Path:
    """The state folder: the setting, else systemd's ``$STATE_DIRECTORY``, else XDG's state folder."""
    if setting:
        return Path(setting).expanduser().absolute()
    systemd = os.environ.get("STATE_DIRECTORY", "").split(":")[0]
    if systemd:
        return Path(systemd)
    home = os.environ.get("XDG_STATE_HOME", "")
    return (Path(home) if home else Path("~/.local/state").expanduser()) / "hft"


def prepare(folder: Path) -> None:
    """Make the folder (readable by its owner alone) and its sub-folders; ``HftError`` when that cannot be
    done."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / LOG_FOLDER).mkdir(exist_ok=True)
        probe = folder / f".probe-{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except FileExistsError as error:
        raise HftError(
            f"state folder {folder}: {error.filename} is no folder; choose another with --state-dir",
            ExitCode.STATE_FOLDER,
        ) from error
    except OSError as error:
        raise HftError(
            f"state folder {folder}: {error.strerror}; choose another with --state-dir", ExitCode.STATE_FOLDER
        ) from error


def write_atomic(file: Path, text: str) -> None:
    """Replace ``file`` so that after a crash at any point it holds the old text or the new one, on disk."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(file)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(file.parent)


def append_durably(file: Path, line: str) -> None:
    """Append one line and wait until it is on disk."""
    existed = file.exists()
    with file.open("a", encoding="utf-8") as out:
        out.write(line + "\n")
        out.flush()
        os.fsync(out.fileno())
    if not existed:
        sync_folder(file.parent)


def sync_folder(folder: Path) -> None:
    """Put the folder's own entries (names, renames) on disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class InstanceLock:
    """Held for the life of a process; the kernel drops it when the process ends in whatever way."""

    def __init__(self, folder: Path, service: str = "") -> None:
        """Of the whole state folder, or of one ``service`` that runs by itself in it."""
        self._file = folder / (f"{LOCK_FILE}-{service}" if service else LOCK_FILE)
        self._service = service
        self._descriptor = -1

    def __enter__(self) -> "InstanceLock":
        """Take the lock; ``HftError`` (ALREADY_RUNNING) naming the holder when another process has it."""
        self._descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(self._descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._descriptor)
            raise HftError(self._taken(holder), ExitCode.ALREADY_RUNNING) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
        return self

    def _taken(self, holder: str) -> str:
        folder = self._file.parent
        if self._service:
            return f"{self._service} runs already (pid {holder}) with state folder {folder}"
        return (
            f"already running (pid {holder}) with state folder {folder}; "
            "end it with hft stop, or give this one another --state-dir"
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the lock back; the file stays."""
        os.close(self._descriptor)


def holder(folder: Path) -> int:
    """Process id of the instance that holds the state folder, 0 when none does."""
    try:
        descriptor = os.open(folder / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        text = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
        return int(text) if text.isdigit() else -1
    else:
        return 0
    finally:
        os.close(descriptor)
