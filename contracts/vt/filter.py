"""Terminal output on its way to viewers: what acts on the viewer is taken out.

Agent output is hostile: a sequence may write to the viewer's clipboard (OSC 52), ask the viewer's terminal to answer
(DA, DSR, window reports) or carry whole programs (DCS). So this is an allow-list over ECMA-48 and xterm's control
sequences (https://invisible-island.net/xterm/ctlseqs/ctlseqs.html): what is not known to only draw is dropped, whatever
its length. The log keeps all. What passes draws the same as the whole would have.
"""

import re

from townwatch.contracts.vt.charsets import KNOWN
from townwatch.contracts.vt.parser import EscapeParser

MAX_TITLE = 4096
_FINALS = frozenset("@ABCDEFGHIJKLMPSTXZ`abdefghlmrsu")
_INTERMEDIATE = frozenset((" @", " A", " q", "!p", "'}", "'~", '"q'))
"""Scroll left and right, cursor style, soft reset, insert and delete columns, protected text."""
_KEYBOARD = frozenset("<=>")
"""The kitty keyboard protocol: told to the page, which sends keys as the program asked for."""
_MODES = frozenset(
    (
        *(1, 2, 3, 4, 5, 6, 7, 8),  # cursor keys, columns, scrolling, reverse, origin, wrap, repeat
        *(9, 12, 25, 45, 47, 66, 69),  # mouse, the cursor, reverse wrap, alternate screen, keypad, margins
        *(1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1015, 1016, 1034),  # mouse, focus, meta
        *(1047, 1048, 1049, 2004, 2026),  # alternate screen, bracketed paste, synchronised output
    )
)
_ESCAPES = frozenset("78cDEHMNO=>lmno|}~\\")
_CONTROLS = frozenset("\x07\x08\t\n\x0b\x0c\r\x0e\x0f")
_C1 = {"\x84": "\x1bD", "\x85": "\x1bE", "\x88": "\x1bH"}
_LINK = re.compile(r"8;[\w=:.-]*;(?:https?://[!-~]*)?")
_HARMLESS = re.compile(
    r"(?:[^\x00-\x06\x10-\x1f\x7f-\x9f]++"
    r"|\x1b\[(?:[0-9;]*+[@A-HJKLMPSTXabdfmr]|\?(?:25|7|2004|2026|1049|1|12)[hl])|\x1b[78M=>]|\x1b\([0B])*+"
)
"""Nearly all that programs print: nothing in it needs a closer look."""


class ViewerFilter:
    """Takes text in pieces of any size, gives back what may be shown. A sequence may be split anywhere: what was begun
    is held until it is whole, and only whole sequences go on.
    """

    def __init__(self) -> None:
        self._parser = EscapeParser(self)
        self._shown: list[str] = []
        self._dropped = False
        """Something was dropped that would have kept the next character from joining the one before."""
        self._linked = False
        self._string_ended = False
        """The escape that ended a string may be the beginning of its terminator."""
        self.cuts = 0
        """How many texts ended where the next one depends on them."""

    @property
    def ground(self) -> bool:
        """True if no unfinished sequence is held back."""
        return self._parser.ground

    @property
    def fresh(self) -> bool:
        """True if it does to the next text what a new filter would."""
        return self._parser.ground and not (self._dropped or self._linked or self._string_ended)

    def leaves(self, text: str) -> bool:
        """Return True if all of `text` passes at once; after it, the same is true of the next text."""
        return self._parser.ground and not self._dropped and _HARMLESS.fullmatch(text) is not None

    def feed(self, text: str) -> str:
        """Return the part of `text`, and of earlier unfinished text, that may go to viewers."""
        if self.leaves(text):
            self._string_ended = self._string_ended and not text
            return text
        self._shown = []
        position, end = 0, len(text)
        while position < end:
            if self._parser.ground and not self._dropped:
                harmless = _HARMLESS.match(text, position)
                if harmless is not None and harmless.end() > position:
                    self._string_ended = False
                    self._shown.append(harmless[0])
                    position = harmless.end()
                    continue
            position = self._parser.feed_one(text, position)
        self.cuts += not self.fresh
        return "".join(self._shown)

    # --- what the parser finds -------------------------------------------------------------------

    def _pass(self, sequence: str) -> None:
        self._dropped = self._string_ended = False
        self._shown.append(sequence)

    def _drop(self) -> None:
        self._dropped, self._string_ended = True, False

    def print(self, text: str) -> None:
        if self._dropped and text[0] >= "\x80":
            self._shown.append("\x1b\\")  # keeps the characters apart, and draws nothing
        self._pass(text)

    def execute(self, control: str) -> None:
        if control in _CONTROLS or control in _C1:
            self._pass(_C1.get(control, control))
        else:
            self._drop()

    def csi(self, prefix: str, parameters: str, intermediates: str, final: str) -> None:
        if prefix == "?" and not intermediates and final in "hl":
            modes = [mode for mode in parameters.split(";") if _mode(mode) in _MODES]
            if modes:
                return self._pass(f"\x1b[?{';'.join(modes)}{final}")
        elif self._draws(prefix, parameters, intermediates, final):
            return self._pass(f"\x1b[{prefix}{parameters}{intermediates}{final}")
        self._drop()

    def _draws(self, prefix: str, parameters: str, intermediates: str, final: str) -> bool:
        if final == "b" and self._dropped:
            return False  # it repeats a character, and what was printed last was no character
        match prefix, intermediates:
            case "", "":
                return final in _FINALS
            case "?", "":
                return final in "JK" and (not parameters or parameters.isdigit())
            case p, "" if p in _KEYBOARD:
                return final == "u"
            case "", _:
                return intermediates + final in _INTERMEDIATE
            case _:
                return False

    def esc(self, intermediates: str, final: str) -> None:
        if final == "\\" and not intermediates and self._string_ended:
            self._string_ended = False  # what it ended has passed with its own end, or was dropped
            return
        match intermediates:
            case "":
                allowed = final in _ESCAPES
            case "#":
                allowed = final in "34568"
            case "%":
                allowed = final in "@G"
            case "(" | ")" | "*" | "+" | "-" | "." | "/":
                allowed = final in KNOWN
            case _:
                allowed = False
        self._pass(f"\x1b{intermediates}{final}") if allowed else self._drop()

    def osc(self, body: str | None) -> None:
        """Titles (0, 1, 2), and hyperlinks (8) to the web; nothing else."""
        self._command(body)
        self._string_ended = True

    def _command(self, body: str | None) -> None:
        number, _, rest = (body or "").partition(";")
        if body is not None and number.isdigit() and number.isascii() and int(number[:9]) in (0, 1, 2):
            return self._pass(f"\x1b]{int(number[:9])};{rest[:MAX_TITLE]}\x07")
        if body is not None and number == "8":
            if _LINK.fullmatch(body):
                self._linked = not body.endswith(";")
                return self._pass(f"\x1b]{body}\x1b\\")
            if self._linked:  # a link that may not pass must not lengthen the one before
                self._linked = False
                return self._pass("\x1b]8;;\x1b\\")
        self._drop()

    def dcs(self, header: str, body: str | None) -> None:
        self._drop()
        self._string_ended = True

    def ended(self) -> None:
        self._drop()
        self._string_ended = True


def _mode(digits: str) -> int:
    """Return the number of a mode; 0, which none has, for what is no number."""
    return int(digits.lstrip("0")[:6] or 0) if digits.isdigit() else 0
