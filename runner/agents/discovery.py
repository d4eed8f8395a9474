"""Discover the agents of this machine: which CLIs there are, their versions, whether a person has signed in.

No credential is read: a file of credentials is there or not, a variable is set or not. A version is read from the CLI's
npm package where it has one, else asked of the CLI itself, once for each state of its file.
"""

import os
import re
import shutil
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import trio

from townwatch.contracts.link import AgentInfo
from townwatch.runner.account import options_of_children
from townwatch.runner.agents import catalog
from townwatch.runner.agents.versions import version_in_package
from townwatch.runner.reading import as_acting

VERSION_SECONDS = 10.0
FIRST_SECONDS = 3.0
"""How long the first hello waits for the versions; what is not known by then is told as unknown."""
SIGNED_IN: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "claude_code": (
        (".claude/.credentials.json",),
        ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"),
    ),
    "codex": ((".codex/auth.json",), ("OPENAI_API_KEY", "CODEX_API_KEY")),
    "gemini_cli": ((".gemini/oauth_creds.json",), ("GEMINI_API_KEY", "GOOGLE_API_KEY")),
    "qwen_code": ((".qwen/oauth_creds.json",), ("OPENAI_API_KEY", "DASHSCOPE_API_KEY")),
    "opencode": ((".local/share/opencode/auth.json",), ("OPENAI_API_KEY", "ANTHROPIC_API_KEY")),
    "copilot": ((), ("COPILOT_GITHUB_TOKEN", "GH_TOKEN", "GITHUB_TOKEN")),
}
"""providerId → (files below HOME, variables) that are there when a person has signed in. Where none of them is, it is
not known: some CLIs keep it in the system's keyring.
"""
_VERSION = re.compile(r"\d+\.\d+[\w.+-]*")


def version_of(program: str, env: Mapping[str, str] | None = None) -> str:
    """Return a CLI's version; "" where it does not say."""
    if found := version_in_package(program):
        return found
    try:
        done = subprocess.run(
            [program, "--version"],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=VERSION_SECONDS,
            env=None if env is None else dict(env),
            check=False,
            **options_of_children(),
        )
    except (OSError, subprocess.SubprocessError, UnicodeError):
        return ""
    match = _VERSION.search(done.stdout)
    return match.group() if match is not None else ""


def signed_in(provider: str, env: Mapping[str, str]) -> bool | None:
    """Return whether a person has signed in to a provider's CLI; None where that cannot be told."""
    files, variables = SIGNED_IN.get(provider, ((), ()))
    home = Path(env.get("HOME") or "~").expanduser()
    if any(env.get(name) for name in variables):
        return True
    with as_acting():
        return True if any((home / file).exists() for file in files) else None


def installed(env: Mapping[str, str] = os.environ) -> list[AgentInfo]:
    """Return the agents of this machine, looked for now. Blocks for as long as they take to say their versions."""
    return [about(provider, program, version_of(program), env) for provider, program in _programs(env)]


def about(provider: str, program: str, version: str, env: Mapping[str, str]) -> AgentInfo:
    """Return what is told of one agent."""
    adapter: Any = catalog.for_order(provider)
    tested = list(adapter.tested) if adapter is not None else []
    return AgentInfo(provider_id=provider, version=version, tested=tested, signed_in=signed_in(provider, env))


def readable(agent: AgentInfo) -> str:
    """Return what is known of an agent as one line for a person."""
    said = [agent.version or "of a version that it does not say"]
    if agent.tested:
        said.append(f"tested with {' to '.join(dict.fromkeys(agent.tested))}")
    said.append({True: "signed in", False: "not signed in", None: "not known whether signed in"}[agent.signed_in])
    return ", ".join(said)


def _programs(env: Mapping[str, str]) -> list[tuple[str, str]]:
    """(providerId, program) of those that are on the path."""
    found = [(provider, shutil.which(name, path=env.get("PATH"))) for provider, name in catalog.PROGRAMS.items()]
    return [(provider, program) for provider, program in found if program is not None]


@attrs.define(eq=False)
class Discovery:
    """Agents' programs on this machine; looked for once, from `start` on."""

    _versions: dict[tuple[str, float], str] = attrs.field(factory=dict[tuple[str, float], str])
    _looking: threading.Event | None = None
    """Set when all have said their versions; None before the start."""

    def start(self, nursery: trio.Nursery, env: Mapping[str, str] = os.environ) -> None:
        """Find the versions of all agents that are there, in a task of this nursery. A CLI is asked for its version as
        the acting account.
        """
        self._looking = threading.Event()
        nursery.start_soon(self._run, self._looking, env)

    async def _run(self, done: threading.Event, env: Mapping[str, str]) -> None:
        try:
            async with trio.open_nursery() as nursery:
                for program in set(catalog.PROGRAMS.values()):
                    nursery.start_soon(trio.to_thread.run_sync, self._look, program, env)
        finally:
            done.set()

    def agents(self, env: Mapping[str, str] = os.environ) -> list[AgentInfo]:
        """Return the agents that are there now. Blocks for a moment while they are looked for; call it in a thread."""
        if self._looking is not None:
            self._looking.wait(FIRST_SECONDS)
        found = _programs(env)
        return [about(one, program, self._versions.get(_state(program), ""), env) for one, program in found]

    def _look(self, name: str, env: Mapping[str, str]) -> None:
        program = shutil.which(name, path=env.get("PATH"))
        if program is not None:
            self._versions[_state(program)] = version_of(program, env)


def _state(program: str) -> tuple[str, float]:
    """Return what changes when a program is replaced."""
    real = os.path.realpath(program)
    try:
        return real, os.stat(real).st_mtime
    except OSError:
        return real, 0.0
