"""Terminal output on its way to viewers: what acts on the viewer is taken out, and the last screenful is kept.

Agent output is hostile: a sequence may write to the viewer's clipboard (OSC 52), ask the viewer's terminal to answer
(DA, DSR, window reports) or carry whole programs (DCS). So this is an allow-list over ECMA-48 and xterm's control
sequences (https://invisible-island.net/xterm/ctlseqs/ctlseqs.html): what is not known to only draw is dropped. The
log keeps all.
"""

import re
from collections import deque

MAX_UNFINISHED = 4096
"""Characters of a sequence that has not ended yet; a longer one is dropped, not waited for."""

_C1 = {code: f"\x1b{chr(code - 0x40)}" for code in range(0x80, 0xA0)}  # 8-bit forms of ESC @ … ESC _

_SEQUENCE = re.compile(
    r"""
      \x1b\](?P<osc>[^\x07\x1b\x18\x1a]*)(?:\x07|\x1b\\)                    # operating system command
    | \x1b[PX^_][^\x1b\x18\x1a]*(?:\x1b\\)                                  # DCS, SOS, PM, APC: never drawn
    | \x1b\[(?P<params>[0-?]*)(?P<inter>[\ -/]*)(?P<final>[@-~])            # control sequence
    | \x1b(?P<esc>[\ -/]*[0-OQ-WYZ\\`-~=>])                                 # the other escapes
    """,
    re.VERBOSE,
)
_UNFINISHED = re.compile(r"\x1b(?:\][^\x07\x1b\x18\x1a]*\x1b?|[PX^_][^\x1b\x18\x1a]*\x1b?|\[[0-?]*[\ -/]*|[\ -/]*)$")

_PLAIN_FINALS = frozenset("@ABCDEFGHIJKLMPSTXZ`abdefghlmrsu")
_MODES = frozenset(
    (
        *range(1, 9),  # cursor keys, columns, scrolling, reverse, origin, wrap, repeat
        *(
            12,
            25,
            45,
            47,
            66,
            69,
        ),  # the cursor's blinking and visibility, reverse wrap, alternate screen, keypad, margins
        *(1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1015, 1016, 1034),  # mouse, focus, meta
        *(1047, 1048, 1049, 2004, 2026),  # alternate screen, bracketed paste, synchronised output
    )
)
_ESCAPES = re.compile(r"[78cDEHMNO=>]|[()*+\-./][0-~]|#[3-68]|%[@G]|[lmno|}~]|\\")
_TITLE_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_LINK = re.compile(r"8;[\w=:.-]*;(?:https?://[!-~]*)?$")


def _keep(match: re.Match[str]) -> str:
    """The sequence if it only draws, else nothing."""
    osc, final, esc = match["osc"], match["final"], match["esc"]
    if osc is not None:
        return _keep_osc(osc)
    if final is not None:
        return match[0] if _draws(match["params"], match["inter"], final) else ""
    if esc is not None:
        return match[0] if _ESCAPES.fullmatch(esc) else ""
    return ""


def _keep_osc(body: str) -> str:
    """Titles (0, 1, 2) without controls, and hyperlinks (8) to the web; nothing else."""
    if body[:2] in ("0;", "1;", "2;"):
        return f"\x1b]{_TITLE_CONTROLS.sub('', body)[:256]}\x07"
    return f"\x1b]{body}\x1b\\" if _LINK.fullmatch(body) else ""


def _draws(params: str, inter: str, final: str) -> bool:
    match inter, final:
        case "", "h" | "l" if params.startswith("?"):
            return all(mode.isdigit() and int(mode[:6]) in _MODES for mode in params[1:].split(";"))
        case "", "J" | "K" if params.startswith("?"):
            return params[1:].isdigit() or params == "?"
        case "", _:
            return final in _PLAIN_FINALS and not params.startswith(("<", "=", ">", "?"))
        case (" ", "q") | ("!", "p"):  # the cursor's shape, soft reset
            return not params.startswith(("<", "=", ">", "?"))
        case _:
            return False


