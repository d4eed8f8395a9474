"""The agents' CLIs from npm: their homes, and sessions of them as a runner starts them."""

import json
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import psutil
import trio

from tests.integration.agents.conftest import Agent
from tests.integration.runner.conftest import Bench
from tests.support.agents import provide
from tests.support.agents.fake_model import Model
from tests.support.agents.provide import Cli
from townwatch.contracts.events import RepoRef
from townwatch.contracts.link import Command
from townwatch.contracts.tasks import PolicySpec, SessionConfig, TaskSpec
from townwatch.runner.agents.adapter import Adapter
from townwatch.runner.identity import new_session_id

KEY = "test-key-not-real"
ALL_AGENTS = "TOWNWATCH_TEST_ALL_AGENTS"
Home = Callable[[Path, Path, str], dict[str, str]]
"""(home, working directory, the model's URL) → the environment that points the CLI there; writes its settings."""


def claude_home(home: Path, work: Path, model: str) -> dict[str, str]:
    (home / ".claude").mkdir(parents=True)
    known = {
        "hasCompletedOnboarding": True,
        "theme": "dark",
        "customApiKeyResponses": {"approved": [KEY[-20:]], "rejected": []},
        "projects": {str(work): {"hasTrustDialogAccepted": True}},
    }
    (home / ".claude.json").write_text(json.dumps(known))
    return {
        "ANTHROPIC_BASE_URL": model,
        "ANTHROPIC_API_KEY": KEY,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "TERM": "xterm-256color",
    }


def codex_home(home: Path, work: Path, model: str) -> dict[str, str]:
    (home / ".codex").mkdir(parents=True)
    settings = f"""
model = "gpt-5.5"
model_provider = "fake"
approval_policy = "on-request"
sandbox_mode = "workspace-write"
[model_providers.fake]
name = "fake"
base_url = "{model}/v1"
env_key = "FAKE_KEY"
wire_api = "responses"
[projects."{work}"]
trust_level = "trusted"
[notice.model_migrations]
"gpt-5.5" = "gpt-6-sol"
[features]
default_mode_request_user_input = true
"""
    (home / ".codex" / "config.toml").write_text(settings)
    return {"FAKE_KEY": KEY}


def opencode_home(home: Path, work: Path, model: str) -> dict[str, str]:
    place = home / ".config" / "opencode"
    place.mkdir(parents=True)
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "options": {"baseURL": f"{model}/v1", "apiKey": KEY},
        "models": {name: {"limit": {"context": 100_000, "output": 8000}} for name in ("scripted", "other")},
    }
    settings = {
        "$schema": "https://opencode.ai/config.json",  # it writes that itself where it is not there
        "model": "fake/scripted",
        "permission": {"bash": "ask", "edit": "ask"},
        "autoupdate": False,
        "snapshot": False,
        "share": "disabled",
        "lsp": False,
        "formatter": False,
        "provider": {"fake": provider},
    }
    (place / "opencode.json").write_text(json.dumps(settings))
    left_out = ("MODELS_FETCH", "DEFAULT_PLUGINS", "LSP_DOWNLOAD", "AUTOUPDATE", "EXTERNAL_SKILLS", "FFF")
    return {f"OPENCODE_DISABLE_{name}": "1" for name in left_out}


def gemini_home(home: Path, work: Path, model: str) -> dict[str, str]:
    (home / ".gemini").mkdir(parents=True)
    settings = {"security": {"auth": {"selectedType": "gemini-api-key"}}, "general": {"enableAutoUpdate": False}}
    (home / ".gemini" / "settings.json").write_text(json.dumps(settings))
    return {"GEMINI_API_KEY": KEY, "GOOGLE_GEMINI_BASE_URL": model, "GEMINI_CLI_TRUST_WORKSPACE": "true"}


