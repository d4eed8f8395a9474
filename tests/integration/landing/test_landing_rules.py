"""Commits, pushes and merges by people go through the rules as the commands that they are."""

from typing import Any

import attrs
import pytest
import trio

from tests.integration.landing.conftest import Yard, git, refused, until
from tests.integration.policy.house import SESSIONS

pytestmark = pytest.mark.timeout(120)

NO_PUSH = {"id": "no-push", "effect": "deny", "command": "git push *"}
ASK = {"id": "asks", "effect": "ask", "command": "git push *"}
TWO = {"id": "two", "effect": "ask", "command": "git push *", "answer": {"people": 2}}
RED = {"id": "red", "effect": "deny", "command": "git push *", "tests": ["failed", "running"]}
SECRETS = {"id": "env", "effect": "deny", "path": "**/.env"}


async def change(yard: Yard, session: str) -> None:
    (yard.work / "new").write_text("x\n")
    assert (await yard.land(session, "commit", message="x")).status_code == 200


async def approval(yard: Yard) -> dict[str, Any]:
    with trio.fail_after(30):
        while not (found := await yard.ruled.waiting()):
            await trio.sleep(0.05)
    return next(iter(found.values()))


async def test_a_denial_is_a_403_with_the_rule_and_an_allow_runs(yard: Yard) -> None:
    session = (await yard.live()).plan.session_id
    await yard.rules(NO_PUSH, SECRETS, {"id": "commits", "effect": "allow", "command": "git commit *"})
    (yard.work / ".env").write_text("KEY=1\n")
    assert refused(await yard.land(session, "commit", message="x", paths=[".env"])) == (403, "E_POLICY", "env")
    assert refused(await yard.land(session, "commit", message="all of it")) == (403, "E_POLICY", "env")
    await change_of(yard, session, "new")
    assert refused(await yard.land(session, "push")) == (403, "E_POLICY", "no-push")
    assert git(yard.remote, "log", "--oneline", "main").count("\n") == 0
    assert await yard.ruled.waiting() == {}
    await yard.rules({**NO_PUSH, "tool": "Bash"})  # of an agent's tool, and not of people
    assert (await yard.land(session, "push")).status_code == 200


async def change_of(yard: Yard, session: str, name: str) -> None:
    (yard.work / name).write_text("x\n")
    assert (await yard.land(session, "commit", message="x", paths=[name])).status_code == 200


async def test_an_ask_is_an_approval_that_the_asker_may_answer_and_it_is_done_then(yard: Yard) -> None:
    session = (await yard.live()).plan.session_id
    await change(yard, session)
    await yard.rules(ASK)
    asked = await yard.land(session, "push")
    assert (asked.status_code, asked.json()["state"], asked.json()["rule"]) == (200, "asked", "asks"), asked.text
    card = await approval(yard)
    assert card["approvalId"] == asked.json()["approvalId"]
    assert card["context"]["input"] == {"command": "git push origin main"}
    assert (card["risk"], card["context"]["tool"], card["context"]["askedBy"]) == ("high", "person", "Ann")
    assert (await yard.ruled.decide("ann", "deny", session, card["approvalId"])).status_code == 200
    await until(lambda: not yard.runner.sessions[session].approvals.waiting())
    assert git(yard.remote, "log", "--oneline", "main").count("\n") == 0

    assert (await yard.land(session, "push")).json()["state"] == "asked"
    card = await approval(yard)
    assert (await yard.ruled.decide("ann", "allow", session, card["approvalId"])).status_code == 200
    told = (await yard.landed(session, 2))[-1]
    assert (told["act"], told["ok"], told["by"], told["approvedBy"]) == ("push", True, "Ann", "Ann")
    assert git(yard.remote, "rev-parse", "main") == git(yard.work, "rev-parse", "main")


async def test_two_people_where_a_rule_wants_two_and_what_changed_meanwhile_is_not_done(yard: Yard) -> None:
    session = (await yard.live()).plan.session_id
    await change(yard, session)
    await yard.rules(TWO)
    assert (await yard.land(session, "push")).json()["state"] == "asked"
    card = await approval(yard)
    first = await yard.ruled.decide("ann", "allow", session, card["approvalId"])
    assert first.json()["needed"] == 2
    git(yard.work, "commit", "-q", "--allow-empty", "-m", "the agent goes on")
    assert (await yard.ruled.decide("bob", "allow", session, card["approvalId"])).status_code == 200
    told = (await yard.landed(session, 2))[-1]
    assert (told["ok"], "have changed since it was asked" in told["says"]) == (False, True)
    assert git(yard.remote, "log", "--oneline", "main").count("\n") == 0


@pytest.mark.parametrize("name", ["two\nlines", "link", "program"])
async def test_what_people_allowed_is_what_is_committed_whatever_the_file_is(yard: Yard, name: str) -> None:
    session = (await yard.live()).plan.session_id
    for other in ("a", "b"):
        (yard.work / other).write_text("the same\n")
    file = yard.work / name
    file.symlink_to("a") if name == "link" else file.write_text("x\n")
    await yard.rules({**ASK, "command": "git commit *"})
    assert (await yard.land(session, "commit", message="x")).json()["state"] == "asked"
    card = await approval(yard)
    if name == "link":
        file.unlink()
        file.symlink_to("b")
    elif name == "program":
        file.chmod(0o755)
    else:
        file.write_text("another\n")
    assert (await yard.ruled.decide("ann", "allow", session, card["approvalId"])).status_code == 200
    told = (await yard.landed(session, 1))[-1]
    assert (told["ok"], "have changed since it was asked" in told["says"]) == (False, True), told


