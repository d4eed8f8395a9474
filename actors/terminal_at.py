"""The terminal of a session as viewers saw it at one of its events."""

import attrs

from townwatch.actors.log_reading import decode_records
from townwatch.actors.ports import Journal
from townwatch.actors.rendering.terminal import filter_at, size_of
from townwatch.contracts import events as e
from townwatch.contracts.vt.screen import VtScreen
from townwatch.contracts.vt.snapshot import snapshot

EVENTS = 20_000
"""Events before the moment that are looked at. What was drawn before them is not on the screen."""
CHARS = 512 << 10
"""Output that is drawn: the last of it. A screen shows some thousand characters."""
READ_BYTES = 1 << 20


@attrs.frozen(kw_only=True)
class TerminalState:
    """A size, and the text that draws the screen. No scrollback."""

    cols: int
    rows: int
    data: str


def terminal_before(journal: Journal, session_id: str, seq: int) -> TerminalState | None:
    """Return the screen as it stood before the event `seq`; None where there was nothing. Blocks: use a thread."""

    def read(after: int, limit: int) -> list[e.RunnerEvent]:
        return decode_records(journal.read(session_id, after, limit, READ_BYTES))

    begin = after = max(0, seq - 1 - EVENTS)
    drawn: list[str | tuple[int, int]] = []
    while after < seq - 1 and (events := read(after, min(1000, seq - 1 - after))):
        after = events[-1].seq
        for event in events:
            if event.seq >= seq:
                break
            if isinstance(event, e.TerminalChunk):
                drawn.append(event.data)
            elif (size := size_of(event)) is not None:
                drawn.append(size)
    if not drawn:
        return None
    viewer_filter = filter_at(begin, read)
    shown = [viewer_filter.feed(one) if isinstance(one, str) else one for one in drawn]
    first, chars = len(shown), 0
    while first and chars < CHARS:
        first -= 1
        chars += len(shown[first]) if isinstance(shown[first], str) else 0
    screen = VtScreen(scrollback=0)
    for size in (one for one in shown[:first] if not isinstance(one, str)):
        screen.resize(*size)
    for one in shown[first:]:
        if isinstance(one, str):
            screen.write(one)
        else:
            screen.resize(*one)
    return TerminalState(cols=screen.cols, rows=screen.rows, data=snapshot(screen))
