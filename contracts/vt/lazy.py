"""A screen that is brought up to date only when it is read, and then skips output that has scrolled away."""

import re
from collections import deque
from collections.abc import Iterator

from townwatch.contracts.vt.effort import of_resize
from townwatch.contracts.vt.screen import COLS, ROWS, SCROLLBACK, VtScreen, fitted
from townwatch.contracts.vt.snapshot import snapshot, snapshot_slices

SLICE_CHARS = 1024
"""Characters that one `advance` reads at most: a millisecond or two. A key's echo may wait for several of them."""
SLICE_WORK = 4096
"""Units of work (`effort`) that one `advance` does at most, and one sequence more."""
SKIP_CHARS = 128 * 1024
"""From so much waiting text on it is worth looking whether most of it has scrolled away."""
_SCROLLS = re.compile(r"(?:[^\x00-\x06\x0b\x0c\x0e-\x1f\x7f-\x9f]++|\x1b\[[0-9;:]*+[mK])++")
"""Text, line ends, colours and erased line ends: it can only move up."""
_UNFINISHED = re.compile(r"\x1b(?:\[[0-9;:]{0,40})?\Z")
_COLOURS = re.compile(r"\x1b\[[0-9;:]*m")
_LONGEST = 64
_MARGIN_LINES = 8


