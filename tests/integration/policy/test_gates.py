"""Gates: tests, the size of a change and what it touches are conditions of a rule."""

import sys
from typing import Any

import pytest
import trio

from tests.integration.policy.house import Ruled, ask, event
from tests.integration.policy.test_budgets import Spending, over, spending as spending
from tests.integration.service.test_promises import asked
from townwatch.contracts.policy import PolicyRule
from townwatch.policy.commands.paths import Place
from townwatch.policy.village import UNKNOWN_WORK, LayeredRule, PolicyRequest, Work, decide_request

ASK = f"{sys.executable} -P -m townwatch ask --category shell --risk high --timeout 1"
RED = {"id": "red", "effect": "deny", "command": "git push *", "tests": ["failed", "running"]}
BIG = {"id": "big", "effect": "ask", "command": "git push *", "linesOver": 400}
TOUCHES = {"id": "migrations", "effect": "ask", "command": "git push *", "touches": "migrations/**"}
PUSH = {"id": "push", "effect": "allow", "command": "git push origin main"}


async def test_no_push_while_tests_are_red(ruled: Ruled) -> None:
    await ruled.rules(PUSH, RED)
    async with ruled.town.runner() as runner:
        await ask(runner, "git push origin main")
        assert list(await ruled.waiting()) == ["a1"]  # no test ran: it is a question as before
        run = {"command": "pytest", "runId": "r1"}
        await runner.send(
            event("TEST_RUN_STARTED", 3, **run),
            event("TEST_RUN_FINISHED", 4, runId="r1", exitCode=1, passed=1, failed=1, skipped=0, duration=5),
        )
        await runner.acked(4)
        refused = await ruled.decide("ann", "allow")
        assert refused.status_code == 409, refused.text
        assert "deny by policy:red" in refused.json()["error"]["message"]
        await runner.send(
            event("TEST_RUN_STARTED", 5, **{**run, "runId": "r2"}),
            event("TEST_RUN_FINISHED", 6, runId="r2", exitCode=0, passed=2, failed=0, skipped=0, duration=5),
            asked("a2", 7) | {"approval": {**asked("a2", 7)["approval"], "summary": "git push origin main"}},
        )
        await runner.acked(7)
        assert (await ruled.decide("ann", "allow", approval="a2")).status_code == 200


async def test_a_touched_path_denies_in_the_service_and_others_do_not(ruled: Ruled) -> None:
    def changed(seq: int, *paths: str) -> dict[str, Any]:
        files = [{"path": one, "status": "modified", "additions": 1, "deletions": 0} for one in paths]
        return event("DIFF_SUMMARY", seq, filesChanged=len(files), linesAdded=1, linesRemoved=0, files=files)

    await ruled.rules({**TOUCHES, "effect": "deny"})
    async with ruled.town.runner() as runner:
        await ask(runner, "git push origin main")
        await runner.send(changed(3, "README.md"))
        await runner.acked(3)
        assert list(await ruled.waiting()) == ["a1"]
        await runner.send(changed(4, "README.md", "migrations/1.sql"))
        await runner.acked(4)
        refused = await ruled.decide("ann", "allow")
        assert (refused.status_code, "deny by policy:migrations" in refused.json()["error"]["message"]) == (409, True)


async def test_a_large_change_and_a_touched_path_ask_on_the_runner(spending: Spending) -> None:
    put = await spending.http.put("/api/villages/demo/policy", json={"rules": [PUSH, BIG, TOUCHES]})
    assert put.status_code == 200, put.text
    await over(lambda: spending.runner.policies.of("demo").version == 1)
    await trio.run_process(["git", "init", "-q"], cwd=spending.directory)
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    await trio.run_process(["git", *identity, "commit", "-q", "--allow-empty", "-m", "x"], cwd=spending.directory)
    waits = "while ! test -e ../go{0}; do sleep 0.05; done"
    steps = [
        f"{ASK} 'git push origin main'; seq 300 > a",
        waits.format(1),
        f"{ASK} 'git push origin main'; mkdir migrations; echo 1 > migrations/1.sql",
        waits.format(2),
        f"{ASK} 'git push origin main'; seq 500 > a; rm -r migrations",
        waits.format(3),
        f"{ASK} 'git push origin main'",
    ]
    session = spending.start("; ".join(steps))
    for step, lines in ((1, 300), (2, 301), (3, 500)):
        await over(lambda lines=lines: session.events.work.lines == lines)  # type: ignore[misc]
        (spending.directory.parent / f"go{step}").touch()
    with trio.fail_after(30):
        await session.over.wait()
        while len(found := await spending.events(session, "APPROVAL_RESOLVED")) < 4:
            await trio.sleep(0.05)
    assert [one["resolvedBy"] for one in found] == ["policy:push", "policy:push", "timeout", "timeout"]
    questions = await spending.events(session, "APPROVAL_REQUESTED")
    rules = [one["approval"].get("context", {}).get("rule", {}).get("id") for one in questions]
    assert rules == [None, None, "migrations", "big"]


@pytest.mark.parametrize(
    ("work", "verdict"),
    [
        (Work(), "allow"),
        (Work(tests="passed", lines=400, files=("a",)), "allow"),
        (Work(tests="failed"), "deny"),
        (Work(tests="running"), "deny"),
        (Work(tests="unknown"), "deny"),
        (Work(lines=401), "ask"),
        (Work(lines=None), "ask"),
        (Work(files=("x", "migrations/1.sql")), "ask"),
        (Work(files=("x",), cut=True), "ask"),
        (UNKNOWN_WORK, "deny"),
    ],
)
def test_what_is_not_known_holds_and_never_allows(work: Work, verdict: str) -> None:
    rules = [
        PolicyRule(id="push", effect="allow", command="git push origin main"),
        PolicyRule(id="red", effect="deny", command="git push *", tests=["failed", "running"]),
        PolicyRule(id="big", effect="ask", command="git push *", lines_over=400),
        PolicyRule(id="touch", effect="ask", command="git push *", touches="migrations/**"),
    ]
    request = PolicyRequest(category="shell", place=Place(), command="git push origin main", work=work)
    assert decide_request([LayeredRule(rule=one) for one in rules], request).verdict == verdict
