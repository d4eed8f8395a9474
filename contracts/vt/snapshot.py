"""The whole state of a screen as output: written to a fresh terminal of the same size, it makes the same terminal.

Both buffers with their scrollback, saved cursors, scroll regions and tab stops; then character sets, modes, title, pen
and cursor. A plain terminal gives plain text.
"""

from collections.abc import Generator, Iterator
from functools import lru_cache

from townwatch.contracts.vt import sgr
from townwatch.contracts.vt.buffer import Buffer
from townwatch.contracts.vt.cells import COLOR, DEFAULT_PEN, EXTENDED, STYLE, TAIL, Line, Pen, Wide, has_content
from townwatch.contracts.vt.modes import ENCODINGS, Modes
from townwatch.contracts.vt.screen import VtScreen
from townwatch.contracts.vt.widths import Join, follow

_FRESH = Modes()


SLICE_CELLS = 2048
"""Cells that are written between two slices: a few milliseconds."""


def snapshot(screen: VtScreen) -> str:
    """Return the text that makes this screen of a fresh terminal of its size."""
    return "".join(snapshot_slices(screen))


def snapshot_slices(screen: VtScreen) -> Iterator[str]:
    """Yield the snapshot in pieces, so that others can run in between. The screen must not change meanwhile."""
    return _Writer(screen).pieces()


