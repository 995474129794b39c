"""Exit codes of every ``hft`` command and of every service process."""

from enum import IntEnum

import ringbuf


class ExitCode(IntEnum):
    """What a process tells its caller when it ends; numbers never change their meaning."""

    OK = 0
    """Done; for a service: drained after SIGTERM."""
    FAILURE = 1
    """An error that none of the codes below names."""
    CONFIG = 2
    """A wrong option, an unknown or wrong key in hft.ini, a malformed CPU list."""
    SEGMENT_MISMATCH = 3
    """A shared-memory segment has another magic, layout version or schema hash than this build."""
    SEGMENT_MISSING = 4
    """A shared-memory segment is not there, or there is no room for it in /dev/shm."""
    ALREADY_RUNNING = 5
    """Another instance holds this state folder, or another process has the service."""
    NOT_RUNNING = 6
    """The command needs a running instance in this state folder, and there is none."""
    PORT_TAKEN = 7
    """A port that was asked for is in use by another program."""
    MARKET = 8
    """An account file is unreadable, truncated or holds no pool that can be traded."""
    SERVICE_FAILED = 9
    """A service did not become ready, or crashed more often than its restart limit allows."""
    DRAIN_TIMEOUT = 10
    """Work was still in flight when a drain limit passed, or a submission has no end yet."""
    NATS = 11
    """nats-server is missing, did not start, or cannot be reached."""
    STATE_FOLDER = 12
    """The state folder cannot be made, written or read."""
    STREAMS = 13
    """A stream is missing, or not as its table says."""
    WALLET = 14
    """The wallet that is to trade can't: too little SOL, or a token account is missing."""
    PROFILE = 20
    """A service cannot be profiled: py-spy is missing or the kernel does not let it look."""
    CHECK = 21
    """hft check found something that would stop or harm a run."""
    CAPTURE = 22
    """A capture or tape is of another layout or schema hash, corrupt in its middle, or can't be written."""


class HftError(Exception):
    """An expected failure: ``message`` is one line for a person, ``code`` is the process's exit code."""

    code: ExitCode = ExitCode.FAILURE

    def __init__(self, message: str, code: ExitCode | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code


def exit_code_of(error: BaseException) -> ExitCode:
    """The exit code that tells what went wrong."""
    if isinstance(error, HftError):
        return error.code
    if isinstance(error, ringbuf.SegmentMismatch):
        return ExitCode.SEGMENT_MISMATCH
    if isinstance(error, ringbuf.SegmentMissing | ringbuf.SegmentFull):
        return ExitCode.SEGMENT_MISSING
    return ExitCode.FAILURE
