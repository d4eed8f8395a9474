"""The demo's agent that talks: plan, question, permissions, tests and cost, without a key."""

import sys

import pytest

from tests.integration.agents.conftest import Agent
from tests.integration.runner.conftest import Bench
from townwatch.contracts.events import RepoRef
from townwatch.contracts.tasks import SessionConfig, TaskSpec
from townwatch.runner.demo.play import PlayedAgent
from townwatch.runner.identity import new_session_id

QUICK = "from townwatch.runner.demo.talker import Talker; Talker(pause=0.01).run()"


@pytest.mark.timeout(90)
async def test_the_played_agent_plans_asks_writes_tests_and_costs(bench: Bench) -> None:
    (bench.directory / "ledger.py").write_text("# payments\n")
    session_id = new_session_id()
    order = SessionConfig(
        session_id=session_id,
        org_id="demo",
        agent_id="a1",
        provider_id="command",
        repo_ref=RepoRef(provider="local", path=str(bench.directory)),
        task=TaskSpec(title="Half a cent", goal="go"),
    )
    command = [sys.executable, "-P", "-c", QUICK]
    session = bench.start(*command, session_id=session_id, provider="command", adapter=PlayedAgent, order=order)
    agent = Agent(bench, session)
    asked = await agent.asks(1)
    assert (asked["category"], asked["context"]["questions"][0]["header"]) == ("question", "Rounding")
    assert agent.told("plan")[-1]["items"][1] == {"text": "Ask how half a cent is rounded", "status": "in_progress"}
    assert (await agent.decide(asked, "allow", option_id="Up")).ok
    for number, name in ((2, "rounding.py"), (3, "test_rounding.py")):
        asked = await agent.asks(number)
        assert (asked["category"], asked["summary"]) == ("edit", f"Write: {name}")
        assert (await agent.decide(asked, "allow")).ok
    assert await agent.turn_ends() == "completed"
    (tested,) = [one for one in agent.events if one["type"] == "TEST_RUN_FINISHED"]
    assert (tested["passed"], tested["failed"]) == (1, 0)
    assert {one["status"] for one in agent.told("plan")[-1]["items"]} == {"completed"}
    assert (await agent.prompt("and now?")).ok
    assert await agent.turn_ends(2) == "completed"
    await agent.command("stop")
    total = (await bench.over(session))["totalUsage"]
    assert total["costUsd"] > 0
    assert total["model"] == "played-1"
