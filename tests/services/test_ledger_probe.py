"""What hft check says of ledgers: absent, whole, broken, out of reach."""

import sqlite3
from pathlib import Path

from hft.runtime import config
from hft.runtime.host import Level
from hft.services import ledger_probe
from hft.services.ledger_place import FILE_NAME

DEFAULT = config.load(None).auditor


def test_a_file_is_absent_whole_or_broken(tmp_path: Path) -> None:
    file = tmp_path / FILE_NAME
    assert ledger_probe.look(tmp_path, DEFAULT).level is Level.OK
    assert not file.exists()
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE executions (id INTEGER)")
    connection.close()
    assert ledger_probe.look(tmp_path, DEFAULT).found.endswith("MB, whole")
    file.write_bytes(b"no database at all, but long enough to be taken for one" * 100)
    found = ledger_probe.look(tmp_path, DEFAULT)
    assert (found.level, str(file) in found.found) == (Level.FAIL, True)


def test_a_server_out_of_reach_fails_without_its_password(tmp_path: Path) -> None:
    secret = tmp_path / "dsn"
    secret.write_text(f"postgresql://hft:do-not-tell@localhost/ledger?host={tmp_path}\n")
    secret.chmod(0o600)
    settings = config.load(None, sets=[f"service:auditor.ledger_dsn_file={secret}"]).auditor
    found = ledger_probe.look(tmp_path, settings)
    assert found.level is Level.FAIL
    assert "do-not-tell" not in str(found)
