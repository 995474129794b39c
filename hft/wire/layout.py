"""Where every byte of a message lies, as the schema's reflection gives it.

A message whose fields are all fixed-size has one constant layout::

    0        4            8                          body - 4      body
    +--------+------------+------------------+-------+-------------+---------------------------+
    | root   | identifier | vtable           | zeros | vtable at   | fields, each aligned to   |
    | offset | 4 bytes    | 4 + 2 * fields   | 0..6  | root - this | its own size, zeros between |
    +--------+------------+------------------+-------+-------------+---------------------------+
    |<---------------------- template ----------------------------->|

The template is the same in each message of a type; ``body`` is a multiple of 8. What is written is a
FlatBuffers message that any language's generated code reads.
"""

from enum import IntEnum
from typing import NamedTuple

View = bytes | bytearray | memoryview
"""What a message is read from; a memoryview is one-dimensional and of bytes."""

MAXIMUM_BYTES = 65_536
"""A buffer longer than this is refused unread."""


class Field(NamedTuple):
    """One field of a record.

    ``code`` is its ``struct`` code (``16s`` … for bytes), ``offset`` and ``bytes`` its place in our own
    writing, ``alignment`` its FlatBuffers alignment, ``enum`` the type of its values, if they are of one.
    """

    name: str
    code: str
    offset: int
    bytes: int
    alignment: int
    unit: str
    doc: str
    text: bool = False
    enum: type[IntEnum] | None = None


class Layout(NamedTuple):
    """One record type: ``fields`` in schema order, which is also vtable order and the order in the body."""

    name: str
    identifier: bytes
    link: str
    doc: str
    size: int
    template: bytes
    fields: tuple[Field, ...]

    def position(self, name: str) -> int:
        """Position of the field of this name; KeyError with the names there are."""
        for position, field in enumerate(self.fields):
            if field.name == name:
                return position
        raise KeyError(f"{self.name} has no field {name!r}; it has {', '.join(f.name for f in self.fields)}")
