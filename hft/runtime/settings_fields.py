"""Forms of settings: a number with its range, one of a few words, text, a list; each with its explanation."""

from dataclasses import field
from typing import Any

MAXIMUM_U64 = 2**64 - 1
LAMPORTS_PER_SOL = 1_000_000_000


def number(default: int, low: int, high: int, text: str) -> Any:
    """An integer key with an inclusive range."""
    return field(default=default, metadata={"low": low, "high": high, "text": text})


def choice(default: str, options: tuple[str, ...], text: str) -> Any:
    """A key that takes one of a few words."""
    return field(default=default, metadata={"options": options, "text": text})


def string(default: str, text: str) -> Any:
    """A free text key; empty is allowed."""
    return field(default=default, metadata={"text": text})


def secret_file(text: str) -> Any:
    """A key that names a file with a secret, which must be there and its owner's alone; empty: none."""
    return field(default="", metadata={"text": text, "secret": True})


def strings(text: str, default: tuple[str, ...] = ()) -> Any:
    """A list key: entries separated by commas."""
    return field(default=default, metadata={"text": text})