def qwen_home(home: Path, work: Path, model: str) -> dict[str, str]:
    (home / ".qwen").mkdir(parents=True)
    settings = {"security": {"auth": {"selectedType": "openai"}}, "$version": 4}  # of another version it writes anew
    (home / ".qwen" / "settings.json").write_text(json.dumps(settings, indent=2))
    return {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": f"{model}/v1", "OPENAI_MODEL": "scripted"}


def copilot_home(home: Path, work: Path, model: str) -> dict[str, str]:
    home.mkdir(parents=True)
    return {
        "COPILOT_OFFLINE": "true",
        "COPILOT_PROVIDER_BASE_URL": f"{model}/v1",
        "COPILOT_PROVIDER_API_KEY": KEY,
        "COPILOT_MODEL": "gpt-5.5",
    }


@attrs.frozen
class Kind:
    """One agent: how it is ordered, and what its home must be like."""

    provider: str
    cli: Cli
    home: Home


CLAUDE = Kind("claude_code", provide.CLAUDE, claude_home)
CODEX = Kind("codex", provide.CODEX, codex_home)
OPENCODE = Kind("opencode", provide.OPENCODE, opencode_home)
GEMINI = Kind("gemini_cli", provide.GEMINI, gemini_home)
QWEN = Kind("qwen_code", provide.QWEN, qwen_home)
COPILOT = Kind("copilot", provide.COPILOT, copilot_home)


def by_hand(*kinds: Kind) -> list[Kind]:
    """Return the agents that only `python -m tests.agents` runs: none of them where it does not."""
    return list(kinds) if os.environ.get(ALL_AGENTS) else []


@attrs.frozen(eq=False)
class Place:
    """An installed CLI with a home of its own."""

    kind: Kind
    program: Path
    env: dict[str, str]


def place(kind: Kind, root: Path, work: Path, model: Model) -> Place:
    """Install the CLI and make its home; skips the test where the CLI cannot be had."""
    program = provide.installed_or_skip(kind.cli)
    home = root / f"home-{kind.cli.name}"
    env = kind.home(home, work, model.url)
    node = provide.node_path()
    return Place(kind, program, {**env, "HOME": str(home), "PATH": os.pathsep.join([str(program.parent), node])})


@asynccontextmanager
async def in_terminal(bench: Bench, place: Place, adapter: type[Adapter], *flags: str) -> AsyncIterator[Agent]:
    """The CLI's own screen in a session's terminal, as `townwatch run` starts it."""
    program = shutil.which(place.kind.cli.name, path=place.env["PATH"])
    assert program is not None
    kind = place.kind
    session = bench.start(program, *flags, provider=kind.provider, adapter=adapter, env=place.env, cols=110, rows=34)
    try:
        yield Agent(bench, session)
    finally:
        await _end(session)


async def typed(seen: Agent, text: str) -> None:
    """Type a prompt; a program that has just started drops keys, and is typed to again."""
    await seen.is_now("waiting" if seen.session.plan.provider == "copilot" and not seen.turns else "idle")
    for _ in range(20):
        await seen.keys(text)
        with trio.move_on_after(10):  # on a busy machine a second text is taken as one paste with the first
            await seen.until(lambda agent: text.replace(" ", "") in agent.screen)
            break
        await seen.keys("\x15")  # what came through late is removed
    await trio.sleep(0.5)
    await seen.keys("\r")


@asynccontextmanager
async def dispatched(
    bench: Bench, place: Place, goal: str, policy: PolicySpec | None = None, **fields: Any
) -> AsyncIterator[Agent]:
    """The CLI as POST /api/runner/sessions starts it."""
    session_id = new_session_id()
    order = SessionConfig(
        session_id=session_id,
        org_id="demo",
        agent_id="a1",
        provider_id=fields.pop("provider", place.kind.provider),
        repo_ref=RepoRef(provider="local", path=str(bench.directory)),
        task=TaskSpec(title="A task", goal=goal),
        policy=policy or PolicySpec(),
        env=place.env,
        **fields,
    )
    started = await bench.runner._handle(Command(command_id=f"start {session_id}", command="start", config=order))
    assert started.ok, started.error
    session = bench.runner.sessions[session_id]
    try:
        yield Agent(bench, session)
    finally:
        await _end(session)


def start_again(config: SessionConfig, command_id: str) -> Command:
    """An order of another session with the same conversation."""
    again = attrs.evolve(config, session_id=new_session_id(), agent_id="a2")
    return Command(command_id=command_id, command="start", config=again)


def marked(session_id: str) -> list[psutil.Process]:
    """The processes anywhere on the machine that carry a session's mark, and are not dead."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("TOWNWATCH_SESSION") == session_id and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def of_session(session_id: str) -> list[str]:
    """The processes that carry a session's mark, by their command lines."""
    found: list[str] = []
    for process in marked(session_id):
        try:
            found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


async def _end(session: Any) -> None:
    with trio.move_on_after(20):
        await session.stop(graceful=False)
        await session.over.wait()
