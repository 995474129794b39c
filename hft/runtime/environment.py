"""What of this process's environment its children get: what interpreter and libraries go by, no secrets.

An environment can be read in ``/proc`` and is inherited by whatever a process starts; credentials often lie
there. So a child gets the names of a list, not all but those of a list, and credentials go to the one service
that asks for them.
"""

import os
from collections.abc import Mapping
from typing import Final

from hft.runtime.settings import Config

NAMES: Final = frozenset(
    ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "VIRTUAL_ENV")
)
PREFIXES: Final = ("LC_", "LD_", "GLIBC_", "MALLOC_", "PYTHON", "XDG_", "SSL_CERT_", "GRPC_")
"""Of the C library, of Python, of where certificates lie."""

SYSTEMD: Final = frozenset(("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "STATE_DIRECTORY"))
"""What systemd tells a service that it started itself; a child of ours must not answer in its name."""

AWS: Final = ("AWS_",)
"""Credentials, profile, region and role, where AWS's own chain looks for them."""
POSTGRESQL: Final = ("PG",)
"""What libpq adds to a DSN: ``PGPASSWORD``, ``PGPASSFILE``, ``PGSSLMODE`` …"""

ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def of_service(name: str, config: Config, source: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of service ``name``, from ``source`` or this process's own.

    AWS's names reach the executor alone, and only when ``[chain] signer`` is ``kms`` in live mode; libpq's
    those who read or write a ledger in PostgreSQL.
    """
    ledger = bool(config.auditor.ledger_dsn or config.auditor.ledger_dsn_file)
    prefixes: tuple[str, ...] = ()
    if name == "executor" and config.hft.mode == "live" and config.chain.signer == "kms":
        prefixes += AWS
    if name in ("auditor", "executor") and ledger:
        prefixes += POSTGRESQL
    return {**plain(source, prefixes), **ONE_THREAD}


def plain(source: Mapping[str, str] | None = None, more: tuple[str, ...] = ()) -> dict[str, str]:
    """``source``, or this process's own environment, without what is nobody's business; ``more``: further
    prefixes that may pass."""
    given = os.environ if source is None else source
    prefixes = PREFIXES + more
    return {name: value for name, value in given.items() if name in NAMES or name.startswith(prefixes)}


def of_systemd(source: Mapping[str, str] | None = None) -> dict[str, str]:
    """What systemd told this process and what it becomes shall know too."""
    given = os.environ if source is None else source
    return {name: given[name] for name in SYSTEMD if name in given}
