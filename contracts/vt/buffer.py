"""One of a terminal's two buffers: its rows, its scrollback, cursor, saved cursor, scroll region and tab stops."""

from collections import deque

from townwatch.contracts.vt.cells import DEFAULT_PEN, Line, Packed, Pen
from townwatch.contracts.vt.reflow import Reflow

TAB_WIDTH = 8


class Buffer:
    """`scrollback`: lines above the screen that are kept at most; 0 for the alternate buffer."""

    def __init__(self, cols: int, rows: int, scrollback: int) -> None:
        self.cols, self.rows = cols, rows
        self.scrollback = scrollback
        self.saved_x = 0
        self.saved_y = 0
        """Absolute, as xterm.js has it: counted from the oldest line of the scrollback."""
        self.saved_fg = self.saved_bg = 0
        self.saved_charset = ""
        self.x: int = 0
        self.y: int = 0
        self.tabs: set[int] = set()
        self.clear()

    def clear(self) -> None:
        """Empty the buffer, to no rows; what is saved stays."""
        self.history: deque[Packed] = deque()
        self.lines: list[Line] = []
        self.x = self.y = 0
        self.top, self.bottom = 0, self.rows - 1
        self.set_tabs()

    def fill(self, pen: Pen = DEFAULT_PEN) -> None:
        """Give it its rows, unless it has them."""
        if not self.lines:
            self.lines = [Line(self.cols, pen) for _ in range(self.rows)]

    @property
    def base(self) -> int:
        """Lines above the screen."""
        return len(self.history)

    @property
    def line(self) -> Line:
        """The cursor's."""
        return self.lines[self.y]

    def scroll(self, pen: Pen, *, wrapped: bool = False) -> None:
        """The region moves up by a line; the first line of the screen goes to the scrollback."""
        line = self.lines.pop(self.top)
        if self.top == 0 and self.scrollback:
            self.history.append(Packed(line))
            if len(self.history) > self.scrollback:
                self.history.popleft()
        self.lines.insert(self.bottom, Line(self.cols, pen, wrapped))

    def shift_up(self, pen: Pen) -> None:
        """The region moves up by a line; what leaves it is gone."""
        del self.lines[self.top]
        self.lines.insert(self.bottom, Line(self.cols, pen))

    def shift_down(self, pen: Pen) -> None:
        del self.lines[self.bottom]
        self.lines.insert(self.top, Line(self.cols, pen))

    # --- tab stops -------------------------------------------------------------------------------

    def set_tabs(self) -> None:
        self.tabs = set(range(0, self.cols, TAB_WIDTH))

    def _extend_tabs(self, cols: int) -> None:
        """Add stops after a resize, from the last one before the new width on, as xterm.js does."""
        at = cols
        if at not in self.tabs:
            at = self.previous_tab(at, cols)
        self.tabs.update(range(at, cols, TAB_WIDTH))

    def next_tab(self) -> int:
        x = self.x + 1
        while x not in self.tabs and x < self.cols:
            x += 1
        return min(x, self.cols - 1)

    def previous_tab(self, x: int, cols: int) -> int:
        x -= 1
        while x not in self.tabs and x > 0:
            x -= 1
        return cols - 1 if x >= cols else max(x, 0)

    # --- size ------------------------------------------------------------------------------------

    def resize(self, cols: int, rows: int) -> None:
        """Resize as xterm.js does: lines of the scrollback come back, blank lines below the cursor go, wrapped lines
        reflow.
        """
        if self.lines:
            self._resize_lines(cols, rows)
        self.bottom = rows - 1
        self.cols, self.rows = cols, rows
        self._extend_tabs(cols)

    def _resize_lines(self, cols: int, rows: int) -> None:
        old_cols = self.cols
        work = Reflow([packed.line(old_cols) for packed in self.history] + self.lines, len(self.history), rows)
        work.limit = rows + self.scrollback
        work.x, work.y, work.saved_x, work.saved_y = self.x, self.y, self.saved_x, self.saved_y
        if cols > old_cols:
            work.widen(cols)
        work.change_rows(self.rows, cols)
        self.top = 0
        if self.scrollback and cols != old_cols:
            work.reflow(old_cols, cols)
        if self.scrollback and cols < old_cols:
            work.widen(cols)
        self.x, self.y, self.saved_x, self.saved_y = work.x, work.y, work.saved_x, work.saved_y
        base = max(0, len(work.lines) - rows) if len(work.lines) < work.base + rows else work.base
        self.history = deque(Packed(line) for line in work.lines[:base])
        self.lines = work.lines[base : base + rows]
        self.lines += [Line(cols) for _ in range(rows - len(self.lines))]
