"""Reads hft.ini strictly: every error of every source is collected and told at once, each naming its key."""

import configparser
import difflib
import os
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

from hft.runtime import modes, nats_address, settings_strategies, topology
from hft.runtime.exit_codes import ExitCode, HftError
from hft.runtime.settings import Config, sections
from hft.runtime.settings_strategies import NAME_PATTERN
from hft.strategy import shard

FILE_NAME = "hft.ini"

UNITS: Mapping[str, str] = {
    "_ms": "milliseconds",
    "_s": "seconds",
    "_ns": "nanoseconds",
    "_lamports": "lamports",
    "_ppm": "millionths",
    "_bps": "basis points",
    "_milli": "thousandths",
    "_bytes": "bytes",
    "_slots": "slots",
}
"""Endings of key names and what they count."""


class ConfigError(HftError):
    """One or more wrong settings; ``errors`` has a line each."""

    code = ExitCode.CONFIG

    def __init__(self, errors: Sequence[str]) -> None:
        self.errors = list(errors)
        super().__init__("\n".join(self.errors))


class Assignment(NamedTuple):
    """``section.key = value`` and where it was written."""

    source: str
    section: str
    key: str
    value: str


def load(
    path: Path | None, overlays: Sequence[Path] = (), sets: Sequence[str] = (), *, starting: bool = False
) -> Config:
    """Settings from ``path`` (``None``: the defaults alone), then each overlay file, then each
    ``section.key=value``. ``starting``: what the mode asks for and the files with secrets must be there too;
    commands that halt a run don't fail for want of either.

    Raises ``ConfigError`` with all errors of all sources together.
    """
    errors: list[str] = []
    assignments: list[Assignment] = []
    for file in ([path] if path is not None else []) + list(overlays):
        assignments += _read_file(file, errors)
    for text in sets:
        assignments += _read_set(text, errors)
    config = _apply(assignments, errors)
    errors += _cross_check(config)
    errors += modes.errors(config) + secret_errors(config) if starting else []
    if errors:
        raise ConfigError(errors)
    return config


def secret_errors(config: Config) -> list[str]:
    """What is wrong with the files that hold secrets, a line each, naming its key; none is opened."""
    errors = []
    for name, (kind, place) in sections().items():
        values = None if "/" in place else getattr(config, place)
        for key in fields(kind):
            file = getattr(values, key.name) if key.metadata.get("secret") else ""
            wrong = _wrong_secret(Path(file).expanduser()) if file else ""
            if wrong:
                errors.append(f"[{name}] {key.name}: {file}: {wrong}")
    return errors


def _wrong_secret(file: Path) -> str:
    try:
        found = file.stat()
    except OSError as error:
        return error.strerror or "cannot be read"
    if not stat.S_ISREG(found.st_mode):
        return "no file"
    if found.st_mode & 0o077:
        return f"mode {stat.S_IMODE(found.st_mode):04o}; a secret is its owner's alone: chmod 0600"
    if not os.access(file, os.R_OK):
        return f"belongs to user {found.st_uid}; the services run as user {os.geteuid()}"
    return ""


def default_file() -> Path | None:
    """hft.ini of the current folder, else the one of the checkout this package was installed from, else
    ``None``."""
    here = Path.cwd() / FILE_NAME
    checkout = Path(__file__).resolve().parents[2] / FILE_NAME
    return next((file for file in (here, checkout) if file.is_file()), None)


def to_dict(config: Config) -> dict[str, Any]:
    """Plain values for run.json; ``from_dict`` is the way back."""
    return asdict(config)


def from_dict(values: Mapping[str, Any]) -> Config:
    """The config that ``to_dict`` wrote. Trusts its input: it was checked when it was loaded."""
    config = Config()
    for kind, place in sections(values["strategy"]).values():
        group, _, name = place.partition("/")
        section = values[group][name] if name else values[place]
        restored = kind(
            **{key: tuple(value) if isinstance(value, list) else value for key, value in section.items()}
        )
        config = _placed(config, place, restored)
    return config


def _placed(config: Config, place: str, section: Any) -> Config:
    group, _, name = place.partition("/")
    changed: Any = {**getattr(config, group), name: section} if name else section
    return replace(config, **{group: changed})


def _current(config: Config, place: str, kind: type) -> Any:
    """The section as it stands; the defaults of one that is named for the first time."""
    group, _, name = place.partition("/")
    return getattr(config, group).get(name, kind()) if name else getattr(config, group)


def _read_file(file: Path, errors: list[str]) -> list[Assignment]:
    parser = configparser.RawConfigParser(
        delimiters=("=",), comment_prefixes=("#", ";"), default_section="\0"
    )
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(file.read_text(encoding="utf-8"), source=str(file))
    except OSError as error:
        errors.append(f"{file}: cannot be read: {error.strerror or error}")
        return []
    except UnicodeDecodeError as error:
        errors.append(f"{file}: cannot be read: byte {error.start} is no UTF-8 text")
        return []
    except configparser.Error as error:
        errors.append(" ".join(str(error).split()))
        return []
    return [
        Assignment(str(file), section, key, value)
        for section in parser.sections()
        for key, value in parser.items(section)
    ]


