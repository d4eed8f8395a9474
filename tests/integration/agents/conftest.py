"""The real Claude Code from npm in a home of its own, the scripted model, and a whole runner; its service is away."""

import json
import os
import re
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import attrs
import pytest
import trio

from tests.integration.runner.conftest import Bench, Event, open_bench, until
from tests.support.agents import fake_model
from tests.support.agents.fake_protocols import PROTOCOLS
from tests.support.agents.provide import CACHE, CLAUDE, installed_or_skip
from townwatch.contracts.events import RepoRef
from townwatch.contracts.link import Command
from townwatch.contracts.tasks import PolicySpec, SessionConfig, TaskSpec
from townwatch.runner.agents.claude.terminal import ClaudeTerminal
from townwatch.runner.identity import new_session_id
from townwatch.runner.session.session import Session

KEY = "test-key-not-real-0000"
SEQUENCE = re.compile(r"\x1b\[[0-9;?<>=]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[=>()78][0-9A-B]?")


@pytest.fixture(scope="session")
def claude() -> Path:
    return installed_or_skip(CLAUDE)


@pytest.fixture
def model() -> Iterator[fake_model.Model]:
    with fake_model.serve(protocols=PROTOCOLS) as found:
        yield found


@pytest.fixture
def private() -> Iterator[Path]:
    """A directory that others cannot write beside, with `work` in it: Gemini reads no settings from below one like
    /tmp.
    """
    path = CACHE / "tmp" / uuid4().hex[:8]
    (path / "work").mkdir(parents=True)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@attrs.define(eq=False)
class Home:
    """A person's home directory, in which the CLI has been used before."""

    path: Path
    model: fake_model.Model

    def know(self, *directories: Path) -> None:
        """The CLI has been used before, and trusts these directories."""
        known = {
            "hasCompletedOnboarding": True,
            "theme": "dark",
            "customApiKeyResponses": {"approved": [KEY[-20:]], "rejected": []},
            "projects": {str(one): {"hasTrustDialogAccepted": True} for one in directories},
        }
        (self.path / ".claude.json").write_text(json.dumps(known))

    @property
    def env(self) -> dict[str, str]:
        return {
            "HOME": str(self.path),
            "ANTHROPIC_BASE_URL": self.model.url,
            "ANTHROPIC_API_KEY": KEY,
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "TERM": "xterm-256color",
        }


@pytest.fixture
def home(tmp_path: Path, model: fake_model.Model) -> Home:
    path = tmp_path / "home"
    (path / ".claude").mkdir(parents=True)
    found = Home(path, model)
    found.know()
    return found


