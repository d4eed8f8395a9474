"""Sends spans to a collector by OTLP/HTTP in JSON. Whatever that does, only counted spans are lost.

`offer` puts a span into a queue of fixed size and never waits; one task sends what is there, a batch at a time. A
collector that is slow fills the queue, and what does not fit is counted as `full`; one that fails is tried again a few
times, then its batch is counted as `failed`; what it says it did not take is counted as `rejected`.
"""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import attrs
import msgspec
import structlog
import trio

from townwatch.net.http_client import NotAnswered, Reply, exchange
from townwatch.net.otlp.spans import Span, Value, encode

log = structlog.get_logger("telemetry")

QUEUE = 4096
"""Spans that wait; some hundred bytes each."""
BATCH = 256
"""Spans of one request: to write them takes the loop a millisecond or two."""
PAUSE_SECONDS = 1.0
"""Between two requests, unless a batch is full."""
ANSWER_SECONDS = 5.0
ANSWER_BYTES = 64 * 1024
ATTEMPTS = 3
LONGEST_PAUSE_SECONDS = 10.0
LAST_SECONDS = 1.0
"""For what is left when it ends."""
AGAIN = frozenset({429, 502, 503, 504})
"""Statuses after which the specification says to try again."""
TRACES_PATH = "/v1/traces"

Count = Callable[[str, int], None]


def traces_url(base: str) -> str:
    """Return the address that traces are sent to: the collector's own, or one that names the path already."""
    base = base.rstrip("/")
    return base if base.endswith(TRACES_PATH) else base + TRACES_PATH


@attrs.define(eq=False, kw_only=True)
class SpanExporter:
    """`count(outcome, spans)`: sent, full, failed or rejected. `pause_seconds`: shorter for tests."""

    url: str
    headers: Mapping[str, str] = attrs.field(repr=False)
    resource: Mapping[str, Value]
    version: str
    count: Count
    queue: int = QUEUE
    pause_seconds: float = PAUSE_SECONDS
    answer_seconds: float = ANSWER_SECONDS
    _waiting: deque[Span] = attrs.field(factory=deque[Span], init=False)
    _wake: trio.Event = attrs.field(factory=trio.Event, init=False)
    _trouble: str | None = attrs.field(default=None, init=False)

    def offer(self, span: Span) -> None:
        """Take a span to be sent; where there is no room it is lost, and counted."""
        if len(self._waiting) >= self.queue:
            self.count("full", 1)
            return
        self._waiting.append(span)
        if len(self._waiting) in (1, BATCH):
            self._wake.set()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Send until cancelled; then what is left, for a moment."""
        task_status.started()
        try:
            while True:
                await self._wake.wait()
                self._wake = trio.Event()
                if len(self._waiting) < BATCH:
                    with trio.move_on_after(self.pause_seconds):
                        await self._wake.wait()
                while self._waiting:
                    await self._send(self._taken(), ATTEMPTS)
        finally:
            with trio.move_on_after(LAST_SECONDS) as last:
                last.shield = True
                while self._waiting:
                    await self._send(self._taken(), 1)
            self.count("failed", len(self._waiting))
            self._waiting.clear()

    def _taken(self) -> list[Span]:
        return [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]

    async def _send(self, batch: list[Span], attempts: int) -> None:
        body = encode(batch, self.resource, "townwatch", self.version)
        left = len(batch)
        try:
            for attempt in range(attempts):
                if attempt:
                    await trio.sleep(min(self.pause_seconds * 2**attempt, LONGEST_PAUSE_SECONDS))
                again, trouble, rejected = await self._post(body)
                self._say(trouble)
                if trouble is None:
                    rejected = min(rejected, left)
                    self.count("sent", left - rejected)
                    self.count("rejected", rejected)
                    left = 0
                if not again:
                    return
        finally:
            self.count("failed", left)

    async def _post(self, body: bytes) -> tuple[bool, str | None, int]:
        """Return whether to try again, what was wrong, and how many spans were taken and thrown away."""
        headers = {"content-type": "application/json", **self.headers}
        try:
            reply = await exchange(
                "POST",
                self.url,
                body=body,
                headers=headers,
                seconds=self.answer_seconds,
                max_bytes=ANSWER_BYTES,
                proxies=True,
            )
        except NotAnswered as error:
            return True, str(error), 0
        if not 200 <= reply.status < 300:
            return reply.status in AGAIN, f"it answered {reply.status}", 0
        return False, None, rejected_by(reply)

    def _say(self, trouble: str | None) -> None:
        """Log when it begins to fail and when it is over, not each time."""
        if trouble is not None and self._trouble is None:
            log.warning("spans_not_sent", reason=trouble, advice="look at [telemetry] otlp; nothing else depends on it")
        elif trouble is None and self._trouble is not None:
            log.info("spans_sent_again", after=self._trouble)
        self._trouble = trouble


def rejected_by(reply: Reply) -> int:
    """Return how many spans a collector says it did not keep; 0 where what it says cannot be read."""
    try:
        found: Any = msgspec.json.decode(reply.body) if reply.body else {}
        told = found["partialSuccess"]["rejectedSpans"]
        return max(0, int(told))
    except (msgspec.DecodeError, RecursionError, KeyError, TypeError, ValueError, IndexError, OverflowError):
        return 0
