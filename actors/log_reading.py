"""Read a session's durable events: as they are, or as viewers may have them."""

import re
from collections.abc import Sequence
from typing import Any, cast

import attrs
import structlog
import trio

from townwatch.actors.context import Context
from townwatch.actors.rendering.terminal import ViewerFilter, filter_at
from townwatch.actors.session.state import SessionState
from townwatch.contracts import events as e, translate
from townwatch.contracts.codec import ContractError, decode_json, encode
from townwatch.contracts.decoding.runner_events import decode_event
from townwatch.contracts.records import LogRecord
from townwatch.contracts.secrets.shapes import REFERENCES

log = structlog.get_logger("session")

READ_LIMIT = 1000
READ_BYTES = 4 << 20
_ACTS = re.compile(rb"\\u001b|\xc2[\x80-\x9f]")
"""The beginnings of control sequences, in JSON."""
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
        return await filtered(events, ViewerFilter())
    return await filtered(events, await filter_after(context, session_id, after))


async def filter_after(context: Context, session_id: str, seq: int) -> ViewerFilter:
    """The viewer filter as it stands after the event `seq`."""
    state = context.board.session(session_id)
    if seq <= 0 or (state is not None and state.whole_since is not None and state.whole_since <= seq):
        return ViewerFilter()

    def read(after: int, limit: int) -> list[e.RunnerEvent]:
        return decode_records(context.journal_log.read(session_id, after, limit, READ_BYTES))

    return await trio.to_thread.run_sync(filter_at, seq, read)


def whole_since(before: SessionState, viewer_filter: ViewerFilter, cuts: int, seq: int) -> int | None:
    """The state's `whole_since` once the filter has seen its events up to `seq`; `cuts`: the filter's before them."""
    if not viewer_filter.fresh:
        return None
    known = before.whole_since if before.seq else 0
    return known if viewer_filter.cuts == cuts and known is not None else seq


async def filtered(events: Sequence[e.RunnerEvent], viewer_filter: ViewerFilter) -> list[e.RunnerEvent]:
    """Do what `for_viewers` does; much output that needs a closer look is filtered in a worker thread."""
    texts = [event.data for event in events if isinstance(event, e.TerminalChunk)]
    if sum(map(len, texts)) <= INLINE_CHARS or all(map(viewer_filter.leaves, texts)):
        bodies = [_acting(event) for event in events]
        if all(body is None or len(body) <= INLINE_CHARS for body in bodies):
            return _shown(events, bodies, viewer_filter)
    return await trio.to_thread.run_sync(for_viewers, events, viewer_filter)


def for_viewers(events: Sequence[e.RunnerEvent], viewer_filter: ViewerFilter) -> list[e.RunnerEvent]:
    """Return an event's texts without what acts on a viewer's terminal; ids as they are."""
    return _shown(events, [_acting(event) for event in events], viewer_filter)


def _acting(event: e.RunnerEvent) -> bytes | None:
    """Return an event's JSON where one of its texts acts on a terminal; None for output, which is part of a stream."""
    if isinstance(event, e.TerminalChunk | e.UsageTick) or translate.is_kept_diff(event):
        return None  # usage has no text, and a kept diff one that no viewer gets
    body = encode(event)
    return None if _ACTS.search(body) is None else body


def _shown(
    events: Sequence[e.RunnerEvent], bodies: Sequence[bytes | None], viewer_filter: ViewerFilter
) -> list[e.RunnerEvent]:
    return [
        _shown_chunk(event, viewer_filter)
        if isinstance(event, e.TerminalChunk)
        else (event if body is None else decode_event(_cleaned(body)))
        for event, body in zip(events, bodies, strict=True)
    ]


def _shown_chunk(chunk: e.TerminalChunk, viewer_filter: ViewerFilter) -> e.TerminalChunk:
    shown = viewer_filter.feed(chunk.data)
    return chunk if shown == chunk.data else attrs.evolve(chunk, data=shown)


def _cleaned(body: bytes) -> bytes:
    """An event's JSON with each text filtered by itself: it is no part of a stream. Without recursion."""
    event = decode_json(body, max_bytes=len(body))
    held: list[dict[Any, Any] | list[Any]] = [event]
    while held:
        holder: Any = held.pop()
        places: Any = holder.items() if hasattr(holder, "items") else enumerate(holder)
        for place, value in list(places):
            if isinstance(value, dict | list):
                held.append(cast("dict[Any, Any] | list[Any]", value))
            elif isinstance(value, str) and place not in REFERENCES:
                holder[place] = ViewerFilter().feed(value)
    return encode(event)


def decode_records(records: Sequence[LogRecord]) -> list[e.RunnerEvent]:
    """Decode stored records. One that this version cannot read is skipped and logged; it was valid once."""
    events: list[e.RunnerEvent] = []
    for record in records:
        try:
            events.append(decode_event(record.body))
        except ContractError as error:
            log.error("stored_event_unreadable", session=record.session_id, seq=record.seq, reason=str(error))
    return events
