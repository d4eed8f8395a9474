"""A village's rules from the REST API to `townwatch ask` on a real runner, with the service there and away."""

import json
import sys
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
import trio

from tests.integration.runner.conftest import Far
from tests.support.service import Town
from townwatch.contracts.events import RepoRef
from townwatch.contracts.tasks import PolicySpec, SessionConfig, TaskSpec
from townwatch.runner import identity
from townwatch.runner.identity import new_session_id
from townwatch.runner.opening import open_runner
from townwatch.runner.runner import Runner
from townwatch.runner.session.plan import SessionSpec

ASK = f"{sys.executable} -P -m townwatch ask --category shell --risk high"
RULES: list[dict[str, Any]] = [
    {"id": "git", "effect": "allow", "command": "git *"},
    {"id": "no-push", "effect": "deny", "command": "git push *"},
    {"id": "ask-stash", "effect": "ask", "command": "git stash *"},
]


@attrs.define(eq=False)
class RuledTown:
    town: Town
    runner: Runner
    http: httpx.AsyncClient
    directory: Path

    async def put(self, rules: list[dict[str, Any]], **more: Any) -> httpx.Response:
        return await self.http.put("/api/villages/demo/policy", json={"rules": rules, **more})

    async def taken(self, version: int) -> None:
        """Wait until the runner has a version of the rules."""
        with trio.fail_after(15):
            while self.runner.policies.of("demo").version != version:
                await trio.sleep(0.02)

    async def asks(self, command: str, order: SessionConfig | None = None) -> list[dict[str, Any]]:
        """Run a session that asks once, and return the events of its approval once it has ended."""
        session_id = new_session_id()
        plan = SessionSpec(
            session_id=session_id,
            village="demo",
            command=["bash", "-c", f"{ASK} --timeout 2 '{command}'; echo status=$?"],
            directory=self.directory,
            order=order,
        )
        session = self.runner.start(plan)
        with trio.fail_after(40):
            await session.over.wait()
            while True:
                answer = await self.http.get(f"/api/runner/sessions/{session_id}/events?limit=1000")
                events = answer.json().get("items", []) if answer.status_code == 200 else []
                if events and events[-1]["type"] == "SESSION_ENDED":
                    return [one for one in events if one["type"].startswith("APPROVAL")]
                await trio.sleep(0.05)


@pytest.fixture
def ruled(far: Far) -> RuledTown:
    return RuledTown(far.town, far.runner, far.http, far.directory)


def resolved(events: list[dict[str, Any]]) -> tuple[str, str]:
    last = events[-1]
    assert last["type"] == "APPROVAL_RESOLVED"
    return last["decision"], last["resolvedBy"]


async def test_rules_answer_before_a_person_is_asked(ruled: RuledTown) -> None:
    empty = (await ruled.http.get("/api/villages/demo/policy")).json()
    assert (empty.get("version"), empty.get("rules")) == (0, []), empty
    made = await ruled.put(RULES, version=0)
    assert (made.status_code, made.json()["version"]) == (200, 1)
    assert (await ruled.put(RULES, version=0)).status_code == 409  # changed meanwhile
    wrong = await ruled.put([RULES[0], RULES[0]])
    assert (wrong.status_code, "used twice" in wrong.text) == (400, True)
    await ruled.taken(1)

    assert resolved(await ruled.asks("git status")) == ("allow", "policy:git")
    assert resolved(await ruled.asks("git status; git -C . push")) == ("deny", "policy:no-push")
    asked = await ruled.asks("git stash pop")
    assert resolved(asked) == ("deny", "timeout")  # no rule and no person: a no at the deadline
    assert asked[0]["approval"]["context"]["rule"]["id"] == "ask-stash"
    assert resolved(await ruled.asks("make")) == ("deny", "timeout")

    (ruled.directory / ".townwatch").mkdir()
    file = ruled.directory / ".townwatch/policy.toml"
    file.write_text('[[rules]]\nid = "wide"\neffect = "allow"\ncommand = "make *"\n')
    assert resolved(await ruled.asks("make")) == ("deny", "timeout")  # a repository's file never widens
    file.write_text('[[rules]]\nid = "no-log"\neffect = "deny"\ncommand = "git log *"\n')
    assert resolved(await ruled.asks("git log -1")) == ("deny", "policy:no-log")
    assert resolved(await ruled.asks("git diff")) == ("allow", "policy:git")
    file.write_text("no toml [")
    assert resolved(await ruled.asks("git status")) == ("deny", "timeout")
    file.unlink()

    more = [*RULES, {"id": "make", "effect": "allow", "command": "make *"}]
    tried = await ruled.http.post("/api/villages/demo/policy/try", json={"rules": more})
    body = tried.json()
    assert tried.status_code == 200
    assert {one["summary"]: one["verdict"] for one in body["items"]}["make"] == "allow"
    assert body["allowed"] + body["asked"] + body["denied"] == len(body["items"])


