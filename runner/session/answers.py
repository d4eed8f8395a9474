"""Answers to what programs ask their terminal, where no real one is there to answer.

A program that starts in a session without a person (crossterm, and so Codex) asks where the cursor is and what its
terminal can do, and ends without an answer. The screen model knows; the identity is the page's xterm.js.
"""

import re
from collections.abc import Awaitable, Callable
from contextlib import suppress

import trio

from townwatch.contracts.vt import sgr
from townwatch.contracts.vt.lazy import LazyScreen
from townwatch.contracts.vt.modes import ALTERNATE, ENCODINGS, MOUSE
from townwatch.contracts.vt.parser import numbers
from townwatch.contracts.vt.screen import VtScreen
from townwatch.runner.session.colours import Colours

CELL_HEIGHT, CELL_WIDTH = 16, 8
MOST_BEHIND = 256 * 1024
"""Characters that are put off; more are read before the next piece is taken, unless they only scroll away."""
KEPT_LINES = 256
"""Of lines that only scroll, so many above the screen are kept: a terminal that grows shows them again."""
MOST_ANSWERS = 256
_MAYBE = re.compile(r"[\x90\x9b\x9d]|\x1b(?:[\]PZ]|\[[?>=]?[0-9;]*\$?[cnpqtux]|[^\x07\x40-\x7e]*\Z|\[[^\x40-\x7e]*\Z)")
"""Where a question may be, or begin."""
_CAPABILITIES = {
    "TN": "xterm-256color", "name": "xterm-256color", "Co": "256", "colors": "256", "RGB": "8/8/8",
    "setrgbf": "\x1b[38;2;%p1%d;%p2%d;%p3%dm", "setrgbb": "\x1b[48;2;%p1%d;%p2%d;%p3%dm",
    "Smulx": "\x1b[4:%p1%dm", "Setulc": "\x1b[58:2::%p1%{65536}%/%d:%p1%{256}%/%{255}%&%d:%p1%{255}%&%dm",
    "Ss": "\x1b[%p1%d q", "Se": "\x1b[2 q", "Tc": "", "Su": "", "bce": "",
}  # fmt: skip
"""Values as in terminfo; an empty one is a flag. The clipboard (Ms) is not there: viewers' clipboards stay theirs."""
_STATUS = {15: "?13", 25: "?21", 26: "?27;1;0;0", 53: "?50", 55: "?50", 75: "?70", 85: "?83", 996: "?997;1"}
"""Private status reports: no printer, keys locked, a keyboard for North America, no locator, no errors, one session;
a dark page."""


class Answers:
    """`heard` takes all output in order; `run` types the answers. One that finds no room, as the program reads none
    of them, is dropped.
    """

    def __init__(self, cols: int, rows: int) -> None:
        self._send, self._receive = trio.open_memory_channel[bytes](MOST_ANSWERS)
        self._lazy = LazyScreen(KEPT_LINES)
        self._asked = _AskedScreen(cols, rows)
        self._lazy.screen = self._asked
        self._unfinished = False

    async def heard(self, text: str) -> None:
        """A piece of output. Nothing is read of it until a question comes."""
        self._lazy.write(text)
        if self._lazy.behind > MOST_BEHIND and self._lazy.only_scrolls:
            self._lazy.skip()
        if self._unfinished or _MAYBE.search(text) is not None or self._lazy.behind > MOST_BEHIND:
            while self._lazy.advance():
                await trio.lowlevel.checkpoint()
            self._unfinished = not self._asked.ground
            answers, self._asked.answers = self._asked.answers, []
            for answer in answers:
                with suppress(trio.WouldBlock):
                    self._send.send_nowait(answer.encode())

    async def run(self, write: Callable[[bytes], Awaitable[None]]) -> None:
        """Write the answers, until cancelled."""
        async for answer in self._receive:
            await write(answer)

    def resized(self, cols: int, rows: int) -> None:
        self._lazy.blank = False
        self._lazy.resize(cols, rows)


