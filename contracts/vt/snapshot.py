"""The whole state of a screen as output: written to a fresh terminal of the same size, it makes the same terminal.

Both buffers with their scrollback, saved cursors, scroll regions and tab stops; then character sets, modes, title, pen
and cursor. A plain terminal gives plain text.
"""

from collections.abc import Generator, Iterator

from townwatch.contracts.vt import sgr
from townwatch.contracts.vt.buffer import Buffer
from townwatch.contracts.vt.cells import COLOR, DEFAULT_PEN, TAIL, Line, Pen, Wide, has_content
from townwatch.contracts.vt.modes import ENCODINGS, Modes
from townwatch.contracts.vt.receiver import Receiver
from townwatch.contracts.vt.rows import STARTERS, Rows, at_margin
from townwatch.contracts.vt.screen import VtScreen
from townwatch.contracts.vt.widths import Join, follow

_FRESH = Modes()
_SHIFTS = ("\x0f", "\x0e", "\x1bn", "\x1bo")
"""Choose one of the four character sets."""

SLICE_CELLS = 2048
"""Cells that are written between two slices: a few milliseconds."""


def snapshot(screen: VtScreen) -> str:
    """Return the text that makes this screen of a fresh terminal of its size."""
    return "".join(snapshot_slices(screen))


def snapshot_slices(screen: VtScreen) -> Iterator[str]:
    """Yield the snapshot in pieces, so that others can run in between. The screen must not change meanwhile."""
    return _Writer(screen).pieces()


