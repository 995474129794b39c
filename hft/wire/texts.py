"""Text and keys as people and subjects see them."""

from functools import lru_cache

_KEY_BYTES = 32
_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def text(value: bytes) -> str:
    """The text of a fixed field: UTF-8 without its padding; bytes that are not UTF-8 show as U+FFFD."""
    return value.rstrip(b"\0").decode("utf-8", "replace")


def fit_text(value: str, limit: int) -> bytes:
    """``value`` in UTF-8, cut to at most ``limit`` bytes between characters."""
    encoded = value.encode("utf-8", "replace")
    if len(encoded) <= limit:
        return encoded
    return encoded[:limit].decode("utf-8", "ignore").encode()


def base58(value: bytes) -> str:
    """``value`` in Bitcoin's base 58, as Solana writes keys and signatures."""
    return _known(value) if len(value) == _KEY_BYTES else _base58(value)


@lru_cache(maxsize=2048)
def _known(key: bytes) -> str:
    """Keys come again and again; no signature does."""
    return _base58(key)


def _base58(value: bytes) -> str:
    number = int.from_bytes(value, "big")
    digits: list[str] = []
    while number:
        number, digit = divmod(number, 58)
        digits.append(_ALPHABET[digit])
    zeros = len(value) - len(value.lstrip(b"\0"))
    return "1" * zeros + "".join(reversed(digits))
