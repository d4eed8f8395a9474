"""A link as a QR code in a terminal, for the phone beside it."""

import os
import sys
from collections.abc import Mapping
from typing import TextIO
from urllib.parse import urlsplit

from townwatch.net.qr import Rows, qr
from townwatch.net.service_url import is_loopback

QUIET = 2
"""Light modules around the code. The standard wants four; cameras read it with two, and it fits into 24 lines."""
ON_WHITE, PLAIN = "\x1b[38;5;16;48;5;231m", "\x1b[0m"
NO_TERMINALS = frozenset({"", "dumb", "unknown"})
_HALVES = {(False, False): " ", (True, False): "▀", (False, True): "▄", (True, True): "█"}


class NoCode(Exception):
    """There is no code to show here; the message is one line that says why."""


def reachable_from_a_phone(link: str) -> bool:
    """Return whether another machine may open a link: it names neither this machine itself nor no host at all."""
    return not is_loopback(link) and urlsplit(link).hostname not in (None, "0.0.0.0", "::")


def code_for(link: str, stream: TextIO, environ: Mapping[str, str] = os.environ) -> str:
    """Return a link as lines for a terminal.

    Raises:
        NoCode: the stream is no terminal, cannot show the signs, or is too narrow.
    """
    if not stream.isatty():
        raise NoCode("a QR code is for a terminal, and this output is none")
    try:
        "".join(_HALVES.values()).encode(stream.encoding)
    except (UnicodeError, LookupError):
        raise NoCode(f"this terminal's encoding is {stream.encoding}, which has no signs for a QR code") from None
    rows = qr(link)
    if rows is None:
        raise NoCode("the link is too long for a QR code")
    width, columns = len(rows) + 2 * QUIET, _columns(stream)
    if width > columns:
        raise NoCode(f"the terminal has {columns} columns, a QR code of this link needs {width}")
    return drawn(rows, colour=not environ.get("NO_COLOR") and environ.get("TERM", "") not in NO_TERMINALS)


def shown(link: str, stream: TextIO, asked: bool) -> str:
    """Return the lines of a code; empty where none is wanted. Why there is none is said where it was `asked` for."""
    if not asked and not reachable_from_a_phone(link):
        return ""
    try:
        return code_for(link, stream)
    except NoCode as why:
        if asked:
            print(f"townwatch: no QR code: {why}", file=sys.stderr)
        return ""


def drawn(rows: Rows, *, colour: bool) -> str:
    """Return two rows a line. In colours it is black on white, whatever the terminal's are; without, it is drawn for
    a dark terminal, where the signs are the light modules (on a light one it is inverted, which most cameras read).
    """
    edge = [False] * (len(rows) + 2 * QUIET)
    side = [False] * QUIET
    padded = [*[edge] * QUIET, *([*side, *row, *side] for row in rows), *[edge] * QUIET]
    if len(padded) % 2:
        padded.append(edge)
    lines: list[str] = []
    for above, below in zip(padded[::2], padded[1::2], strict=True):
        if colour:
            signs = "".join(_HALVES[pair] for pair in zip(above, below, strict=True))
            lines.append(f"{ON_WHITE}{signs}{PLAIN}")
        else:
            lines.append("".join(_HALVES[not up, not down] for up, down in zip(above, below, strict=True)))
    return "\n".join(lines)


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80
