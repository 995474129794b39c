"""The keystore: sealed, private, and never showing a secret."""

import json
import os
import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from hft.chain.base58 import b58decode, b58encode
from hft.chain.keystore import (
    Cost,
    Keystore,
    KeystoreError,
    KeystoreErrorCode,
    export_bytes,
    import_seed,
    read_private,
    write_private,
)
from hft.chain.keystore_memory import Secret
from hft.chain.signers import LocalSigner

CHEAP = Cost(n=2**14)
SEED = bytes(range(1, 33))
PASSPHRASE = b"correct horse battery"
KEYPAIR = Keypair.from_seed(SEED)
SECRETS = (SEED.hex(), repr(SEED)[2:-1], PASSPHRASE.decode(), str(KEYPAIR), json.dumps(list(SEED))[1:-1])


def passphrase() -> Secret:
    return Secret(PASSPHRASE)


@pytest.fixture
def store(tmp_path: Path) -> Keystore:
    """A keystore with the key ``hot``."""
    found = Keystore(tmp_path / "keys")
    found.add("hot", Secret(SEED), passphrase(), CHEAP)
    return found


def refused(action: Callable[[], object]) -> KeystoreErrorCode:
    """The code of the refusal; neither its text nor a traceback with every local shows a secret."""
    with pytest.raises(KeystoreError) as caught:
        action()
    shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert not [secret for secret in SECRETS if secret in shown]
    return caught.value.code


def opened(store: Keystore, name: str = "hot", words: Secret | None = None) -> bytes:
    with store.seed(name, words or passphrase()) as seed:
        return seed.reveal()


def test_a_key_comes_back_and_is_listed_without_being_opened(store: Keystore) -> None:
    assert opened(store) == SEED
    made = store.new("second", passphrase(), CHEAP)
    assert [(key.name, key.address) for key in store.list()] == [
        ("hot", bytes(KEYPAIR.pubkey())),
        ("second", made.address),
    ]
    assert LocalSigner(opened(store, "second")).public_key == made.address
    assert Keystore(store.folder / "none").list() == ()


def test_row_28_files_are_private_and_hold_no_secret_in_the_clear(store: Keystore) -> None:
    path = store.path("hot")
    assert path.stat().st_mode & 0o777 == 0o600
    assert store.folder.stat().st_mode & 0o777 == 0o700
    text = path.read_text()
    assert not [secret for secret in SECRETS if secret in text]
    assert json.loads(text)["kdf"]["n"] == CHEAP.n


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620, 0o601, 0o660, 0o777])
def test_row_28_a_key_file_others_can_get_at_is_refused(store: Keystore, mode: int) -> None:
    store.path("hot").chmod(mode)
    assert refused(lambda: opened(store)) is KeystoreErrorCode.PERMISSIONS
    assert refused(store.list) is KeystoreErrorCode.PERMISSIONS


def test_row_28_a_folder_others_can_get_at_takes_no_key(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys").chmod(0o755)
    store = Keystore(tmp_path / "keys")
    assert refused(lambda: store.new("hot", passphrase(), CHEAP)) is KeystoreErrorCode.PERMISSIONS


def test_row_28_links_and_pipes_are_no_key_files(store: Keystore, tmp_path: Path) -> None:
    store.path("link").symlink_to(store.path("hot"))
    assert refused(lambda: opened(store, "link")) is KeystoreErrorCode.PERMISSIONS
    os.mkfifo(store.path("pipe"), 0o600)
    assert refused(lambda: opened(store, "pipe")) is KeystoreErrorCode.PERMISSIONS
    write_private(tmp_path / "large", bytes(16_385))
    assert refused(lambda: read_private(tmp_path / "large")) is KeystoreErrorCode.MALFORMED


def test_a_wrong_passphrase_opens_nothing(store: Keystore) -> None:
    assert refused(lambda: opened(store, words=Secret(b"incorrect horse"))) is KeystoreErrorCode.PASSPHRASE
    short = refused(lambda: store.new("short", Secret(b"eleven byte"), CHEAP))
    assert short is KeystoreErrorCode.PASSPHRASE
    assert not store.path("short").exists()


def with_a_bit_turned(digits: str) -> str:
    """The same bytes in hexadecimal, but for one bit of the first."""
    return f"{int(digits[:2], 16) ^ 1:02x}{digits[2:]}"


def spoiled(store: Keystore, change: Callable[[dict[str, Any]], Any]) -> KeystoreErrorCode:
    path = store.path("hot")
    found = json.loads(path.read_text())
    change(found)
    path.write_text(json.dumps(found))
    return refused(lambda: opened(store))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda f: f.pop("sealed"), KeystoreErrorCode.MALFORMED),
        (lambda f: f.update(version=2), KeystoreErrorCode.MALFORMED),
        (lambda f: f.update(more=1), KeystoreErrorCode.MALFORMED),
        (lambda f: f.update(sealed=f["sealed"][2:]), KeystoreErrorCode.MALFORMED),
        (lambda f: f.update(address="nobody"), KeystoreErrorCode.MALFORMED),
        (lambda f: f.update(name="cold"), KeystoreErrorCode.MALFORMED),
        (lambda f: f["kdf"].update(name="md5"), KeystoreErrorCode.MALFORMED),
        (lambda f: f["kdf"].update(n=2), KeystoreErrorCode.COST),
        (lambda f: f["kdf"].update(n=2**30), KeystoreErrorCode.COST),
        (lambda f: f["kdf"].update(n="16384"), KeystoreErrorCode.COST),
        (lambda f: f["kdf"].update(p=1000), KeystoreErrorCode.COST),
        (lambda f: f["kdf"].update(n=2**15), KeystoreErrorCode.PASSPHRASE),
        (lambda f: f["cipher"].update(nonce="00" * 12), KeystoreErrorCode.PASSPHRASE),
        (lambda f: f.update(address=str(Pubkey.default())), KeystoreErrorCode.PASSPHRASE),
        (lambda f: f.update(sealed=with_a_bit_turned(f["sealed"])), KeystoreErrorCode.PASSPHRASE),
    ],
)
def test_row_28_a_malformed_or_changed_key_file_is_refused(
    store: Keystore, change: Callable[[dict[str, Any]], Any], code: KeystoreErrorCode
) -> None:
    assert spoiled(store, change) is code


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"\xff\xfe", b"{" * 5000])
def test_row_28_what_is_no_key_file_is_refused(store: Keystore, content: bytes) -> None:
    store.path("hot").write_bytes(content)
    assert refused(lambda: opened(store)) is KeystoreErrorCode.MALFORMED


