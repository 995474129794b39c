"""A table without rules that costs a tenth of rich's to draw: it stands in the program's own process, beside
the services, and is drawn twice a second."""

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.style import Style

Piece = tuple[str, str]
"""Some text and its style."""

Cell = str | Piece | list[Piece]
"""One field: plain, styled, or several pieces side by side."""


class Grid:
    """Columns as wide as their widest cell, the room that is left spread between them.

    Where there is not enough room, the first column gives way. A column whose name begins with ``>`` is set
    right.
    """

    def __init__(self, *columns: str) -> None:
        self._right = [column.startswith(">") for column in columns]
        self._rows: list[list[list[Piece]]] = []
        names = [column.lstrip(">") for column in columns]
        if any(names):
            self.add_row(*[(name, "dim") for name in names])

    @property
    def lines(self) -> int:
        """Lines it takes, the header among them."""
        return len(self._rows)

    def add_row(self, *cells: Cell) -> None:
        """One line; as many cells as there are columns."""
        self._rows.append([_pieces(cell) for cell in cells])

    def __rich_measure__(self, _console: Console, options: ConsoleOptions) -> Measurement:
        """It takes what there is."""
        return Measurement(options.max_width, options.max_width)

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw line by line."""
        widths = self._widths(options.max_width)
        for row in self._rows:
            for place, pieces in enumerate(row):
                yield from _field(pieces, widths[place], self._right[place])
                if place + 1 < len(row):
                    yield Segment(" ")
            yield Segment.line()

    def _widths(self, room: int) -> list[int]:
        count = len(self._right)
        widths = [
            max((sum(cell_len(text) for text, _ in row[place]) for row in self._rows), default=0)
            for place in range(count)
        ]
        spare = room - sum(widths) - (count - 1)
        if spare < 0:
            widths[0] = max(1, widths[0] + spare)
            return widths
        share, rest = divmod(spare, count)
        return [width + share + (place < rest) for place, width in enumerate(widths)]


def _pieces(cell: Cell) -> list[Piece]:
    if isinstance(cell, str):
        return [(cell, "")]
    return [cell] if isinstance(cell, tuple) else cell


def _field(pieces: list[Piece], width: int, right: bool) -> list[Segment]:
    length = sum(cell_len(text) for text, _ in pieces)
    if length > width:
        text = "".join(text for text, _ in pieces)
        return [Segment(set_cell_size(text, width - 1) + "…", Style.parse(pieces[0][1]))]
    made = [Segment(text, Style.parse(style) if style else None) for text, style in pieces]
    padding = Segment(" " * (width - length))
    return [padding, *made] if right else [*made, padding]
