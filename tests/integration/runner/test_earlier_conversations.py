"""Conversations that agents had outside, through a whole service: who sees which of a machine, and who goes on."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.integration.runner.conftest import Far
from townwatch.contracts.agent_events import CliSession
from townwatch.runner.identity import new_session_id

OUTSIDE = "0b1e3a6e-6a44-4c0e-9f38-53f3a4b0a001"
CLAUDE = """#!/bin/sh
[ "$1" = --version ] && { echo 2.1.332; exit; }
echo "$@" >> "$HOME/started"
exec sleep 100
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with Claude Code, that has had a conversation, and with Codex, whose store is damaged."""
    home, programs = tmp_path / "home", tmp_path / "bin"
    programs.mkdir()
    for name in ("claude", "codex"):
        (programs / name).write_text(CLAUDE)
        (programs / name).chmod(0o755)
    place = home / ".claude" / "projects" / "-work"
    place.mkdir(parents=True)
    said = {"role": "user", "content": "mend the cart with ghp_0123456789abcdefghijABCDEFGHIJ012345"}
    line = {"type": "user", "cwd": str(tmp_path / "work"), "message": said}
    (place / f"{OUTSIDE}.jsonl").write_text(f"{json.dumps(line)}\n")
    (home / ".codex").mkdir()
    (home / ".codex" / "sessions").write_text("a file where a directory should be")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PATH", os.pathsep.join([str(programs), os.environ["PATH"]]))
    for name in ("CLAUDE_CONFIG_DIR", "CODEX_HOME"):
        monkeypatch.delenv(name, raising=False)
    return home


async def listed(far: Far, runner_id: str = "runner_local") -> Any:
    return await far.http.get("/api/villages/demo/conversations", params={"runnerId": runner_id})


async def start(far: Far, **more: Any) -> Any:
    body = {
        "providerId": "claude_code",
        "runnerId": "runner_local",
        "repoRef": {"provider": "local", "path": str(far.directory)},
        "task": {"title": "t", "goal": "go on"},
        "conversation": OUTSIDE,
        **more,
    }
    return await far.http.post("/api/runner/sessions", json=body)


async def test_it_is_listed_without_secrets_gone_on_with_once_and_then_a_session_s(far: Far, home: Path) -> None:
    answer = await listed(far)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    (one,) = found["items"]
    assert (one["providerId"], one["conversation"], one["path"]) == ("claude_code", OUTSIDE, str(far.directory))
    assert one["title"].startswith("mend the cart with ••••••")
    assert "ghp_" not in answer.text
    assert [(unread["providerId"]) for unread in found["unknown"]] == ["codex"]
    assert "directory" in found["unknown"][0]["reason"]
    assert found["truncated"] is False

    started = await start(far)
    assert started.status_code == 201, started.text
    with trio.fail_after(15):
        while not (home / "started").exists():
            await trio.sleep(0.05)
    assert f"--resume={OUTSIDE}" in (home / "started").read_text()
    again = await start(far)
    assert again.status_code == 409
    assert "goes on with the conversation" in again.text or "is that of session" in again.text
    await far.http.post(f"/api/runner/sessions/{started.json()['sessionId']}/stop", json={"graceful": False})


async def test_a_conversation_of_a_session_here_is_not_listed_and_resume_of_is_named(far: Far) -> None:
    session = far.start("sleep 100", session_id=new_session_id())
    await session.started.wait()
    await session.events.provider(CliSession(cli_session_id=OUTSIDE))
    with trio.fail_after(15):
        while (await listed(far)).json()["items"]:
            await trio.sleep(0.05)
    refused = await start(far)
    assert refused.status_code == 409
    assert f"it is that of session {session.plan.session_id}; stop it first, then resumeOf goes on" in refused.text
    await session.stop(graceful=False)


async def test_what_is_open_in_another_process_is_refused(far: Far, home: Path) -> None:
    sessions = home / ".claude" / "sessions"
    sessions.mkdir()
    (sessions / f"{os.getpid()}.json").write_text(json.dumps({"sessionId": OUTSIDE, "status": "idle"}))
    refused = await start(far)
    assert refused.status_code == 409
    assert f"is open in process {os.getpid()}" in refused.text
    assert not (home / "started").exists()


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"runnerId": None}, "runnerId"),
        ({"conversation": "--dangerously-skip-permissions"}, "conversation"),
        ({"providerId": "command", "command": ["true"]}, "conversation"),
        ({"worktree": {"branch": "x"}}, "worktree"),
        ({"resumeOf": "s1"}, "resumeOf"),
        ({"repoRef": {"provider": "github", "owner": "a", "name": "b"}}, "repoRef"),
    ],
)
async def test_what_does_not_go_together_is_named(far: Far, more: dict[str, Any], field: str) -> None:
    refused = await start(far, **more)
    assert refused.status_code == 400
    assert field in refused.text


async def test_a_runner_of_no_village_of_ours_is_not_asked(far: Far) -> None:
    assert (await listed(far, "runner_elsewhere")).status_code == 404
