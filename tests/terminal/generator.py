"""Random programs for a terminal, from a seed, and a shrinker for those that fail."""

# ruff: noqa: E501

import random
from collections.abc import Callable, Sequence

from tests.terminal.oracle import Step
from tests.terminal.rare import rare_piece

_TEXTS = [
    "hello", "ls -la", "x" * 90, "tab\tbed", "naïve", "漢字仮名", "😀", "👨‍👩‍👧", "é", "e\u0301", "🇩🇪🇫🇷", "❤️", "한글", "ᄀᄀᄀ각ᆨᆨ",
    "─│┌┐", " ", "  ", "\u200d", "\ufe0f", "नमस्ते", "👍🏽", "a\u0300\u0301", "link", "0123456789", "ａ", "abc" * 40, "✅", "\u00a0", "lqqqk",
]  # fmt: skip
_CONTROLS = [
    "\r\n",
    "\n",
    "\r",
    "\b",
    "\t",
    "\x0b",
    "\x0c",
    "\x0e",
    "\x0f",
    "\x07",
    "\0",
    "\r\n\r\n",
    "\x84",
    "\x85",
    "\x88",
    "\x8d",
]
_ESCAPES = [
    "7",
    "8",
    "D",
    "E",
    "H",
    "M",
    "=",
    ">",
    "c",
    "n",
    "o",
    "|",
    "}",
    "~",
    "(0",
    "(B",
    ")0",
    ")B",
    "*0",
    "#8",
    "%G",
    "(A",
    "N",
    "O",
    "Z",
    "\\",
]
_PRIVATE = [
    1,
    3,
    5,
    6,
    7,
    9,
    12,
    25,
    45,
    47,
    66,
    1000,
    1002,
    1003,
    1004,
    1005,
    1006,
    1015,
    1016,
    1047,
    1048,
    1049,
    2004,
    2026,
    9999,
]
_SGR = [
    "", "0", "1", "2", "3", "4", "4:3", "4:0", "5", "7", "8", "9", "21", "22", "23", "24", "27", "28", "29", "31", "42", "44", "97", "103", "39",
    "49", "38;5;200", "48;5;17", "38;2;1;2;3", "48;2;200;100;0", "38:2::9:8:7", "38:5:99", "58:5:3", "58:2::1:2:3", "59", "53", "55", "1;31;44",
    "38;5", "38", "48;2;1", "7;1;4", "100", "0;1",
]  # fmt: skip
_STRINGS = ["\x1b]52;c;cm0=\x07", "\x1bPq#0~~\x1b\\", "\x1b_Gf=100;AAAA\x1b\\", "\x1b^pm\x1b\\", "\x1bXsos\x1b\\", "\x1b]1337;File=:AAAA\x07",
            "\x1bP1$rzz\x1b\\", "\x1b]4;1;rgb:00/00/00\x07", "\x9d52;c;x\x9c", "\x1b]52;c;cut\x18", "\x1bPcut\x1a"]  # fmt: skip
_BROKEN = ["\x1b[3\x18", "\x1b]0;cut\x18", "\x1b[1\x1b[2K", "\x1b[3\r\n1m", "\x1b[\0001m", "\x1b[1;\b2H", "\x1b[<1;2?m", "\x1b[1 2m", "\x1b[é",
           "\x1b\x1b[31m", "\x7f", "\x1b[12\x7f;3H", "\x1b(\x1b[m", "\x1b]2;cut\x1b[1m", "\x1b[?", "\x1b[;;H", "\x1b[:3m", "\x1b[999999999999C"]  # fmt: skip
_QUERIES = ["\x1b[6n", "\x1b[c", "\x1b[>c", "\x1b[?2004$p", "\x1b]11;?\x07", "\x1b[18t", "\x1b[>q", "\x1b[?u"]
_FINALS = "@ABCDEFGHIJKLMPSTXZ`abdefgrsu"


