"""A whole runner in this process, with real terminals; its service is away unless the test opens one."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
import trio

from tests.support.service import Town, open_town
from townwatch.runner import identity
from townwatch.runner.identity import Identity, new_session_id
from townwatch.runner.opening import open_runner
from townwatch.runner.runner import Runner
from townwatch.runner.session.plan import SessionSpec
from townwatch.runner.session.session import Session
from townwatch.runner.spool.recorder import Recorder
from townwatch.runner.spool.spool import Spool

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
        return self.runner.start(SessionSpec(**(fields | plan), command=list(command)))

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


@attrs.define(eq=False)
class Far:
    """Somebody with a browser, far from the runner."""

    town: Town
    runner: Runner
    http: httpx.AsyncClient
    directory: Path

    def start(self, script: str, **plan: Any) -> Session:
        fields: dict[str, Any] = {"session_id": new_session_id(), "village": "demo", "directory": self.directory}
        return self.runner.start(SessionSpec(**(fields | plan), command=["bash", "-c", script]))

    async def get(self, session: Session, what: str, **query: str) -> httpx.Response:
        return await self.http.get(f"/api/runner/sessions/{session.plan.session_id}/{what}", params=query)

    async def post(self, session: Session, what: str, **body: Any) -> int:
        """The status of a request about a session."""
        return (await self.http.post(f"/api/runner/sessions/{session.plan.session_id}/{what}", json=body)).status_code

    async def shown(self, session: Session) -> dict[str, Any]:
        """What the service says of a session; nothing before it knows it."""
        answer = await self.http.get(f"/api/runner/sessions/{session.plan.session_id}")
        return answer.json() if answer.status_code == 200 else {}

    async def events(self, session: Session) -> list[dict[str, Any]]:
        answer = await self.http.get(f"/api/runner/sessions/{session.plan.session_id}/events?limit=1000")
        return answer.json()["items"] if answer.status_code == 200 else []

    async def sees(self, session: Session, text: str) -> None:
        """Until the output that the service has holds this text."""
        with trio.fail_after(15):
            while text not in "".join(event.get("data", "") for event in await self.events(session)):
                await trio.sleep(0.05)

    async def becomes(self, session: Session, state: str) -> dict[str, Any]:
        with trio.fail_after(15):
            while (found := await self.shown(session)).get("state") != state:
                await trio.sleep(0.05)
        return found


@pytest.fixture
async def far(tmp_path: Path) -> AsyncIterator[Far]:
    directory = tmp_path / "work"
    directory.mkdir()
    async with open_town(tmp_path / "service") as town:
        known = identity.load(town.state)
        headers = {"authorization": f"Bearer {town.token}"}
        async with (
            httpx.AsyncClient(base_url=town.url, headers=headers, trust_env=False, timeout=30) as http,
            open_runner(known, tmp_path / "runner", slot="main") as runner,
        ):
            with trio.fail_after(15):
                await runner.link.connected.wait()
            yield Far(town, runner, http, directory)
