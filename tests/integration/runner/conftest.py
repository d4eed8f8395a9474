"""A whole runner in this process, with real terminals; its service is away unless the test opens one."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from runner.identity import Identity, new_session_id
from runner.recorder import Recorder
from runner.runner import Runner, open_runner
from runner.session import Plan, Session
from runner.spool import Spool

NOBODY = "ws://127.0.0.1:9/runner"
Event = dict[str, Any]


async def until(wanted: Callable[[], Any], seconds: float = 15) -> Any:
    """What `wanted` says, as soon as it says something."""
    with trio.fail_after(seconds):
        while not (found := wanted()):
            await trio.sleep(0.02)
    return found


@attrs.define(eq=False)
class Bench:
    """One runner and what its spool holds."""

    runner: Runner
    directory: Path

    @property
    def _recorder(self) -> Recorder:
        return self.runner.recorder

    @property
    def spool(self) -> Spool:
        return self._recorder.spool

    def start(self, *command: str, **plan: Any) -> Session:
        fields: dict[str, Any] = {"session_id": new_session_id(), "village": "demo", "directory": self.directory}
        return self.runner.start(Plan(**(fields | plan), command=list(command)))

    def events(self, session: Session, kind: str | None = None) -> list[Event]:
        stored = self.spool.unacked(session.plan.session_id, 0, 10_000)
        events = [json.loads(one.body) for one in stored]
        return [event for event in events if kind in (None, event["type"])]

    def output(self, session: Session) -> str:
        return "".join(event["data"] for event in self.events(session, "TERMINAL_CHUNK"))

    def states(self, session: Session) -> list[str]:
        return [event["newState"] for event in self.events(session, "SESSION_STATE_CHANGED")]

    async def shows(self, session: Session, text: str) -> None:
        """Until the output holds this text."""
        await until(lambda: text in self.output(session))

    async def one(self, session: Session, kind: str) -> Event:
        """The first event of a type, as soon as there is one."""
        return (await until(lambda: self.events(session, kind)))[0]

    async def over(self, session: Session) -> Event:
        """Its SESSION_ENDED."""
        with trio.fail_after(25):
            await session.over.wait()
        (ended,) = self.events(session, "SESSION_ENDED")
        return ended


@asynccontextmanager
async def open_bench(state: Path, directory: Path, slot: str = "main") -> AsyncIterator[Bench]:
    identity = Identity(runner_id="r1", token="t", url=NOBODY)
    async with open_runner(identity, state, slot=slot) as runner:
        bench = Bench(runner, directory)
        yield bench
        for known in bench.spool.sessions():  # so that nobody waits for the service that is away
            bench.spool.ack(known.session_id, known.last_seq)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    directory = tmp_path / "work"
    directory.mkdir()
    async with open_bench(tmp_path / "state", directory) as found:
        yield found