def program(seed: int, *, sizes: bool = True, rare: bool = False) -> tuple[list[Step], tuple[int, int]]:
    """Steps, and the size to begin with. `rare`: nearly half of it from `rare.py`."""
    rnd = random.Random(seed)
    size = (rnd.choice([5, 10, 20, 40, 80]), rnd.choice([3, 5, 10, 24]))
    resizes = sizes and rnd.random() < 0.25
    steps: list[Step] = []
    for _ in range(rnd.randint(3, 60)):
        if resizes and rnd.random() < 0.05:
            steps.append((rnd.choice([4, 9, 15, 40, 81, 120]), rnd.choice([2, 4, 8, 25])))
        elif rare and rnd.random() < 0.45:
            steps.append(rare_piece(rnd, *size))
        else:
            steps.append(_piece(rnd, *size))
    return steps, size


def _piece(rnd: random.Random, cols: int, rows: int) -> str:
    roll = rnd.random()
    if roll < 0.34:
        return rnd.choice(_TEXTS)
    if roll < 0.46:
        return rnd.choice(_CONTROLS)
    if roll < 0.64:
        return _control_sequence(rnd, cols, rows)
    if roll < 0.74:
        return f"\x1b[{rnd.choice(_SGR)}m"
    if roll < 0.80:
        return f"\x1b{rnd.choice(_ESCAPES)}"
    if roll < 0.88:
        modes = ";".join(str(rnd.choice(_PRIVATE)) for _ in range(rnd.choice([1, 1, 1, 2])))
        return f"\x1b[?{modes}{rnd.choice('hhl')}"
    if roll < 0.91:
        return rnd.choice(
            [
                "\x1b[4h",
                "\x1b[4l",
                "\x1b[20h",
                "\x1b[20l",
                "\x1b[!p",
                '\x1b[1"q',
                '\x1b[0"q',
                f"\x1b[{rnd.randint(0, 7)} q",
            ]
        )
    if roll < 0.94:
        return rnd.choice(
            [
                f"\x1b]{rnd.choice('02')};title {rnd.randint(0, 9)}\x07",
                "\x1b]8;;https://a.example/x\x1b\\",
                "\x1b]8;;\x1b\\",
            ]
        )
    return rnd.choice(rnd.choice([_STRINGS, _BROKEN, _QUERIES]))


def _control_sequence(rnd: random.Random, cols: int, rows: int) -> str:
    final = rnd.choice(_FINALS)
    number = rnd.choice(["", "0", "1", "2", "3", "5", str(rnd.randint(1, rows + 2)), str(rnd.randint(1, cols + 5))])
    if final in "Hfr":
        return f"\x1b[{rnd.randint(0, rows + 1)};{rnd.randint(0, cols + 1 if final != 'r' else rows + 1)}{final}"
    if final in "JK":
        return f"\x1b[{rnd.choice(['', '?'])}{rnd.choice(['', '0', '1', '2', '3'])}{final}"
    if final in "su":
        number = ""
    if rnd.random() < 0.05:
        return f"\x1b[{number}{rnd.choice([' @', ' A', chr(39) + '}', chr(39) + '~'])}"
    return f"\x1b[{number}{final}"


def cut(text: str, rnd: random.Random) -> list[str]:
    """The text in pieces."""
    pieces: list[str] = []
    while text:
        count = rnd.choice([1, 1, 2, 3, 7, 50])
        pieces.append(text[:count])
        text = text[count:]
    return pieces


def shrink(steps: Sequence[Step], fails: Callable[[Sequence[Step]], bool]) -> list[Step]:
    """A smaller program that still fails: steps left out, then texts shortened."""
    best = list(steps)
    size = max(1, len(best) // 2)
    while size:
        start = 0
        while start < len(best):
            trial = best[:start] + best[start + size :]
            if trial and fails(trial):
                best = trial
            else:
                start += size
        size //= 2
    for index, step in enumerate(best):
        while (
            isinstance(step, str)
            and len(step) > 1
            and not step.startswith("\x1b")
            and fails([*best[:index], step[:-1], *best[index + 1 :]])
        ):
            best[index] = step = step[:-1]
    return best
