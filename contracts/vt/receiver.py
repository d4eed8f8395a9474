"""The terminal that a snapshot is written to: what was said to it, and the pen that it has since."""

from townwatch.contracts.vt import sgr
from townwatch.contracts.vt.cells import COLOR, DEFAULT_PEN, EXTENDED, STYLE, UNDERLINE, Link, Pen

_SOME_LINK: Link = ("", "about:blank")
"""Opened and closed where only it can mark a saved cursor; no cell gets it."""
_HELD_ROWS = 100
"""Rows on which an open link is opened again at most."""


class Receiver:
    """`pen` is exactly the receiving terminal's, style of underlines and link included."""

    def __init__(self) -> None:
        self.out: list[str] = []
        self.pen = DEFAULT_PEN

    def say(self, text: str) -> None:
        if text:
            self.out.append(text)

    def use(self, pen: Pen, *, last: bool = False) -> None:
        """Take a pen with which cells look like those of `pen`; `last`: with the colour of underlines to come."""
        shown = sgr.visible(pen)
        if last and not shown.bg & EXTENDED and not pen.extended & STYLE:
            shown = shown._replace(extended=pen.extended & COLOR)
        self.link(shown.link)
        if (shown.fg, shown.bg, shown.extended) != (self.pen.fg, self.pen.bg, self.pen.extended):
            self.say(sgr.sequence(shown))
        self.pen = shown

    def link(self, link: Link | None) -> None:
        """Open this link, or close the one that is open."""
        if link != self.pen.link:
            self._relink(link)

    def hold(self, link: Link, rows: int) -> None:
        """Open a link on every row: xterm.js forgets one with the last row that it was opened on, an unknown one."""
        for row in range(1, min(rows, _HELD_ROWS) + 1):
            self.say(f"\x1b[{row}H")
            self._relink(link)

    def _relink(self, link: Link | None) -> None:
        parameters, address = link or ("", "")
        self.say(f"\x1b]8;{parameters};{address}\x1b\\")
        self._linked(link)

    def _linked(self, link: Link | None) -> None:
        pen = self.pen
        counts = link is not None or bool(pen.extended & STYLE)
        self.pen = Pen(pen.fg, pen.bg | EXTENDED if counts else pen.bg & ~EXTENDED, pen.extended, link)

    # --- saved cursors ---------------------------------------------------------------------------

    def save(self, fg: int, bg: int) -> None:
        """Save the cursor with a pen of these colours and flags: a pen may be marked as underlined or linked without
        being either.
        """
        underlined, marked = bool(fg & UNDERLINE), bool(bg & EXTENDED)
        if underlined:
            self.use(Pen(fg, bg | EXTENDED, 1 << 26))
        else:
            self.use(Pen(fg, bg, 0, _SOME_LINK if marked else None))
        if underlined and not marked:
            self.say("\x1b7")
            self.use(DEFAULT_PEN)
            self.restored(fg, bg | EXTENDED)
            self._relink(None)
        self.say("\x1b7")

    def restored(self, fg: int, bg: int) -> None:
        """Restore the cursor, which was saved with these."""
        self.say("\x1b8")
        self.pen = self.pen._replace(fg=fg, bg=bg)

    # --- pens that only a restored cursor leaves ---------------------------------------------------

    def can_leave(self, pen: Pen, fg: int, bg: int) -> bool:
        """Return True if `leave` makes this pen out of a cursor that was saved with these."""
        counts = bool(pen.extended & STYLE) or pen.link is not None
        marked = bool(pen.bg & EXTENDED)
        return not (pen.fg ^ fg) & UNDERLINE and marked in (bool(bg & EXTENDED), counts)

    def leave(self, pen: Pen, fg: int, bg: int, looks: Pen) -> None:
        """Restore a cursor that was saved with these, so that style and link of `pen` stay behind. The colours are
        those of `looks`; `turn` makes them those of `pen`.
        """
        self.link(pen.link)
        self.say(sgr.style_alone(pen))
        self.pen = Pen(0, 0, pen.extended, pen.link)
        self.restored(fg, bg)
        self._colours(looks)

    def turn(self, pen: Pen) -> None:
        """Take the colours of a pen, and let its style and link count where they do."""
        self._colours(pen)
        if (self.pen.bg ^ pen.bg) & EXTENDED:
            self._relink(pen.link)

    def _colours(self, pen: Pen) -> None:
        now = self.pen
        self.say(sgr.turn(now, pen))
        self.pen = Pen(
            pen.fg & ~UNDERLINE | now.fg & UNDERLINE, pen.bg & ~EXTENDED | now.bg & EXTENDED, now.extended, now.link
        )
