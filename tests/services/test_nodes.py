"""The nodes and block engines of the settings."""

from dataclasses import replace
from pathlib import Path

import pytest

from hft.chain.endpoint import Reach
from hft.runtime.config import ConfigError
from hft.runtime.endpoints import Endpoints
from hft.runtime.settings import Config
from hft.services.nodes import engines_of, nodes_of

UUID = "9a1c6c4e-51a4-4b1e-9d8d-2f6f3f1c0a77"
FOUND = Endpoints(
    ("http://127.0.0.1:1",),
    ("ws://127.0.0.1:1",),
    ("http://127.0.0.1:2", "http://127.0.0.1:3"),
    (),
    Reach.LOOPBACK,
)


def keyed(tmp_path: Path, text: str, mode: int = 0o600) -> Config:
    file = tmp_path / "auth"
    file.write_text(text)
    file.chmod(mode)
    return replace(Config(), chain=replace(Config().chain, jito_auth_file=str(file)))


def test_row_28_the_engines_key_goes_to_the_engines_alone_and_is_never_shown(tmp_path: Path) -> None:
    config = keyed(tmp_path, UUID + "\n")
    engines, nodes = engines_of(FOUND, config), nodes_of(FOUND, config.chain)
    assert [engine.headers for engine in engines] == [(("x-jito-auth", UUID),)] * 2
    assert [node.headers for node in nodes] == [()]
    assert UUID not in repr(engines)
    assert UUID not in repr(config)
    assert [engine.headers for engine in engines_of(FOUND, Config())] == [()] * 2


@pytest.mark.parametrize(
    ("text", "mode", "told"),
    [
        ("", 0o600, "its first line is empty"),
        ("not-a-uuid", 0o600, "its first line is no UUID"),
        (UUID, 0o644, "others can read it (mode 0644)"),
    ],
)
def test_row_28_a_key_file_that_is_none_is_refused_by_name_without_what_it_holds(
    tmp_path: Path, text: str, mode: int, told: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        engines_of(FOUND, keyed(tmp_path, text, mode))
    (line,) = caught.value.errors
    assert line.startswith("[chain] jito_auth_file: ")
    assert told in line
    assert not text or text not in line