def _read_set(text: str, errors: list[str]) -> list[Assignment]:
    place, equals, value = text.partition("=")
    section, dot, key = place.strip().rpartition(".")
    if not equals or not dot:
        errors.append(f"--set {text}: the form is section.key=value, for instance simnet.seed=7")
        return []
    return [Assignment("--set", section, key, value.strip())]


def _apply(assignments: Sequence[Assignment], errors: list[str]) -> Config:
    config = Config()
    strategies = [section.partition(":")[2] for _, section, _, _ in assignments if section[:9] == "strategy:"]
    table = sections({*config.strategy, *(name for name in strategies if re.fullmatch(NAME_PATTERN, name))})
    for source, section, key, text in assignments:
        if section not in table:
            errors.append(f"{source}: [{section}]: unknown section{_suggestion(section, table)}")
            continue
        kind, place = table[section]
        known = {entry.name: entry for entry in fields(kind)}
        if key not in known:
            errors.append(f"{source}: [{section}] {key}: unknown key{_suggestion(key, known)}")
            continue
        try:
            value = _parse(key, text, known[key].default, known[key].metadata)
        except ValueError as error:
            errors.append(f"{source}: [{section}] {key}: {error}")
            continue
        current = _current(config, place, kind)
        config = _placed(config, place, replace(current, **{key: value}))
    return config


def _suggestion(word: str, known: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if not close:
        return f"; known are {', '.join(known)}"
    unit = _unit(close[0])
    return f"; did you mean {close[0]}{f' ({unit})' if unit else ''}?"


def _unit(key: str) -> str:
    return next((unit for ending, unit in UNITS.items() if key.endswith(ending)), "")


def _parse(key: str, text: str, default: object, metadata: Mapping[str, Any]) -> object:
    text = text.strip()
    if isinstance(default, tuple):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if isinstance(default, str):
        options = metadata.get("options")
        if options and text not in options:
            raise ValueError(f"{text!r} is not one of {', '.join(options)}")
        return text
    unit = _unit(key)
    if not re.fullmatch(r"[+-]?\d+(_\d+)*", text):
        what = f"a whole number of {unit}" if unit else "a whole number"
        hint = "; the unit is part of the key's name" if re.match(r"[+-]?[\d.]+\s*[A-Za-z%]+$", text) else ""
        raise ValueError(f"{text!r} is not {what}{hint}")
    value = int(text)
    if not metadata["low"] <= value <= metadata["high"]:
        raise ValueError(
            f"{value} is out of range: {metadata['low']} to {metadata['high']}{' ' + unit if unit else ''}"
        )
    return value


def _cross_check(config: Config) -> list[str]:
    errors = topology.validate(
        [
            entry._replace(depth=config.links[entry.name].depth, mtu=config.links[entry.name].mtu)
            for entry in topology.LINKS
        ]
    )
    orders = (
        ("service:scanner", config.scanner, "minimum_size_lamports", "maximum_size_lamports"),
        ("service:planner", config.planner, "tip_floor_lamports", "tip_cap_lamports"),
    )
    errors += [
        f"[{section}] {low} {getattr(values, low)} is above {high} {getattr(values, high)}"
        for section, values, low, high in orders
        if getattr(values, low) > getattr(values, high)
    ]
    errors += settings_strategies.settings_errors(config)
    errors += _check_shard(config.scanner.shard)
    errors += _check_ledger(config.auditor.ledger_dsn, config.auditor.ledger_dsn_file)
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,15}", config.hft.prefix):
        errors.append(f"[hft] prefix: {config.hft.prefix!r} is not 1 to 16 of a-z, 0-9 and _, a letter first")
    errors += nats_address.settings_errors(config.nats)
    return errors


def _check_shard(text: str) -> list[str]:
    try:
        shard.parse(text)
    except ValueError as error:
        return [f"[service:scanner] shard: {error}"]
    return []


def _check_ledger(dsn: str, dsn_file: str) -> list[str]:
    """Never shows the DSN: what is wrong with it may be that it holds a password."""
    errors = []
    if dsn and dsn_file:
        errors.append("[service:auditor] ledger_dsn and ledger_dsn_file: only one of them may be set")
    if dsn and not dsn.startswith("postgresql://"):
        errors.append("[service:auditor] ledger_dsn: not of the form postgresql://USER@HOST/DATABASE")
    elif dsn and (":" in dsn[13:].rpartition("@")[0] or "password=" in dsn.lower()):
        errors.append(
            "[service:auditor] ledger_dsn: holds a password, which settings files and run.json must not;"
            " put the DSN into a file of mode 0600 and name it in ledger_dsn_file"
        )
    return errors