class ViewerFilter:
    """Takes text in pieces of any size, gives back what may be shown. A sequence may be split anywhere."""

    def __init__(self) -> None:
        self._unfinished = ""

    def feed(self, text: str) -> str:
        """What of `text` (and of what was unfinished before) may go to viewers."""
        if not self._unfinished and _HARMLESS.fullmatch(text):
            return text
        text = self._unfinished + text.translate(_C1)
        self._unfinished = ""
        shown: list[str] = []
        position = 0
        while (escape := text.find("\x1b", position)) >= 0:
            shown.append(text[position:escape])
            match = _SEQUENCE.match(text, escape)
            if match is not None:
                shown.append(_keep(match))
                position = match.end()
            elif _UNFINISHED.match(text, escape):
                if len(text) - escape <= MAX_UNFINISHED:
                    self._unfinished = text[escape:]
                position = len(text)
            else:  # aborted or unknown: the escape itself goes, what follows is text
                position = escape + 1
        shown.append(text[position:])
        return "".join(piece if piece.startswith("\x1b") else _without_controls(piece) for piece in shown if piece)


_HARMLESS = re.compile(r"(?:[^\x00-\x06\x10-\x1b\x7f-\x9f]++|\x1b\[[0-9;]*+m)*+")
"""Text and colours, as most output is: nothing in it needs a closer look."""
_CONTROLS = re.compile(r"[\x00-\x06\x10-\x1a\x1c-\x1f\x7f]")


def _without_controls(piece: str) -> str:
    return _CONTROLS.sub("", piece)


# --- the last screenful ---------------------------------------------------------------------------------------------

SCREEN_CHARS = 256 * 1024
_ALTERNATE = re.compile(r"\x1b\[\?(?:1049|1047|47)([hl])")
"""A full-screen program comes (h) and goes (l)."""
_INTO_ALTERNATE = "\x1b[?1049h\x1b[2J\x1b[H"
_CLEARS = re.compile(r"\x1bc|\x1b\[[23]J|\x1b\[\?(?:1049|1047|47)h")


class Screen:
    """What a late viewer is sent: the output since the last full clear, at most `SCREEN_CHARS` of it.

    A full-screen program clears when it starts and redraws when it is resized, so the text since then makes its
    screen; a shell's screen is the tail of its output. When even that is too long, it is cut at a line's start; a
    full-screen program's stays on the alternate screen then.
    """

    def __init__(self, limit: int = SCREEN_CHARS) -> None:
        self._limit = limit
        self._pieces: deque[str] = deque()
        self._length = 0
        self._alternate = False
        self.size: tuple[int, int] | None = None
        """Columns and rows, where they are known."""

    def write(self, text: str) -> None:
        """More output, already filtered."""
        for match in _ALTERNATE.finditer(text):
            self._alternate = match[1] == "h"
        clears = [match.start() for match in _CLEARS.finditer(text)]
        if clears:
            self._pieces.clear()
            self._length = 0
            text = text[clears[-1] :]
        self._pieces.append(text)
        self._length += len(text)
        while self._length > 2 * self._limit and len(self._pieces) > 1:
            self._length -= len(self._pieces.popleft())

    def text(self) -> str:
        """Replaces a viewer's screen."""
        whole = "".join(self._pieces)
        if len(whole) <= self._limit:
            return whole
        cut = whole.find("\n", len(whole) - self._limit)
        begin = _INTO_ALTERNATE if self._alternate else ""
        return begin + (whole[cut + 1 :] if cut >= 0 else _from_a_sequence(whole[-self._limit :]))


def _from_a_sequence(text: str) -> str:
    """Without what may be the end of a sequence that was cut."""
    return text[max(0, text.find("\x1b", 0, MAX_UNFINISHED)) :]
