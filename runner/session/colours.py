"""Colours of a terminal, as programs set and ask them: the palette (OSC 4, 104) and what OSC 10-19 and 110-119 name."""

import re

FOREGROUND, BACKGROUND, CURSOR, SELECTION = 0xD8D9D4, 0x0B0E11, 0xFFB224, 0x35506B
"""The page's colours (dashboard/js/terminal.js)."""
_ANSI = (0x1B2126, 0xFF7A6B, 0x6FD19B, 0xF0C35A, 0x78B6FF, 0xC9A0FF, 0x62CFD4, 0xC9CCC8,
         0x77828B, 0xFF9D92, 0x94E5B6, 0xFFD98A, 0xA5CFFF, 0xDCC2FF, 0x92E4E7, 0xFFFFFF)  # fmt: skip
_SPECIAL = {10: FOREGROUND, 11: BACKGROUND, 12: CURSOR, 13: FOREGROUND, 14: BACKGROUND, 17: SELECTION, 19: FOREGROUND}
"""By the number of their command; 13 and 14 are the mouse pointer's, 17 and 19 the selection's."""
_NAMES = {
    "black": 0x000000, "red": 0xFF0000, "green": 0x00FF00, "yellow": 0xFFFF00, "blue": 0x0000FF, "magenta": 0xFF00FF,
    "cyan": 0x00FFFF, "white": 0xFFFFFF, "gray": 0xBEBEBE, "grey": 0xBEBEBE, "orange": 0xFFA500, "purple": 0xA020F0,
}  # fmt: skip
"""X11's values of the names that programs use; an unknown name changes nothing."""
_RGB = re.compile(r"rgb:([0-9a-f]{1,4})/([0-9a-f]{1,4})/([0-9a-f]{1,4})")
_HASH = re.compile(r"#((?:[0-9a-f]{3}){1,4})")


class Colours:
    """What was set and not reset since; everything else is the page's."""

    def __init__(self) -> None:
        self._palette: dict[int, int] = {}
        self._special: dict[int, int] = {}

    def command(self, number: int, rest: str) -> list[str]:
        """Obey an operating system command; return the answers to what it asks."""
        match number:
            case 4:
                return self._indexed(rest.split(";"))
            case 104:
                self._restore(rest)
            case _ if number - 100 in _SPECIAL:
                self._special.pop(number - 100, None)
            case _ if 10 <= number <= 19:
                return self._named(number, rest.split(";"))
            case _:
                pass
        return []

    def reset_palette(self) -> None:
        """A full reset (RIS) takes back the palette, and not what OSC 10-19 set: as xterm and VTE do."""
        self._palette.clear()

    def _indexed(self, slots: list[str]) -> list[str]:
        answers: list[str] = []
        for name, wish in zip(slots[::2], slots[1::2], strict=False):
            index = _index(name)
            if index is None:
                continue
            if wish == "?":
                answers.append(f"\x1b]4;{index};{_text(self._palette.get(index, _default(index)))}\x1b\\")
            elif (colour := parsed(wish)) is not None:
                self._palette[index] = colour
        return answers

    def _restore(self, rest: str) -> None:
        if not rest:
            self._palette.clear()
        for name in rest.split(";"):
            index = _index(name)
            if index is not None:
                self._palette.pop(index, None)

    def _named(self, first: int, wishes: list[str]) -> list[str]:
        """OSC 10-19: further values are those of the numbers that follow."""
        answers: list[str] = []
        for number, wish in enumerate(wishes, first):
            if number not in _SPECIAL:
                continue
            if wish == "?":
                answers.append(f"\x1b]{number};{_text(self._special.get(number, _SPECIAL[number]))}\x1b\\")
            elif (colour := parsed(wish)) is not None:
                self._special[number] = colour
        return answers


def parsed(wish: str) -> int | None:
    """Return the colour that a specification of XParseColor names; None for one that is not understood."""
    wish = wish.strip().lower()
    if found := _RGB.fullmatch(wish):
        parts = [round(int(part, 16) / (16 ** len(part) - 1) * 255) for part in found.groups()]
    elif found := _HASH.fullmatch(wish):
        digits = len(found[1]) // 3
        parts = [int(found[1][at : at + digits][:2].ljust(2, "0"), 16) for at in range(0, 3 * digits, digits)]
    else:
        return _NAMES.get(wish)
    return parts[0] << 16 | parts[1] << 8 | parts[2]


def _index(name: str) -> int | None:
    return int(name) if name.isascii() and name.isdigit() and len(name) <= 3 and int(name) < 256 else None


def _default(index: int) -> int:
    """The page's colour of the 256 with this index."""
    if index < 16:
        return _ANSI[index]
    if index >= 232:
        return (8 + 10 * (index - 232)) * 0x010101
    levels = (0, 95, 135, 175, 215, 255)
    index -= 16
    return levels[index // 36] << 16 | levels[index // 6 % 6] << 8 | levels[index % 6]


def _text(colour: int) -> str:
    parts = (colour >> 16, colour >> 8 & 255, colour & 255)
    return "rgb:" + "/".join(f"{part:02x}{part:02x}" for part in parts)
