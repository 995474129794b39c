"""A program for the SVM, assembled here: instructions of the virtual machine in the smallest ELF it loads."""

from collections.abc import Sequence
from struct import pack

EXIT = pack("<BBhi", 0x95, 0, 0, 0)


def returns(code: int) -> list[bytes]:
    """Puts ``code`` where a program's result is looked for, and ends: 0 is success."""
    return [pack("<BBhi", 0xB7, 0, 0, code), EXIT]


def spends(loops: int, code: int = 0) -> list[bytes]:
    """The same after ``loops`` turns of two instructions: so many compute units, and four."""
    count = pack("<BBhi", 0xB7, 1, 0, loops)
    take = pack("<BBhi", 0x17, 1, 0, 1)
    again = pack("<BBhi", 0x55, 1, -2, 0)
    return [count, take, again, *returns(code)]


def elf(instructions: Sequence[bytes]) -> bytes:
    """The program as a file: header, one segment, its text, the sections' names, the sections."""
    text = b"".join(instructions)
    at = 64 + 56
    names = b"\0.text\0.shstrtab\0"
    names_at = at + len(text)
    sections_at = (names_at + len(names) + 7) // 8 * 8
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += pack("<HHIQQQIHHHHHH", 3, 247, 1, at, 64, sections_at, 0, 64, 56, 1, 64, 3, 2)
    segment = pack("<IIQQQQQQ", 1, 5, at, at, at, len(text), len(text), 8)
    sections = bytes(64)
    sections += pack("<IIQQQQIIQQ", 1, 1, 6, at, at, len(text), 0, 0, 8, 0)
    sections += pack("<IIQQQQIIQQ", 7, 3, 0, 0, names_at, len(names), 0, 0, 1, 0)
    body = head + segment + text + names
    return body + bytes(sections_at - len(body)) + sections
