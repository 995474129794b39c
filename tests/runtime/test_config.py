"""hft.ini is read strictly: all errors at once, each naming its key."""

from dataclasses import fields
from pathlib import Path

import pytest

from hft.runtime import config, settings
from hft.runtime.exit_codes import ExitCode


def errors_of(*sets: str, files: tuple[Path, ...] = ()) -> list[str]:
    with pytest.raises(config.ConfigError) as caught:
        config.load(None, files, sets)
    assert caught.value.code == ExitCode.CONFIG
    return caught.value.errors


def test_defaults_alone_are_sound() -> None:
    assert config.load(None) == settings.Config()


def test_later_sources_win(tmp_path: Path) -> None:
    base, overlay = tmp_path / "hft.ini", tmp_path / "overlay.ini"
    base.write_text("[simnet]\nseed = 1\nslot_ms = 200\n")
    overlay.write_text("[simnet]\nseed = 2\n")
    loaded = config.load(base, [overlay], ["simnet.slot_ms=300"])
    assert (loaded.simnet.seed, loaded.simnet.slot_ms) == (2, 300)


def test_row_36_every_error_is_told_at_once_and_names_its_key(tmp_path: Path) -> None:
    file = tmp_path / "hft.ini"
    file.write_text(
        "[simnet]\nsed = 1\n[service:planner]\nplan_life_ms = 2s\ntip_cap_lamports = 5\n[plannner]\nx = 1\n"
    )
    errors = errors_of("hft.idle=sleep", files=(file,))
    text = "\n".join(errors)
    assert len(errors) == 5
    assert "[simnet] sed: unknown key; did you mean seed?" in text
    assert (
        "[service:planner] plan_life_ms: '2s' is not a whole number of milliseconds; the unit is part" in text
    )
    assert "[service:planner] tip_cap_lamports: 5 is out of range: 1000 to" in text
    assert "[plannner]: unknown section" in text
    assert "[hft] idle: 'sleep' is not one of auto, busy_spin, yield, backoff, park" in text


def test_row_36_a_key_with_another_unit_is_refused_with_the_right_one() -> None:
    (error,) = errors_of("service:planner.plan_life_s=2")
    assert "did you mean plan_life_ms (milliseconds)?" in error


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("hft.mode=lively", "'lively' is not one of paper"),
        ("simnet.seed=-1", "out of range: 0 to"),
        ("simnet.seed=1.5", "'1.5' is not a whole number"),
        ("simnet.seed=", "'' is not a whole number"),
        ("link:planned.depth=1000", "[link:planned] depth: 1000 is not a power of two"),
        ("link:planned.mtu=100", "[link:planned] mtu: 100 is not a multiple of 8"),
        ("hft.prefix=Not/OK", "[hft] prefix"),
        ("nats.url=nats://example.com:4222", "leaves this machine in the clear"),
        ("service:scanner.maximum_size_lamports=5", "minimum_size_lamports 10000000 is above"),
        ("nonsense", "the form is section.key=value"),
        ("nonsense=1", "the form is section.key=value"),
    ],
)
def test_a_wrong_value_says_what_would_be_right(setting: str, says: str) -> None:
    (error,) = errors_of(setting)
    assert says in error


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"seed = 1\n", "no section headers"),
        (b"[simnet]\nseed = 1\nseed = 2\n", "already exists"),
        (b"[simnet]\nseed\n", "parsing errors"),
        (b"\xff\xfe\x00", "cannot be read"),
    ],
)
def test_a_file_that_is_no_settings_file_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    file = tmp_path / "hft.ini"
    file.write_bytes(content)
    (error,) = errors_of(files=(file,))
    assert says in error
    assert "hft.ini" in error


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    (error,) = errors_of(files=(tmp_path / "none.ini",))
    assert "none.ini: cannot be read" in error


def test_plain_values_lead_back_to_the_same_config() -> None:
    loaded = config.load(None, sets=["simnet.market=a.json.gz, b.json.gz", "link:system.depth=512"])
    assert loaded.simnet.market == ("a.json.gz", "b.json.gz")
    assert config.from_dict(config.to_dict(loaded)) == loaded


def test_an_idle_strategy_of_its_own_goes_before_the_common_one() -> None:
    loaded = config.load(None, sets=["hft.idle=yield", "service:scanner.idle=busy_spin"])
    assert settings.idle_setting(loaded, "scanner") == "busy_spin"
    assert settings.idle_setting(loaded, "planner") == "yield"


def test_every_key_has_a_text_and_numbers_have_a_range_that_holds_the_default() -> None:
    for name, (kind, _) in settings.sections().items():
        for key in fields(kind):
            assert key.metadata["text"], (name, key.name)
            if isinstance(key.default, int):
                assert key.metadata["low"] <= key.default <= key.metadata["high"], (name, key.name)


def test_row_28_36_secrets_that_are_missing_or_open_are_told_all_together(tmp_path: Path) -> None:
    closed, open_file = tmp_path / "closed", tmp_path / "open"
    for file, mode in ((closed, 0o600), (open_file, 0o640)):
        file.write_text("secret")
        file.chmod(mode)
    sets = [
        "simnet.sed=1",
        f"nats.tls_key_file={closed}",
        f"service:auditor.ledger_dsn_file={open_file}",
        f"nats.nkey_seed_file={tmp_path / 'none'}",
        f"nats.credentials_file={tmp_path}",
    ]
    with pytest.raises(config.ConfigError) as caught:
        config.load(None, sets=sets, starting=True)
    told = [line for line in caught.value.errors if "[nats] credentials_file and" not in line]
    assert "simnet" in told[0]
    assert f"[service:auditor] ledger_dsn_file: {open_file}: mode 0640; a secret" in "\n".join(told)
    assert f"[nats] nkey_seed_file: {tmp_path / 'none'}: No such file or directory" in told
    assert f"[nats] credentials_file: {tmp_path}: no file" in told
    assert not any(str(closed) in line for line in told)
    assert config.load(None, sets=[f"service:auditor.ledger_dsn_file={tmp_path / 'none'}"])


def test_every_file_of_mode_0600_is_checked_as_a_secret() -> None:
    for name, (kind, _) in settings.sections().items():
        for key in fields(kind):
            if "0600" in key.metadata["text"]:
                assert key.metadata.get("secret"), f"[{name}] {key.name}: make it a secret_file"
