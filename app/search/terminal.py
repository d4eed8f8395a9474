"""Text of a terminal as people saw it: lines that scrolled away, and the rows that stood on the screen.

Escape sequences, repaints and overwritten text are no lines. A row is taken when it scrolls away or when the reader
asks for the rows that stand there; what was taken is not taken again while it is among the last lines.
"""

import re
from collections import OrderedDict

from townwatch.contracts.vt.buffer import Buffer
from townwatch.contracts.vt.cells import INVISIBLE, TAIL, Line
from townwatch.contracts.vt.screen import VtScreen

SLICE_CHARS = 2048
"""Output between two looks at the rows. Full-screen programs repaint about as much at a time."""
SCROLLBACK = 4096
"""More lines than a slice can scroll away by line feeds."""
_RECENT = 400
_MAY_HIDE = re.compile(r"(?<![0-9])0*8[;:m]")
"""What may end the sequence that hides text; its beginning may have come in an earlier piece of output."""
_CHANGING = re.compile(r"[\W\d_]+")
"""What changes in a row that counts or spins in its place."""


class TerminalText:
    """`write` output in order; it returns the lines that have become readable."""

    def __init__(self) -> None:
        self._screen = VtScreen(scrollback=SCROLLBACK)
        self._recent: OrderedDict[str, None] = OrderedDict()
        self._standing: dict[int, str] = {}
        """Row → what stood there at the last look, without what changes."""
        self._hiding = False
        """Whether text may have been drawn invisibly; looking for that takes time."""
        self._scrolled = ""
        """The line that scrolled away last: the next row may go on from it."""

    def resize(self, cols: int, rows: int) -> None:
        self._screen.resize(cols, rows)

    def write(self, text: str) -> list[str]:
        """Return lines that scrolled away, and rows that stand on the screen but for the cursor's, which is being
        written.
        """
        self._hiding = self._hiding or _MAY_HIDE.search(text) is not None
        found: list[str] = []
        for start in range(0, len(text), SLICE_CHARS):
            self._screen.write(text[start : start + SLICE_CHARS])
            if self._screen.normal.history:
                found += self._scrolled_away()
                self._standing.clear()  # every row stands elsewhere now
            found += self._rows(last=False)
        return found

    def rest(self) -> list[str]:
        """Return everything that still stands on the screen: nothing more is written."""
        return self._rows(last=True)

    def _scrolled_away(self) -> list[str]:
        buffer, cols = self._screen.normal, self._screen.cols
        lines: list[str] = []
        while buffer.history:
            line = buffer.history.popleft().line(cols)
            buffer.saved_y = max(0, buffer.saved_y - 1)  # it counts from the oldest line
            if line.wrapped:
                self._scrolled += _cells(line, hiding=self._hiding)
            else:
                lines.append(self._scrolled)
                self._scrolled = _cells(line, hiding=self._hiding)
        return [shown for line in lines if (shown := self._new(line))]

    def _rows(self, *, last: bool) -> list[str]:
        found: list[str] = []
        buffer = self._screen.buffer
        standing: dict[int, str] = {}
        on_normal = buffer is self._screen.normal
        before = self._scrolled if on_normal else ""
        if before and not buffer.lines[0].wrapped:
            found += [before] if self._new(before) else []
            self._scrolled = before = ""
        for row, line, end in _logical(buffer, before, hiding=self._hiding):
            steady = _CHANGING.sub(" ", line).strip()
            standing[row] = steady
            if row <= buffer.y < end and not last:
                continue
            if not last and steady and self._standing.get(row) == steady and line.strip() not in self._recent:
                continue  # it counts or spins in its place
            if shown := self._new(line):
                found.append(shown)
        self._standing = standing
        return found

    def _new(self, line: str) -> str:
        """The line without what surrounds it, if it has something to read that was not taken just now; else nothing."""
        shown = line.strip()
        if not shown:
            return ""
        if shown in self._recent:
            self._recent.move_to_end(shown)
            return ""
        self._recent[shown] = None
        if len(self._recent) > _RECENT:
            self._recent.popitem(last=False)
        return shown


def _logical(buffer: Buffer, before: str, *, hiding: bool) -> list[tuple[int, str, int]]:
    """(first row, text, row behind the last) of each line, those that wrap as one."""
    found: list[tuple[int, str, int]] = []
    for row, line in enumerate(buffer.lines):
        text = _cells(line, hiding=hiding)
        if line.wrapped and found:
            first, so_far, _ = found[-1]
            found[-1] = (first, so_far + text, row + 1)
        else:
            found.append((row, (before if not row and line.wrapped else "") + text, row + 1))
    return found


def _cells(line: Line, *, hiding: bool) -> str:
    """Return the text of a row, without what is drawn invisibly."""
    text = line.text
    if hiding:
        text = ["" if pen.fg & INVISIBLE else cell for cell, pen in zip(text, line.pens, strict=True)]
    return "".join(cell or " " for cell in text if cell != TAIL).rstrip()
