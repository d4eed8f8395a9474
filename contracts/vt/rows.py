"""Lines of cells as output that makes them, from the left to the right."""

from functools import lru_cache

from townwatch.contracts.vt.cells import COLOR, DEFAULT_PEN, TAIL, Line, Pen, Wide, has_content
from townwatch.contracts.vt.receiver import Receiver
from townwatch.contracts.vt.widths import Join, follow

STARTERS = ("😀", "ᄀ", "가", "각", "漢")
"""Wide characters of each kind that others join."""


class Rows:
    """Writes line after line of a screen of `cols` columns to a terminal."""

    def __init__(self, receiver: Receiver, cols: int) -> None:
        self._cols = cols
        self._receiver = receiver
        self._say, self._use = receiver.say, receiver.use

    def write(self, line: Line, wraps_into: Line | None) -> int:
        """One line's cells, from column 0; where the next one goes on from it, the cursor ends at its start."""
        cols = self._cols
        text, pens = line.text[:cols], line.pens[:cols]
        end = cols
        while end and text[end - 1] == "" and pens[end - 1] == DEFAULT_PEN:
            end -= 1
        early = wraps_into is not None and text[-1] == "" and wraps_into.text[0].__class__ is Wide
        if early and wraps_into is not None and pens[-1] == wraps_into.pens[0]:
            end = cols - 1  # a wide character that did not fit: it leaves this cell behind itself
        odd = end == cols and cols > 2 and (_styled_blank(text[-1], pens[-1]) or _is_half(text, cols - 1))
        end = _odd_from(text, pens) if odd else end
        halved = cols > 2 and text[-2].__class__ is Wide and text[-1] != TAIL
        column = 0
        while column < end:
            if text[column] in ("", TAIL):
                column = self._blanks(text, pens, column, end)
            else:
                column = self._cell(text, pens, column)
        if odd and wraps_into is None:
            column = self._odd_end(text, pens)
        if halved and (wraps_into is None or (column == cols and at_margin(text[-2]) is None)):
            column = self._halved_end(text, pens)
        if wraps_into is not None:
            column = self._wrap(text, pens, column, wraps_into)
        return column

    def _cell(self, text: list[str], pens: list[Pen], column: int) -> int:
        cell, pen = text[column], pens[column]
        if cell.__class__ is Wide and column + 1 == len(text):
            return column + 1  # cut in two by a change of size: no output makes that again
        wide = cell.__class__ is Wide
        if wide and column + 2 == self._cols and text[-1] != TAIL:
            self._say("\x1b[C")  # comes later: what is printed behind it ends it
            return column + 1
        self._use(pen)
        made = at_margin(cell) if wide else None
        if made is None or self._cols < 3:
            self._say(cell)
        else:
            self._forced(*made, column)
        if wide and column + 1 < len(text) and text[column + 1] != TAIL:
            self._say(f"\x1b[{column + 2}G")  # its other half was written over
            return column + 1
        if column + 1 < len(text) and not wide and len(text[column + 1]) and _may_join(cell, text[column + 1]):
            self._say("\x1b\\")  # two clusters that stand side by side stay two
        elif wide and column + 2 < len(text) and _may_join(cell, text[column + 2]):
            self._say("\x1b\\")
        return column + (2 if wide else 1)

    def _forced(self, begins: str, joins: str, column: int) -> None:
        """A wide cluster that is made at the margin, and moved to its place."""
        at = self._cols - 3
        self._say(f"\x1b[{at + 1}G{begins}\x1b[?7l{joins}\x1b[?7h")
        pen = self._receiver.pen
        self._use(DEFAULT_PEN)
        if column > at:
            self._say(f"\x1b[{at + 1}G\x1b[@")
        elif column < at:
            self._say(f"\x1b[{column + 1}G\x1b[{at - column}P")
        self._use(pen)
        self._say(f"\x1b[{min(column + 3, self._cols)}G")

    def _blanks(self, text: list[str], pens: list[Pen], column: int, end: int) -> int:
        """A run of blank cells: erased with their background, then skipped."""
        pen, start = pens[column], column
        if _styled_blank(text[column], pen) and column + 1 < self._cols:
            self._use(DEFAULT_PEN)
            self._say(f"漢\x1b[{column + 2}G")
            self._use(pen)
            self._say(f"x\x1b[{column + 2}G")  # over its second half: the first is blank then, in this pen
            self._use(DEFAULT_PEN)
            self._say("\x1b[X")
            return column + 1
        if column + 2 < self._cols and text[column] == "" and _is_half(text, column + 1):
            return self._half(pens[column], pens[column + 1], column)
        while column < end and text[column] in ("", TAIL) and pens[column] == pen:
            column += 1
            if text[column : column + 1] == [""] and _is_half(text, column + 1):
                break
        count = column - start
        if pen != DEFAULT_PEN:
            self._use(Pen(0, pen.bg & COLOR))
            self._say(f"\x1b[{count}X")
        if column < self._cols:
            self._say(f"\x1b[{count}C" if count > 1 else "\x1b[C")
        return column

    def _half(self, blank: Pen, half: Pen, column: int) -> int:
        """A blank, and behind it the second half of a wide character without its first: it is moved there."""
        self._use(half)
        self._say("漢")
        self._use(DEFAULT_PEN)
        self._say(f"\x1b[{column + 2}G\x1b[@\x1b[{column + 1}G\x1b[P")
        if blank != DEFAULT_PEN:
            self._use(Pen(0, blank.bg & COLOR))
            self._say("\x1b[X")
        self._say("\x1b[2C")
        return column + 2

    def _odd_end(self, text: list[str], pens: list[Pen]) -> int:
        """The last columns with what no printed character leaves there: a blank with a pen of its own, or a second half
        alone. Each is made one column to the left, then all of them are pushed to the right.
        """
        cols, start = self._cols, max(1, _odd_from(text, pens))
        for column in range(start, cols):
            if text[column] == TAIL and column >= 2:
                self._say(f"\x1b[{column - 1}G")
                self._half(pens[column - 1], pens[column], column - 2)
            elif _styled_blank(text[column], pens[column]):
                self._use(DEFAULT_PEN)
                self._say(f"\x1b[{column}G漢\x1b[{column + 1}G")
                self._use(pens[column])
                self._say("x")
        self._use(DEFAULT_PEN)
        self._say(f"\x1b[{start}G\x1b[@")
        self._again(text, pens, start - 1)
        self._say(f"\x1b[{cols}G")
        return cols - 1

    def _halved_end(self, text: list[str], pens: list[Pen]) -> int:
        """A wide character before the last column whose second half is not there: without wrapping, what is printed
        at the margin goes over it.
        """
        cols = self._cols
        if at_margin(text[-2]) is None and has_content(text[-1]):
            self._use(pens[-2])
            self._say(f"\x1b[{cols - 1}G{text[-2]}\x1b[?7l")
            self._use(pens[-1])
            self._say(f"{text[-1]}\x1b[?7h")
            return cols
        blank = Pen(0, pens[-2].bg & COLOR)
        begins, joins = at_margin(text[-2], halved=True, empty=blank == pens[-2]) or (text[-2], "")
        self._use(pens[-2])
        self._say(f"\x1b[{cols - 1}G" + (begins or "\x1b[X\x1b[C") + f"\x1b[?7l{joins}\x1b[?7h")
        return cols - 1

    def _again(self, text: list[str], pens: list[Pen], column: int) -> None:
        """A cell that was written over, or the wide one that it is a part of."""
        if text[column] == TAIL and not _is_half(text, column):
            column -= 1
        self._say(f"\x1b[{column + 1}G")
        if has_content(text[column]):
            self._cell(text, pens, column)
        else:
            self._blanks(text[: column + 1], pens, column, column + 1)

    def _wrap(self, text: list[str], pens: list[Pen], column: int, into: Line) -> int:
        """Let the terminal wrap by itself, so that it knows that the lines are one."""
        cols = self._cols
        first = into.text[0]
        natural = column == cols and text[-1] != "" and text[-1].__class__ is not Wide
        early = column == cols - 1 and text[-1] == "" and first.__class__ is Wide and pens[-1] == into.pens[0]
        before = column - (2 if text[column - 1] == TAIL else 1)
        if (natural or early) and _may_join(text[before], first):
            self._say("\x1b\\")
        if early and into.pens[0].bg & COLOR:
            self._use(into.pens[0])
            self._say(first + "\r")
            self._use(DEFAULT_PEN)
            self._say(f"\x1b[{cols}X")  # a line that scrolls in has the background of that moment
            return column
        if early or (natural and has_content(first) and not into.pens[0].bg & COLOR):
            return column
        if not natural:  # a filler in the last column, taken back afterwards
            self._use(DEFAULT_PEN)
            self._say(f"\x1b[{cols}G#")
        self._use(DEFAULT_PEN)
        self._say("#\r\x1b[X")
        if not natural:
            self._say(f"\x1b[A\x1b[{cols}G")
            if cols > 2 and (_styled_blank(text[-1], pens[-1]) or _is_half(text, cols - 1)):
                self._odd_end(text, pens)
            else:
                self._use(Pen(0, pens[-1].bg & COLOR))
                self._say("\x1b[X")
            self._use(DEFAULT_PEN)
            self._say("\x1b[B\r")
        return column


