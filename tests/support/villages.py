"""Villages and runners that are made over REST, as people make them."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import trio

from tests.support.people import raw, rest
from tests.support.service import ScriptedRunner, Town
from townwatch.store import villages


@attrs.frozen
class Joined:
    """A runner that was enrolled. `villages`: those it serves."""

    runner_id: str
    token: str
    village: str


async def make_village(town: Town, village_id: str, **more: Any) -> str:
    """Make a village of the owner's. Return its id."""
    async with rest(town, town.token) as http:
        answer = await http.post("/api/villages", json={"villageId": village_id, "name": village_id, **more})
        assert answer.status_code == 201, answer.text
        return answer.json()["villageId"]


async def key_of(town: Town, name: str) -> str:
    """Return the key that rows and rooms know the village of this name by."""
    key = await town.service.database.read(villages.key_of, name)
    assert key is not None, f"there is no village {name}"
    return key


async def enrol(town: Town, village_id: str, name: str) -> Joined:
    """Enrol a runner for a village."""
    async with rest(town, town.token) as http:
        code = await http.post("/api/runners/enrolments", json={"villageId": village_id, "name": name})
        assert code.status_code == 201, code.text
        joined = await http.post("/api/runners/join", json={"code": code.json()["code"], "name": name})
        assert joined.status_code == 201, joined.text
        return Joined(joined.json()["runnerId"], joined.json()["token"], village_id)


@asynccontextmanager
async def connect(
    town: Town, who: Joined, sessions: list[dict[str, Any]] | None = None, **more: Any
) -> AsyncGenerator["VillageRunner"]:
    """A connection of an enrolled runner that was welcomed. `more`: of the hello."""
    async with raw(town, "/runner", authorization=f"Bearer {who.token}") as socket:
        hello = {"type": "hello", "runnerId": who.runner_id, "name": who.runner_id, "version": "1"}
        await socket.send_message(json.dumps({**hello, "sessions": sessions or [], **more}))
        runner = VillageRunner(socket)
        runner.village = who.village
        runner.welcome = await runner.next("welcome")
        yield runner


@asynccontextmanager
async def connect_ackless(town: Town, who: Joined) -> AsyncGenerator["VillageRunner"]:
    """A connection in the dialect without acknowledgements."""
    async with raw(town, f"/runner?token={who.token}&runner={who.runner_id}") as socket:
        runner = VillageRunner(socket)
        runner.village = who.village
        yield runner


@attrs.define(eq=False)
class VillageRunner(ScriptedRunner):
    """A runner that says events of its village."""

    village: str = ""

    def event(self, kind: str, session: str, seq: int, **fields: Any) -> dict[str, Any]:
        """An event as on the wire."""
        ts = 1_764_000_000_000 + seq
        return {"type": kind, "sessionId": session, "orgId": self.village, "ts": ts, "seq": seq, **fields}

    def started(self, session: str, agent: str | None = None, seq: int = 1, path: str = "/src/app") -> dict[str, Any]:
        """SESSION_STARTED, in a local repository."""
        named = {} if agent is None else {"agentId": agent}
        repo = {"provider": "local", "path": path}
        fields = {"providerId": "codex", "providerVersion": "1", "workspacePath": path, "repoRef": repo, **named}
        return self.event("SESSION_STARTED", session, seq, **fields)

    def chunk(self, session: str, seq: int, data: str) -> dict[str, Any]:
        """TERMINAL_CHUNK."""
        return self.event("TERMINAL_CHUNK", session, seq, data=data, stream="stdout")

    def asks(self, session: str, seq: int, approval_id: str = "a1", **more: Any) -> dict[str, Any]:
        """APPROVAL_REQUESTED."""
        asked = {"approvalId": approval_id, "sessionId": session, "category": "shell", "risk": "high"}
        approval = {**asked, "summary": f"of {session}", "requestedAt": 1_764_000_000_000, **more}
        return self.event("APPROVAL_REQUESTED", session, seq, approval=approval)

    async def told(self, *events: dict[str, Any]) -> None:
        """Send events of one session and wait until they are durable. The dialect without acknowledgements says one
        event a frame, and is not answered."""
        await self.send(*events)
        await self.acked_of(events[-1]["sessionId"], events[-1]["seq"])

    async def acked_of(self, session: str, seq: int) -> None:
        """Wait for the acknowledgement of a session's event."""
        while True:
            ack = await self.next("ack")
            if (ack["sessionId"], ack["seq"] >= seq) == (session, True):
                return

    async def say_each(self, *events: dict[str, Any]) -> None:
        """One event a frame."""
        for one in events:
            await self.say(json.dumps(one))

    async def answer(self, command: dict[str, Any]) -> None:
        """Say that a command was done."""
        await self.say(json.dumps({"type": "result", "commandId": command["commandId"], "ok": True}))


async def shown(town: Town, session: str, seq: int) -> None:
    """Wait until village and agent are through with a session's event."""
    context = town.service.context
    with trio.fail_after(10):
        while context.published.get(session, 0) < seq or context.shown.get(session, 0) < seq:
            await trio.sleep(0.01)
