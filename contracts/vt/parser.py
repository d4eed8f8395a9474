"""The DEC VT500 state machine over text, as xterm.js has it: what was begun in one piece goes on in the next.

See Paul Williams' parser (https://vt100.net/emu/dec_ansi_parser). In the ground state whole tokens are matched by one
regular expression; everything unfinished, aborted or malformed goes character by character.
"""

import re
from typing import Protocol

MAX_PARAMETERS = 1024
"""Characters of parameters that are kept; xterm.js keeps 32 numbers."""
MAX_STRING = 64 * 1024
"""Characters of a control string that are kept; a longer one is consumed to its end and reported as None."""


class ParserSink(Protocol):
    """Receiver of the parser's calls, which come in the order of the stream."""

    def print(self, text: str) -> None:
        """Printable characters."""

    def execute(self, control: str) -> None:
        """A C0 or C1 control, alone or inside a sequence."""

    def csi(self, prefix: str, parameters: str, intermediates: str, final: str) -> None:
        """A whole control sequence."""

    def esc(self, intermediates: str, final: str) -> None:
        """A whole escape sequence."""

    def osc(self, body: str | None) -> None:
        """An operating system command; None: it was aborted or too long."""

    def dcs(self, header: str, body: str | None) -> None:
        """A device control string; `header`: prefix, parameters, intermediates and final."""

    def ended(self) -> None:
        """A string that nothing interprets (SOS, PM, APC) has ended."""


GROUND, ESCAPE, ESCAPE_INTERMEDIATE, CSI_ENTRY, CSI_PARAM, CSI_INTERMEDIATE, CSI_IGNORE = range(7)
OSC, DCS_ENTRY, DCS_PARAM, DCS_INTERMEDIATE, DCS_IGNORE, DCS_BODY, SOS = range(7, 14)

_TOKEN = re.compile(
    r"""
      ([^\x00-\x1f\x7f-\x9f]+)                             # 1 printable
    | \x1b\[([<=>?]?)([0-9:;]*)([\ -/]*)([@-~])            # 2-5 control sequence
    | ([\x00-\x17\x19\x1c-\x1f])                           # 6 control
    | \x1b([\ -/]+)([0-~])                                 # 7-8 escape with intermediates
    | \x1b([0-OQ-WYZ\\`-~])                                # 9 escape
    """,
    re.VERBOSE,
)
_STRING_STOP = re.compile(r"[\x00-\x1f\x80-\x9f]")
_C1_STARTS = {
    "\x90": DCS_ENTRY,
    "\x98": SOS,
    "\x9b": CSI_ENTRY,
    "\x9d": OSC,
    "\x9e": SOS,
    "\x9f": SOS,
}
_ESCAPE_STARTS = {"[": CSI_ENTRY, "]": OSC, "P": DCS_ENTRY, "X": SOS, "^": SOS, "_": SOS}