async def test_no_push_while_tests_are_red(yard: Yard) -> None:
    session = await yard.live()
    await change(yard, session.plan.session_id)
    await yard.rules(RED)
    await session.events.tell(
        "TEST_RUN_FINISHED", runId="r1", exitCode=1, passed=1, failed=1, skipped=0, duration=5, verdict="failed"
    )
    assert refused(await yard.land(session.plan.session_id, "push")) == (403, "E_POLICY", "red")
    await session.events.tell(
        "TEST_RUN_FINISHED", runId="r2", exitCode=0, passed=2, failed=0, skipped=0, duration=5, verdict="passed"
    )
    assert (await yard.land(session.plan.session_id, "push")).status_code == 200


async def test_what_a_gate_denies_by_the_time_that_it_is_allowed_is_not_done(yard: Yard) -> None:
    live = await yard.live()
    session = live.plan.session_id
    await change(yard, session)
    await yard.rules(TWO, RED)
    assert (await yard.land(session, "push")).json()["state"] == "asked"
    card = await approval(yard)
    assert (await yard.ruled.decide("ann", "allow", session, card["approvalId"])).json()["needed"] == 2
    live.events.work = attrs.evolve(live.events.work, tests="failed")  # the service hears of it after the second allow
    assert (await yard.ruled.decide("bob", "allow", session, card["approvalId"])).status_code == 200
    told = (await yard.landed(session, 2))[-1]
    assert (told["ok"], "the rule red denies it" in told["says"]) == (False, True), told
    assert git(yard.remote, "log", "--oneline", "main").count("\n") == 0


async def test_of_an_ended_session_who_asks_confirms_where_the_rules_terms_let_them(yard: Yard) -> None:
    session = await yard.ended("echo x > new; git add new; git commit -qm more")
    merge = {"id": "merges", "effect": "ask", "category": "merge"}
    await yard.rules(merge)
    assert refused(await yard.land(session, "merge")) == (409, "E_CONFIRM", "merges")
    assert refused(await yard.land(session, "merge", confirm="another")) == (409, "E_CONFIRM", "merges")
    for terms, who in (
        ({"people": 2}, "ann"),
        ({"notStarter": True}, "ann"),
        ({"human": True}, "robot"),
        ({"role": "owner"}, "ann"),
    ):
        await yard.rules({**merge, "answer": terms})
        assert refused(await yard.land(session, "merge", who, confirm="merges")) == (403, "E_POLICY", "merges"), terms
    assert not (yard.work / "new").exists()
    await yard.rules({**merge, "answer": {"notStarter": True}})
    done = await yard.land(session, "merge", "bob", confirm="merges")
    assert done.status_code == 200, done.text
    assert (yard.work / "new").exists()


async def test_an_ended_sessions_red_tests_are_what_the_service_knows(yard: Yard) -> None:
    session = await yard.ended("echo x > new; git add new; git commit -qm more")
    await yard.rules({**RED, "tests": ["none"]})
    assert refused(await yard.land(session, "push")) == (403, "E_POLICY", "red")
    await yard.rules(RED)
    assert (await yard.land(session, "push")).status_code == 200
    assert git(yard.remote, "log", "--format=%s", "-1", "agent/one") == "more"


async def test_a_repositorys_own_file_asks_and_an_agent_cannot_ask_as_a_person(yard: Yard) -> None:
    (yard.work / ".townwatch").mkdir()
    (yard.work / ".townwatch" / "policy.toml").write_text(
        '[[rules]]\nid = "own"\neffect = "deny"\ncommand = "git push *"\n'
    )
    session = await yard.live()
    assert refused(await yard.land(session.plan.session_id, "push")) == (403, "E_POLICY", "own")
    context = {"tool": "person", "askedBy": "Ann", "input": {"command": "git push"}}
    question = {"category": "shell", "risk": "low", "summary": "git status", "context": context}
    found: list[dict[str, Any]] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(session.approvals.ask, question)
        with trio.fail_after(30):
            while not found:
                items = (await yard.get(session.plan.session_id, "/events?limit=1000")).json()["items"]
                found = [one["approval"] for one in items if one["type"] == "APPROVAL_REQUESTED"]
                await trio.sleep(0.05)
        nursery.cancel_scope.cancel()
    assert [(one["summary"], one["context"]["tool"]) for one in found] == [("git status", None)]


async def test_a_viewer_and_a_stranger_may_not(yard: Yard) -> None:
    session = (await yard.live()).plan.session_id
    limited = await yard.ruled.http["owner"].post("/api/tokens", json={"name": "t", "scopes": ["read", "drive"]})
    headers = {"authorization": f"Bearer {limited.json()['token']}"}
    answer = await yard.ruled.http["ann"].post(f"{SESSIONS}/{session}/git/push", json={"confirm": "x"}, headers=headers)
    assert (answer.status_code, "scope decide" in answer.text) == (403, True)
    headers = {"authorization": "Bearer nothing"}
    answer = await yard.ruled.http["ann"].post(f"{SESSIONS}/{session}/git/push", json={}, headers=headers)
    assert answer.status_code == 401
