"""Base58 texts of any length: instruction data in RPC results, secret keys in wallet files."""

from typing import Final

_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_VALUES: Final = {letter: value for value, letter in enumerate(_ALPHABET)}


def b58decode(text: str) -> bytes:
    """The bytes of ``text``; ``ValueError`` names a foreign letter's place (the text may be a secret)."""
    number = 0
    for at, letter in enumerate(text):
        value = _VALUES.get(letter)
        if value is None:
            raise ValueError(f"letter {at + 1} of {len(text)} is none of base58's")
        number = number * 58 + value
    body = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return bytes(len(text) - len(text.lstrip("1"))) + body


def b58encode(data: bytes) -> str:
    """The text of ``data``."""
    number = int.from_bytes(data, "big")
    text = ""
    while number:
        number, digit = divmod(number, 58)
        text = _ALPHABET[digit] + text
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + text
