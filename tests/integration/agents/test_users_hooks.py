"""Hooks of a person's own that fail, block or answer, beside ours: what Claude Code does then is what is told."""

import json
from pathlib import Path

import pytest

from tests.integration.agents import others
from tests.integration.agents.conftest import Bench, Home, open_terminal

pytestmark = [
    pytest.mark.skipif(not others.by_hand(others.CLAUDE), reason="run by python -m tests.agents"),
    pytest.mark.timeout(240),
]
YES = {"hookSpecificOutput": {"hookEventName": "PermissionRequest", "decision": {"behavior": "allow"}}}


def has_hooks(home: Home, **commands: str) -> None:
    hooks = {event: [{"hooks": [{"type": "command", "command": command}]}] for event, command in commands.items()}
    (home.path / ".claude" / "settings.json").write_text(json.dumps({"hooks": hooks}))


async def test_hooks_that_fail_stand_in_nobodys_way(bench: Bench, claude: Path, home: Home) -> None:
    has_hooks(home, PreToolUse="exit 1", PermissionRequest="echo '{no json'; exit 1", Stop="kill -9 $$")
    async with open_terminal(bench, claude, home) as agent:
        await agent.says("do:shell")
        assert (await agent.decide(await agent.asks(), "allow")).ok
        await agent.turn_ends()
        await agent.is_now("idle")
        assert agent.resolved == [("allow", "ada")]
        assert (bench.directory / "shell.txt").exists()


async def test_a_hook_that_blocks_the_call_ends_it_and_nothing_stays_open(
    bench: Bench, claude: Path, home: Home
) -> None:
    has_hooks(home, PreToolUse="echo not this one >&2; exit 2")
    async with open_terminal(bench, claude, home) as agent:
        await agent.says("do:shell")
        await agent.turn_ends()
        await agent.is_now("idle")
        assert not (bench.directory / "shell.txt").exists()
        assert agent.resolved == [("withdrawn", "terminal")] * len(agent.requests)
        assert [status for _, status in agent.tools if status != "running"] in (["denied"], ["failed"])


async def test_a_hook_of_theirs_that_allows_is_told_as_answered_there(bench: Bench, claude: Path, home: Home) -> None:
    has_hooks(home, PermissionRequest=f"sleep 2; echo '{json.dumps(YES)}'")
    async with open_terminal(bench, claude, home) as agent:
        await agent.says("do:shell")
        asked = await agent.asks()
        await agent.until(lambda one: one.resolved)
        assert agent.resolved[0] in {("withdrawn", "terminal"), ("allow", "terminal")}
        await agent.turn_ends()
        await agent.is_now("idle")
        assert (bench.directory / "shell.txt").exists()
        assert (await agent.decide(asked, "deny")).ok  # too late: it changes nothing
        assert len(agent.resolved) == 1