class LazyScreen:
    """`write` and `resize` only note what came; `advance` until `behind` is 0, then read `screen` or `snapshot`."""

    def __init__(self, kept_lines: int = SCROLLBACK) -> None:
        """`kept_lines`: lines above the screen that are not left out of a flood."""
        self._kept_lines = kept_lines
        self.screen = VtScreen()
        self.size: tuple[int, int] | None = None
        """Columns and rows, where they are known."""
        self.behind = 0
        """Characters that wait."""
        self.only_scrolls = True
        """True if what waits is lines and colours: of a flood of those most has scrolled away when it is read."""
        self._cut: str = ""
        """The beginning of a sequence at the end of what came last."""
        self._waiting: deque[str | tuple[int, int]] = deque()
        self._read = 0
        """Characters of the first waiting text that were written to the screen."""
        self._late: tuple[int, int] | None = None
        self.blank = True
        """True if nothing was ever written."""

    def write(self, text: str) -> None:
        if text:
            self.blank = False
            self._waiting.append(text)
            self.behind += len(text)
            if self.only_scrolls:
                self._look_at(text)

    def resize(self, cols: int, rows: int) -> None:
        self.size = size = fitted(cols, rows)
        if self.blank:
            self.screen = VtScreen(*size)
        else:
            self._waiting.append(size)
            self.behind += 1
            self.only_scrolls = False

    @property
    def resizes_next(self) -> bool:
        """True if the next `advance` wraps all lines anew: tens of milliseconds, so do it in a thread."""
        return bool(self._waiting) and not isinstance(self._waiting[0], str)

    def advance(self) -> bool:
        """Do one slice of work; return whether there is more."""
        more = self._advance()
        if not more and not self.only_scrolls:
            self.only_scrolls = self.screen.ground and self._whole
            self._cut = ""
        return more

    def _look_at(self, text: str) -> None:
        """Note whether it only scrolls, wherever it was cut into pieces."""
        text = self._cut + text
        scrolls = _SCROLLS.match(text)
        at = scrolls.end() if scrolls is not None else 0
        self.only_scrolls = at == len(text) or _UNFINISHED.match(text, at) is not None
        self._cut = text[at:] if self.only_scrolls else ""

    @property
    def _whole(self) -> bool:
        """True if a line feed on the last row scrolls the normal screen."""
        screen, buffer = self.screen, self.screen.buffer
        if buffer is screen.alternate or not screen.modes.wraparound:
            return False
        return (buffer.top, buffer.bottom) == (0, screen.rows - 1)

    def _advance(self) -> bool:
        if not self._waiting:
            return False
        first = self._waiting[0]
        if not isinstance(first, str):
            self._waiting.popleft()
            self.behind -= 1
            self._resize(first)
            return bool(self._waiting)
        if self.behind > SKIP_CHARS:
            first = self._skipped(first)
        read = self.screen.write_some(first[self._read : self._read + SLICE_CHARS], SLICE_WORK)
        self.behind -= read
        self._read += read
        if self._read == len(first):
            self._waiting.popleft()
            self._read = 0
        return bool(self._waiting)

    def skip(self) -> None:
        """Leave out what has scrolled away of a flood; nothing is drawn."""
        if self._waiting and isinstance(first := self._waiting[0], str):
            self._skipped(first)

    def _skipped(self, first: str) -> str:
        """Return what waits up to a change of size, without what has scrolled away."""
        if not self._read:
            self._waiting.popleft()
            first = self._joined(first)
            if len(first) > SKIP_CHARS:
                first = self._skip(first)
            self._waiting.appendleft(first)
        return first

    def _resize(self, size: tuple[int, int]) -> None:
        """Change the size, or leave it for `settle` if too much work was done already; the last wish counts."""
        screen = self.screen
        self._late = None
        if screen.effort.afford(of_resize(screen.normal.base + 2 * screen.rows, screen.cols, size[0])):
            screen.resize(*size)
        else:
            self._late = size

    @property
    def unsettled(self) -> bool:
        """True if a change of size was left for `settle`, which takes tens of milliseconds: call it in a thread."""
        return self._late is not None

    def settle(self) -> None:
        if self._late is not None:
            self.screen.resize(*self._late)
            self._late = None

    def finish(self) -> VtScreen:
        """Do all that waits at once: for threads and tests."""
        while self.advance():
            pass
        return self.screen

    def snapshot(self) -> str:
        """Return the snapshot of the screen after all text written so far."""
        self.settle()
        return snapshot(self.screen)

    def snapshot_slices(self) -> Iterator[str]:
        """Yield the pieces of the snapshot; each is a few milliseconds of work. Write nothing until it has ended."""
        self.settle()
        return snapshot_slices(self.screen)

    def _joined(self, first: str) -> str:
        """Return all text that waits up to the next change of size."""
        pieces = [first]
        while self._waiting and isinstance(self._waiting[0], str):
            piece = self._waiting.popleft()
            assert isinstance(piece, str)
            pieces.append(piece)
        return "".join(pieces)

    def _skip(self, text: str) -> str:
        """Return the part of a flood that is still visible, preceded by the pen that the skipped part set."""
        screen = self.screen
        begun = 0  # the rest of a sequence that was begun before
        while not screen.ground and begun < _LONGEST:
            screen.write(text[begun])
            begun += 1
        self.behind -= begun
        text = text[begun:]
        if not self._whole or not screen.ground:
            return text
        scrolls = _SCROLLS.match(text)
        if scrolls is None:
            return text
        lines = self._kept_lines + screen.rows + _MARGIN_LINES
        head, newline, tail = _split(scrolls[0], lines)
        if not newline or "\r" not in tail[: tail.find("\n", 0) + 1]:
            return text
        for colour in _COLOURS.findall(head[max(head.rfind("\x1b[0m"), head.rfind("\x1b[m"), 0) :]):
            screen.write(colour)
        self.behind -= len(head)
        return newline + tail + text[scrolls.end() :]


def _split(text: str, lines: int) -> tuple[str, str, str]:
    """Split a text at its last `lines` lines: what is before them, the line feed, the lines."""
    at = len(text)
    for _ in range(lines):
        at = text.rfind("\n", 0, at)
        if at < 0:
            return "", "", text
    return text[:at], "\n", text[at + 1 :]


def restored(text: str, size: tuple[int, int] | None) -> LazyScreen:
    """Return a screen restored from a snapshot and its size."""
    lazy = LazyScreen()
    if size is not None:
        lazy.resize(*size)
    lazy.write(text)
    return lazy


DEFAULT_SIZE = (COLS, ROWS)
