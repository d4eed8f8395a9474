"""A session's events for other programs: NDJSON, and asciicast v3 (https://docs.asciinema.org/manual/asciicast/v3/).

Both are generators of bytes over records in order, so that a long session is never in memory as a whole. They block as
their source does: run them in a worker thread.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from townwatch.contracts.codec import ContractError, decode_json, encode
from townwatch.contracts.records import LogRecord

CHUNK = 500
DEFAULT_SIZE = (80, 24)


def records_of(
    read: Callable[[str, int, int], Sequence[LogRecord]], session_id: str, after: int = 0
) -> Iterator[LogRecord]:
    """All events of a session, by as many reads as it takes: ``records_of(log.read, session_id)``."""
    while batch := read(session_id, after, CHUNK):
        yield from batch
        after = batch[-1].seq


def ndjson(records: Iterable[LogRecord]) -> Iterator[bytes]:
    """The events as they came over the wire, one a line."""
    for record in records:
        # A body is one JSON text and may have been sent with line breaks between its tokens (never inside a string).
        yield record.body.replace(b"\n", b" ").replace(b"\r", b" ") + b"\n"


def asciicast(
    records: Iterable[LogRecord], title: str | None = None, size: tuple[int, int] = DEFAULT_SIZE
) -> Iterator[bytes]:
    """A recording of the terminal. `size`: columns and rows, until a resize says otherwise.

    "o" is output of both streams, "r" a resize, "m" a marker (approvals, tests, alerts), "x" the exit code. Intervals
    are seconds since the event before; a clock that jumps back counts as no time.
    """
    begin: float | None = None
    last = 0.0
    for record in records:
        if begin is None:
            begin = last = record.ts_ms
            yield encode(_header(record, title, size)) + b"\n"
        for code, data in _events(record):
            seconds = max(0.0, record.ts_ms - last) / 1000
            last = max(last, record.ts_ms)
            yield encode([round(seconds, 6), code, data]) + b"\n"
    if begin is None:
        yield encode(_header(None, title, size)) + b"\n"


def _header(first: LogRecord | None, title: str | None, size: tuple[int, int]) -> dict[str, Any]:
    header: dict[str, Any] = {"version": 3, "term": {"cols": size[0], "rows": size[1]}}
    if first is not None and math.isfinite(first.ts_ms):
        header["timestamp"] = int(first.ts_ms // 1000)
    if title:
        header["title"] = title
    return header


def _events(record: LogRecord) -> Iterator[tuple[str, str]]:
    """Yield the player's (kind, data) pairs of one event; none for most types."""
    if record.type not in _SHOWN:
        return
    try:
        event: dict[str, Any] = decode_json(record.body, max_bytes=1 << 24)
    except ContractError:  # the log takes only what was decoded before; an old one may know better
        yield "m", f"unreadable event {record.seq}"
        return
    yield from _SHOWN[record.type](event)


def _terminal(event: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if gap := event.get("gap"):
        yield "m", f"gap: {gap.get('bytes')} bytes of output are missing"
    if data := event.get("data"):
        yield "o", data


def _approval_requested(event: dict[str, Any]) -> Iterator[tuple[str, str]]:
    approval = event["approval"]
    yield "m", f"approval requested ({approval['category']}): {approval['summary']}"


def _approval_resolved(event: dict[str, Any]) -> Iterator[tuple[str, str]]:
    who = event.get("resolvedBy")
    yield "m", f"approval: {event['decision']}" + (f" by {who}" if who else "")


def _tests_started(event: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "m", f"tests started: {event['command']}"


def _tests_finished(event: dict[str, Any]) -> Iterator[tuple[str, str]]:
    numbers = [f"{event[name]} {name}" for name in ("passed", "failed", "skipped") if event.get(name) is not None]
    verdict = event.get("verdict")
    judged = "result unknown" if verdict == "unknown" else None if numbers else verdict or "finished"
    yield "m", "tests: " + ", ".join(part for part in (judged, event.get("reason"), *numbers) if part)


def _alert(event: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "m", f"{event['severity']}: {event['title']}"


def _provider_event(event: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """A runner says the terminal's size by a provider event ``terminal_resized`` {cols, rows}."""
    inner = event["providerEvent"]
    cols, rows = inner.get("cols"), inner.get("rows")
    if inner.get("type") == "terminal_resized" and isinstance(cols, int) and isinstance(rows, int):
        yield "r", f"{cols}x{rows}"


def _ended(event: dict[str, Any]) -> Iterator[tuple[str, str]]:
    code = event.get("exitCode")
    if code is not None:
        yield "x", str(code)


_SHOWN: dict[str, Callable[[dict[str, Any]], Iterator[tuple[str, str]]]] = {
    "TERMINAL_CHUNK": _terminal,
    "APPROVAL_REQUESTED": _approval_requested,
    "APPROVAL_RESOLVED": _approval_resolved,
    "TEST_RUN_STARTED": _tests_started,
    "TEST_RUN_FINISHED": _tests_finished,
    "ALERT_RAISED": _alert,
    "PROVIDER_EVENT_FORWARDED": _provider_event,
    "SESSION_ENDED": _ended,
}
