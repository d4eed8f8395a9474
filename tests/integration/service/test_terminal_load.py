"""A terminal that is large, or output that is costly to draw, holds up no other work of the service.

Work is counted, not timed: the calls that the interpreter makes in one step of a task, in which nothing else can run.
"""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from trio.lowlevel import Task

from tests.support.cast import event
from tests.support.people import rest
from tests.support.service import Town, open_town
from townwatch.actors import agent, messages as m

STARTED = {"providerId": "command", "providerVersion": "1", "workspacePath": "/w"}
AGENT = "runner_s1"
MOST_CALLS = 90_000
"""In one step: some ten milliseconds without the counting."""
COLOURED = "".join(f"\x1b[3{n % 8}m{'ab' * 50}\r\n" for n in range(300))
"""A part of a large screen's output."""


@attrs.define(eq=False)
class LongestStep(trio.abc.Instrument):
    """The step of a task with the most calls."""

    calls: int = 0
    task: str = ""
    _count: int = 0

    def before_task_step(self, task: Task) -> None:
        self._count = 0

    def after_task_step(self, task: Task) -> None:
        if self._count > self.calls:
            self.calls, self.task = self._count, task.name

    def on_event(self, _frame: object, event: str, _argument: object) -> None:
        self._count += event in ("call", "c_call")


@contextmanager
def longest_step() -> Generator[LongestStep]:
    found = LongestStep()
    trio.lowlevel.add_instrument(found)
    sys.setprofile(found.on_event)
    try:
        yield found
    finally:
        sys.setprofile(None)
        trio.lowlevel.remove_instrument(found)


def chunk(seq: int, data: str) -> dict[str, Any]:
    return event("TERMINAL_CHUNK", seq, data=data, stream="stdout")


def resized(seq: int, cols: int, rows: int) -> dict[str, Any]:
    told = {"type": "terminal_resized", "providerId": "command", "timestamp": 1, "cols": cols, "rows": rows}
    return event("PROVIDER_EVENT_FORWARDED", seq, providerEvent=told)


async def drawn(town: Town, seq: int) -> None:
    """Wait until the agent's actor has handled the event."""
    with trio.fail_after(60):
        while town.service.context.shown.get("s1", 0) < seq:
            await trio.sleep(0.01)
    [agent_ref] = town.service.context.directory.agents.values()
    await agent_ref.call(m.Describe(), timeout=60)


@pytest.mark.node
async def test_a_large_terminal_is_stored_and_shown_in_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "CHECKPOINT_CHARS", 60_000)
    async with open_town(tmp_path) as town, town.runner() as runner:
        await runner.send(event("SESSION_STARTED", 1, **STARTED), resized(2, 100, 60))
        await runner.acked(2)
        async with town.client() as client:
            with longest_step() as longest:
                for seq in range(3, 6):  # more than a checkpoint: the state is stored
                    await runner.send(chunk(seq, COLOURED))
                    await runner.acked(seq)
                await drawn(town, 5)
                await client.emit("join_agent", {"agentId": AGENT, "terminal": True})
                while not (found := [one for one in client.lines if one.get("event") == "terminal_output"]):
                    await client.line()
    shown = found[0]["args"][0]
    assert shown["snapshot"] is True
    assert len(shown["data"]) > 20_000
    assert longest.calls < MOST_CALLS, longest.task


@pytest.mark.parametrize(
    "sequence", ["\x1b[9999I", "\x1bc", "\x1b#8", "\x1b[?1049h\x1b[?1049l", "\u0301", "\x1b]0;a\x07"], ids=ascii
)
async def test_costly_output_stops_nothing(tmp_path: Path, sequence: str) -> None:
    size = 60_000
    async with open_town(tmp_path) as town, town.runner() as runner, rest(town, town.token) as http:
        await runner.send(event("SESSION_STARTED", 1, **STARTED), resized(2, 2000, 2000), chunk(3, "e"))
        await runner.acked(3)
        answered, done = 0, trio.Event()

        async def ask_on() -> None:
            nonlocal answered
            while not done.is_set():
                assert (await http.get("/healthz")).status_code == 200
                answered += 1

        with longest_step() as longest:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask_on)
                await runner.send(chunk(4, sequence * (size // len(sequence))))
                await runner.acked(4)
                await drawn(town, 4)
                state = (await http.get("/api/runner/sessions/s1")).json()
                done.set()
    assert answered
    assert state["agentId"] == AGENT
    assert longest.calls < MOST_CALLS, longest.task
