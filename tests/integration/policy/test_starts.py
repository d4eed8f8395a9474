"""Starts of sessions and the village's rules: what is refused, to whom, and that nothing else is."""

from typing import Any

import trio

from tests.integration.policy.house import SESSIONS, Ruled
from tests.integration.service.test_promises import result
from tests.support.service import ScriptedRunner


async def start(ruled: Ruled, who: str, runner: ScriptedRunner, **more: Any) -> tuple[int, str]:
    """Start a session as a person; a runner takes what reaches it. Return the status and the rule of a refusal."""
    body = {
        "villageId": "demo", "providerId": "command", "command": ["make", "test"],
        "repoRef": {"provider": "local", "path": "/src/app"}, "task": {"title": "t", "goal": "g"}, **more,
    }  # fmt: skip
    found: list[tuple[int, str]] = []

    async with trio.open_nursery() as nursery:

        async def take() -> None:
            await result(runner, await runner.next("command"))

        nursery.start_soon(take)
        answer = await ruled.http[who].post(SESSIONS, json=body)
        error = answer.json().get("error", {})
        found.append((answer.status_code, error.get("details", {}).get("rule", "")))
        assert answer.status_code == 201 or error["code"] == "E_POLICY", answer.text
        if answer.status_code != 201:
            nursery.cancel_scope.cancel()
    return found[0]


async def test_a_rule_about_starts_refuses_what_it_names_and_nothing_else(ruled: Ruled) -> None:
    await ruled.rules(
        {"id": "no-deploy", "effect": "deny", "category": "start", "command": "make deploy *"},
        {"id": "main", "effect": "deny", "category": "start", "branch": "main", "command": "claude *"},
        {"id": "vault", "effect": "deny", "category": "start", "house": "/src/vault"},
        {"id": "everything", "effect": "deny", "command": "make *"},  # about what agents ask
    )
    async with ruled.town.runner() as runner:
        assert await start(ruled, "ann", runner) == (201, "")
        assert await start(ruled, "ann", runner, command=["make", "deploy"]) == (403, "no-deploy")
        assert await start(ruled, "ann", runner, command=["bash", "-c", "cd x && make deploy"]) == (403, "no-deploy")
        vault = {"provider": "local", "path": "/src/vault"}
        assert await start(ruled, "owner", runner, repoRef=vault) == (403, "vault")
    assert [one for one in await ruled.audited("session.start") if (one or {}).get("title") == "t"]


async def test_an_ask_about_starts_wants_a_person_and_may_want_an_owner(ruled: Ruled) -> None:
    await ruled.rules({"id": "people", "effect": "ask", "category": "start"})
    async with ruled.town.runner() as runner:
        assert await start(ruled, "robot", runner) == (403, "people")  # a program's token
        assert await start(ruled, "ann", runner) == (201, "")
        await ruled.rules({"id": "owners", "effect": "ask", "category": "start", "answer": {"role": "owner"}})
        assert await start(ruled, "ann", runner) == (403, "owners")
        assert await start(ruled, "cleo", runner) == (201, "")


async def test_rules_about_starts_that_could_never_be_met_are_refused(ruled: Ruled) -> None:
    for more in ({"answer": {"people": 2}}, {"answer": {"notStarter": True}}, {"path": "**/.env"}):
        rule = {"id": "x", "effect": "ask", "category": "start", **more}
        answer = await ruled.http["owner"].put("/api/villages/demo/policy", json={"rules": [rule]})
        assert answer.status_code == 400, answer.text
