"""Entry of a service process: ``python -m hft.runtime.process NAME RUN_FILE``.

Standard error is the service's log file, opened by the supervisor. The process asks the kernel for a SIGTERM
when its parent dies, so that no service outlives its supervisor. In a standing run (``hft run``) it has no
such parent: it holds the service's own lock and tells systemd how it is.
"""

import ctypes
import os
import signal
import sys
import traceback
from pathlib import Path

from hft.runtime import state
from hft.runtime.clock import SystemClock
from hft.runtime.context import Run
from hft.runtime.exit_codes import ExitCode, exit_code_of
from hft.runtime.notify import Notifier
from hft.runtime.runner import Log, run_service

PR_SET_PDEATHSIG = 1


def follow_parent(parent_pid: int) -> None:
    """Get SIGTERM when the parent ends (Linux; elsewhere nothing). Exits at once if it has ended already."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if parent_pid and os.getppid() != parent_pid:
        sys.exit(ExitCode.FAILURE)


def run(name: str, run_file: Path) -> int:
    """Run one service to its end; the exit code of the process. Errors are a line in the log, with a
    traceback after it only when the error was not expected."""
    clock = SystemClock()
    log = Log(name, clock)
    try:
        run_of = Run.load(run_file)
        if run_of.standing:
            with state.InstanceLock(run_of.state_dir, name):
                return run_service(name, run_of, clock, log, Notifier.from_environment())
        follow_parent(run_of.supervisor_pid)
        return run_service(name, run_of, clock, log)
    except Exception as error:
        code = exit_code_of(error)
        log.line(f"error: {error or type(error).__name__} (exit code {int(code)}, {code.name})")
        if code is ExitCode.FAILURE:
            traceback.print_exc()
        return code


if __name__ == "__main__":
    sys.exit(run(sys.argv[1], Path(sys.argv[2])))
