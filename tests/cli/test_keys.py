"""``hft keys`` as a person runs it: another process, real files."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from solders.keypair import Keypair

from hft.runtime.exit_codes import ExitCode
from tests.conftest import ROOT

KEYPAIR = Keypair.from_seed(bytes(range(1, 33)))
WORDS = "correct horse battery"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "words").write_text(WORDS + "\nanother line\n")
    (tmp_path / "words").chmod(0o600)
    (tmp_path / "id.json").write_text(json.dumps(list(bytes(KEYPAIR))))
    (tmp_path / "id.json").chmod(0o600)
    return tmp_path


def keys(folder: Path, *arguments: str, words: bool = True) -> tuple[int, str]:
    """Exit code and all that was shown; never a secret."""
    options = ["--keys-dir", str(folder / "keys")]
    if words:
        options += ["--passphrase-file", str(folder / "words")]
    ended = subprocess.run(
        [sys.executable, "-m", "hft.cli.main", "keys", *arguments, *options],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=120,
        check=False,
    )
    shown = ended.stdout + ended.stderr
    assert str(KEYPAIR) not in shown
    assert bytes(KEYPAIR)[:32].hex() not in shown
    assert WORDS not in shown
    assert "Traceback" not in shown
    return ended.returncode, shown


def test_a_wallet_imported_listed_and_exported_is_the_same(folder: Path) -> None:
    assert keys(folder, "import", "hot", "id.json") == (ExitCode.OK, f"hot  {KEYPAIR.pubkey()}\n")
    code, shown = keys(folder, "list", "--json", words=False)
    assert code == ExitCode.OK
    assert json.loads(shown) == [{"name": "hot", "address": str(KEYPAIR.pubkey())}]
    code, shown = keys(folder, "export", "hot", "out.json")
    assert code == ExitCode.OK
    assert (folder / "out.json").stat().st_mode & 0o777 == 0o600
    assert Keypair.from_json((folder / "out.json").read_text()) == KEYPAIR
    code, shown = keys(folder, "export", "hot", "out.json")
    assert code == ExitCode.CONFIG
    assert "exists" in shown


def test_a_new_wallet_needs_a_passphrase_and_a_free_name(folder: Path) -> None:
    code, shown = keys(folder, "new", "hot", words=False)
    assert (code, "--passphrase-file" in shown) == (ExitCode.CONFIG, True)
    assert keys(folder, "new", "hot")[0] == ExitCode.OK
    code, shown = keys(folder, "new", "hot")
    assert (code, "exists" in shown) == (ExitCode.CONFIG, True)


def test_row_28_files_that_others_can_read_are_refused(folder: Path) -> None:
    (folder / "id.json").chmod(0o644)
    code, shown = keys(folder, "import", "hot", "id.json")
    assert (code, "0644" in shown, "chmod 600" in shown) == (ExitCode.CONFIG, True, True)
    (folder / "id.json").chmod(0o600)
    (folder / "words").chmod(0o640)
    code, shown = keys(folder, "import", "hot", "id.json")
    assert (code, shown.startswith("error: --passphrase-file: ")) == (ExitCode.CONFIG, True)
    assert "0640" in shown
    assert not (folder / "keys" / "hot.key.json").exists()


def test_what_is_wrong_names_the_file_or_the_option_that_it_came_by(folder: Path) -> None:
    (folder / "id.json").write_text("no key")
    assert keys(folder, "import", "hot", "id.json")[1].startswith("error: id.json: no secret key")
    (folder / "words").write_text("short\n")
    code, shown = keys(folder, "new", "hot")
    assert code == ExitCode.CONFIG
    assert (
        shown == f"error: --passphrase-file {folder}/words: passphrase of 5 bytes: at least 12 belong there\n"
    )
    (folder / "words").unlink()
    (folder / "words").mkdir()
    assert keys(folder, "new", "hot") == (
        ExitCode.CONFIG,
        f"error: --passphrase-file: {folder}/words is no regular file\n",
    )
    (folder / "keys").touch()
    assert keys(folder, "list", words=False) == (ExitCode.CONFIG, f"error: {folder}/keys is no folder\n")
