"""Turning what an adapter says into the session's events: the vocabulary forwarded, facts as events of their own.

Volume is bounded here, whatever a CLI sends: a status is told when it changes, the pieces of a message are put together
to four a second, long inputs and outputs are cut and say so.
"""

import json
import re
import time
from collections import deque
from typing import Any, cast

import attrs
import trio

from townwatch.contracts.agent_events import to_provider_event
from townwatch.contracts.events import UsageMetrics
from townwatch.runner import prices
from townwatch.runner.agents import events as a
from townwatch.runner.agents.port import SessionPort
from townwatch.runner.agents.shell import simple_commands
from townwatch.runner.observers import testruns
from townwatch.runner.observers.runs import new_run_id

COALESCE_SECONDS = 0.25
TEXT_CHARS = 64 * 1024
"""Longest prompt or piece of a message in one event."""
REASON_CHARS, SAID_CHARS = 2000, 200
"""Longest reason of a failed turn; how much of it a status repeats."""
WAITS_IN_TERMINAL = "agent:dialog"
"""Among the open approvals of a session's lifecycle: a dialog that can be answered in the terminal alone."""


@attrs.define
class _Run:
    tool: str
    command: str
    began_ms: int
    run_id: str


AT_REST = frozenset({"idle", "unknown"})


class Teller:
    """The events of one session's agent."""

    def __init__(self, session: SessionPort, provider: str) -> None:
        self._session = session
        self._provider = provider
        self.status = a.Status(status="starting", since=_now_ms())
        self.changed = trio.Event()
        """Set, and replaced, at every change of the status."""
        self._messages: dict[str, a.AgentMessage] = {}
        self._message_told: dict[str, float] = {}
        self._pieces = trio.Event()
        self._runs: dict[str, _Run] = {}
        self._given: deque[str] = deque(maxlen=16)
        self._cache_read: int | None = None
        self._cache_read_total: int | None = None
        self._model: str | None = None
        self._counted = False
        self._failed: str | None = None
        """What a status says of the last turn, where that failed."""

    async def say(self, event: a.AgentEvent | a.Fact) -> None:
        match event:
            case a.Status():
                await self._status(event)
            case a.AgentMessage():
                await self._message(event)
            case a.Prompt(text=text, by="terminal") if text in self._given:
                self._given.remove(text)  # it was ours: told when it was given
            case a.Prompt():
                await self._forward(attrs.evolve(event, text=event.text[:TEXT_CHARS]))
            case a.Tool():
                await self._forward(attrs.evolve(event, input=cut_input(event.input), output=cut_output(event.output)))
            case a.Turn():
                await self._turn(event)
            case a.CliSession(model=model):
                self._model = model or self._model
                await self._forward(event)
            case a.AgentEvent():
                await self._forward(event)
            case a.FileAccess(path=path, reason=reason):
                await self._session.events.tell("FILE_TOUCHED", path=path, reason=reason)
            case a.CommandStarted():
                await self._command_started(event)
            case a.CommandEnded():
                await self._command_ended(event)
            case a.Tokens():
                self._tokens(event)
            case a.Alert():
                await self._alert(event)

    async def run(self) -> None:
        """Tell held pieces of messages when their time has come, until cancelled."""
        while True:
            await self._pieces.wait()
            await trio.sleep(COALESCE_SECONDS)
            self._pieces = trio.Event()
            await self.flush()

    async def flush(self) -> None:
        """Tell what is held."""
        for message_id in list(self._messages):
            await self._tell_message(message_id)

    def expect(self, text: str) -> None:
        """A prompt of ours is on its way to the CLI: what the CLI says of it is not told a second time."""
        self._given.append(text)

    async def _forward(self, event: a.AgentEvent) -> None:
        inner = plain(to_provider_event(event, self._provider, _now_ms()))
        await self._session.events.tell("PROVIDER_EVENT_FORWARDED", providerEvent=inner)

    async def _turn(self, turn: a.Turn) -> None:
        """Tell the end of a turn; an agent that is at rest after one that failed says why."""
        reason = cut_reason(turn.reason)
        await self._forward(attrs.evolve(turn, reason=reason))
        self._failed = None
        if turn.result == "failed":
            self._failed = "its turn failed" + (f": {cut_reason(reason, SAID_CHARS)}" if reason else "")
        if self._counted and self.status.status in AT_REST:
            await self._status(attrs.evolve(self.status, for_=None))

    # --- status -------------------------------------------------------------------------------------------------

    async def _status(self, status: a.Status) -> None:
        if status.status == "busy":
            self._failed = None
        elif status.status in AT_REST and status.for_ is None:
            status = attrs.evolve(status, for_=self._failed)
        if (status.status, status.for_) == (self.status.status, self.status.for_) and self._counted:
            return
        self._counted = True
        self.status = attrs.evolve(status, since=status.since or _now_ms())
        self.changed.set()
        self.changed = trio.Event()
        await self._forward(self.status)
        await self.follow()

    async def follow(self) -> None:
        """Bring the session's state in line: a dialog that has no approval of ours is waited for all the same."""
        lifecycle, waits = self._session.events.lifecycle, self.status.status == "waiting"
        if waits and not lifecycle.waiting - {WAITS_IN_TERMINAL}:
            lifecycle.waiting.add(WAITS_IN_TERMINAL)
        elif not waits:
            lifecycle.waiting.discard(WAITS_IN_TERMINAL)
        if waits and lifecycle.state == "RUNNING":
            await self._session.events.become("WAITING_FOR_APPROVAL", self.status.for_)
        elif not lifecycle.waiting and lifecycle.state == "WAITING_FOR_APPROVAL":
            await self._session.events.become("RUNNING", "answered in its terminal")

    # --- messages ---------------------------------------------------------------------------------------------------

    async def _message(self, piece: a.AgentMessage) -> None:
        held = self._messages.get(piece.id)
        text = (held.text if held is not None else "") + piece.text
        self._messages[piece.id] = attrs.evolve(piece, text=text)
        due = trio.current_time() - self._message_told.get(piece.id, -1.0) >= COALESCE_SECONDS
        if piece.final or due or len(text) >= TEXT_CHARS:
            await self._tell_message(piece.id)
        else:
            self._pieces.set()

    async def _tell_message(self, message_id: str) -> None:
        held = self._messages.pop(message_id, None)
        if held is None:
            return
        self._message_told[message_id] = trio.current_time()
        if held.final:
            del self._message_told[message_id]
        for start in range(0, max(1, len(held.text)), TEXT_CHARS):
            last = start + TEXT_CHARS >= len(held.text)
            piece = attrs.evolve(held, text=held.text[start : start + TEXT_CHARS], final=held.final and last)
            await self._forward(piece)

    # --- facts --------------------------------------------------------------------------------------------------------

    async def _command_started(self, started: a.CommandStarted) -> None:
        self._session.events.usage.command()
        for words in simple_commands(started.command):
            tool = testruns.recognise(words)
            if tool is not None:
                run = self._runs[started.id] = _Run(tool, started.command, _now_ms(), new_run_id())
                files = testruns.test_files(words)
                await self._session.events.tell(
                    "TEST_RUN_STARTED",
                    command=started.command,
                    testFiles=files,
                    runId=run.run_id,
                    where=f"tool {started.id}",
                )
                return

    async def _command_ended(self, ended: a.CommandEnded) -> None:
        run = self._runs.pop(ended.id, None)
        if run is None:
            return
        counts = testruns.count(run.tool, ended.output) if ended.ran else None
        code = ended.exit_code if ended.ran else None
        fields: dict[str, Any] = {"runId": run.run_id, "where": f"tool {ended.id}", "exitCode": code}
        if counts is not None:
            fields |= attrs.asdict(counts)
        # A pipe's exit code is that of its last command: failures that were counted are failures.
        if counts is not None and counts.failed:
            fields["verdict"] = "failed"
        elif code is not None and (counts is not None or code):
            fields["verdict"] = "failed" if code else "passed"
        else:
            why = "it has no summary" if ended.ran else "it was denied, or did not begin"
            fields |= {"verdict": "unknown", "reason": why}
        await self._session.events.tell("TEST_RUN_FINISHED", duration=_now_ms() - run.began_ms, **fields)

    def _tokens(self, used: a.Tokens) -> None:
        self._model = used.model or self._model
        cost, as_of = used.cost_usd, None
        if cost is None:
            cost, as_of = prices.listed(
                self._model, used.input_tokens, used.output_tokens, used.cache_read_tokens, self._provider
            )
        self._session.events.usage.tokens(used.input_tokens, used.output_tokens, cost, as_of)
        self._cache_read = (self._cache_read or 0) + used.cache_read_tokens
        self._cache_read_total = (self._cache_read_total or 0) + used.cache_read_tokens

    def usage(self, units: UsageMetrics) -> UsageMetrics:
        """Return the units of a tick with what the meter does not count."""
        cache_read, self._cache_read = self._cache_read, None
        return self._completed(units, cache_read)

    def total_usage(self, units: UsageMetrics) -> UsageMetrics:
        """Return the units of the whole session with what the meter does not count."""
        return self._completed(units, self._cache_read_total)

    def _completed(self, units: UsageMetrics, cache_read: int | None) -> UsageMetrics:
        if units.input_tokens is None and cache_read is None:
            return units
        return attrs.evolve(units, cache_read_tokens=cache_read, model=self._model)

    async def _alert(self, alert: a.Alert) -> None:
        await self._session.events.tell(
            "ALERT_RAISED",
            alertId=alert.id,
            severity=alert.severity,
            category=alert.category,
            title=alert.title,
            description=alert.description,
        )


