"""Claude Code started from afar: no TUI and no trust dialog, and everything that it asks is asked of people."""

import json
from pathlib import Path

import pytest
import trio

from tests.integration.agents.conftest import Bench, Home, open_dispatched
from townwatch.contracts.tasks import PolicySpec

pytestmark = pytest.mark.timeout(180)


async def test_a_task_is_carried_out_with_permissions_and_its_cost(bench: Bench, claude: Path, home: Home) -> None:
    async with open_dispatched(bench, claude, home, "do:test") as agent:
        written = await agent.asks(1)
        assert written["category"] == "edit"
        assert agent.session.lifecycle.state == "WAITING_FOR_APPROVAL"
        await agent.decide(written, "allow")
        await agent.decide(await agent.asks(2), "allow")
        assert await agent.turn_ends() == "completed"
        await agent.is_now("idle")
        assert agent.resolved == [("allow", "ada"), ("allow", "ada")]
        assert agent.tools == [("Write", "running"), ("Write", "ok"), ("Bash", "running"), ("Bash", "ok")]
        (prompt,) = agent.told("prompt")
        assert prompt["text"] == "A task\n\ndo:test\n\nConstraints:\n- be brief\n\nDone when:\n- it is done"
        (ended,) = [one for one in agent.events if one["type"] == "TEST_RUN_FINISHED"]
        assert (ended["passed"], ended["failed"], ended["exitCode"]) == (1, 0, 0)
        (begun,) = [one for one in agent.events if one["type"] == "SESSION_STARTED"]
        assert begun["providerId"] == "claude_code"
        assert agent.told("session")[0]["version"] == "2.1.332"
        for shown in ("●Write", "●Bashpython3-munittest-vtest_sum", "Onetest,whichpasses."):
            assert shown in agent.screen
        assert (await agent.prompt("do:hello")).ok
        assert await agent.turn_ends(2) == "completed"
        await agent.command("stop")
        ended = await agent.bench.over(agent.session)
        assert ended["finalState"] == "COMPLETED"
        assert ended["totalUsage"]["inputTokens"] >= 4800
        assert ended["totalUsage"]["costUsd"] > 0


async def test_no_and_stop_and_interrupt_are_told_to_the_agent(bench: Bench, claude: Path, home: Home) -> None:
    async with open_dispatched(bench, claude, home, "do:two") as agent:
        await agent.decide(await agent.asks(1), "deny", note="not now")
        await agent.decide(await agent.asks(2), "allow")
        assert await agent.turn_ends() == "completed"
        assert "ada said no: not now" in home.model.results[0]
        assert not (bench.directory / "first.txt").exists()
        assert (bench.directory / "second.txt").exists()
        assert agent.tools[:2] == [("Bash", "running"), ("Bash", "denied")]
        assert (await agent.prompt("do:slow")).ok
        await agent.is_now("busy")
        assert (await agent.prompt("do:hello", "interrupt")).ok
        await agent.turn_ends(3)
        assert agent.turns == ["completed", "interrupted", "completed"]
        assert (await agent.prompt("do:shell")).ok
        await agent.decide(await agent.asks(3), "deny", stop=True)
        with trio.fail_after(30):
            await agent.session.over.wait()
        assert agent.resolved[-1] == ("deny", "ada")
        assert not (bench.directory / "shell.txt").exists()


async def test_a_question_that_waits_when_the_session_ends_is_answered_no(
    bench: Bench, claude: Path, home: Home
) -> None:
    async with open_dispatched(bench, claude, home, "do:ask") as agent:
        asked = await agent.asks()
        assert asked["category"] == "question"
        assert (await agent.decide(asked, "allow", option_id="red")).ok
        assert await agent.turn_ends() == "completed"
        assert "red" in json.dumps(home.model.results)
        assert (await agent.prompt("do:shell")).ok
        await agent.asks(2)
        refused = await agent.prompt("hello?")
        assert (refused.ok, refused.error.code) == (False, "WAITING")
        await agent.command("stop")
        await agent.bench.over(agent.session)
        assert agent.resolved == [("allow", "ada"), ("deny", "session end")]


async def test_what_the_policy_forbids_is_denied_whatever_stands_around_it(
    bench: Bench, claude: Path, home: Home
) -> None:
    policy = PolicySpec(shell_denylist=["tee *"])
    async with open_dispatched(bench, claude, home, "do:shell", policy) as agent:
        assert await agent.turn_ends() == "completed"
        assert agent.requests == []
        assert agent.tools == [("Bash", "running"), ("Bash", "denied")]
        assert not (bench.directory / "shell.txt").exists()
