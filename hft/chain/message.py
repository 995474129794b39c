"""A v0 message's bytes: where each field lies, for patching in place and for judging before sending.

    0x80 | header 3 | n keys, 32 each | blockhash 32 | m instructions | t table look-ups
    instruction: program u8 | accounts: count, u8 each | data: length, bytes
    look-up: table 32 | writable: count, u8 each | readonly: count, u8 each

Counts and lengths are compact-u16: 7 bits a byte, lowest first, at most 3 bytes. A signed transaction is the
count of signatures, 64 bytes each, and the message.
"""

from typing import Final, NamedTuple

V0_PREFIX: Final = 0x80
SIGNATURE_BYTES: Final = 64
KEY_BYTES: Final = 32


class MessageError(ValueError):
    """Bytes that are no v0 message; the text says where and why."""


class InstructionAt(NamedTuple):
    """One instruction: index of its program among the keys, its accounts' indexes, where its data lies."""

    program: int
    accounts: bytes
    data_at: int
    data_length: int


class TableUse(NamedTuple):
    """What a message loads through one lookup table: indexes into the table's addresses."""

    table: bytes
    writable: bytes
    readonly: bytes


class MessageLayout(NamedTuple):
    """Positions in a v0 message. ``keys`` are the static ones; loaded keys are numbered behind them."""

    signatures: int
    readonly_signed: int
    readonly_unsigned: int
    keys: tuple[bytes, ...]
    blockhash_at: int
    instructions: tuple[InstructionAt, ...]
    tables: tuple[TableUse, ...]

    @property
    def locks(self) -> int:
        """Accounts that the validator locks: static and loaded."""
        return len(self.keys) + sum(len(use.writable) + len(use.readonly) for use in self.tables)


class _Reader:
    """Reads forward; every step is checked against the end."""

    def __init__(self, data: bytes | bytearray, at: int) -> None:
        self.data, self.at = data, at

    def take(self, count: int) -> bytes:
        end = self.at + count
        if end > len(self.data):
            raise MessageError(f"message of {len(self.data)} bytes ends before byte {end}")
        piece = bytes(self.data[self.at : end])
        self.at = end
        return piece

    def compact(self) -> int:
        value = 0
        for shift in (0, 7, 14):
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
        else:
            raise MessageError(f"length before byte {self.at} runs over 3 bytes")
        return value


def parse_message(data: bytes | bytearray) -> MessageLayout:
    """Positions in the v0 message ``data``, read to its last byte. ``MessageError`` for anything else."""
    reader = _Reader(data, 0)
    prefix = reader.take(1)[0]
    if prefix != V0_PREFIX:
        raise MessageError(f"message starts with 0x{prefix:02x}: 0x{V0_PREFIX:02x}, version 0, belongs there")
    signatures, readonly_signed, readonly_unsigned = reader.take(3)
    keys = tuple(reader.take(KEY_BYTES) for _ in range(reader.compact()))
    blockhash_at = reader.at
    reader.take(KEY_BYTES)
    instructions = []
    for _ in range(reader.compact()):
        program = reader.take(1)[0]
        accounts = reader.take(reader.compact())
        length = reader.compact()
        instructions.append(InstructionAt(program, accounts, reader.at, length))
        reader.take(length)
    tables = []
    for _ in range(reader.compact()):
        table = reader.take(KEY_BYTES)
        writable = reader.take(reader.compact())
        tables.append(TableUse(table, writable, reader.take(reader.compact())))
    if reader.at != len(data):
        raise MessageError(f"{len(data) - reader.at} bytes follow the message's end at {reader.at}")
    layout = MessageLayout(
        signatures,
        readonly_signed,
        readonly_unsigned,
        keys,
        blockhash_at,
        tuple(instructions),
        tuple(tables),
    )
    _check_indexes(layout)
    return layout


def split_transaction(data: bytes) -> tuple[tuple[bytes, ...], bytes]:
    """Signatures and message of a signed transaction. ``MessageError`` if it ends too early."""
    reader = _Reader(data, 0)
    signatures = tuple(reader.take(SIGNATURE_BYTES) for _ in range(reader.compact()))
    return signatures, data[reader.at :]


def _check_indexes(layout: MessageLayout) -> None:
    total, static = layout.locks, len(layout.keys)
    if not 0 < layout.signatures <= static:
        raise MessageError(f"{layout.signatures} signatures for {static} static keys")
    for number, instruction in enumerate(layout.instructions):
        if not 0 < instruction.program < static:
            raise MessageError(f"instruction {number}: program {instruction.program} of {static} static keys")
        if instruction.accounts and max(instruction.accounts) >= total:
            raise MessageError(f"instruction {number}: account {max(instruction.accounts)} of {total} keys")