class _AskedScreen(VtScreen):
    """A screen that notes what it would answer."""

    def __init__(self, cols: int, rows: int) -> None:
        super().__init__(cols, rows)
        self.answers: list[str] = []
        self._colours = Colours()

    def _say(self, answer: str) -> None:
        if len(self.answers) < 1000:
            self.answers.append(answer)

    def csi(self, prefix: str, parameters: str, intermediates: str, final: str) -> None:
        if final in "cnpqtux":
            self._asked(prefix + intermediates + final, numbers(parameters))
        super().csi(prefix, parameters, intermediates, final)

    def esc(self, intermediates: str, final: str) -> None:
        if final == "Z" and not intermediates:
            self._asked("c", [0])
        super().esc(intermediates, final)

    def osc(self, body: str | None) -> None:
        number, _, rest = (body or "").partition(";")
        if number.isascii() and number.isdigit():
            for answer in self._colours.command(int(number[:9]), rest):
                self._say(answer)
        super().osc(body)

    def full_reset(self) -> None:
        self._colours.reset_palette()
        super().full_reset()

    def dcs(self, header: str, body: str | None) -> None:
        if body is not None and header == "$q":
            self._asked_setting(body)
        elif body is not None and header == "+q":
            self._asked_capabilities(body)
        super().dcs(header, body)

    def _asked(self, name: str, p: list[int]) -> None:
        top = self.buffer.top if self.modes.origin else 0  # as the cursor is placed, so it is reported
        row, column = max(self.buffer.y - top, 0) + 1, min(self.buffer.x, self.cols - 1) + 1
        match name, p[0]:
            case "n", 5:
                self._say("\x1b[0n")
            case "n", 6:
                self._say(f"\x1b[{row};{column}R")
            case "?n", 6:
                self._say(f"\x1b[?{row};{column}R")
            case "?n", number if number in _STATUS:
                self._say(f"\x1b[{_STATUS[number]}n")
            case "c", 0:
                self._say("\x1b[?62;22c")
            case ">c", 0:
                self._say("\x1b[>0;276;0c")
            case "=c", 0:
                self._say("\x1bP!|00000000\x1b\\")
            case "x", 0 | 1 as wish:
                self._say(f"\x1b[{wish + 2};1;1;128;128;1;0x")
            case ">q", 0:
                self._say("\x1bP>|xterm.js(6.0.0)\x1b\\")
            case "$p" | "?$p", number:
                private = "?" if name == "?$p" else ""
                self._say(f"\x1b[{private}{number};{self._mode(private, number)}$y")
            case "?u", _:
                self._say(f"\x1b[?{self.modes.keyboard[-1]}u")
            case "t", 11:
                self._say("\x1b[1t")
            case "t", 13:
                self._say("\x1b[3;0;0t")
            case "t", 14 | 15 as number:
                self._say(f"\x1b[{number - 10};{self.rows * CELL_HEIGHT};{self.cols * CELL_WIDTH}t")
            case "t", 16:
                self._say(f"\x1b[6;{CELL_HEIGHT};{CELL_WIDTH}t")
            case "t", 18 | 19 as number:
                self._say(f"\x1b[{number - 10};{self.rows};{self.cols}t")
            case _:
                pass

    def _mode(self, private: str, number: int) -> int:
        """As DECRPM says it: 0 unknown, 1 set, 2 reset, 3 and 4 the same for ever."""
        modes = self.modes
        if not private:
            known = {2: 4, 4: 1 if modes.insert else 2, 12: 3, 20: 1 if modes.newline else 2}
            return known.get(number, 0)
        if number in modes.private:
            return 1 if modes.private[number] else 2
        if number in MOUSE or number in ENCODINGS:
            return 1 if number in (modes.mouse, modes.encoding) else 2
        if number in ALTERNATE:
            return 1 if self.buffer is self.alternate else 2
        return {8: 3, 67: 4, 1005: 4, 1015: 4, 1048: 1, 2027: 3}.get(number, 0)

    def _asked_setting(self, what: str) -> None:
        """DECRQSS."""
        buffer, modes = self.buffer, self.modes
        style = modes.cursor_shape * 2 - (1 if modes.cursor_blinks else 0) if modes.cursor_shape else 1
        known = {
            "m": sgr.sequence(self.pen)[2:].partition("m")[0] or "0",
            "r": f"{buffer.top + 1};{buffer.bottom + 1}",
            " q": str(style),
            '"q': "1" if self.pen.bg & 0x20000000 else "0",
            '"p': "62;1",
            "t": str(self.rows),
            "$|": str(self.cols),
            "*|": str(self.rows),
        }
        self._say(f"\x1bP1$r{known[what]}{what}\x1b\\" if what in known else "\x1bP0$r\x1b\\")

    def _asked_capabilities(self, names: str) -> None:
        """XTGETTCAP: names and values in hexadecimal."""
        for coded in names.split(";")[:32]:
            try:
                name = bytes.fromhex(coded).decode()
            except ValueError:
                continue
            value = _CAPABILITIES.get(name)
            found = f"={value.encode().hex().upper()}" if value else ""
            self._say(f"\x1bP{0 if value is None else 1}+r{coded}{found}\x1b\\")