class _Writer:
    """Builds one snapshot."""

    def __init__(self, screen: VtScreen) -> None:
        self._screen = screen
        self._receiver = receiver = Receiver()
        self._out, self._say, self._use = receiver.out, receiver.say, receiver.use

    def pieces(self) -> Iterator[str]:
        screen, on_alternate = self._screen, self._screen.buffer is self._screen.alternate
        normal, alternate = screen.normal, screen.alternate
        at = yield from self._lines(normal, cursor=None if on_alternate else normal.y)
        text_end = len(self._out)
        self._extras(normal)
        if on_alternate:
            self._receiver.link(screen.pen.link)  # an open link of the main screen outlives the other one
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
        late = screen.modes.insert or screen.modes.private[2026] or self._receiver.pen != screen.pen
        if late or len(self._out) > text_end or at != (screen.buffer.x, screen.buffer.y):
            self._finish(at if not self._moved else None)
        if screen.join is None and self._out and self._out[-1] > "\x1f":
            self._say("\x1b\\")  # what comes next joins nothing
        yield "".join(self._out)

    # --- text --------------------------------------------------------------------------------------

    _moved = False
    """Whether the cursor is somewhere else than the text left it."""

    def _lines(self, buffer: Buffer, cursor: int | None) -> Generator[str, None, tuple[int, int]]:
        """Write all lines from the top; return where the cursor is then. `cursor`: the row to be reached at least.

        What is behind the last slice stays in `_out`, whose last piece the caller looks at.
        """
        screen, count = self._screen, buffer.base + len(buffer.lines)
        rows = Rows(self._receiver, screen.cols)
        if buffer.history:
            last = count - 1  # every line must scroll to its place
        else:
            last = max((index for index, line in enumerate(buffer.lines) if not _blank(line)), default=0)
            last = max(last, cursor or 0)
        self._moved = False
        x, cells = 0, 0
        line = _line_at(buffer, 0, screen.cols)
        if line.wrapped and buffer is screen.normal and screen.rows > 1:  # it went on from a line that is gone
            self._say(f"\x1b[{screen.cols}G##\r\x1b[X\x1b[H\x1b[M")
        for index in range(last + 1):
            following = _line_at(buffer, index + 1, screen.cols) if index < last else None
            x = rows.write(line, following if following is not None and following.wrapped else None)
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
        self._say(_designate(0, charset) if charset else "")
        self._receiver.save(fg, bg)
        self._say("\x1b(B" if charset else "")
        self._moved = True

    def _charsets(self) -> None:
        screen = self._screen
        for level, name in enumerate(screen.charsets):
            if name:
                self._say(_designate(level, name))
        current = screen.charsets[screen.level]
        if screen.level:
            self._say(_SHIFTS[screen.level])
        if screen.charset != current and screen.charset == screen.buffer.saved_charset:
            self._receiver.restored(screen.buffer.saved_fg, screen.buffer.saved_bg)  # it brought its own set
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
        screen, buffer, receiver = self._screen, self._screen.buffer, self._receiver
        pen, row, x, cols = screen.pen, buffer.lines[buffer.y], buffer.x, screen.cols
        late = ("\x1b[4h" if screen.modes.insert else "") + ("\x1b[?2026h" if screen.modes.private[2026] else "")
        start = _last_cluster(row, min(x, cols))
        if screen.join is None and x < cols:
            start = None
        dropped = self._dropped(row, start)
        start = None if dropped else start
        blank = x >= cols and not any(row.text[:cols])
        looks = row.pens[start] if start is not None else Pen(0, row.pens[0].bg & COLOR) if blank else pen
        exact = sgr.visible(looks) == sgr.visible(pen)
        if exact:
            looks = pen
        if pen.link is not None:
            receiver.hold(pen.link, screen.rows)
            at = None
        left = not sgr.is_settled(pen) and self._leaves(pen, looks)
        if left:
            at = None
        else:
            receiver.use(looks, last=exact)
        if start is not None:
            self._last(row, start, at, late if exact else "")
        elif (
            x >= cols and buffer is screen.normal
        ):  # behind the last column, where nothing is: it comes along from there
            self._say(f"\x1b[?47h\x1b[{buffer.y + 1};{cols}H#\x1b[?47l")
        elif blank:
            self._place(cols - 1, buffer.y, at)
            self._say("#\x1b[1K")
        else:
            self._place(min(x, cols - 1), buffer.y, at)
        if start is None or not exact:
            self._say(late)
        self._say(dropped)
        if not exact:
            receiver.turn(pen) if left else receiver.use(pen, last=True)

    def _dropped(self, row: Line, start: int | None) -> str:
        """Return a wide character that had no room in the last column, and which the next one may join; or nothing."""
        screen, join = self._screen, self._screen.join
        if join is None or join[1] != 2 or screen.modes.wraparound or screen.buffer.x != screen.cols - 1:
            return ""
        if start is not None and row.text[start].__class__ is Wide:
            return ""
        return _starter(join)

    def _last(self, row: Line, start: int, at: tuple[int, int] | None, late: str) -> None:
        """The last character again. `late`: modes that begin right before it."""
        screen, receiver, text = self._screen, self._receiver, row.text[start]
        y, cols, wide = screen.buffer.y, screen.cols, text.__class__ is Wide
        halved = wide and start + 2 == cols and row.text[-1] != TAIL
        before = start - 1 if start + 1 == cols and row.text[start - 1].__class__ is Wide else None
        made = at_margin(text, halved=halved) if wide else None
        if made is not None:  # at the margin, and not wrapping: else nothing joins it any more
            again = made[0] and start + (2 if halved else 3) == cols and not screen.modes.wraparound
            self._place(start if again else min(screen.buffer.x, cols - 1), y, at)
            self._say(late)
            self._say(made[0] + (_starter(screen.join) or made[1] if len(made[1]) == 1 else made[1]) if again else "")
        elif before is not None:  # written over the second half of a wide one, as it was
            pen = receiver.pen
            self._place(before, y, at)
            receiver.use(row.pens[before])
            self._say(row.text[before] + "\x1b[?7l")
            receiver.use(pen)
            self._say(late)
            self._say(text)
            self._say("\x1b[?7h" if screen.modes.wraparound else "")
        else:
            self._place(start, y, at)
            name = screen.charsets[screen.level]
            drawn = (
                screen.join is None and name and screen.charset == name
            )  # the text is from before this set was chosen
            self._say(_designate(screen.level, "B") if drawn else "")
            if late and screen.modes.insert:  # taken out, as far as it comes back by being inserted
                self._say(f"\x1b[{follow(None, text[0])[0][1]}P")
            self._say(late)
            self._say(text)
            self._say(_designate(screen.level, name) if drawn else "")

    def _leaves(self, pen: Pen, looks: Pen) -> bool:
        """Make a pen that only a restored cursor leaves, in the colours of `looks`. False if this one's does not, or if
        what is drawn with it would be underlined or linked otherwise.
        """
        _, _, fg, bg, charset = _saved(self._screen.buffer)
        receiver, screen = self._receiver, self._screen
        if not receiver.can_leave(pen, fg, bg):
            return False
        if looks is not pen and sgr.visible(Pen(fg, bg, pen.extended, pen.link)) != sgr.visible(Pen(fg, bg)):
            return False
        receiver.leave(pen, fg, bg, looks)
        if looks is pen:
            receiver.turn(pen)
        if charset != screen.charset:
            self._say(_SHIFTS[screen.level])
        return True

    def _place(self, x: int, y: int, at: tuple[int, int] | None) -> None:
        if at == (x, y):
            return
        top = self._screen.buffer.top if self._screen.modes.origin else 0
        if at is not None and at[1] == y:
            self._say("\r" if x == 0 else f"\x1b[{x + 1}G")
            return
        self._say(f"\x1b[{max(y - top, 0) + 1};{x + 1}H" if (x, y) != (0, 0) else "\x1b[H")


def _starter(join: Join | None) -> str:
    """Return a wide character that leaves this to join; nothing if there is none."""
    return next((one for one in STARTERS if follow(None, one)[0] == join), "")


def _line_at(buffer: Buffer, index: int, cols: int) -> Line:
    """Return a line, counted from the oldest of the scrollback."""
    return buffer.history[index].line(cols) if index < buffer.base else buffer.lines[index - buffer.base]


def _last_cluster(line: Line, x: int) -> int | None:
    """The column of the cluster that ends before `x`."""
    at = x - 1
    if at > 0 and line.text[at] == TAIL and line.text[at - 1].__class__ is Wide:
        at -= 1
    return at if at >= 0 and has_content(line.text[at]) else None


def _blank(line: Line) -> bool:
    return not line.wrapped and not any(line.text) and all(pen == DEFAULT_PEN for pen in line.pens)


def _saved(buffer: Buffer) -> tuple[int, int, int, int, str]:
    y = max(0, min(buffer.saved_y - buffer.base, buffer.rows - 1))
    return buffer.saved_x, y, buffer.saved_fg, buffer.saved_bg, buffer.saved_charset


def _designate(level: int, name: str) -> str:
    return f"\x1b{'()*+'[level]}{name}"
