"""Any agent that speaks the Agent Client Protocol, dispatched: what it asks is answered by a person, or with a no."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.agents.others import Kind, Place, dispatched
from tests.integration.runner.conftest import Bench
from tests.support.agents import fake_acp_path
from tests.support.agents.provide import NODE


@pytest.fixture
def agent(tmp_path: Path) -> Place:
    return Place(Kind("acp", NODE, lambda *_: {}), Path(sys.executable), {"HOME": str(tmp_path)})


def command(mode: str) -> list[str]:
    return [sys.executable, "-I", "-S", str(fake_acp_path()), mode]


def answers(bench: Bench) -> list[dict[str, Any]]:
    """What the agent was sent, in order."""
    return [json.loads(line) for line in (bench.directory / "answers.jsonl").read_text().splitlines()]


def outcomes(bench: Bench) -> list[dict[str, Any]]:
    return [one["result"]["outcome"] for one in answers(bench) if "outcome" in (one.get("result") or {})]


async def test_a_yes_is_the_agents_own_option_for_this_once(bench: Bench, agent: Place) -> None:
    async with dispatched(bench, agent, "go", command=command("ask")) as seen:
        asked = await seen.asks()
        assert asked["summary"] == "make"
        assert (await seen.decide(asked, "allow")).ok
        assert await seen.turn_ends() == "completed"
        assert outcomes(bench) == [{"outcome": "selected", "optionId": "yes"}]
        assert "make" in seen.screen


async def test_always_is_only_by_the_agents_own_option(bench: Bench, agent: Place) -> None:
    async with dispatched(bench, agent, "go", command=command("ask")) as seen:
        asked = await seen.asks()
        for wrong in ("no", "never heard of"):
            assert not (await seen.decide(asked, "allow", option_id=wrong)).ok
        assert (await seen.decide(asked, "allow", option_id="always")).ok
        assert await seen.turn_ends() == "completed"
        assert outcomes(bench) == [{"outcome": "selected", "optionId": "always"}]


async def test_a_no_is_about_the_one_call(bench: Bench, agent: Place) -> None:
    async with dispatched(bench, agent, "go", command=command("ask")) as seen:
        assert (await seen.decide(await seen.asks(), "deny")).ok
        assert await seen.turn_ends() == "completed"
        assert outcomes(bench) == [{"outcome": "selected", "optionId": "no"}]
        assert [status for _, status in seen.tools] == ["running", "denied"]
        await seen.is_now("idle")


async def test_an_interrupt_withdraws_the_question(bench: Bench, agent: Place) -> None:
    async with dispatched(bench, agent, "go", command=command("ask")) as seen:
        await seen.asks()
        assert seen.session.agent is not None
        await seen.session.agent._interrupt_turn()
        assert await seen.turn_ends() == "interrupted"
        assert outcomes(bench) == [{"outcome": "cancelled"}]
        assert [one[0] for one in seen.resolved] == ["withdrawn"]


async def test_a_yes_to_one_question_is_none_to_another_of_the_same_id(bench: Bench, agent: Place) -> None:
    async with dispatched(bench, agent, "go", command=command("twice")) as seen:
        second = await seen.asks(2)
        first = seen.requests[0]
        assert (first["summary"], second["summary"]) == ("make", "rm -r .")
        await seen.until(lambda found: found.resolved == [("withdrawn", "agent")])
        await seen.decide(first, "allow")
        assert outcomes(bench) == []
        assert (await seen.decide(second, "deny")).ok
        assert await seen.turn_ends() == "completed"
        assert outcomes(bench) == [{"outcome": "selected", "optionId": "no"}]
        assert seen.resolved == [("withdrawn", "agent"), ("deny", "ada")]


async def test_an_agent_that_asks_without_end_is_stopped_and_it_is_said_why(bench: Bench, agent: Place) -> None:
    async with dispatched(bench, agent, "go", command=command("many")) as seen:
        await seen.until(lambda found: found.session.over.is_set())
        assert len(seen.requests) == 200
        assert {decision for decision, _ in seen.resolved} == {"withdrawn"}
        (alert,) = [one for one in seen.events if one["type"] == "ALERT_RAISED"]
        assert "more than 200 questions" in alert["description"]


async def test_garbage_is_no_answer_and_the_agent_is_idle_again(bench: Bench, agent: Place) -> None:
    async with dispatched(bench, agent, "go", command=command("garbage")) as seen:
        assert await seen.turn_ends() == "failed"
        await seen.is_now("idle")
        assert [one["alertId"] for one in seen.events if one["type"] == "ALERT_RAISED"] == ["agent-adapter"]
        assert "\x1b]52" not in bench.output(seen.session)


async def test_an_agent_that_dies_in_the_middle_of_a_question_takes_it_along(bench: Bench, agent: Place) -> None:
    async with dispatched(bench, agent, "go", command=command("dies")) as seen:
        await seen.asks()
        await seen.until(lambda found: found.session.over.is_set())
        assert seen.resolved == [("deny", "session end")]
        assert seen.session.lifecycle.state == "FAILED"


async def test_a_question_that_cannot_be_read_is_answered_with_a_no_and_the_rest_goes_on(
    bench: Bench, agent: Place
) -> None:
    async with dispatched(bench, agent, "go", command=command("odd")) as seen:
        assert await seen.turn_ends() == "completed"
        assert seen.requests == []
        assert outcomes(bench) == [{"outcome": "cancelled"}]
        await seen.until(lambda found: "stillhere" in found.screen)
        assert [one["alertId"] for one in seen.events if one["type"] == "ALERT_RAISED"] == ["agent-adapter"]


async def test_an_agent_that_needs_a_sign_in_is_waiting_for_it(bench: Bench, agent: Place) -> None:
    async with dispatched(bench, agent, "go", command=command("sign-in")) as seen:
        await seen.is_now("waiting")
        assert "sign" in seen.told("status")[-1]["for"]
        assert not (await seen.prompt("do something")).ok


async def test_files_are_not_offered(bench: Bench, agent: Place) -> None:
    async with dispatched(bench, agent, "go", command=command("files")) as seen:
        assert await seen.turn_ends() == "completed"
        assert [one["error"]["code"] for one in answers(bench) if one.get("id") == 5] == [-32601]