class _Writer:
    """Builds one snapshot. Keeps track of the pen and the link that the receiving terminal has."""

    def __init__(self, screen: VtScreen) -> None:
        self._screen = screen
        self._out: list[str] = []
        self._pen = DEFAULT_PEN
        self._charset = ""

    def pieces(self) -> Iterator[str]:
        screen, on_alternate = self._screen, self._screen.buffer is self._screen.alternate
        normal, alternate = screen.normal, screen.alternate
        at = yield from self._lines(normal, cursor=None if on_alternate else normal.y)
        text_end = len(self._out)
        self._extras(normal)
        if on_alternate:
            self._use(DEFAULT_PEN)
            self._say("\x1b[?47h")
            if self._moved or at != (0, 0):
                self._say("\x1b[H")
            at = yield from self._lines(alternate, cursor=alternate.y)
            text_end = len(self._out)
            self._extras(alternate)
        elif _saved(alternate) != (0, 0, 0, 0, ""):
            self._use(DEFAULT_PEN)
            self._say("\x1b[?47h")
            self._save(alternate)
            self._say("\x1b[?47l")
        self._charsets()
        self._modes()
        late = screen.modes.insert or screen.modes.private[2026]
        if late or len(self._out) > text_end or at != (screen.buffer.x, screen.buffer.y) or self._pen != screen.pen:
            self._finish(at if not self._moved else None)
        if screen.join is None and self._out and self._out[-1] > "\x1f":
            self._say("\x1b\\")  # what comes next joins nothing
        yield "".join(self._out)

    def _say(self, text: str) -> None:
        if text:
            self._out.append(text)

    def _use(self, pen: Pen, *, last: bool = False) -> None:
        """Make the receiver's pen this one, as far as it can be seen; the last one with the colour of underlines to
        come.
        """
        if not pen.bg & EXTENDED and (pen.extended or pen.link):
            pen = Pen(pen.fg, pen.bg, pen.extended & COLOR if last and not pen.extended & STYLE else 0)
        if pen.link != self._pen.link:
            parameters, address = pen.link or ("", "")
            self._say(f"\x1b]8;{parameters};{address}\x1b\\")
        if (pen.fg, pen.bg, pen.extended) != (self._pen.fg, self._pen.bg, self._pen.extended):
            self._say(sgr.sequence(pen))
        self._pen = pen

    # --- text --------------------------------------------------------------------------------------

    _moved = False
    """Whether the cursor is somewhere else than the text left it."""

    def _lines(self, buffer: Buffer, cursor: int | None) -> Generator[str, None, tuple[int, int]]:
        """Write all lines from the top; return where the cursor is then. `cursor`: the row to be reached at least.

        What is behind the last slice stays in `_out`, whose last piece the caller looks at.
        """
        screen, count = self._screen, buffer.base + len(buffer.lines)
        if buffer.history:
            last = count - 1  # every line must scroll to its place
        else:
            last = max((index for index, line in enumerate(buffer.lines) if not _blank(line)), default=0)
            last = max(last, cursor or 0)
        self._moved = False
        x, cells = 0, 0
        line = _line_at(buffer, 0, screen.cols)
        for index in range(last + 1):
            following = _line_at(buffer, index + 1, screen.cols) if index < last else None
            x = self._line(line, following if following is not None and following.wrapped else None)
            if following is None:
                break
            self._use(DEFAULT_PEN)
            if not following.wrapped:
                self._say("\r\n")
            line = following
            cells += screen.cols
            if cells >= SLICE_CELLS and len(self._out) > 1:
                cells = 0
                yield "".join(self._out[:-1])
                del self._out[:-1]
        return x, last - buffer.base

    def _line(self, line: Line, wraps_into: Line | None) -> int:
        """One line's cells, from column 0; where the next one goes on from it, the cursor ends at its start."""
        cols = self._screen.cols
        text, pens = line.text[:cols], line.pens[:cols]
        end = cols
        while end and text[end - 1] == "" and pens[end - 1] == DEFAULT_PEN:
            end -= 1
        early = wraps_into is not None and text[-1] == "" and wraps_into.text[0].__class__ is Wide
        if early and wraps_into is not None and pens[-1] == wraps_into.pens[0]:
            end = cols - 1  # a wide character that did not fit: it leaves this cell behind itself
        styled = end == cols and cols > 2 and _styled_blank(text[-1], pens[-1])
        end -= 1 if styled else 0
        column = 0
        while column < end:
            if text[column] in ("", TAIL):  # a second half without its first: xterm.js leaves some
                column = self._blanks(text, pens, column, end)
            else:
                column = self._cell(text, pens, column)
        if styled and wraps_into is None:
            column = self._last_blank(text, pens)
        if wraps_into is not None:
            column = self._wrap(text, pens, column, wraps_into)
        return column

    def _cell(self, text: list[str], pens: list[Pen], column: int) -> int:
        cell, pen = text[column], pens[column]
        if cell.__class__ is Wide and column + 1 == len(text):
            return column + 1  # cut in two by a change of size: no output makes that again
        self._use(pen)
        self._say(cell)
        wide = cell.__class__ is Wide
        if wide and column + 1 < len(text) and text[column + 1] != TAIL:
            self._say(f"\x1b[{column + 2}G")  # its other half was written over
            return column + 1
        if column + 1 < len(text) and not wide and len(text[column + 1]) and _may_join(cell, text[column + 1]):
            self._say("\x1b\\")  # two clusters that stand side by side stay two
        elif wide and column + 2 < len(text) and _may_join(cell, text[column + 2]):
            self._say("\x1b\\")
        return column + (2 if wide else 1)

    def _blanks(self, text: list[str], pens: list[Pen], column: int, end: int) -> int:
        """A run of blank cells: erased with their background, then skipped."""
        pen, start = pens[column], column
        if _styled_blank(text[column], pen) and column + 1 < self._screen.cols:
            self._use(DEFAULT_PEN)
            self._say(f"漢\x1b[{column + 2}G")
            self._use(pen)
            self._say(f"x\x1b[{column + 2}G")  # over its second half: the first is blank then, in this pen
            self._use(DEFAULT_PEN)
            self._say("\x1b[X")
            return column + 1
        while column < end and text[column] in ("", TAIL) and pens[column] == pen:
            column += 1
        count = column - start
        if pen != DEFAULT_PEN:
            self._use(Pen(0, pen.bg & 0x3FFFFFF))
            self._say(f"\x1b[{count}X")
        if column < self._screen.cols:
            self._say(f"\x1b[{count}C" if count > 1 else "\x1b[C")
        return column

    def _last_blank(self, text: list[str], pens: list[Pen]) -> int:
        """A blank with a pen of its own in the last column: a wide character is pushed half out of the line."""
        cols = self._screen.cols
        self._use(DEFAULT_PEN)
        self._say(f"\x1b[{cols - 1}G漢\x1b[{cols - 1}G\x1b[4h")
        self._use(pens[-1])
        self._say(f"x\x1b[4l\x1b[{cols - 1}G")
        self._use(DEFAULT_PEN)
        self._say("\x1b[X")
        column = cols - 2  # this one was written over
        if text[column] == TAIL:
            column -= 1
            self._say("\b")
        if has_content(text[column]):
            self._cell(text, pens, column)
        else:
            self._blanks(text, pens, column, cols - 1)
        return cols - 1

    def _wrap(self, text: list[str], pens: list[Pen], column: int, into: Line) -> int:
        """Let the terminal wrap by itself, so that it knows that the lines are one."""
        cols = self._screen.cols
        first = into.text[0]
        natural = column == cols and text[-1] != "" and text[-1].__class__ is not Wide
        early = column == cols - 1 and first.__class__ is Wide and pens[-1] == into.pens[0]
        if early and into.pens[0].bg & 0x3FFFFFF:
            self._use(into.pens[0])
            self._say(first + "\r")
            self._use(DEFAULT_PEN)
            self._say(f"\x1b[{cols}X")  # a line that scrolls in has the background of that moment
            return column
        before = column - (2 if text[column - 1] == TAIL else 1)
        if (natural or early) and _may_join(text[before], first):
            self._say("\x1b\\")
        if early or (natural and has_content(first) and not into.pens[0].bg & 0x3FFFFFF):
            return column
        if not natural:  # a filler in the last column, taken back afterwards
            self._use(DEFAULT_PEN)
            self._say(f"\x1b[{cols}G#")
        self._use(DEFAULT_PEN)
        self._say("#\r\x1b[X")
        if not natural:
            self._say(f"\x1b[A\x1b[{cols}G")
            if cols > 2 and _styled_blank(text[-1], pens[-1]):
                self._last_blank(text, pens)
            else:
                self._use(Pen(0, pens[-1].bg & 0x3FFFFFF))
                self._say("\x1b[X")
            self._use(DEFAULT_PEN)
            self._say("\x1b[B\r")
        return column

    # --- what a buffer has beside text -------------------------------------------------------------

    def _extras(self, buffer: Buffer) -> None:
        if _saved(buffer) != (0, 0, 0, 0, ""):
            self._save(buffer)
        if buffer.tabs != set(range(0, self._screen.cols, 8)):
            self._say("\x1b[3g")
            for column in sorted(tab for tab in buffer.tabs if tab < self._screen.cols):
                self._say(f"\x1b[{column + 1}G\x1bH")
            self._moved = True
        if (buffer.top, buffer.bottom) != (0, self._screen.rows - 1):
            self._say(f"\x1b[{buffer.top + 1};{buffer.bottom + 1}r")
            self._moved = True

    def _save(self, buffer: Buffer) -> None:
        x, y, fg, bg, charset = _saved(buffer)
        self._say(f"\x1b[{y + 1};{min(x, self._screen.cols - 1) + 1}H")
        self._use(Pen(fg, bg & ~EXTENDED, self._pen.extended if fg & 0x10000000 else 0, self._pen.link))
        self._say(_designate(0, charset) + "\x1b7" if charset else "\x1b7")
        if charset:
            self._say("\x1b(B")
        self._moved = True

    def _charsets(self) -> None:
        screen = self._screen
        for level, name in enumerate(screen.charsets):
            if name:
                self._say(_designate(level, name))
        current = screen.charsets[screen.level]
        if screen.level:
            self._say(("\x0f", "\x0e", "\x1bn", "\x1bo")[screen.level])
        if screen.charset != current and screen.charset == screen.buffer.saved_charset:
            self._say("\x1b8")  # a restored cursor brought its own set
            saved = screen.buffer
            self._pen = Pen(saved.saved_fg, saved.saved_bg & ~EXTENDED, -1, self._pen.link)
            self._moved = True

    def _modes(self) -> None:
        """Write the modes that differ from a fresh terminal's. Origin mode moves the cursor; insert mode must not meet
        text.
        """
        modes = self._screen.modes
        for number, on in modes.private.items():
            if on != _FRESH.private[number] and number not in (6, 2026):
                self._say(f"\x1b[?{number}{'h' if on else 'l'}")
        if modes.mouse:
            self._say(f"\x1b[?{modes.mouse}h")
        if modes.encoding in ENCODINGS:
            self._say(f"\x1b[?{modes.encoding}h")
        if modes.newline:
            self._say("\x1b[20h")
        style = (modes.cursor_shape * 2 - (1 if modes.cursor_blinks else 0)) if modes.cursor_shape else 0
        if modes.cursor_blinks is not None:
            self._say(f"\x1b[{style or (7 if modes.cursor_blinks else 8)} q")
        for flags in modes.keyboard[1:]:
            self._say(f"\x1b[>{flags}u")
        if modes.keyboard[0]:
            self._say(f"\x1b[={modes.keyboard[0]};1u")
        if modes.icon and modes.icon == modes.title:
            self._say(f"\x1b]0;{modes.title}\x07")
        else:
            self._say(f"\x1b]2;{modes.title}\x07" if modes.title else "")
            self._say(f"\x1b]1;{modes.icon}\x07" if modes.icon else "")
        if modes.origin:
            self._say("\x1b[?6h")
            self._moved = True

    # --- the end ------------------------------------------------------------------------------------

    def _finish(self, at: tuple[int, int] | None) -> None:
        """Cursor and pen. Where the last character may still be joined or repeated, it is written last."""
        screen, buffer = self._screen, self._screen.buffer
        modes = screen.modes
        insert = "\x1b[4h" if modes.insert else ""
        held = "\x1b[?2026h" if modes.private[2026] else ""
        row, x, cols = buffer.lines[buffer.y], buffer.x, screen.cols
        start = _last_cluster(row, min(x, cols))
        again = start is not None and (screen.join is not None or x >= cols)
        exact = again and start is not None and row.pens[start] == screen.pen
        restored = not again and sgr.is_latent(screen.pen) and self._saved_is(screen.pen)
        before = self._pen
        if restored:
            self._say(sgr.style_alone(screen.pen) + "\x1b8")
            at = None
        if again and start is not None:
            self._place(start, buffer.y, at)
            if exact and insert:  # the text is taken out, and comes back by being inserted
                self._say(f"\x1b[{2 if row.text[start].__class__ is Wide else 1}P")
            if exact:
                self._say(insert + held)
            self._use(row.pens[start], last=exact)
            self._say(row.text[start])
        elif x >= cols and all(cell == "" for cell in row.text[:cols]):
            self._place(cols - 1, buffer.y, at)
            self._use(Pen(0, row.pens[0].bg & 0x3FFFFFF))
            self._say("#\x1b[1K")
        else:
            self._place(min(x, cols - 1), buffer.y, at)
        if not exact:
            self._say(insert + held)
            if restored and self._pen == before:
                self._say("\x1b]8;;\x1b\\" if screen.pen.bg & EXTENDED else "")
            else:
                self._use(screen.pen, last=True)

    def _saved_is(self, pen: Pen) -> bool:
        """Return True if restoring the cursor makes this pen, without the style of its underlines."""
        _, _, fg, bg, charset = _saved(self._screen.buffer)
        return (fg, bg & ~EXTENDED, charset) == (pen.fg, pen.bg & ~EXTENDED, self._screen.charset)

    def _place(self, x: int, y: int, at: tuple[int, int] | None) -> None:
        if at == (x, y):
            return
        top = self._screen.buffer.top if self._screen.modes.origin else 0
        if at is not None and at[1] == y:
            self._say("\r" if x == 0 else f"\x1b[{x + 1}G")
            return
        self._say(f"\x1b[{max(y - top, 0) + 1};{x + 1}H" if (x, y) != (0, 0) else "\x1b[H")


