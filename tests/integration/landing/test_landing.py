"""Commit, branch, push, pull request and merge over REST, with a real runner and real git; no rule is about them."""

from pathlib import Path

import pytest
import trio

from tests.integration.landing.conftest import Yard, git, refused, until
from tests.integration.policy.house import SESSIONS
from tests.integration.service.test_promises import open_rows

pytestmark = pytest.mark.timeout(120)


async def test_chosen_files_become_a_commit_that_is_pushed_and_proposed(yard: Yard) -> None:
    session = (await yard.live()).plan.session_id
    (yard.work / "readme").write_text("changed\n")
    (yard.work / "new file").write_text("new\n")
    (yard.work / "staged").write_text("by the agent\n")
    git(yard.work, "add", "staged")
    made = await yard.land(session, "branch", branch="feature/x", create=True)
    assert (made.status_code, made.json()["state"]) == (200, "done"), made.text

    status = (await yard.get(session)).json()
    assert (status["branch"], status["remote"], status["forge"]) == ("feature/x", "origin", "gh")
    assert "ahead" not in status
    assert {one["path"]: one["status"] for one in status["files"]} == {
        "new file": "added", "readme": "modified", "staged": "added",
    }  # fmt: skip

    done = await yard.land(
        session, "commit", message="Say more\n\nwhy", paths=["readme", "new file"], head=status["head"]
    )
    assert done.status_code == 200, done.text
    outcome = done.json()["outcome"]
    assert (outcome["files"], outcome["subject"], outcome["by"]) == (["new file", "readme"], "Say more", "Ann")
    assert git(yard.work, "rev-parse", "HEAD") == outcome["commit"]
    assert git(yard.work, "status", "--porcelain") == "A  staged"

    pushed = await yard.land(session, "push", head=outcome["commit"])
    assert pushed.status_code == 200, pushed.text
    assert git(yard.remote, "rev-parse", "feature/x") == outcome["commit"]
    status = (await yard.get(session)).json()
    assert (status["ahead"], status["behind"], len(status["landed"])) == (0, 0, 3)

    opened = await yard.land(session, "pull-request", title="Say; more $(x)", body="why")
    assert opened.json()["outcome"]["url"] == "https://github.example/acme/app/pull/7", opened.text
    words = (yard.folder / "gh-said").read_text().splitlines()
    assert words[:8] == ["pr", "create", "--title", "Say; more $(x)", "--body", "why", "--head", "feature/x"]

    told = await yard.landed(session, 4)
    assert [(one["act"], one["ok"], one["by"]) for one in told] == [
        ("branch", True, "Ann"), ("commit", True, "Ann"), ("push", True, "Ann"), ("pull_request", True, "Ann"),
    ]  # fmt: skip
    assert await yard.ruled.audited("session.commit") == [{"files": 2}]
    assert len(await yard.ruled.audited("session.push")) == 1


async def test_what_git_says_when_it_fails_comes_back_without_secrets_and_nothing_is_half_done(yard: Yard) -> None:
    session = (await yard.live()).plan.session_id
    (yard.work / "new").write_text("x\n")
    secret = "ghp_" + "a1B2" * 9
    hook = yard.work / ".git" / "hooks" / "pre-commit"
    hook.write_text(f"#!/bin/sh\necho 'lint: line 3 is wrong; token {secret}' >&2\nexit 1\n")
    hook.chmod(0o755)
    failed = await yard.land(session, "commit", message="x")
    assert refused(failed)[:2] == (409, "E_GIT")
    assert "lint: line 3 is wrong" in failed.text
    assert secret not in failed.text
    assert git(yard.work, "status", "--porcelain") == "?? new"
    (told,) = await yard.landed(session)
    assert (told["ok"], secret in str(told)) == (False, False)

    git(yard.work, "remote", "set-url", "origin", str(yard.folder / "nowhere.git"))
    assert refused(await yard.land(session, "push"))[:2] == (409, "E_GIT")
    assert refused(await yard.land(session, "push", remote="elsewhere"))[:2] == (409, "E_RUNNER_REFUSED")
    missing = await yard.land(session, "commit", message="x", paths=["readme"])
    assert "readme: not changed" in missing.json()["error"]["message"]
    old = await yard.land(session, "commit", message="x", head="0" * 40)
    assert "by now" in old.json()["error"]["message"]


