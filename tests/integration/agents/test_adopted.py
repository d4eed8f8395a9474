"""Conversations that the real CLIs had outside of Townwatch are listed from their own stores, and gone on with."""

import os
from functools import partial
from pathlib import Path

import pytest
import trio

from tests.integration.agents import others
from tests.integration.agents.others import Kind, Place, dispatched
from tests.integration.agents.test_resumed import let_a_minute_pass
from tests.integration.runner.conftest import Bench
from tests.support.agents import fake_model
from townwatch.runner.agents.earlier import listing

KINDS = [others.CLAUDE, others.CODEX, *others.by_hand(others.OPENCODE, others.GEMINI, others.QWEN, others.COPILOT)]
ALONE = {
    "claude_code": ("-p", "do:hello outside"),
    "codex": ("exec", "--skip-git-repo-check", "do:hello outside"),
    "opencode": ("run", "do:hello outside"),
    "gemini_cli": ("-p", "do:hello outside"),
    "qwen_code": ("--auth-type", "openai", "-p", "do:hello outside"),
    "copilot": ("--allow-all-tools", "-p", "do:hello outside"),
}
"""The arguments by which each CLI works through one prompt, with no terminal."""


@pytest.fixture(params=KINDS, ids=lambda kind: kind.provider)
def agent(request: pytest.FixtureRequest, tmp_path: Path, bench: Bench, model: fake_model.Model) -> Place:
    kind: Kind = request.param
    return others.place(kind, tmp_path, bench.directory, model)


def files_of(home: Path) -> dict[Path, int]:
    """When each file was changed; SQLite's table of who reads is every reader's."""
    return {path: path.stat().st_mtime_ns for path in home.rglob("*") if path.is_file() and path.suffix != ".db-shm"}


@pytest.mark.timeout(180)
async def test_what_began_outside_is_listed_and_goes_on(bench: Bench, agent: Place, model: fake_model.Model) -> None:
    provider, home = agent.kind.provider, Path(agent.env["HOME"])
    env = {**os.environ, **agent.env, "PATH": os.pathsep.join([agent.env["PATH"], os.environ["PATH"]])}
    env["PWD"] = str(bench.directory)  # as a shell there has it
    none = await trio.to_thread.run_sync(listing.conversations, env)
    assert (none.conversations, none.unknown) == ([], [])
    command = [str(agent.program), *ALONE[provider]]
    run = partial(trio.run_process, stdin=b"", capture_stdout=True, capture_stderr=True)
    with trio.fail_after(90):
        await run(command, cwd=bench.directory, env=env)
    let_a_minute_pass(home)
    before = files_of(home)
    listed = await trio.to_thread.run_sync(listing.conversations, env)
    assert files_of(home) == before
    assert listed.unknown == []
    (found,) = listed.conversations
    assert (found.provider_id, found.path) == (provider, str(bench.directory))
    assert found.title is not None
    assert found.title == ("A title" if provider == "opencode" else "do:hello outside")
    async with dispatched(bench, agent, "do:shell again", cli_session_id=found.conversation) as seen:
        if agent.kind is not others.CODEX:  # whose sandbox lets it through
            await seen.decide(await seen.asks(), "allow")
        assert await seen.turn_ends() == "completed"
        assert {"hello", "shell"} <= set(model.history)
        assert [one for one in seen.told("session") if one.get("cliSessionId")][-1][
            "cliSessionId"
        ] == found.conversation
        order = seen.session.plan.order
        assert order is not None
        twice = await bench.runner._handle(others.start_again(order, "again"))
        assert not twice.ok
        assert "already" in twice.error.message or "is open in process" in twice.error.message
