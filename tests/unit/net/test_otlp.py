"""The exporter of spans, to a collector on a real socket that takes, refuses, hangs, floods and lies."""

import json
import threading
from collections import Counter
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from townwatch.net.http_client import Reply
from townwatch.net.otlp.exporter import BATCH, SpanExporter, rejected_by, traces_url
from townwatch.net.otlp.spans import Span, encode

TRACE, OWN, ABOVE = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "00f067aa0ba902b7"


def span(name: str = "one", **more: Any) -> Span:
    return Span(name=name, trace_id=TRACE, span_id=OWN, start_ns=1, end_ns=2, **more)


def test_a_span_is_written_as_the_specification_says() -> None:
    one = span(
        "x", kind="client", parent_id=ABOVE, error="no", attributes={"a": "t", "b": 7, "c": True, "d": 0.5, "e": None}
    )
    found = json.loads(encode([one], {"service.name": "townwatch"}, "townwatch", "1"))
    resource = found["resourceSpans"][0]
    assert resource["resource"]["attributes"] == [{"key": "service.name", "value": {"stringValue": "townwatch"}}]
    assert resource["scopeSpans"][0]["scope"] == {"name": "townwatch", "version": "1"}
    assert resource["scopeSpans"][0]["spans"] == [
        {
            "traceId": TRACE,
            "spanId": OWN,
            "parentSpanId": ABOVE,
            "name": "x",
            "kind": 3,
            "startTimeUnixNano": "1",
            "endTimeUnixNano": "2",
            "flags": 1,
            "status": {"code": 2, "message": "no"},
            "attributes": [
                {"key": "a", "value": {"stringValue": "t"}},
                {"key": "b", "value": {"intValue": "7"}},
                {"key": "c", "value": {"boolValue": True}},
                {"key": "d", "value": {"doubleValue": 0.5}},
            ],
        }
    ]


