"""The screen of a terminal after some output: both buffers, cursor, pen, modes, character sets, title.

A port of xterm.js's InputHandler, its oddities included, because the page draws with it.
"""

from townwatch.contracts.vt import controls, effort, sequences, sgr
from townwatch.contracts.vt.buffer import Buffer
from townwatch.contracts.vt.cells import DEFAULT_PEN, TAIL, Line, Pen, Wide, width
from townwatch.contracts.vt.charsets import CHARSETS, KNOWN, LEVELS
from townwatch.contracts.vt.modes import Modes
from townwatch.contracts.vt.parser import EscapeParser
from townwatch.contracts.vt.widths import PLAIN, PLAIN_TEXT, PREPEND, Join, follow

SCROLLBACK = 1000
"""Lines above the screen that are kept."""
COLS, ROWS = 80, 24
MAX_SIDE, MAX_CELLS = 1000, 200_000
"""Columns or rows, and cells; a larger wish is cut."""
MAX_CLUSTER = 64
"""Code points of one cell; what would join a longer one is left out."""
_ERASED = 0x3FFFFFF
"""The bits of a background that an erased cell takes."""


class VtScreen:
    """`write` output, `resize`; then read, or take a `snapshot`."""

    def __init__(self, cols: int = COLS, rows: int = ROWS, scrollback: int = SCROLLBACK) -> None:
        self.cols, self.rows = fitted(cols, rows)
        self._scrollback = scrollback
        self.effort = effort.Effort()
        self.modes = Modes()
        self.pen = DEFAULT_PEN
        self.links = 0
        self._parser = EscapeParser(self)
        self._reset_buffers()
        self._reset_charsets()
        self.join: Join | None = None
        """The cluster that the next character may join; None after every control."""

    def write(self, text: str) -> None:
        self._parser.feed(text)

    def write_some(self, text: str, work: int) -> int:
        """Write until about `work` units are done; return how many characters were read."""
        position, end, until, effort = 0, len(text), self.effort.spent + work, self.effort
        while position < end and effort.spent < until:
            position = self._parser.feed_one(text, position)
        return position

    @property
    def ground(self) -> bool:
        """True if no sequence is unfinished."""
        return self._parser.ground

    def resize(self, cols: int, rows: int) -> None:
        cols, rows = fitted(cols, rows)
        if (cols, rows) == (self.cols, self.rows):
            return
        self.cols, self.rows = cols, rows
        self.normal.resize(cols, rows)
        self.alternate.resize(cols, rows)

    # --- characters ------------------------------------------------------------------------------

    def print(self, text: str) -> None:
        """Take printable characters from the output."""
        count = len(text)
        self.effort.spent += count * (2 + self.cols // 8 if self.modes.insert else 2)
        self.effort.earn(count * effort.PER_CHARACTER)
        self.draw(text)

    def draw(self, text: str) -> None:
        """Draw printable characters at the cursor."""
        if self.charset and text:
            text = text.translate(CHARSETS[self.charset])
        buffer, position, end = self.buffer, 0, len(text)
        if buffer.x and buffer.line.text[buffer.x - 1].__class__ is Wide:
            buffer.line.set(buffer.x - 1, "", self.pen)
        while position < end:
            plain = None if self.modes.insert else PLAIN_TEXT.match(text, position)
            if plain is None or (self.join is not None and self.join[0] == PREPEND):
                self._cluster(text[position])
                position += 1
            else:
                self._plain(plain[0])
                position = plain.end()
        x = buffer.x
        if x < self.cols and buffer.line.text[x] == TAIL:
            buffer.line.set(x, "", self.pen)

    def _plain(self, text: str) -> None:
        """A run of characters that take one cell each and join nothing."""
        buffer, cols, pen, position, end = self.buffer, self.cols, self.pen, 0, len(text)
        while position < end:
            if buffer.x >= cols:
                if self.modes.wraparound:
                    self._wrap(0)
                else:
                    buffer.x = cols - 1
                    position = end - 1
            x = buffer.x
            count = min(cols - x, end - position)
            line = buffer.line
            line.text[x : x + count] = text[position : position + count]
            line.pens[x : x + count] = [pen] * count
            buffer.x = x + count
            position += count
        self.join = PLAIN

    def _cluster(self, char: str) -> None:
        """Draw one character that may be wide, or join the one before."""
        if char == "\ufeff":
            return
        buffer, cols, pen = self.buffer, self.cols, self.pen
        before, (self.join, joins) = self.join, follow(self.join, char)
        cells = self.join[1]
        old = before[1] if joins and before is not None else 0
        if buffer.x + cells - old > cols:
            if self.modes.wraparound:
                self._wrap(old)
            else:
                buffer.x = cols - 1
                if cells == 2:
                    return
        line = buffer.line
        if joins and buffer.x:
            self._join(line, char, cells, old)
            return
        if self.modes.insert:
            line.insert(buffer.x, cells - old, pen)
            if width(line.text[cols - 1]) == 2:
                line.set(cols - 1, "", pen)
        line.set(buffer.x, Wide(char) if cells == 2 else char, pen)
        buffer.x += 1
        if cells == 2:
            if buffer.x < len(line.text):
                line.set(buffer.x, TAIL, pen)
            buffer.x += 1

    def _join(self, line: Line, char: str, cells: int, old: int) -> None:
        buffer = self.buffer
        at = buffer.x - (1 if width(line.text[buffer.x - 1]) else 2)
        if at >= 0:
            cluster = line.text[at].replace(TAIL, "")
            if len(cluster) < MAX_CLUSTER:
                cluster += char
            line.text[at] = Wide(cluster) if cells == 2 else cluster
        for _ in range(cells - old):
            if buffer.x < len(line.text):
                line.set(buffer.x, TAIL, self.pen)
            buffer.x += 1

    def _wrap(self, moved: int) -> None:
        """Wrap to the next line; `moved`: cells of a cluster that grew too wide and moves along."""
        buffer = self.buffer
        old, column = buffer.line, buffer.x - moved
        buffer.x = moved
        buffer.y += 1
        if buffer.y == buffer.bottom + 1:
            buffer.y -= 1
            tail = old.text[column:], old.pens[column:]
            if column < self.cols:
                old.replace(column, self.cols, self.pen)
            buffer.scroll(self.erased, wrapped=True)
        else:
            buffer.y = min(buffer.y, self.rows - 1)
            buffer.line.wrapped = True
            tail = old.text[column:], old.pens[column:]
        line = buffer.line
        if moved:
            line.text[:moved], line.pens[:moved] = tail[0][:moved], tail[1][:moved]
        for at in range(column, self.cols):
            old.set(at, "", self.pen)

    @property
    def erased(self) -> Pen:
        """The pen of cells that are erased now: its background."""
        return Pen(0, self.pen.bg & _ERASED) if self.pen.bg else DEFAULT_PEN

    # --- what the parser finds -------------------------------------------------------------------

    def execute(self, control: str) -> None:
        cost = 1
        if control in "\n\x0b\x0c\x84\x85":
            cost = self.cols // 2 + 1
            self.effort.earn(min(cost, effort.PER_LINE))
        elif control == "\t" and len(self.buffer.tabs) < self.cols // 16:
            cost = self.cols // 4
        if self.effort.afford(cost):
            controls.execute(self, control)
        self.join = None

    def csi(self, prefix: str, parameters: str, intermediates: str, final: str) -> None:
        self.effort.earn(effort.PER_SEQUENCE)
        if final == "m" and not prefix and not intermediates:
            self.effort.spent += 4 + len(parameters) // 2
            self.pen = sgr.apply(self.pen, parameters)
        else:
            name = prefix + intermediates + final
            if self.effort.afford(4 + effort.of_sequence(name, parameters, self.cols, self.rows)):
                sequences.control_sequence(self, name, parameters)
        self.join = None

    def esc(self, intermediates: str, final: str) -> None:
        self.effort.earn(effort.PER_SEQUENCE)
        if self.effort.afford(2 + effort.of_escape(intermediates, final, self.cols, self.rows)):
            controls.escape(self, intermediates, final)
        self.join = None

    def osc(self, body: str | None) -> None:
        if body is not None:
            controls.command(self, body)
        self.join = None

    def dcs(self, header: str, body: str | None) -> None:
        """Ignore a DCS: nothing that it says is drawn."""
        self.join = None

    def ended(self) -> None:
        self.join = None

    # --- buffers, cursor, charsets ---------------------------------------------------------------

    def _reset_buffers(self) -> None:
        self.normal = Buffer(self.cols, self.rows, self._scrollback)
        self.normal.fill()
        self.alternate = Buffer(self.cols, self.rows, 0)
        self.buffer = self.normal

    def _reset_charsets(self) -> None:
        self.level = 0
        self.charsets = ["", "", "", ""]
        self.charset = ""

    def to_alternate(self) -> None:
        if self.buffer is not self.alternate:
            self.alternate.fill(self.erased)
            self.alternate.x, self.alternate.y = self.normal.x, self.normal.y
            self.buffer = self.alternate

    def to_normal(self) -> None:
        if self.buffer is not self.normal:
            self.normal.x, self.normal.y = self.alternate.x, self.alternate.y
            self.alternate.clear()
            self.buffer = self.normal

    def full_reset(self) -> None:
        self.pen = DEFAULT_PEN
        self._reset_buffers()
        self._reset_charsets()
        self.modes.full_reset()

    def soft_reset(self) -> None:
        buffer = self.buffer
        buffer.top, buffer.bottom = 0, self.rows - 1
        self.pen = DEFAULT_PEN
        self.modes.soft_reset()
        self._reset_charsets()
        buffer.saved_x, buffer.saved_y = 0, buffer.base
        buffer.saved_fg = buffer.saved_bg = 0
        buffer.saved_charset = ""

    def save_cursor(self) -> None:
        buffer = self.buffer
        buffer.saved_x, buffer.saved_y = buffer.x, buffer.base + buffer.y
        buffer.saved_fg, buffer.saved_bg = self.pen.fg, self.pen.bg
        buffer.saved_charset = self.charset

    def restore_cursor(self) -> None:
        buffer = self.buffer
        buffer.x, buffer.y = buffer.saved_x, max(buffer.saved_y - buffer.base, 0)
        self.pen = self.pen._replace(fg=buffer.saved_fg, bg=buffer.saved_bg)
        self.charset = buffer.saved_charset
        self.restrict()

    def use_charset(self, level: int) -> None:
        self.level = level
        self.charset = self.charsets[level]

    def choose_charset(self, intermediate: str, name: str) -> None:
        """ESC ( and kin. A set that is not known counts as ASCII for none of them: it changes nothing."""
        if intermediate not in LEVELS or name not in KNOWN:
            return
        self.set_charset(LEVELS[intermediate], "" if name == "B" else name)

    def set_charset(self, level: int, name: str) -> None:
        self.charsets[level] = name
        if self.level == level:
            self.charset = name

    def restrict(self, most: int | None = None) -> None:
        """The cursor inside the screen, or inside the region in origin mode."""
        buffer = self.buffer
        buffer.x = min(self.cols - 1 if most is None else most, max(0, buffer.x))
        if self.modes.origin:
            buffer.y = min(buffer.bottom, max(buffer.top, buffer.y))
        else:
            buffer.y = min(self.rows - 1, max(0, buffer.y))

    def place(self, x: int, y: int) -> None:
        buffer = self.buffer
        buffer.x = x
        buffer.y = buffer.top + y if self.modes.origin else y
        self.restrict()

    def move(self, x: int, y: int) -> None:
        """Move the cursor. In origin mode xterm.js counts the row from the region's top twice; so does this."""
        self.restrict()
        self.place(self.buffer.x + x, self.buffer.y + y)


def fitted(cols: int, rows: int) -> tuple[int, int]:
    """Return the size that a screen takes for a wish."""
    cols = min(max(cols, 2), MAX_SIDE)
    return cols, min(max(rows, 1), MAX_SIDE, MAX_CELLS // cols)