@lru_cache(maxsize=4096)
def at_margin(cell: str, *, halved: bool = False, empty: bool = True) -> tuple[str, str] | None:
    """Return a wide cluster in two parts if its characters do not make it by themselves. Without wrapping, a wide
    character that has no room in the last column is left out, and what joins it goes to the cell before: the second
    part begins with such a character. `halved`: the cluster is to have no second half. `empty`: the first part may be.
    """
    whole = _natural(cell)
    if whole == len(cell) and not halved and _width(cell) == 2:
        return None
    index = 1 if whole == len(cell) else whole
    if halved and empty and any(_joins_all(one, cell) for one in STARTERS):
        index = 0  # all of it joined an empty cell
    starter = next((one for one in STARTERS if _joins_all(one, cell[index:])), None)
    return None if starter is None else (cell[:index], starter + cell[index:])


def _natural(cell: str) -> int:
    """Return how many characters of a text are one cluster when they are printed."""
    join: Join | None = None
    for index, char in enumerate(cell):
        join, joins = follow(join, char)
        if index and not joins:
            return index
    return len(cell)


def _width(cluster: str) -> int:
    join: Join | None = None
    for char in cluster:
        join, _ = follow(join, char)
    return join[1] if join is not None else 0


def _joins_all(start: str, text: str) -> bool:
    """Return True if all of the text joins what begins so."""
    join, _ = follow(None, start)
    for char in text:
        join, joins = follow(join, char)
        if not joins or join[1] != 2:
            return False
    return True


