"""A service with people, a real runner beside it, and a repository with a bare remote on this disk."""

import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
import trio

from tests.integration.policy.house import SESSIONS, Ruled, open_ruled
from townwatch.runner import identity
from townwatch.runner.identity import new_session_id
from townwatch.runner.opening import open_runner
from townwatch.runner.runner import Runner
from townwatch.runner.session.plan import SessionSpec
from townwatch.runner.session.session import Session

GH = """#!/bin/sh
printf '%s\\n' "$@" > {folder}/gh-said
echo "Creating pull request" >&2
echo https://github.example/acme/app/pull/7
"""


def git(directory: Path, *words: str) -> str:
    return subprocess.run(
        ["git", "-C", str(directory), *words], check=True, capture_output=True, text=True
    ).stdout.strip()


@attrs.define(eq=False)
class Yard:
    """`work`: a repository on `main`, with the remote `origin`; `folder`: where all of it is."""

    ruled: Ruled
    runner: Runner
    folder: Path

    @property
    def work(self) -> Path:
        return self.folder / "work"

    @property
    def remote(self) -> Path:
        return self.folder / "remote.git"

    async def rules(self, *rules: dict[str, Any]) -> None:
        """Replace the village's rules; they hold on the runner when it returns."""
        version = (await self.ruled.rules(*rules)).json()["version"]
        await until(lambda: self.runner.policies.of("demo").version == version)

    async def live(self, script: str = "sleep 600", directory: Path | None = None) -> Session:
        """A session that runs in the repository, and that the service knows."""
        plan = SessionSpec(
            session_id=new_session_id(),
            village="demo",
            command=["bash", "-c", script],
            directory=directory or self.work,
        )
        session = self.runner.start(plan)
        with trio.fail_after(60):
            while (await self.get(session.plan.session_id, "")).status_code != 200:
                await trio.sleep(0.05)
        await until(lambda: session.lifecycle.state == "RUNNING")
        return session

    async def ended(self, script: str, who: str = "ann") -> str:
        """A session that a person started in a worktree on the branch `agent/one`, and that has ended."""
        body = {
            "villageId": "demo", "providerId": "command", "command": ["bash", "-c", script],
            "repoRef": {"provider": "local", "path": str(self.work)}, "task": {"title": "t", "goal": "g"},
            "worktree": {"branch": "agent/one"},
        }  # fmt: skip
        answer = await self.ruled.http[who].post(SESSIONS, json=body)
        assert answer.status_code == 201, answer.text
        session_id = answer.json()["sessionId"]
        with trio.fail_after(60):
            while not (await self.get(session_id, "")).json().get("endedAt"):  # its state is final some events before
                await trio.sleep(0.05)
        return session_id

    async def get(self, session_id: str, what: str = "/git", who: str = "ann") -> httpx.Response:
        return await self.ruled.http[who].get(f"{SESSIONS}/{session_id}{what}")

    async def land(self, session_id: str, act: str, who: str = "ann", **body: Any) -> httpx.Response:
        return await self.ruled.http[who].post(f"{SESSIONS}/{session_id}/git/{act}", json=body)

    async def landed(self, session_id: str, count: int = 1) -> list[dict[str, Any]]:
        """What the session's events tell of it, when there are so many."""
        with trio.fail_after(60):
            while True:
                events = (await self.get(session_id, "/events?limit=1000")).json()["items"]
                inner = [one["providerEvent"] for one in events if one["type"] == "PROVIDER_EVENT_FORWARDED"]
                found = [one for one in inner if one["type"] == "agent.landed"]
                if len(found) >= count:
                    return found
                await trio.sleep(0.05)


async def until(done: Any, seconds: float = 60) -> None:
    with trio.fail_after(seconds):
        while not done():
            await trio.sleep(0.02)


def refused(answer: httpx.Response) -> tuple[int, str, str]:
    """(status, code, the rule) of a refusal."""
    error = answer.json()["error"]
    return answer.status_code, error["code"], (error.get("details") or {}).get("rule", "")


@asynccontextmanager
async def open_yard(folder: Path) -> AsyncIterator[Yard]:
    async with (
        open_ruled(folder / "service") as ruled,
        open_runner(identity.load(ruled.town.state), folder / "runner", slot="main") as runner,
    ):
        with trio.fail_after(30):
            await runner.link.connected.wait()
        yield Yard(ruled, runner, folder)
        for session in list(runner.sessions.values()):
            await session.stop(graceful=False)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The repository `work` on `main`, with the remote `origin`, and a `gh` on this machine."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "gh").write_text(GH.format(folder=tmp_path))
    (programs / "gh").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    work = tmp_path / "work"
    work.mkdir()
    git(work, "init", "-q", "-b", "main")
    for name, value in (("user.name", "Ada"), ("user.email", "ada@example.org"), ("commit.gpgsign", "false")):
        git(work, "config", name, value)
    (work / "readme").write_text("hello\n")
    git(work, "add", ".")
    git(work, "commit", "-qm", "first")
    git(tmp_path, "init", "-q", "--bare", "-b", "main", "remote.git")
    git(work, "remote", "add", "origin", str(tmp_path / "remote.git"))
    git(work, "push", "-q", "origin", "main")
    return work


@pytest.fixture
async def yard(tmp_path: Path, repository: Path) -> AsyncIterator[Yard]:
    assert repository.is_dir()
    async with open_yard(tmp_path) as found:
        yield found