async def test_a_merge_goes_where_the_base_is_checked_out_and_conflicts_change_nothing(yard: Yard) -> None:
    session = await yard.ended("git commit -q --allow-empty -m agent; echo other > readme; git commit -qam more")
    tree = (await yard.get(session, "")).json()["worktree"]
    assert (tree["status"], tree["base"]) == ("kept", "main")
    (yard.work / "readme").write_text("unsaved\n")
    dirty = await yard.land(session, "merge")
    assert refused(dirty)[:2] == (409, "E_RUNNER_REFUSED")
    assert "changes that are not committed" in dirty.text
    git(yard.work, "commit", "-qam", "mine")
    before = git(yard.work, "rev-parse", "main")
    conflict = await yard.land(session, "merge")
    assert refused(conflict)[:2] == (409, "E_GIT")
    assert "conflicts with main in readme" in conflict.text
    assert (git(yard.work, "rev-parse", "main"), git(yard.work, "status", "--porcelain")) == (before, "")
    git(yard.work, "reset", "-q", "--hard", "HEAD~1")
    done = await yard.land(session, "merge")
    assert done.status_code == 200, done.text
    assert (yard.work / "readme").read_text() == "other\n"
    cleaned = await yard.ruled.http["ann"].post(f"{SESSIONS}/{session}/worktree/clean")
    assert cleaned.status_code == 200, cleaned.text
    gone = (await yard.get(session)).json()
    assert ("no worktree of its own" in gone["whyNot"], [one["ok"] for one in gone["landed"]]) == (True, [False, True])


async def test_of_an_ended_session_the_worktree_is_committed_and_the_service_writes_it_into_its_events(
    yard: Yard,
) -> None:
    session = await yard.ended("echo more > new")
    last = (await yard.get(session, "")).json()["lastEventSeq"]
    async with yard.ruled.town.client() as watching:
        agent = (await yard.get(session, "")).json()["agentId"]
        await watching.emit("join_agent", {"agentId": agent})
        done = await yard.land(session, "commit", message="what it left")
        assert done.status_code == 200, done.text
        seen = await watching.until(
            lambda line: line.get("event") == "work_stream_event" and line["args"][0]["type"] == "agent_landed"
        )
        assert seen["args"][0]["payload"]["subject"] == "what it left"
    (told,) = await yard.landed(session)
    assert (told["commit"], told["files"]) == (done.json()["outcome"]["commit"], ["new"])
    assert (await yard.get(session, "")).json()["lastEventSeq"] == last + 1
    await until_settled(yard)
    nothing = await yard.land(session, "commit", message="again")
    assert "nothing to commit" in nothing.json()["error"]["message"]
    status = (await yard.get(session)).json()
    assert [(one["act"], one["ok"]) for one in status["landed"]] == [("commit", True)]
    assert (status["base"], status["baseAhead"], status["worktree"]) == ("main", 1, True)


async def test_an_order_with_a_key_is_done_once_and_an_agent_at_work_may_hold_the_index(yard: Yard) -> None:
    session = (await yard.live()).plan.session_id
    (yard.work / "new").write_text("x\n")
    lock = yard.work / ".git" / "index.lock"
    lock.touch()
    yard.runner._nursery.start_soon(_release, lock)
    key = {"idempotency-key": "once"}
    body = {"message": "once"}
    answers = [
        await yard.ruled.http["ann"].post(f"{SESSIONS}/{session}/git/commit", json=body, headers=key) for _ in range(2)
    ]
    assert [one.status_code for one in answers] == [200, 200], answers[0].text
    assert answers[0].json() == answers[1].json()
    assert git(yard.work, "log", "--oneline", "main").count("once") == 1


async def _release(lock: Path) -> None:
    await trio.sleep(0.6)
    lock.unlink()


async def until_settled(yard: Yard) -> None:
    with trio.fail_after(30):
        while await open_rows(yard.ruled.town):
            await trio.sleep(0.05)


async def test_outside_of_a_repository_and_of_an_ended_session_without_a_worktree_it_says_so(yard: Yard) -> None:
    session = await yard.live("true; sleep 0.2")
    await until(lambda: session.over.is_set())
    ended = await yard.get(session.plan.session_id)
    assert "no worktree of its own" in ended.json()["whyNot"]
    refusal = await yard.land(session.plan.session_id, "commit", message="x")
    assert refused(refusal)[:2] == (409, "E_RUNNER_REFUSED")
    nowhere = await yard.live(directory=yard.folder)
    assert "in no git repository" in (await yard.get(nowhere.plan.session_id)).json()["whyNot"]
