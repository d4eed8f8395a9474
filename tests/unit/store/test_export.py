"""Exports: NDJSON line by line, asciicast v3 as players read it."""

import json
from collections.abc import Callable
from typing import Any

from townwatch.contracts.records import LogRecord
from townwatch.store.export import asciicast, ndjson, records_of
from townwatch.store.log.event_log import EventLog

BASE = 1_700_000_000_000


def event(seq: int, type: str, at: float = 0, **fields: Any) -> LogRecord:
    body = {"type": type, "sessionId": "s1", "seq": seq, "ts": BASE + at, **fields}
    return LogRecord("s1", seq, "demo", type, BASE + at, json.dumps(body).encode())


def cast(*records: LogRecord, **options: Any) -> list[Any]:
    return [json.loads(line) for line in b"".join(asciicast(records, **options)).splitlines()]


def test_ndjson_is_one_event_a_line_in_order_however_it_was_laid_out() -> None:
    pretty = LogRecord("s1", 2, "demo", "X", 0, b'{\n "seq": 2,\r\n "data": "a\\nb"}')
    lines = b"".join(ndjson([event(1, "TERMINAL_CHUNK", data="x"), pretty])).splitlines()
    assert [json.loads(line)["seq"] for line in lines] == [1, 2]
    assert json.loads(lines[1])["data"] == "a\nb"


def test_a_recording_has_a_header_and_intervals_since_the_event_before() -> None:
    header, *events = cast(
        event(1, "SESSION_STARTED"),
        event(2, "TERMINAL_CHUNK", 1500, data="one", stream="stdout"),
        event(3, "TERMINAL_CHUNK", 1750, data="two\x1b[0m", stream="stderr"),
        title="a session",
        size=(120, 40),
    )
    assert header == {
        "version": 3,
        "term": {"cols": 120, "rows": 40},
        "timestamp": BASE // 1000,
        "title": "a session",
    }
    assert events == [[1.5, "o", "one"], [0.25, "o", "two\x1b[0m"]]


def test_what_happened_beside_the_terminal_is_a_marker() -> None:
    _, *events = cast(
        event(1, "APPROVAL_REQUESTED", approval={"category": "deploy", "summary": "push it"}),
        event(2, "APPROVAL_RESOLVED", approvalId="a", decision="deny", resolvedBy="ada"),
        event(3, "TEST_RUN_STARTED", command="pytest"),
        event(4, "TEST_RUN_FINISHED", passed=3, failed=1, skipped=0),
        event(5, "ALERT_RAISED", severity="error", title="it burns"),
        event(6, "TERMINAL_CHUNK", data="", gap={"fromSeq": 1, "toSeq": 9, "bytes": 340}),
        event(7, "FILE_TOUCHED", path="x"),
    )
    assert [code for _, code, _ in events] == ["m"] * 6
    assert [text for _, _, text in events] == [
        "approval requested (deploy): push it",
        "approval: deny by ada",
        "tests started: pytest",
        "tests: 3 passed, 1 failed, 0 skipped",
        "error: it burns",
        "gap: 340 bytes of output are missing",
    ]


def test_resizes_and_the_exit_are_in_it() -> None:
    resized = {"type": "terminal_resized", "cols": 100, "rows": 30, "providerId": "x", "timestamp": 1}
    _, *events = cast(
        event(1, "PROVIDER_EVENT_FORWARDED", providerEvent=resized),
        event(2, "PROVIDER_EVENT_FORWARDED", providerEvent={"type": "thinking"}),
        event(3, "SESSION_ENDED", finalState="FAILED", exitCode=2),
    )
    assert [e[1:] for e in events] == [["r", "100x30"], ["x", "2"]]


def test_a_clock_that_jumps_back_makes_no_negative_interval() -> None:
    _, *events = cast(
        event(1, "TERMINAL_CHUNK", 1000, data="a"),
        event(2, "TERMINAL_CHUNK", 400, data="b"),
        event(3, "TERMINAL_CHUNK", 1500, data="c"),
    )
    assert [e[0] for e in events] == [0, 0, 0.5]


def test_an_empty_session_is_still_a_recording() -> None:
    assert cast() == [{"version": 3, "term": {"cols": 80, "rows": 24}}]


def test_a_long_session_is_read_in_chunks(log: EventLog, record: Callable[..., LogRecord]) -> None:
    log.append([record(seq) for seq in range(1, 1234)])
    assert [r.seq for r in records_of(log.read, "s1", after=3)] == list(range(4, 1234))
