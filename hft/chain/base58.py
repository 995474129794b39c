"""Base58 texts of any length: instruction data in RPC results, secret keys in wallet files."""

from typing import Final

_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_FOREIGN: Final = 58
_VALUES: Final = bytes(_ALPHABET.find(chr(code)) % (_FOREIGN + 1) for code in range(256))
_GROUP: Final = 10
_POWER: Final = 58**_GROUP
"""As much as fits 64 bits: the long number is multiplied once for so many letters."""


def b58decode(text: str) -> bytes:
    """The bytes of ``text``; ``ValueError`` names a foreign letter's place (the text may be a secret)."""
    digits = text.encode("latin-1", "replace").translate(_VALUES)
    if _FOREIGN in digits:
        raise ValueError(f"letter {digits.index(_FOREIGN) + 1} of {len(text)} is none of base58's")
    first = len(digits) % _GROUP
    number = 0
    for digit in digits[:first]:
        number = number * 58 + digit
    for at in range(first, len(digits), _GROUP):
        a, b, c, d, e, f, g, h, i, j = digits[at : at + _GROUP]
        group = a * 58 + b
        group = (((group * 58 + c) * 58 + d) * 58 + e) * 58 + f
        group = (((group * 58 + g) * 58 + h) * 58 + i) * 58 + j
        number = number * _POWER + group
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
