"""Is the ledger there, whole and of this version's form? Asked by ``hft check``; nothing is written."""

from pathlib import Path
from typing import TYPE_CHECKING

from hft.runtime.host import Finding, Level
from hft.services.ledger_place import LedgerError, Place, engine_of, guarded, place_of

if TYPE_CHECKING:
    from hft.runtime.settings import Auditor as Settings

MEND_FILE = "restore it from a copy"
MEND_SERVER = "start the server, or mend [service:auditor] ledger_dsn"


def look(state_dir: Path, settings: "Settings") -> Finding:
    """One finding; a DSN is shown without its password."""
    try:
        place = place_of(state_dir, settings)
    except LedgerError as error:
        return Finding(Level.FAIL, "ledger", str(error), "mend [service:auditor] ledger_dsn_file")
    if place.url is None and not place.file.exists():
        return Finding(Level.OK, "ledger", f"{place} will be made")
    try:
        told = _ask(place)
    except LedgerError as error:
        return Finding(Level.FAIL, "ledger", str(error), MEND_FILE if place.url is None else MEND_SERVER)
    if place.url is not None:
        return Finding(Level.OK, "ledger", f"{place}, {told}")
    if told != "ok":
        return Finding(Level.FAIL, "ledger", f"{place}: {told}", MEND_FILE)
    return Finding(Level.OK, "ledger", f"{place}, {place.file.stat().st_size / 1e6:.1f} MB, whole")


def _ask(place: Place) -> str:
    """The database's answer: SQLite's verdict on itself, PostgreSQL's version."""
    question = "PRAGMA quick_check(1)" if place.url is None else "SHOW server_version"
    engine = engine_of(place, read_only=True)
    try:
        with guarded(place), engine.connect() as connection:
            return str(connection.exec_driver_sql(question).scalar_one())
    finally:
        engine.dispose()