def _line_at(buffer: Buffer, index: int, cols: int) -> Line:
    """Return a line, counted from the oldest of the scrollback."""
    return buffer.history[index].line(cols) if index < buffer.base else buffer.lines[index - buffer.base]


def _styled_blank(cell: str, pen: Pen) -> bool:
    """Return True if a blank cell has more than a background: the rest of a wide character that was cut in two."""
    return cell == "" and (pen.fg != 0 or pen.bg & ~0x3FFFFFF != 0)


def _last_cluster(line: Line, x: int) -> int | None:
    """The column of the cluster that ends before `x`."""
    at = x - 1
    if at > 0 and line.text[at] == TAIL and line.text[at - 1].__class__ is Wide:
        at -= 1
    return at if at >= 0 and has_content(line.text[at]) else None


@lru_cache(maxsize=4096)
def _may_join(cell: str, following: str) -> bool:
    """Return True if `following`, printed right after the cluster `cell`, would become a part of it."""
    if not cell or not following or following == TAIL or (cell[-1] < "\x80" and following[0] < "\x80"):
        return False
    join: Join | None = None
    for char in cell:
        join, _ = follow(join, char)
    return follow(join, following[0])[1]


def _blank(line: Line) -> bool:
    return not line.wrapped and not any(line.text) and all(pen == DEFAULT_PEN for pen in line.pens)


def _saved(buffer: Buffer) -> tuple[int, int, int, int, str]:
    y = max(0, min(buffer.saved_y - buffer.base, buffer.rows - 1))
    return buffer.saved_x, y, buffer.saved_fg, buffer.saved_bg, buffer.saved_charset


def _designate(level: int, name: str) -> str:
    return f"\x1b{'()*+'[level]}{name}"