async def test_a_rule_that_can_never_match_is_said_where_it_is_written(ruled: RuledTown) -> None:
    made = (await ruled.put([{"id": "never", "effect": "deny", "command": "echo first > *"}])).json()
    read = (await ruled.http.get("/api/villages/demo/policy")).json()
    tried = (await ruled.http.post("/api/villages/demo/policy/try", json={"rules": made["rules"]})).json()
    for answer in (made, read, tried):
        assert [(one["rule"], one["field"]) for one in answer["warnings"]] == [("never", "command")]
        assert "'echo first *'" in answer["warnings"][0]["instead"]

    (ruled.directory / ".townwatch").mkdir()
    file = ruled.directory / ".townwatch/policy.toml"
    rule = '[[rules]]\nid = "never"\neffect = "deny"\ncommand = "git push && *"\n'
    for text, said in ((rule, "the rule never can never match"), ("no toml [", "everything asks")):
        file.write_text(text)
        session_id = new_session_id()
        command = ["sleep", "1"]
        plan = SessionSpec(session_id=session_id, village="demo", command=command, directory=ruled.directory)
        session = ruled.runner.start(plan)
        with trio.fail_after(40):
            await session.over.wait()
            while True:
                answer = await ruled.http.get(f"/api/runner/sessions/{session_id}/events?limit=1000")
                items = answer.json().get("items", []) if answer.status_code == 200 else []
                if items and items[-1]["type"] == "SESSION_ENDED":
                    break
                await trio.sleep(0.05)
        (alert,) = [one for one in items if one["type"] == "ALERT_RAISED"]
        assert (alert["alertId"], alert["severity"], alert["category"]) == ("policy.toml", "warn", "policy")
        assert said in alert["description"]


async def test_a_session_has_extras_and_the_last_rules_hold_while_the_service_is_away(
    ruled: RuledTown, tmp_path: Path
) -> None:
    await ruled.put(RULES)
    await ruled.taken(1)
    order = SessionConfig(
        session_id="x",
        org_id="demo",
        agent_id="a",
        provider_id="command",
        repo_ref=RepoRef(provider="local", path=str(ruled.directory)),
        task=TaskSpec(title="t", goal="g"),
        policy=PolicySpec(shell_allowlist=["make test*", "git stash*"], shell_denylist=["git log*"]),
    )
    assert resolved(await ruled.asks("make test", order)) == ("allow", "policy:shellAllowlist.0")
    assert resolved(await ruled.asks("git log -1", order)) == ("deny", "policy:shellDenylist.0")
    assert resolved(await ruled.asks("git stash pop", order)) == ("deny", "timeout")  # the village asks: it stays so

    gone = identity.load(ruled.town.state)
    away = attrs.evolve(gone, url="http://127.0.0.1:9")
    async with open_runner(away, tmp_path / "runner", slot="run-7", dispatch=False) as runner:
        assert runner.policies.of("demo").version == 1  # from the disk
        plan = SessionSpec(
            session_id=new_session_id(),
            village="demo",
            command=["bash", "-c", f"{ASK} 'git status' && {ASK} 'git push' ; echo $? > {tmp_path}/status"],
            directory=ruled.directory,
        )
        session = runner.start(plan)
        with trio.fail_after(40):
            await session.over.wait()
    assert (tmp_path / "status").read_text() == "1\n"


async def test_rules_that_an_agent_wrote_on_the_runners_disk_are_not_taken_and_one_alert_says_so(
    ruled: RuledTown, tmp_path: Path
) -> None:
    await ruled.put(RULES)
    await ruled.taken(1)
    known = ruled.runner.identity
    kept, away = tmp_path / "runner", tmp_path / "away"
    away.mkdir()
    with trio.fail_after(30):  # its disk comes behind its memory
        while "no-push" not in (kept / "policies.json").read_text():
            await trio.sleep(0.05)
    for name in ("policies.json", "policies.key", "policies.seen"):
        (away / name).write_bytes((kept / name).read_bytes())
    file = away / "policies.json"
    file.write_text(file.read_text().replace("no-push", "no-pull").replace("git push *", "git pull *"))
    nowhere = attrs.evolve(known, url="ws://127.0.0.1:9/runner")
    async with open_runner(nowhere, away) as runner:
        plan = SessionSpec(
            session_id=new_session_id(),
            village="demo",
            command=["bash", "-c", f"{ASK} --timeout 1 'git status'; echo $? > {tmp_path}/status"],
            directory=ruled.directory,
        )
        session = runner.start(plan)
        with trio.fail_after(60):
            await session.over.wait()
        told = [json.loads(one.body) for one in runner._spool.unacked(plan.session_id, 0, 1000)]
    assert (tmp_path / "status").read_text() == "1\n"  # it asked, and no person was there
    (alert,) = [one for one in told if one["type"] == "ALERT_RAISED"]
    assert (alert["alertId"], alert["severity"], alert["category"]) == ("policies.json", "error", "policy")
    assert "its signature is wrong" in alert["description"]
    (asked,) = [one["approval"] for one in told if one["type"] == "APPROVAL_REQUESTED"]
    assert asked["context"]["rule"]["id"] == "policies.json"


async def test_a_rule_for_a_branch_is_about_the_one_that_is_checked_out_when_it_is_asked(ruled: RuledTown) -> None:
    async def git(*words: str) -> None:
        await trio.run_process(["git", "-C", str(ruled.directory), *words], capture_stdout=True, capture_stderr=True)

    await git("init", "-q", "-b", "main")
    rules = [
        {"id": "push", "effect": "allow", "command": "git push *", "branch": "feature/*"},
        {"id": "main", "effect": "deny", "command": "git push *", "branch": "main"},
        {"id": "release", "effect": "ask", "command": "git push *", "branch": "release"},
    ]
    await ruled.put(rules)
    await ruled.taken(1)
    assert resolved(await ruled.asks("git push")) == ("deny", "policy:main")
    await git("checkout", "-q", "-b", "feature/a")
    assert resolved(await ruled.asks("git push")) == ("allow", "policy:push")
    assert resolved(await ruled.asks("git switch main; git push")) == ("deny", "policy:main")
    await git("checkout", "-q", "-b", "release")
    asked = await ruled.asks("git push")  # the service, which looks again, knows the branch, too
    assert resolved(asked) == ("deny", "timeout")
    assert asked[0]["approval"]["context"]["checkedOut"] == "release"
