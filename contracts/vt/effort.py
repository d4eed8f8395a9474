"""Bounds for the work that output makes a screen do.

A sequence of four characters may clear a whole screen. Without a bound a program that sends nothing else keeps a
processor busy for minutes with a megabyte of output. Work is counted in units of about one printed character; output
earns credit for later work, and a sequence that costs more than the credit is left out. Programs for people never get
there: clearing a screen of 200 × 60 costs what four hundred printed characters earn.
"""

from townwatch.contracts.vt.modes import ALTERNATE
from townwatch.contracts.vt.parser import numbers

MOST_CREDIT = 32_000_000
"""Units that a burst may use: a few seconds of one processor."""
PER_SEQUENCE = 64
PER_CHARACTER = 4
PER_LINE = 100
"""Units that a sequence, a printed character and a line feed earn."""
MAX_REPEATS = 4096
"""Most often that one sequence repeats something: more than any screen has cells in a row."""


class Effort:
    """Work that a screen did (`spent`), and how much more it may do now (`credit`)."""

    __slots__ = ("credit", "left_out", "spent")

    def __init__(self) -> None:
        self.credit = MOST_CREDIT
        self.spent = 0
        self.left_out = 0
        """Sequences that were left out."""

    def earn(self, units: int) -> None:
        self.credit = min(MOST_CREDIT, self.credit + units)

    def afford(self, cost: int) -> bool:
        """Pay for a piece of work; False if it must be left out."""
        if cost > self.credit:
            self.left_out += 1
            return False
        self.credit -= cost
        self.spent += cost
        return True


def of_sequence(name: str, parameters: str, cols: int, rows: int) -> int:
    """Return the cost of a control sequence. `name`: prefix, intermediates and final character."""
    match name:
        case "J" | "'}" | "'~" | " @" | " A":
            return cols * rows // 8
        case "?J":
            return cols * rows
        case "?h" | "?l":
            switches = any(number in ALTERNATE for number in numbers(parameters))
            return cols * rows // 2 if switches else 1
        case "L" | "M" | "S" | "T":
            return min(numbers(parameters)[0] or 1, rows) * (cols // 8 + 1)
        case "b":
            return 2 * min(numbers(parameters)[0] or 1, MAX_REPEATS)
        case "I" | "Z":
            return cols
        case "?K":
            return cols
        case "K" | "X" | "@" | "P":
            return cols // 8 + 1
        case _:
            return 1


def of_escape(intermediates: str, final: str, cols: int, rows: int) -> int:
    match intermediates + final:
        case "c":
            return cols * rows // 2
        case "#8":
            return cols * rows // 8
        case "D" | "E" | "M":
            return cols // 2 + 1
        case _:
            return 1


def of_resize(lines: int, old_cols: int, cols: int) -> int:
    """Return the cost of wrapping all lines of a buffer anew."""
    return 2 * lines * max(old_cols, cols)
