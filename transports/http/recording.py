"""A session to take away, as viewers may have it: its terminal as a recording, its events as lines.

Where retention took the beginning of a session, its recording begins with the terminal's stored state.
"""

from collections.abc import Iterable, Iterator
from itertools import chain

import attrs

from townwatch.actors.agent import stored_terminal
from townwatch.actors.log_reading import decode_records
from townwatch.actors.ports import Journal
from townwatch.actors.rendering.terminal import ViewerFilter, filter_at
from townwatch.actors.session.state import SessionState
from townwatch.contracts import events as e
from townwatch.contracts.codec import ContractError, encode
from townwatch.contracts.decoding.runner_events import decode_event
from townwatch.contracts.records import LogRecord
from townwatch.store.export import asciicast, ndjson, records_of

MEDIA_TYPE = "application/x-asciicast"
READ_BYTES = 128 << 10
"""Bytes of events in memory at a time, or one event."""


def cast(log: Journal, state: SessionState) -> Iterator[bytes]:
    """Yield the whole recording, line by line. Blocks while it reads: run it in a thread."""
    return asciicast(_from_state(log, _records(log, state, 0)), state.agent_name or state.agent_id)


def lines(log: Journal, state: SessionState, after: int) -> Iterator[bytes]:
    """The events after `after`, one JSON object a line. Blocks as `cast` does."""

    def read_events(behind: int, limit: int) -> list[e.RunnerEvent]:
        return decode_records(log.read(state.session_id, behind, limit, READ_BYTES))

    viewer_filter = filter_at(after, read_events) if after else ViewerFilter()
    return ndjson(_harmless(_records(log, state, after), viewer_filter))


def _records(log: Journal, state: SessionState, after: int) -> Iterator[LogRecord]:
    """Yield records up to the event that is the last one now: a session that goes on makes no endless answer."""
    last = state.seq

    def read(session_id: str, behind: int, limit: int) -> list[LogRecord]:
        if behind >= last:
            return []
        return [one for one in log.read(session_id, behind, limit, READ_BYTES) if one.seq <= last]

    return records_of(read, state.session_id, after)


def _from_state(log: Journal, records: Iterable[LogRecord]) -> Iterator[LogRecord]:
    """The records as viewers may have them; where the first ones are gone, from the stored state on."""
    records = iter(records)
    first = next(records, None)
    if first is None:
        return
    whole = chain([first], records)
    stored = stored_terminal(log, first.session_id) if first.seq > 1 else None
    if stored is None:
        yield from _harmless(whole, ViewerFilter())
        return
    position, state = stored
    last = first
    for record in whole:
        last = record
        if record.seq > position:
            break
    yield from _state_records(state.data, (state.cols, state.rows), last)
    rest = chain([last], whole) if last.seq > position else whole
    yield from _harmless(rest, ViewerFilter())


def _state_records(data: str, size: tuple[int | None, int | None], before: LogRecord) -> Iterator[LogRecord]:
    """The state as events of the moment at which the recording begins."""
    envelope = {"sessionId": before.session_id, "orgId": before.village_id, "ts": before.ts_ms, "seq": before.seq}
    if size[0] is not None and size[1] is not None:
        resized = {"type": "terminal_resized", "cols": size[0], "rows": size[1]}
        event = {**envelope, "type": e.ProviderEventForwarded.TYPE, "providerEvent": resized}
        yield attrs.evolve(before, type=e.ProviderEventForwarded.TYPE, body=encode(event))
    event = {**envelope, "type": e.TerminalChunk.TYPE, "data": data, "stream": "stdout"}
    yield attrs.evolve(before, type=e.TerminalChunk.TYPE, body=encode(event))


def _harmless(records: Iterable[LogRecord], viewer_filter: ViewerFilter) -> Iterator[LogRecord]:
    """Return terminal output without what acts on a viewer's terminal."""
    for record in records:
        if record.type != e.TerminalChunk.TYPE:
            yield record
            continue
        try:
            event = decode_event(record.body)
        except ContractError:
            continue  # of another version: better a hole than an unfiltered sequence
        if isinstance(event, e.TerminalChunk):
            shown = attrs.evolve(event, data=viewer_filter.feed(event.data))
            yield attrs.evolve(record, body=encode(shown))
