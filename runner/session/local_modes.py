"""Modes of the local terminal that a program set, to be undone when it was killed and could not undo it itself."""

import re

_CHANGE = re.compile(
    rb"\x1b(?:\[\?([0-9;]{1,40}+)([hl])|\[([<>=])([0-9;]{0,10}+)u|\[>4(?:;([0-9]))?m"
    rb"|\[([0-9;]{0,10}+) ?([rq])|([=>])|c)"
)
_HARMLESS = re.compile(rb"(?:[^\x1b]++|\x1b\[[0-9;]*+[@A-HJKLMPSTXZ`abdefgm])*+")
"""Text, colours and movements, which are nearly all of a program's output: six times as fast to pass over."""
_ON = (1, 6, 9, 45, 66, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1015, 1016, 2004, 2026, 2031, 2048)
"""Modes that are off in a terminal whose modes were never set."""
_OFF = (7, 25)
_ALTERNATE = (1049, 1047, 47)
_LONGEST = 64


class LocalModes:
    """`feed` it all output; `undo` says what puts the terminal back."""

    def __init__(self) -> None:
        self._tail = b""
        self._set: dict[int, bool] = {}
        self._keyboards = 0
        self._other: dict[str, bytes] = {}

    def feed(self, data: bytes) -> None:
        if b"\x1b" not in data and not self._tail:
            return
        data = self._tail + data
        harmless = _HARMLESS.match(data)
        begin = harmless.end() if harmless is not None else 0
        last = data.rfind(b"\x1b", begin)
        self._tail = data[last:] if last >= 0 and len(data) - last < _LONGEST and not _CHANGE.match(data, last) else b""
        for match in _CHANGE.finditer(data, begin):
            self._note(match)

    def _note(self, match: re.Match[bytes]) -> None:
        modes, on, keyboard, count, other_keys, region, final, keypad = match.groups()
        if modes is not None:
            for mode in modes.split(b";"):
                if mode:
                    self._set[int(mode)] = on == b"h"
        elif keyboard == b">":
            self._keyboards += 1
        elif keyboard == b"<":
            self._keyboards = max(0, self._keyboards - int(count or b"1"))
        elif keyboard is not None:
            self._other["keyboard"] = b"\x1b[=0;1u"
        elif match[0].startswith(b"\x1b[>4"):
            self._other["keys"] = b"\x1b[>4m" if other_keys not in (None, b"0") else b""
        elif final == b"r":
            self._other["region"] = b"\x1b7\x1b[r\x1b8" if region else b""
        elif final == b"q":
            self._other["cursor"] = b"\x1b[0 q" if region not in (b"", b"0") else b""
        elif keypad is not None:
            self._other["keypad"] = b"\x1b>" if keypad == b"=" else b""
        else:  # a full reset
            self._set.clear()
            self._other.clear()
            self._keyboards = 0

    def undo(self) -> bytes:
        """Nothing where nothing is left to be undone."""
        off = [mode for mode in _ON if self._set.get(mode)] + [mode for mode in _ALTERNATE if self._set.get(mode)][:1]
        undone = [b"\x1b[?%dl" % mode for mode in off] + [
            b"\x1b[?%dh" % mode for mode in _OFF if self._set.get(mode) is False
        ]
        undone += [other for other in self._other.values() if other]
        if self._keyboards:
            undone.insert(0, b"\x1b[<%du" % self._keyboards)
        return b"".join([b"\x1b[m\x0f", *undone]) if undone else b""