def test_odd_values_are_written_all_the_same() -> None:
    odd = Span(name="\ud800" * 2000, trace_id=TRACE, span_id=OWN, start_ns=5, end_ns=3, attributes={"a": "\udfff"})
    found = json.loads(encode([odd], {}, "s", "1"))["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    assert (found["name"], found["endTimeUnixNano"]) == ("?" * 1024, "5")


@pytest.mark.parametrize("base", ["http://h:1", "http://h:1/", "http://h:1/v1/traces"])
def test_the_path_is_put_behind_the_address(base: str) -> None:
    assert traces_url(base) == "http://h:1/v1/traces"


@pytest.mark.parametrize(
    ("body", "rejected"),
    [
        (b"", 0),
        (b"{}", 0),
        (b'{"partialSuccess":{"rejectedSpans":"3","errorMessage":"x"}}', 3),
        (b'{"partialSuccess":{"rejectedSpans":-5}}', 0),
        (b'{"partialSuccess":{"rejectedSpans":1e400}}', 0),
        (b'{"partialSuccess":[1]}', 0),
        (b"[" * 100_000, 0),
        (b"<html>", 0),
        (b"\xff", 0),
    ],
)
def test_what_a_collector_says_is_read_with_care(body: bytes, rejected: int) -> None:
    assert rejected_by(Reply(200, {}, body)) == rejected


# --- a collector on a socket ------------------------------------------------------------------------------------------


@attrs.define(eq=False)
class Collector:
    """`answers`: what the next requests get, (status, body) or hang or flood; then all is well."""

    url: str
    answers: list[Any] = attrs.field(factory=list)
    names: list[str] = attrs.field(factory=list)
    headers: list[dict[str, str]] = attrs.field(factory=list)
    over: threading.Event = attrs.field(factory=threading.Event)


@contextmanager
def open_collector(*answers: Any) -> Generator[Collector]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            collector.names += [
                one["name"]
                for group in body["resourceSpans"]
                for scope in group["scopeSpans"]
                for one in scope["spans"]
            ]
            collector.headers.append({name.lower(): value for name, value in self.headers.items()})
            answer = collector.answers.pop(0) if collector.answers else (200, b"{}")
            if answer == "hang":
                collector.over.wait()
                return
            status, text = (200, b"x" * 1_000_000) if answer == "flood" else answer
            self.send_response(status)
            self.send_header("location", "http://127.0.0.1:1/elsewhere")
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(text)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    collector = Collector(f"http://127.0.0.1:{server.server_address[1]}/v1/traces", list(answers))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield collector
    finally:
        collector.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


@asynccontextmanager
async def exporting(collector: Collector, **options: Any) -> AsyncIterator[tuple[SpanExporter, Counter[str]]]:
    counts: Counter[str] = Counter()

    def count(outcome: str, number: int) -> None:
        counts[outcome] += number

    exporter = SpanExporter(
        **{"url": collector.url, "headers": {"x-key": "k"}, "resource": {}, "version": "1", "count": count}
        | {"pause_seconds": 0.01, "answer_seconds": 5.0}
        | options
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(exporter.run)
        yield exporter, counts
        nursery.cancel_scope.cancel()
    assert not exporter._waiting


async def settled(counts: Counter[str], number: int) -> None:
    """Until so many spans have an outcome."""
    with trio.fail_after(30):
        while counts.total() < number:
            await trio.sleep(0.01)


async def test_spans_are_sent_in_order_with_the_headers() -> None:
    with open_collector() as collector:
        async with exporting(collector) as (exporter, counts):
            for number in range(BATCH + 10):
                exporter.offer(span(str(number)))
            await settled(counts, BATCH + 10)
    assert collector.names == [str(number) for number in range(BATCH + 10)]
    assert counts == {"sent": BATCH + 10, "rejected": 0, "failed": 0}
    assert all(one["x-key"] == "k" and one["content-type"] == "application/json" for one in collector.headers)


@pytest.mark.parametrize(
    ("answers", "outcome"),
    [
        ([(503, b""), (429, b"")], "sent"),
        ([(503, b"")] * 3, "failed"),
        ([(400, b"no")], "failed"),
        ([(307, b"")], "failed"),
        ([(200, b'{"partialSuccess":{"rejectedSpans":"99"}}')], "rejected"),
        ([(200, b"<html>all is well</html>")], "sent"),
        (["flood"] * 3, "failed"),
    ],
)
async def test_a_collector_that_fails_or_lies_costs_counted_spans(answers: list[Any], outcome: str) -> None:
    with open_collector(*answers) as collector:
        async with exporting(collector) as (exporter, counts):
            exporter.offer(span())
            exporter.offer(span())
            await settled(counts, 2)
            assert +counts == {outcome: 2}
            exporter.offer(span("later"))
            await settled(counts, 3)
    assert collector.names[-1] == "later"
    assert len(collector.headers) == len(answers) + (2 if outcome == "sent" and answers[0][0] == 503 else 1)


async def test_a_collector_that_hangs_holds_up_nobody_and_what_does_not_fit_is_counted() -> None:
    with open_collector(*["hang"] * 20) as collector:
        async with exporting(collector, queue=300, answer_seconds=0.3) as (exporter, counts):
            exporter.offer(span())
            with trio.fail_after(30):
                while not collector.headers:
                    await trio.sleep(0.01)
            for _ in range(1000):  # no checkpoint: it returns at once
                exporter.offer(span())
            assert counts["full"] == 700
            await settled(counts, 701)
            assert counts["failed"] == 1
        assert counts.total() == 1001


async def test_what_is_left_at_the_end_is_sent() -> None:
    with open_collector() as collector:
        async with exporting(collector, pause_seconds=60.0) as (exporter, counts):
            exporter.offer(span("last"))
            await trio.testing.wait_all_tasks_blocked()
    assert collector.names == ["last"]
    assert counts["sent"] == 1


async def test_a_collector_that_is_not_there_is_no_trouble() -> None:
    nowhere = Collector("http://127.0.0.1:1/v1/traces")
    async with exporting(nowhere) as (exporter, counts):
        exporter.offer(span())
        await settled(counts, 1)
    assert +counts == {"failed": 1}
