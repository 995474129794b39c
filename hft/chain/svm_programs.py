"""Venue programs from a folder of ``<program id>.so`` files, loaded into an SVM."""

from pathlib import Path
from typing import Final

from solders.litesvm import LiteSVM
from solders.pubkey import Pubkey

MAX_PROGRAM_BYTES: Final = 10 << 20
ELF_MAGIC: Final = b"\x7fELF"


class ProgramError(Exception):
    """A folder or a file that holds no program; the text names it."""


def load_programs(svm: LiteSVM, folder: str | Path) -> frozenset[bytes]:
    """Puts every ``<program id>.so`` of the folder into the SVM; returns their ids (32 bytes each).

    ``ProgramError`` if the folder is none, holds no program, or a file is not what its name says.
    """
    path = Path(folder)
    if not path.is_dir():
        raise ProgramError(f"{path}: a folder with <program id>.so files belongs there")
    found = set()
    for file in sorted(path.glob("*.so")):
        try:
            program = Pubkey.from_string(file.stem)
        except ValueError as error:
            raise ProgramError(f"{file}: the name must be the program's id: {error}") from error
        data = file.read_bytes() if file.stat().st_size <= MAX_PROGRAM_BYTES else b""
        if not data.startswith(ELF_MAGIC):
            raise ProgramError(f"{file}: no ELF of at most {MAX_PROGRAM_BYTES} bytes")
        try:
            svm.add_program(program, data)
        except ValueError as error:
            raise ProgramError(f"{file}: the SVM refuses it: {error}") from error
        found.add(bytes(program))
    if not found:
        raise ProgramError(f"{path}: no <program id>.so file is there")
    return frozenset(found)
