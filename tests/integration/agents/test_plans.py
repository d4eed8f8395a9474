"""The dialog of a plan in the real Claude Code: a no from afar, Escape in the terminal, a yes from afar."""

from pathlib import Path

import pytest
import trio

from tests.integration.agents.conftest import Home, open_terminal
from tests.integration.runner.conftest import Bench

pytestmark = pytest.mark.timeout(120)


async def test_a_plan_is_refused_from_afar_left_in_the_terminal_and_allowed(
    bench: Bench, claude: Path, home: Home
) -> None:
    async with open_terminal(bench, claude, home, "--permission-mode=plan") as agent:
        await agent.says("do:plan first")
        asked = await agent.asks()
        assert (asked["category"], asked["context"]["tool"]) == ("plan", "ExitPlanMode")
        assert asked["context"]["input"]["plan"].startswith("1. Look at the tests")
        await agent.is_now("waiting")
        assert (await agent.decide(asked, "deny", note="tests first")).ok
        assert await agent.turn_ends() == "completed"  # a no is about the plan: the agent goes on
        assert "tests first" in home.model.results[-1]
        assert agent.resolved == [("deny", "ada")]

        await agent.says("do:plan_again and wait")
        await agent.asks(2)
        await agent.is_now("waiting")
        await trio.sleep(1)  # until its dialog takes keys
        await agent.keys("\x1b")
        await agent.until(lambda one: len(one.resolved) == 2)
        assert agent.resolved[-1] == ("withdrawn", "terminal")
        await agent.is_now("idle")

        await agent.says("do:plan_again at last")
        last = await agent.asks(3)
        assert (await agent.decide(last, "allow")).ok
        await agent.until(lambda one: one.turns[-1] == "completed" and len(one.turns) == 3)
        assert agent.resolved == [("deny", "ada"), ("withdrawn", "terminal"), ("allow", "ada")]