def _is_half(text: list[str], column: int) -> bool:
    """Return True for the second half of a wide character without its first: xterm.js leaves some."""
    return text[column : column + 1] == [TAIL] and not (column and text[column - 1].__class__ is Wide)


def _odd_from(text: list[str], pens: list[Pen]) -> int:
    """Return the first of the columns that `_odd_end` writes."""
    column = len(text) - 1
    if text[column] == TAIL:
        column -= 1
    while column:
        if _styled_blank(text[column - 1], pens[column - 1]):
            column -= 1
        elif column > 1 and text[column - 2] == "" and _is_half(text, column - 1):
            column -= 2
        else:
            break
    return column


def _styled_blank(cell: str, pen: Pen) -> bool:
    """Return True if a blank cell has more than a background: the rest of a wide character that was cut in two."""
    return cell == "" and (pen.fg != 0 or pen.bg & ~COLOR != 0)


@lru_cache(maxsize=4096)
def _may_join(cell: str, following: str) -> bool:
    """Return True if `following`, printed right after the cluster `cell`, would become a part of it."""
    if not cell or not following or following == TAIL or (cell[-1] < "\x80" and following[0] < "\x80"):
        return False
    join: Join | None = None
    for char in cell:
        join, _ = follow(join, char)
    return follow(join, following[0])[1]