class EscapeParser:
    """Feeds a `ParserSink`. Where the text is cut changes nothing."""

    def __init__(self, sink: ParserSink) -> None:
        self._sink = sink
        self._state = GROUND
        self._prefix = self._parameters = self._intermediates = self._header = ""
        self._body: list[str] = []
        self._length = 0

    @property
    def ground(self) -> bool:
        """True if no sequence is unfinished."""
        return self._state == GROUND

    def feed(self, text: str) -> None:
        """Read all of the text."""
        position, end, one = 0, len(text), self.feed_one
        while position < end:
            position = one(text, position)

    def feed_one(self, text: str, position: int) -> int:
        """Read one token from `position` on; return where the next one begins."""
        token = _TOKEN.match(text, position) if self._state == GROUND else None
        if token is None:
            return self._step(text, position)
        sink = self._sink
        match token.lastindex:
            case 1:
                sink.print(token[1])
            case 5:
                sink.csi(token[2], token[3][:MAX_PARAMETERS], token[4], token[5])
            case 6:
                sink.execute(token[6])
            case 8:
                sink.esc(token[7], token[8])
            case _:
                sink.esc("", token[9])
        return token.end()

    def _step(self, text: str, position: int) -> int:
        """Read one character, or a run of a string; return where to go on."""
        state, char = self._state, text[position]
        if state in (OSC, DCS_BODY, SOS, DCS_IGNORE):
            stop = _STRING_STOP.search(text, position)
            until = stop.start() if stop is not None else len(text)
            if until > position:
                self._keep(text, position, until)
                return until
        if self._anywhere(char):
            return position + 1
        if "\x80" <= char <= "\x9f":  # the other C1 controls: executed, and what was unfinished is given up
            self._state = GROUND
            self._sink.execute(char)
        elif char < " ":
            self._control(char)
        else:
            self._character(char)
        return position + 1

    def _anywhere(self, char: str) -> bool:
        """Controls that end what is unfinished and begin something new, in whatever state."""
        state = self._state
        match char:
            case "\x1b":
                self._finish(aborted=False)
                self._begin(ESCAPE)
            case "\x18" | "\x1a":
                self._finish(aborted=True)
                self._state = GROUND
                if state not in (OSC, DCS_BODY):
                    self._sink.execute(char)
            case "\x9c":
                self._finish(aborted=False)
                self._state = GROUND
            case "\x07" if state == OSC:
                self._finish(aborted=False)
                self._state = GROUND
            case _ if char in _C1_STARTS:
                self._begin(_C1_STARTS[char])
            case _:
                return False
        return True

    def _begin(self, state: int) -> None:
        self._state = state
        self._prefix = self._parameters = self._intermediates = ""
        self._body, self._length = [], 0

    def _keep(self, text: str, position: int, until: int) -> None:
        """A part of a string, within the limit."""
        if self._state in (OSC, DCS_BODY):
            self._length += until - position
            if self._length <= MAX_STRING:
                self._body.append(text[position:until])

    def _finish(self, *, aborted: bool) -> None:
        body = None if aborted or self._length > MAX_STRING else "".join(self._body)
        match self._state:
            case s if s == OSC:
                self._sink.osc(body)
            case s if s == DCS_BODY:
                self._sink.dcs(self._header, body)
            case s if s == SOS:
                self._sink.ended()
            case _:
                pass

    def _control(self, char: str) -> None:
        """A C0 control: executed inside escape and control sequences, ignored inside strings."""
        match self._state:
            case s if s in (OSC, SOS, DCS_ENTRY, DCS_PARAM, DCS_INTERMEDIATE, DCS_IGNORE):
                pass
            case s if s == DCS_BODY:
                self._keep(char, 0, 1)
            case _:
                self._sink.execute(char)

    def _character(self, char: str) -> None:
        match self._state:
            case s if s == ESCAPE:
                self._after_escape(char)
            case s if s == ESCAPE_INTERMEDIATE:
                self._after_intermediate(char)
            case s if s in (CSI_ENTRY, CSI_PARAM, CSI_INTERMEDIATE, CSI_IGNORE):
                self._in_csi(char)
            case s if s in (DCS_ENTRY, DCS_PARAM, DCS_INTERMEDIATE):
                self._in_dcs(char)
            case _:
                pass  # DEL in the ground state

    def _after_escape(self, char: str) -> None:
        if char in _ESCAPE_STARTS:
            self._begin(_ESCAPE_STARTS[char])
        elif " " <= char <= "/":
            self._intermediates += char
            self._state = ESCAPE_INTERMEDIATE
        elif char != "\x7f":
            self._state = GROUND
            if char < "\x7f":
                self._sink.esc("", char)

    def _after_intermediate(self, char: str) -> None:
        if " " <= char <= "/":
            if len(self._intermediates) < 4:
                self._intermediates += char
        elif char != "\x7f":
            self._state = GROUND
            if char < "\x7f":
                self._sink.esc(self._intermediates, char)

    def _in_csi(self, char: str) -> None:
        if char == "\x7f":
            return
        if char > "\x7f":
            if self._state != CSI_IGNORE:
                self._state = GROUND
        elif char >= "@":
            ignored, self._state = self._state == CSI_IGNORE, GROUND
            if not ignored:
                self._sink.csi(self._prefix, self._parameters, self._intermediates, char)
        elif self._state != CSI_IGNORE and not self._collect(char, CSI_ENTRY, CSI_PARAM, CSI_INTERMEDIATE):
            self._state = CSI_IGNORE

    def _in_dcs(self, char: str) -> None:
        if char == "\x7f":
            return
        if char > "\x7f":
            self._state = GROUND
        elif char >= "@":
            self._header = f"{self._prefix}{self._parameters}{self._intermediates}{char}"
            self._body, self._length = [], 0
            self._state = DCS_BODY
        elif not self._collect(char, DCS_ENTRY, DCS_PARAM, DCS_INTERMEDIATE):
            self._state = DCS_IGNORE

    def _collect(self, char: str, entry: int, parameter: int, intermediate: int) -> bool:
        """A prefix, a parameter's character or an intermediate, where it may stand."""
        if " " <= char <= "/":
            if len(self._intermediates) < 4:
                self._intermediates += char
            self._state = intermediate
            return True
        if self._state == intermediate:
            return False
        if char <= ";":
            if len(self._parameters) < MAX_PARAMETERS:
                self._parameters += char
        elif self._state == entry:
            self._prefix = char
        else:
            return False
        self._state = parameter
        return True


def numbers(parameters: str) -> list[int]:
    """Return parameters without their sub-parameters: at least one, at most 32, 0 where one is left out."""
    if not parameters:
        return [0]
    return [_number(part.partition(":")[0]) for part in parameters.split(";", 32)[:32]]


def with_subparameters(parameters: str) -> list[tuple[int, list[int]]]:
    """Return each parameter with its sub-parameters; one of those that is left out is -1."""
    found: list[tuple[int, list[int]]] = []
    for part in parameters.split(";", 32)[:32]:
        first, *rest = part.split(":")
        found.append((_number(first), [_number(one) if one else -1 for one in rest]))
    return found


def _number(digits: str) -> int:
    return min(int(digits.lstrip("0")[:12] or 0), 0x7FFFFFFF) if digits else 0
