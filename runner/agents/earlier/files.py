"""Files in which agents' CLIs keep conversations: the newest of them, and the records at their beginnings.

All of it is the person's, may be large, and may be anything: few files are looked at, and of each its beginning. Call
it in a worker thread, with the rights of the session's user (`reading.as_acting`).
"""

import heapq
import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, cast

import attrs

from townwatch.runner.reading import read_file

MOST_ENTRIES = 20_000
"""Names of one CLI's store that are looked at."""
MOST_FILES = 60
"""Of one CLI."""
HEAD_BYTES = 128 * 1024
TITLE_CHARS = 120


@attrs.frozen(kw_only=True)
class FoundConversation:
    """One conversation, as its CLI's store has it. `at`: epoch s."""

    name: str
    directory: str
    at: float
    title: str | None = None


class CannotTell(Exception):
    """The store is not shaped as it is known here; the message says how."""


def newest(base: Path, pattern: str) -> list[tuple[float, Path]]:
    """Return (changed, path) of the newest files below `base` that match, the newest first; none where there is no
    such directory. Raises `OSError` where it may not be looked at.
    """
    try:
        next(base.iterdir(), None)
    except FileNotFoundError:
        return []
    return heapq.nlargest(MOST_FILES, _changed(islice(base.glob(pattern), MOST_ENTRIES)))


def _changed(paths: Iterable[Path]) -> Iterator[tuple[float, Path]]:
    for path in paths:
        try:
            yield path.stat().st_mtime, path
        except OSError:  # gone meanwhile
            continue


def records(path: Path) -> list[dict[str, Any]]:
    """Return the JSON objects of the lines at the beginning of a file; what is none is left out. Raises `OSError`."""
    found: list[dict[str, Any]] = []
    for line in read_file(path, most=HEAD_BYTES).split(b"\n"):
        try:
            value: Any = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            found.append(cast("dict[str, Any]", value))
    return found


def words_of(content: Any) -> str:
    """Return the text of a message: a text itself, or a list of blocks of which some have one."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    blocks = [cast("dict[str, Any]", block) for block in cast("list[Any]", content) if isinstance(block, dict)]
    return " ".join(text for block in blocks if isinstance(text := block.get("text"), str))


def title_of(said: Iterable[str]) -> str | None:
    """Return the first thing that a person said, in one line. What the CLI itself puts before it is in brackets."""
    for text in said:
        line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
        if line and not line.startswith("<"):
            return line if len(line) <= TITLE_CHARS else f"{line[: TITLE_CHARS - 1]}…"
    return None


def text(source: dict[str, Any], *names: str) -> str | None:
    """Return the text at the end of a path of names; None where there is none."""
    value: Any = source
    for name in names:
        value = cast("dict[str, Any]", value).get(name) if isinstance(value, dict) else None
    return value if isinstance(value, str) and value else None
