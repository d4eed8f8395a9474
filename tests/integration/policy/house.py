"""A service with rules, people who may answer, and a scripted runner that asks."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import httpx
import trio
from sqlalchemy import Connection, text

from tests.integration.service.test_promises import asked, event, result, started
from tests.support.people import person, rest
from tests.support.service import ScriptedRunner, Town, open_town
from townwatch.store import audit

SESSIONS = "/api/runner/sessions"


@attrs.define(eq=False)
class Ruled:
    """`http`: name → a client of the REST API: owner (signed in), ann and bob (operators, signed in), cleo (an owner,
    signed in), robot and program: API tokens of ann's and cleo's.
    """

    town: Town
    http: Mapping[str, httpx.AsyncClient]

    async def rules(self, *rules: dict[str, Any], **more: Any) -> httpx.Response:
        """Replace the village's rules."""
        answer = await self.http["owner"].put("/api/villages/demo/policy", json={"rules": list(rules), **more})
        assert answer.status_code == 200, answer.text
        return answer

    async def decide(self, who: str, decision: str, session: str = "s1", approval: str = "a1", **more: Any) -> Any:
        path = f"{SESSIONS}/{session}/approvals/{approval}"
        return await self.http[who].post(path, json={"decision": decision, **more})

    async def waiting(self) -> dict[str, Any]:
        """The approvals that wait, by id."""
        found = (await self.http["owner"].get("/api/approvals?villageId=demo")).json()["items"]
        return {one["approvalId"]: one for one in found}

    async def decided(self) -> dict[str, tuple[str, str]]:
        """Approval → decision and by whom."""
        found = (await self.http["owner"].get("/api/approvals?villageId=demo&state=decided")).json()["items"]
        return {one["approvalId"]: (one["decision"], one["resolvedBy"]) for one in found}

    async def audited(self, action: str) -> list[dict[str, Any] | None]:
        entries = await self.town.service.database.read(audit.entries_after, 0, 1000, None)
        return [entry.details for entry in entries if entry.action == action]

    async def start(self, who: str, runner: ScriptedRunner) -> str:
        """A session that a person starts; the runner takes it."""
        body = {
            "villageId": "demo", "providerId": "command", "command": ["true"],
            "repoRef": {"provider": "local", "path": "/src/app"}, "task": {"title": "t", "goal": "g"},
        }  # fmt: skip
        made: list[str] = []

        async def post() -> None:
            answer = await self.http[who].post(SESSIONS, json=body)
            assert answer.status_code == 201, answer.text
            made.append(answer.json()["sessionId"])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(post)
            command = await runner.next("command")
            assert command["config"]["startedBy"]
            await result(runner, command)
        return made[0]


async def ask(
    runner: ScriptedRunner, command: str = "git push", session: str = "s1", *, first: bool = True, **more: Any
) -> None:
    """The session begins, and its agent asks a1: may it run this command?"""
    question = asked("a1", 2, session)
    question["approval"] |= {"summary": command, "context": {"input": {"command": command}}, **more}
    await runner.send(*([started(session)] if first else []), question)
    await runner.acked(2)


@asynccontextmanager
async def open_ruled(state: Path) -> AsyncIterator[Ruled]:
    """A service; the second time in the same directory, the one that was there."""
    async with open_town(state) as town, AsyncExitStack() as stack:
        service, tokens = town.service, {"owner": town.token}
        known = await service.database.read(_names)
        for name, role in (("ann", "operator"), ("bob", "operator"), ("cleo", "owner")):
            if f"user_{name}" not in known:
                programs = {"ann": "robot", "cleo": "program"}
                tokens[programs.get(name, "")] = await person(town, name, role)
            code = await service.sign_in.issue_code(f"user_{name}")
            tokens[name] = (await service.sign_in.exchange(code)).token
        clients = {name: await stack.enter_async_context(rest(town, token)) for name, token in tokens.items()}
        yield Ruled(town, clients)


def _names(connection: Connection) -> set[str]:
    return set(connection.execute(text("SELECT user_id FROM users")).scalars())


__all__ = ["ask", "event"]
