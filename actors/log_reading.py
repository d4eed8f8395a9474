"""Read a session's durable events: as they are, or as viewers may have them."""

from collections.abc import Sequence

import attrs
import structlog
import trio

from townwatch.actors.context import Context
from townwatch.actors.rendering.terminal import ViewerFilter, filter_at
from townwatch.contracts import events as e
from townwatch.contracts.codec import ContractError
from townwatch.contracts.decoding.runner_events import decode_event
from townwatch.contracts.records import LogRecord

log = structlog.get_logger("session")

READ_LIMIT = 1000
READ_BYTES = 4 << 20
INLINE_CHARS = 8192
"""Output beyond this is filtered in a worker thread, unless it is plain: a sequence may take some microseconds."""


async def read_events(context: Context, session_id: str, after: int, limit: int = READ_LIMIT) -> list[e.RunnerEvent]:
    """Durable events of a session after `after`, decoded, read in a worker thread; at most `limit` of them."""

    def read() -> list[e.RunnerEvent]:
        return decode_records(context.journal_log.read(session_id, after, limit, READ_BYTES))

    return await trio.to_thread.run_sync(read)


async def read_with_times(context: Context, session_id: str, after: int) -> tuple[list[e.RunnerEvent], list[float]]:
    """The same, and when the log took each."""
    records = await trio.to_thread.run_sync(context.journal_log.read, session_id, after, READ_LIMIT, READ_BYTES)
    events = decode_records(records)
    times = {record.seq: float(record.stored_ms) for record in records}
    return events, [times[event.seq] for event in events]


async def read_for_viewers(
    context: Context, session_id: str, after: int, limit: int = READ_LIMIT
) -> list[e.RunnerEvent]:
    """The same as viewers may have it. What was unfinished at `after` goes on in the first of them."""
    events = await read_events(context, session_id, after, limit)
    if not any(isinstance(event, e.TerminalChunk) for event in events):
        return events
    return await filtered(events, await filter_after(context, session_id, after))


async def filter_after(context: Context, session_id: str, seq: int) -> ViewerFilter:
    """The viewer filter as it stands after the event `seq`."""
    if seq <= 0:
        return ViewerFilter()

    def read(after: int, limit: int) -> list[e.RunnerEvent]:
        return decode_records(context.journal_log.read(session_id, after, limit, READ_BYTES))

    return await trio.to_thread.run_sync(filter_at, seq, read)


async def filtered(events: Sequence[e.RunnerEvent], viewer_filter: ViewerFilter) -> list[e.RunnerEvent]:
    """Do what `for_viewers` does; much output that needs a closer look is filtered in a worker thread."""
    texts = [event.data for event in events if isinstance(event, e.TerminalChunk)]
    if sum(map(len, texts)) <= INLINE_CHARS or all(map(viewer_filter.leaves, texts)):
        return for_viewers(events, viewer_filter)
    return await trio.to_thread.run_sync(for_viewers, events, viewer_filter)


def for_viewers(events: Sequence[e.RunnerEvent], viewer_filter: ViewerFilter) -> list[e.RunnerEvent]:
    """Terminal output without what acts on a viewer's terminal; everything else as it is."""
    return [_for_viewers(event, viewer_filter) if isinstance(event, e.TerminalChunk) else event for event in events]


def _for_viewers(chunk: e.TerminalChunk, viewer_filter: ViewerFilter) -> e.TerminalChunk:
    shown = viewer_filter.feed(chunk.data)
    return chunk if shown == chunk.data else attrs.evolve(chunk, data=shown)


def decode_records(records: Sequence[LogRecord]) -> list[e.RunnerEvent]:
    """Decode stored records. One that this version cannot read is skipped and logged; it was valid once."""
    events: list[e.RunnerEvent] = []
    for record in records:
        try:
            events.append(decode_event(record.body))
        except ContractError as error:
            log.error("stored_event_unreadable", session=record.session_id, seq=record.seq, reason=str(error))
    return events
