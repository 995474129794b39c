"""Secrets of services that are asked by HTTP: the first line of a file of mode 0600, told to nobody else."""

from pathlib import Path

from hft.runtime.config import ConfigError


def secret_of(path: str, key: str) -> str:
    """The first line of a secret's file. ``ConfigError`` naming ``key`` if it can't be read, is empty, or
    others may read it; never with what it holds."""
    file = Path(path).expanduser()
    try:
        mode = file.stat().st_mode
        text = file.read_text("utf-8").split("\n", 1)[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{key}: {file}: cannot be read: {type(error).__name__}"]) from error
    if mode & 0o077:
        raise ConfigError([f"{key}: {file}: others can read it (mode {mode & 0o777:04o}); 0600 is right"])
    if not text:
        raise ConfigError([f"{key}: {file}: its first line is empty; the secret belongs there"])
    return text
