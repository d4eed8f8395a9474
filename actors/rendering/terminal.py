"""Terminal output on its way to viewers: the filter, and where it stands in the middle of a session's log."""

import re
from collections.abc import Callable, Sequence

from townwatch.contracts import events as e
from townwatch.contracts.vt.filter import ViewerFilter
from townwatch.contracts.vt.lazy import LazyScreen

__all__ = ["ANSWERS", "LazyScreen", "ViewerFilter", "filter_at", "size_of"]

_KNOWN_STATE = re.compile(r"[\x1b\x18\x1a]")
"""Controls behind which a parser's state does not depend on what was before them."""
_WINDOWS = (64, 1024, 16384)
"""Events that are read back at most to find one of them; further back everything is taken for finished."""


ANSWERS = re.compile(
    r"(?:\x1b\[(?:[?>][0-9;]*c|\??[0-9;]+\$y|\?[0-9;]+[Rnu]|[02-9][0-9]*;[0-9]+R|1[0-9]+;[0-9]+R|[0-9;]+[ntx])"
    r"|\x1b\](?:4;[0-9]+|1[0-9]);rgb:[0-9a-fA-F/]+(?:\x07|\x1b\\)|\x1bP[>01!][^\x1b]*\x1b\\)+"
)
"""What terminals answer to questions; no key sends any of it (CSI 1 ; n R may be F3 with Shift)."""


def filter_at(seq: int, read: Callable[[int, int], Sequence[e.RunnerEvent]]) -> ViewerFilter:
    """The filter as it was after the event `seq`: with what was unfinished then. `read(after, limit)` reads the log."""
    viewer_filter = ViewerFilter()
    for window in _WINDOWS:
        begin = max(0, seq - window)
        texts = [one.data for one in _until(read, begin, seq) if isinstance(one, e.TerminalChunk)]
        start = next((index for index in range(len(texts) - 1, -1, -1) if _KNOWN_STATE.search(texts[index])), None)
        if start is None and begin:
            continue
        texts = texts[start or 0 :]
        if start is not None:
            last = max(texts[0].rfind(control) for control in "\x1b\x18\x1a")
            texts[0] = texts[0][last:]
        for text in texts:
            viewer_filter.feed(text)
        break
    return viewer_filter


def _until(read: Callable[[int, int], Sequence[e.RunnerEvent]], after: int, seq: int) -> list[e.RunnerEvent]:
    found: list[e.RunnerEvent] = []
    while after < seq and (events := read(after, min(1000, seq - after))):
        found += [event for event in events if event.seq <= seq]
        after = events[-1].seq
    return found


def size_of(event: e.RunnerEvent) -> tuple[int, int] | None:
    """The columns and rows that a `terminal_resized` tells; None for every other event."""
    match event:
        case e.ProviderEventForwarded(
            provider_event={"type": "terminal_resized", "cols": int() as cols, "rows": int() as rows}
        ) if cols > 0 and rows > 0:
            return cols, rows
        case _:
            return None
