"""Where the ledger is, and how its database is opened: a file in the state folder, or PostgreSQL.

A DSN may hold a password: no text of this module ever shows one.
"""

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from hft.runtime.exit_codes import ExitCode, HftError
from hft.services.ledger_tables import LEDGER_VERSION, METADATA, VERSION

if TYPE_CHECKING:
    from hft.runtime.settings import Auditor as Settings

FILE_NAME: Final = "ledger.sqlite3"
DSN_FORM: Final = "postgresql://USER[:PASSWORD]@HOST[:PORT]/DATABASE"

# A server that hangs may hold the auditor for one of these, never for as long as its heartbeat may take.
_POSTGRESQL: Final = {
    "connect_timeout": 2,
    "tcp_user_timeout": 2_000,
    "application_name": "hft",
    "options": "-c statement_timeout=1000 -c lock_timeout=500 -c synchronous_commit=on -c timezone=UTC",
}
PAGE_CACHE_KIB: Final = 512
"""Of SQLite's own: full after a few hundred executions, and then the auditor's memory is what it stays. More
would save no time: the kernel keeps the file's pages too."""
_CREATION_LOCK: Final = 0x6866_7431
"""Two programs that find an empty database do not both make the tables."""


class LedgerError(HftError):
    """The ledger can't be opened, read or written. ``temporary``: trying again later may help."""

    code = ExitCode.STATE_FOLDER

    def __init__(self, message: str, *, temporary: bool = False) -> None:
        super().__init__(message)
        self.temporary = temporary


class Place(NamedTuple):
    """A SQLite ``file``, or a PostgreSQL ``url``."""

    file: Path
    url: URL | None = None

    def __str__(self) -> str:
        """For people: without the password."""
        return str(self.file) if self.url is None else self.url.render_as_string(hide_password=True)

    def __repr__(self) -> str:
        return str(self)


def place_of(state_dir: Path, settings: "Settings") -> Place:
    """The place the settings name: ``ledger_dsn`` or ``ledger_dsn_file``, else a file in ``state_dir``.

    ``LedgerError`` when the DSN file can be read by others, or holds no PostgreSQL DSN.
    """
    file = state_dir / FILE_NAME
    if settings.ledger_dsn_file:
        return Place(file, _url(_secret_line(Path(settings.ledger_dsn_file).expanduser()), "ledger_dsn_file"))
    if settings.ledger_dsn:
        return Place(file, _url(settings.ledger_dsn, "ledger_dsn"))
    return Place(file)


def _secret_line(path: Path) -> str:
    """The first line of a file that nobody else may read."""
    try:
        with path.open(encoding="utf-8") as file:
            status = os.fstat(file.fileno())
            if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO) or status.st_uid != os.getuid():
                raise LedgerError(
                    f"{path}: mode {status.st_mode & 0o777:04o}; a DSN file is its owner's alone: 0600"
                )
            return file.readline().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise LedgerError(
            f"{path}: the DSN cannot be read: {getattr(error, 'strerror', 'not UTF-8')}"
        ) from None


def _url(text: str, key: str) -> URL:
    try:
        url = make_url(text)
    except (SQLAlchemyError, ValueError):
        raise LedgerError(f"[service:auditor] {key}: not a DSN of the form {DSN_FORM}") from None
    if url.get_backend_name() != "postgresql":
        name = url.get_backend_name()
        raise LedgerError(f"[service:auditor] {key}: a {name} DSN; the form is {DSN_FORM}")
    return url.set(drivername="postgresql+psycopg")


def engine_of(place: Place, *, read_only: bool = False) -> Engine:
    """An engine with one connection; nothing is opened yet. ``LedgerError`` when psycopg isn't installed.

    SQLite: write-ahead log, every commit flushed to the disk, never a wait for another's lock.
    """
    if place.url is not None:
        return _postgresql(place, read_only)
    mode = "ro" if read_only else "rwc"
    uri = f"file:{quote(str(place.file))}?mode={mode}"
    engine = create_engine(
        "sqlite://",
        creator=lambda: sqlite3.connect(
            uri, uri=True, timeout=0, isolation_level=None, check_same_thread=False
        ),
        hide_parameters=True,
        poolclass=QueuePool,
        pool_size=1,
        max_overflow=0,
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:
        if not read_only:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute(f"PRAGMA cache_size=-{PAGE_CACHE_KIB}")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return engine


def _postgresql(place: Place, read_only: bool) -> Engine:
    assert place.url is not None
    options = dict(_POSTGRESQL)
    if read_only:
        options["options"] = "-c default_transaction_read_only=on -c timezone=UTC"
    try:
        return create_engine(
            place.url, hide_parameters=True, pool_size=1, max_overflow=0, connect_args=options
        )
    except ImportError:
        raise LedgerError("PostgreSQL needs psycopg: pip install 'hft[postgresql]'") from None


@contextmanager
def guarded(place: Place) -> Iterator[None]:
    """Turns what a database says into a ``LedgerError`` of one line, without any value or password."""
    try:
        yield
    except SQLAlchemyError as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        text = " ".join(str(cause).split()) or type(cause).__name__
        if place.url is not None and place.url.password:
            text = text.replace(str(place.url.password), "***")
        raise LedgerError(f"{place}: {text}", temporary=_temporary(error)) from None


def _temporary(error: SQLAlchemyError) -> bool:
    """Another's lock, a full disk, a server that is away or starts: not a database of another form."""
    if not isinstance(error, DBAPIError):
        return False
    if error.connection_invalidated or isinstance(error.orig, sqlite3.OperationalError):
        return not str(error.orig).startswith(("no such", "unable to open"))
    state = getattr(error.orig, "sqlstate", None)
    # Without a server psycopg has no state to give.
    return type(error.orig).__name__ == "OperationalError" if state is None else state[:2] in _LATER


_LATER: Final = ("08", "25", "40", "53", "55", "57")
"""Classes: connection, state of the transaction, rolled back, resources, locks, the operator."""


def prepare(connection: Connection, place: Place) -> None:
    """The tables of this version in a database that has none; ``LedgerError`` when they are of another."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_CREATION_LOCK})")
    version = version_of(connection, place)
    if version is None:
        METADATA.create_all(connection, checkfirst=False)
        connection.execute(LEDGER_VERSION.insert().values(version=VERSION))


def version_of(connection: Connection, place: Place) -> int | None:
    """The version of the tables, None when there are none; ``LedgerError`` unless it is ours."""
    found = set(inspect(connection).get_table_names())
    if not found & set(METADATA.tables):
        return None
    version = None
    if LEDGER_VERSION.name in found:
        version = connection.execute(select(LEDGER_VERSION.c.version)).scalar()
    if version != VERSION:
        told = "without a version" if version is None else f"of version {version}"
        raise LedgerError(
            f"{place}: a ledger {told}; this program reads and writes version {VERSION}."
            " Use the program that made it, or move it away to begin a new one"
        )
    return int(version)
