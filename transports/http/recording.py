"""A session to take away, as viewers may have it: its terminal as a recording, its events as lines."""

from collections.abc import Iterable, Iterator

import attrs

from actors.ports import Journal
from actors.session_state import SessionState
from actors.terminal import ViewerFilter
from contracts import events as e
from contracts.codec import ContractError, encode
from contracts.records import LogRecord
from store.export import asciicast, ndjson, records_of
from transports.http.problems import ProblemError

MEDIA_TYPE = "application/x-asciicast"
MAX_BYTES = 64 << 20
LINES_BYTES = 16 << 20
"""An answer ends with the event that goes beyond it."""
READ_BYTES = 4 << 20


def make(log: Journal, state: SessionState) -> bytes:
    """The whole recording. Blocks: run it in a thread. Raises 413 for one that is too long to be sent at once."""
    parts: list[bytes] = []
    size = 0

    def read(session_id: str, after: int, limit: int) -> list[LogRecord]:
        return list(log.read(session_id, after, limit, READ_BYTES))

    title = state.agent_name or state.agent_id
    for part in asciicast(_harmless(records_of(read, state.session_id)), title):
        size += len(part)
        if size > MAX_BYTES:
            raise ProblemError(413, f"the recording is longer than {MAX_BYTES >> 20} MiB; read the events instead")
        parts.append(part)
    return b"".join(parts)


def lines(log: Journal, state: SessionState, after: int) -> tuple[bytes, int]:
    """(the events after `after`, one JSON object a line; the seq of the last one or `after`). Blocks as `make` does."""
    parts: list[bytes] = []
    size = 0

    def read(session_id: str, behind: int, limit: int) -> list[LogRecord]:
        nonlocal after
        after = behind
        return list(log.read(session_id, behind, limit, READ_BYTES)) if size < LINES_BYTES else []

    for line in ndjson(_harmless(records_of(read, state.session_id, after))):
        parts.append(line)
        size += len(line)
    return b"".join(parts), after


def _harmless(records: Iterable[LogRecord]) -> Iterator[LogRecord]:
    """Terminal output without what acts on a viewer's terminal."""
    viewer_filter = ViewerFilter()
    for record in records:
        if record.type != e.TerminalChunk.TYPE:
            yield record
            continue
        try:
            event = e.decode_event(record.body)
        except ContractError:
            continue  # of another version: better a hole than an unfiltered sequence
        if isinstance(event, e.TerminalChunk):
            shown = attrs.evolve(event, data=viewer_filter.feed(event.data))
            yield attrs.evolve(record, body=encode(shown))
