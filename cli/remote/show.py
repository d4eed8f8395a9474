"""Plain text for people: tables, ages, and text of agents that cannot act on the terminal it is shown in."""

import json
import shutil
import sys
import time
from collections.abc import Sequence
from typing import Any


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under a head, the last column cut to the width of the terminal."""
    columns = list(zip(head, *rows, strict=True))
    widths = [max(len(cell) for cell in column) for column in columns]
    room = shutil.get_terminal_size((200, 24)).columns if sys.stdout.isatty() else 10_000
    for row in (head, *rows):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        print(line if len(line) <= room else line[: room - 1] + "…")


def emit(value: Any) -> None:
    """Print one JSON value."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def age(then_ms: float | None) -> str:
    """Return how long ago a time was, in its largest unit; "-" where it is not known."""
    if then_ms is None:
        return "-"
    seconds = max(0, int(time.time() - then_ms / 1000))
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def plain(text: str) -> str:
    """Return a text of an agent as one line without control characters: no sequence of it reaches the terminal."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
