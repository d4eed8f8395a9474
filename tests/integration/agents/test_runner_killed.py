"""A runner that is killed while its agent works: within 10 s of its return everybody knows, and nothing works on."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import trio

from tests.integration.agents import others
from tests.integration.agents.others import Kind, of_session
from tests.integration.agents.test_claude_with_the_service import TOWNWATCH, Far
from tests.support.agents import fake_acp_path, fake_model
from tests.support.service import open_town

BY_HAND = others.by_hand(others.CLAUDE, others.CODEX, others.OPENCODE, others.GEMINI, others.QWEN, others.COPILOT)
KINDS = [others.CLAUDE, *others.by_hand(others.CODEX, others.OPENCODE, others.GEMINI, others.QWEN, others.COPILOT)]


@asynccontextmanager
async def daemon(state: Path, path: str) -> AsyncIterator[trio.Process]:
    command = [*TOWNWATCH, "runner", f"--state-dir={state}"]
    env = {**os.environ, "PATH": path}
    process = await trio.lowlevel.open_process(command, env=env, stdout=sys.stderr, stderr=sys.stderr)
    try:
        yield process
    finally:
        process.terminate()
        with trio.CancelScope(shield=True), trio.move_on_after(20):
            await process.wait()


async def online(far: Far) -> None:
    with trio.fail_after(30):
        while not any(one["connected"] for one in (await far.get("/api/runners")).get("items", [])):
            await trio.sleep(0.05)


async def told_as_lost(far: Far) -> None:
    """The runner is back: within 10 s the session says what became of it, and no process of it works on."""
    await online(far)
    with trio.fail_after(10):
        while (await far.get(f"/api/runner/sessions/{far.session_id}"))["state"] != "FAILED":
            await trio.sleep(0.05)
        while of_session(far.session_id):
            await trio.sleep(0.05)
    ended = await far.get(f"/api/runner/sessions/{far.session_id}")
    assert ended["reason"] == "runner process lost"
    assert ended["pendingApprovals"] == []


@pytest.mark.timeout(150)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.provider)
async def test_its_return_tells_the_truth_and_ends_what_was_left(
    tmp_path: Path, model: fake_model.Model, kind: Kind
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    place = others.place(kind, tmp_path, work, model)
    async with open_town(tmp_path / "service") as town:
        headers = {"authorization": f"Bearer {town.token}"}
        async with httpx.AsyncClient(base_url=town.url, headers=headers, trust_env=False, timeout=30) as http:
            far = Far(http)
            path = os.pathsep.join([place.env["PATH"], os.environ["PATH"]])
            async with daemon(town.state, path) as process:
                await online(far)
                body = {
                    "providerId": kind.provider,
                    "runnerId": "runner_local",
                    "repoRef": {"provider": "local", "path": str(work)},
                    "task": {"title": "Wait", "goal": "do:long please"},
                    "env": {**place.env, "PATH": path},
                }
                started = await http.post("/api/runner/sessions", json=body)
                assert started.status_code == 201, started.text
                far.session_id = started.json()["sessionId"]
                with trio.fail_after(60):
                    while not any("time.sleep(120)" in line for line in of_session(far.session_id)):
                        shown = await far.get(f"/api/runner/sessions/{far.session_id}")
                        for asked in shown.get("pendingApprovals", []):
                            await far.decide(asked, decision="allow")
                        await trio.sleep(0.2)
                process.kill()
                await process.wait()
            async with daemon(town.state, path):
                await told_as_lost(far)


@pytest.mark.timeout(150)
@pytest.mark.parametrize("kind", [None, *BY_HAND], ids=lambda kind: kind.provider if kind is not None else "acp")
async def test_a_question_that_waits_when_it_is_killed_is_a_no(
    tmp_path: Path, model: fake_model.Model, kind: Kind | None
) -> None:
    """None: an agent of ours that speaks ACP."""
    work = tmp_path / "work"
    work.mkdir()
    env, ordered = {}, {"providerId": "acp", "command": [sys.executable, "-I", "-S", str(fake_acp_path()), "ask"]}
    path = os.environ["PATH"]
    if kind is not None:
        place = others.place(kind, tmp_path, work, model)
        env, ordered = place.env, {"providerId": kind.provider}
        path = os.pathsep.join([place.env["PATH"], path])
    async with open_town(tmp_path / "service") as town:
        headers = {"authorization": f"Bearer {town.token}"}
        async with httpx.AsyncClient(base_url=town.url, headers=headers, trust_env=False, timeout=30) as http:
            far = Far(http)
            async with daemon(town.state, path) as process:
                await online(far)
                body = {
                    **ordered,
                    "runnerId": "runner_local",
                    "repoRef": {"provider": "local", "path": str(work)},
                    "task": {"title": "Ask", "goal": "do:risky please"},
                    "env": {**env, "PATH": path},
                }
                started = await http.post("/api/runner/sessions", json=body)
                assert started.status_code == 201, started.text
                far.session_id = started.json()["sessionId"]
                asked = await far.asked()
                process.kill()
                await process.wait()
                given = await far.decide(asked, decision="allow")  # its runner cannot hear it any more
                assert given.status_code == 200
            async with daemon(town.state, path):
                await told_as_lost(far)
                decided = (await far.get("/api/approvals?state=decided"))["items"]
                assert [one["outcome"]["decision"] for one in decided] == ["deny"]
                assert not (work / "risky.txt").exists()