def test_a_key_is_never_written_over_another(store: Keystore) -> None:
    assert refused(lambda: store.new("hot", passphrase(), CHEAP)) is KeystoreErrorCode.EXISTS
    assert opened(store) == SEED
    assert refused(lambda: opened(store, "cold")) is KeystoreErrorCode.MISSING


@pytest.mark.parametrize("name", ["", "../hot", "a/b", ".hot", "HOT", "x" * 33, "hot\n"])
def test_names_are_plain(store: Keystore, name: str) -> None:
    assert refused(lambda: store.path(name)) is KeystoreErrorCode.NAME


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(list(bytes(KEYPAIR))),
        str(KEYPAIR),
        bytes(KEYPAIR).hex(),
        SEED.hex() + "\n",
        b58encode(SEED),
    ],
)
def test_other_programs_files_are_taken_over(text: str) -> None:
    assert import_seed(Secret(text.encode())).reveal() == SEED


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1, 2, 3]",
        json.dumps([300] * 64),
        json.dumps(list(SEED + bytes(32))),
        SEED.hex()[:-1] + "x",
        "0OIl" * 11,
        "\u00e9",
        json.dumps({"secret": SEED.hex()}),
    ],
)
def test_row_28_a_malformed_secret_is_refused(text: str) -> None:
    secret = Secret(text.encode())
    del text
    assert refused(lambda: import_seed(secret)) is KeystoreErrorCode.MALFORMED


def test_an_export_is_what_solana_keygen_reads() -> None:
    exported = export_bytes(Secret(SEED)).reveal()
    assert Keypair.from_json(exported.decode()) == KEYPAIR
    assert import_seed(Secret(exported)).reveal() == SEED


def test_secrets_show_nothing_and_are_overwritten() -> None:
    secret = Secret(SEED)
    assert "1" not in repr(secret) + str(secret) + f"{secret}"
    with secret:
        assert secret.reveal() == SEED
    assert secret.reveal() == bytes(32)
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(secret)


@pytest.mark.parametrize("data", [b"", b"\0", b"\0\0\x01", bytes(KEYPAIR)])
def test_base58_both_ways(data: bytes) -> None:
    assert b58decode(b58encode(data)) == data


LOAD = """
import os, resource, sys
from pathlib import Path
from hft.chain.keystore import Keystore
from hft.chain.keystore_memory import Secret, process_is_protected
resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
signer = Keystore(Path(sys.argv[1])).signer("hot", Secret(sys.stdin.buffer.read()))
assert process_is_protected()
print(signer, signer.sign(b"x").hex(), flush=True)
if sys.argv[2] == "abort":
    os.abort()
raise RuntimeError("boom", signer)
"""


@pytest.mark.parametrize("end", ["abort", "raise"])
def test_row_28_a_process_with_a_live_key_leaves_no_core_and_no_secret_in_its_last_words(
    store: Keystore, tmp_path: Path, end: str
) -> None:
    ended = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", LOAD, str(store.folder), end],
        input=PASSPHRASE,
        capture_output=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        timeout=120,
        check=False,
    )
    assert ended.returncode == (-6 if end == "abort" else 1)
    shown = (ended.stdout + ended.stderr).decode()
    assert f"LocalSigner({KEYPAIR.pubkey()})" in shown
    assert bytes(KEYPAIR.sign_message(b"x")).hex() in shown
    assert not [secret for secret in SECRETS if secret in shown]
    assert [path.name for path in tmp_path.iterdir()] == ["keys"]
