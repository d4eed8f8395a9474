"""Parts of a terminal's screen: pens, and lines of cells.

A cell is a text: "" is blank, `TAIL` the second half of a wide character, `Wide` a character of two cells. Pens hold
xterm.js's own numbers (colour, its mode and flags in one), so that every comparison and mask is the same.
"""

from typing import NamedTuple

TAIL = "\0"
"""The cell behind a wide character."""


class Wide(str):
    """A character (or cluster) of two cells."""

    __slots__ = ()


COLOR_MODE, P16, P256, RGB, COLOR = 0x3000000, 0x1000000, 0x2000000, 0x3000000, 0x3FFFFFF
INVERSE, BOLD, UNDERLINE, BLINK, INVISIBLE, STRUCK = (1 << bit for bit in range(26, 32))
ITALIC, DIM, EXTENDED, PROTECTED, OVERLINE = (1 << bit for bit in range(26, 31))
STYLE_SHIFT = 26
STYLE = 7 << STYLE_SHIFT

Link = tuple[str, str]
"""Parameters and address of a hyperlink."""


class Pen(NamedTuple):
    """Style of a cell. `extended`: underline style and colour, only where bg has EXTENDED."""

    fg: int = 0
    bg: int = 0
    extended: int = 0
    link: Link | None = None


DEFAULT_PEN = Pen()


def width(cell: str) -> int:
    return 0 if cell == TAIL else 2 if cell.__class__ is Wide else 1


def has_content(cell: str) -> bool:
    return cell != "" and cell != TAIL


class Line:
    """One row: cells and their pens; `wrapped`: it goes on from the row above."""

    __slots__ = ("pens", "text", "wrapped")

    def __init__(self, cols: int, pen: Pen = DEFAULT_PEN, wrapped: bool = False) -> None:
        self.text: list[str] = [""] * cols
        self.pens: list[Pen] = [pen] * cols
        self.wrapped = wrapped

    def set(self, column: int, cell: str, pen: Pen) -> None:
        self.text[column] = cell
        self.pens[column] = pen

    def insert(self, position: int, count: int, pen: Pen) -> None:
        """Blank cells at a position; the rest moves right."""
        cols = len(self.text)
        position %= cols
        if position and width(self.text[position - 1]) == 2:
            self.set(position - 1, "", pen)
        count = min(count, cols - position)
        self.text[position:] = [""] * count + self.text[position : cols - count]
        self.pens[position:] = [pen] * count + self.pens[position : cols - count]
        if width(self.text[-1]) == 2:
            self.set(cols - 1, "", pen)

    def delete(self, position: int, count: int, pen: Pen) -> None:
        """Delete cells from a position on; the rest moves left."""
        cols = len(self.text)
        position %= cols
        count = min(count, cols - position)
        self.text[position:] = self.text[position + count :] + [""] * count
        self.pens[position:] = self.pens[position + count :] + [pen] * count
        if position and width(self.text[position - 1]) == 2:
            self.set(position - 1, "", pen)
        if self.text[position] == TAIL:
            self.set(position, "", pen)

    def replace(self, start: int, end: int, pen: Pen, *, selective: bool = False) -> None:
        """Blank cells from start to before end; `selective`: protected cells stay."""
        cols = len(self.text)
        if start and width(self.text[start - 1]) == 2 and not (selective and self.pens[start - 1].bg & PROTECTED):
            self.set(start - 1, "", pen)
        halved = 0 < end < cols and width(self.text[end - 1]) == 2
        if halved and not (selective and self.pens[end].bg & PROTECTED):
            self.set(end, "", pen)
        end = min(end, cols)
        if selective:
            text, pens = self.text, self.pens
            for column in range(start, end):
                if not pens[column].bg & PROTECTED:
                    text[column], pens[column] = "", pen
        elif start < end:
            self.text[start:end] = [""] * (end - start)
            self.pens[start:end] = [pen] * (end - start)

    def fill(self, cell: str, pen: Pen) -> None:
        cols = len(self.text)
        self.text = [cell] * cols
        self.pens = [pen] * cols

    def resize(self, cols: int) -> None:
        have = len(self.text)
        if cols > have:
            self.text += [""] * (cols - have)
            self.pens += [DEFAULT_PEN] * (cols - have)
        else:
            del self.text[cols:], self.pens[cols:]

    def trimmed(self) -> int:
        """Columns up to the last cell with content."""
        for column in range(len(self.text) - 1, -1, -1):
            if has_content(self.text[column]):
                return column + width(self.text[column])
        return 0

    def copy_from(self, other: "Line", source: int, target: int, count: int) -> None:
        """Copy some cells of another line (or of this one)."""
        text, pens = other.text[source : source + count], other.pens[source : source + count]
        self.text[target : target + len(text)] = text
        self.pens[target : target + len(pens)] = pens


class Packed:
    """A line of the scrollback, small: nearly all are text in one or two pens."""

    __slots__ = ("_cells", "_runs", "wrapped")

    def __init__(self, line: Line) -> None:
        self.wrapped = line.wrapped
        text, pens = line.text, line.pens
        end = len(text)
        while end and not text[end - 1] and pens[end - 1] == DEFAULT_PEN:
            end -= 1
        cells, joined = text[:end], "".join(text[:end])
        self._cells: str | tuple[str, ...]
        if len(joined) == end and joined.isascii() and TAIL not in joined and "" not in cells:
            self._cells = joined  # nearly all lines: each cell is one character that is not wide
        else:
            simple = all(len(cell) <= 1 and cell.__class__ is not Wide for cell in cells)
            self._cells = "".join(cell or "\x01" for cell in cells) if simple else tuple(cells)
        if end and pens.count(pens[0]) == len(pens):
            self._runs: tuple[tuple[int, Pen], ...] = ((end, pens[0]),)
            return
        runs: list[tuple[int, Pen]] = []
        start = 0
        for column in range(1, end + 1):
            if column == end or pens[column] != pens[start]:
                runs.append((column - start, pens[start]))
                start = column
        self._runs = tuple(runs)

    def line(self, cols: int) -> Line:
        """The line as it was."""
        line = Line(0, wrapped=self.wrapped)
        cells = self._cells
        line.text = [*(("" if c == "\x01" else c) for c in cells)] if isinstance(cells, str) else list(cells)
        for count, pen in self._runs:
            line.pens += [pen] * count
        line.resize(cols)
        return line
