"""The one exception of this room."""

from enum import StrEnum


class WireErrorCode(StrEnum):
    """Why a message was refused; the value serves as a counter's name."""

    TRUNCATED = "truncated"
    OVERSIZE = "oversize"
    WRONG_IDENTIFIER = "wrong_identifier"
    UNKNOWN_IDENTIFIER = "unknown_identifier"
    BAD_ROOT = "bad_root"
    BAD_VTABLE = "bad_vtable"
    BAD_TABLE = "bad_table"
    BAD_FIELD = "bad_field"
    BAD_VALUE = "bad_value"
    NO_ROOM = "no_room"


class WireError(Exception):
    """A buffer that is no valid message, or a value that fits no field.

    ``code`` tells which; the message names the value and what would be right.
    """

    def __init__(self, code: WireErrorCode, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