_CONTROLS = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def plain(value: Any) -> Any:
    """Return a JSON value whose texts have no control characters but tabs and ends of lines: agents write them, and
    viewers may show them in a terminal.
    """
    match value:
        case str():
            return _CONTROLS.sub("", value)
        case list():
            return [plain(one) for one in cast("list[Any]", value)]
        case dict():
            return {name: plain(one) for name, one in cast("dict[str, Any]", value).items()}
        case _:
            return value


def cut_input(value: Any) -> Any:
    """Return a tool's input, or its beginning as text where it is more than a person can read."""
    if value is None:
        return None
    text = json.dumps(value, ensure_ascii=False)
    if len(text.encode(errors="replace")) <= a.INPUT_BYTES:
        return value
    beginning = text.encode(errors="replace")[: a.INPUT_BYTES].decode(errors="ignore")
    return {"cut": True, "bytes": len(text.encode(errors="replace")), "beginning": beginning}


def cut_output(text: str | None) -> str | None:
    """Return the end of a tool's output, and how much is missing."""
    if text is None or len(text) <= a.OUTPUT_CHARS:
        return text
    return f"… {len(text) - a.OUTPUT_CHARS} characters cut\n{text[-a.OUTPUT_CHARS :]}"


def cut_reason(text: str | None, chars: int = REASON_CHARS) -> str | None:
    """Return why a turn failed in at most `chars` characters; None where there is no word of it."""
    said = (text or "").strip()
    return (said if len(said) <= chars else f"{said[: chars - 1]}…") or None


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