@attrs.define(eq=False)
class Agent:
    """One session of a real agent."""

    bench: Bench
    session: Session

    @property
    def events(self) -> list[Event]:
        return self.bench.events(self.session)

    def told(self, kind: str) -> list[dict[str, Any]]:
        """The agent events of a type."""
        found = [one["providerEvent"] for one in self.events if one["type"] == "PROVIDER_EVENT_FORWARDED"]
        return [one for one in found if one["type"] == f"agent.{kind}"]

    @property
    def statuses(self) -> list[str]:
        return [one["status"] for one in self.told("status")]

    @property
    def requests(self) -> list[dict[str, Any]]:
        return [one["approval"] for one in self.events if one["type"] == "APPROVAL_REQUESTED"]

    @property
    def resolved(self) -> list[tuple[str, str | None]]:
        found = [one for one in self.events if one["type"] == "APPROVAL_RESOLVED"]
        return [(one["decision"], one.get("resolvedBy")) for one in found]

    @property
    def tools(self) -> list[tuple[str, str]]:
        return [(one["name"], one["status"]) for one in self.told("tool")]

    @property
    def turns(self) -> list[str]:
        return [one["result"] for one in self.told("turn")]

    @property
    def screen(self) -> str:
        """What the terminal showed, without its sequences and blanks."""
        return re.sub(r"\s+", "", SEQUENCE.sub("", self.bench.output(self.session)))

    async def until(self, wanted: Any) -> Any:
        try:
            return await until(lambda: wanted(self), 150)
        except trio.TooSlowError:
            shown = f"{self.statuses} {self.tools} {self.turns} {self.resolved} {self.screen[-1500:]}"
            raise AssertionError(f"it did not come; the agent: {shown}") from None

    async def is_now(self, status: str) -> None:
        await self.until(lambda agent: agent.statuses and agent.statuses[-1] == status)

    async def asks(self, count: int = 1) -> dict[str, Any]:
        """The latest of `count` requests, when the dialog in the terminal has had the time to come, too."""
        await self.until(lambda agent: len(agent.requests) >= count)
        return self.requests[-1]

    async def turn_ends(self, count: int = 1) -> str:
        await self.until(lambda agent: len(agent.turns) >= count)
        return self.turns[-1]

    async def command(self, command: str, **fields: Any) -> Any:
        """An order of the service's, as it comes over the link."""
        identity = f"c{trio.current_time()}"
        return await self.bench.runner._handle(
            Command(command_id=identity, command=command, session_id=self.session.plan.session_id, **fields)
        )

    async def decide(self, approval: dict[str, Any], decision: str, **fields: Any) -> Any:
        return await self.command(
            "approve", approval_id=approval["approvalId"], decision=decision, resolved_by="ada", **fields
        )

    async def prompt(self, text: str, mode: str = "send") -> Any:
        return await self.command("prompt", prompt_id=f"p{trio.current_time()}", data=text, mode=mode, by="ada")

    async def keys(self, text: str) -> None:
        await self.session.type(text)

    async def says(self, text: str) -> None:
        """A person types a prompt in the terminal."""
        await self.is_now("idle")
        await self.keys(text)
        await self.until(lambda agent: text.replace(" ", "") in agent.screen)
        await trio.sleep(0.2)
        await self.keys("\r")

    async def dialog(self) -> None:
        """Until the permission dialog is drawn: before that, keys are not its keys."""
        await self.until(lambda agent: "Doyouwant" in agent.screen or "Entertoselect" in agent.screen)
        await trio.sleep(0.5)


@asynccontextmanager
async def open_terminal(
    bench: Bench, claude: Path, home: Home, *flags: str, trusted: bool = True, **env: str
) -> AsyncIterator[Agent]:
    """Claude Code's TUI in a session's terminal, as `townwatch run -- claude` starts it."""
    if trusted:
        home.know(bench.directory)
    session = bench.start(
        str(claude),
        "--permission-mode=manual",
        *flags,
        provider="claude_code",
        adapter=ClaudeTerminal,
        env={**home.env, **env},
        cols=110,
        rows=34,
    )
    try:
        yield Agent(bench, session)
    finally:
        with trio.move_on_after(20):
            await session.stop(graceful=False)
            await session.over.wait()


@asynccontextmanager
async def open_dispatched(
    bench: Bench, claude: Path, home: Home, goal: str, policy: PolicySpec | None = None
) -> AsyncIterator[Agent]:
    """Claude Code as POST /api/runner/sessions starts it."""
    session_id = new_session_id()
    order = SessionConfig(
        session_id=session_id,
        org_id="demo",
        agent_id="a1",
        provider_id="claude_code",
        repo_ref=RepoRef(provider="local", path=str(bench.directory)),
        task=TaskSpec(title="A task", goal=goal, constraints=["be brief"], acceptance=["it is done"]),
        policy=policy or PolicySpec(),
        env={**home.env, "PATH": os.pathsep.join([str(claude.parent), os.environ["PATH"]])},
    )
    started = await bench.runner._handle(Command(command_id=f"start {session_id}", command="start", config=order))
    assert started.ok, started.error
    session = bench.runner.sessions[session_id]
    try:
        yield Agent(bench, session)
    finally:
        with trio.move_on_after(20):
            await session.stop(graceful=False)
            await session.over.wait()


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    directory = tmp_path / "work"
    directory.mkdir(exist_ok=True)
    async with open_bench(tmp_path / "state", directory) as found:
        yield found
