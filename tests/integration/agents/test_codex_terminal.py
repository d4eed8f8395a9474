"""Codex's own screen in a session, with us as a second client of its server; the model is scripted."""

from pathlib import Path
from typing import Any

import pytest
import trio

from tests.integration.agents import others
from tests.integration.agents.others import Place, in_terminal, of_session
from tests.integration.runner.conftest import Bench
from tests.support.agents import fake_model
from townwatch.runner.agents.codex.adapter import CodexAdapter
from townwatch.runner.agents.jsonrpc import Rpc, RpcRequest


@pytest.fixture
def codex(tmp_path: Path, bench: Bench, model: fake_model.Model) -> Place:
    return others.place(others.CODEX, tmp_path, bench.directory, model)


async def test_what_is_typed_is_told_and_the_page_answers_the_dialog(bench: Bench, codex: Place) -> None:
    async with in_terminal(bench, codex, CodexAdapter) as seen:
        await seen.says("do:risky please")
        asked = await seen.asks()
        assert asked["summary"] == "echo outside > risky.txt"
        assert seen.statuses[-1] == "waiting"
        assert (await seen.decide(asked, "allow")).ok
        assert await seen.turn_ends() == "completed"
        await seen.is_now("idle")
        assert [prompt["text"] for prompt in seen.told("prompt")] == ["do:risky please"]
        assert seen.resolved == [("allow", "ada")]
        assert seen.tools == [("command", "running"), ("command", "ok")]
        assert (bench.directory / "risky.txt").read_text() == "outside\n"


async def test_escape_in_the_terminal_withdraws_the_question_and_nothing_ran(bench: Bench, codex: Place) -> None:
    async with in_terminal(bench, codex, CodexAdapter) as seen:
        await seen.says("do:risky please")
        await seen.asks()
        await seen.until(lambda agent: "Wouldyouliketorun" in agent.screen)
        await trio.sleep(0.5)
        await seen.keys("\x1b")
        await seen.until(lambda agent: agent.resolved)
        assert seen.resolved == [("withdrawn", "terminal")]
        assert await seen.turn_ends() == "interrupted"
        await seen.is_now("idle")
        assert not (bench.directory / "risky.txt").exists()


async def test_a_prompt_is_refused_while_the_dialog_is_open_and_taken_after_it(bench: Bench, codex: Place) -> None:
    async with in_terminal(bench, codex, CodexAdapter) as seen:
        await seen.says("do:risky please")
        asked = await seen.asks()
        assert not (await seen.prompt("do:hello")).ok
        assert not (bench.directory / "risky.txt").exists()
        assert (await seen.decide(asked, "deny")).ok
        assert await seen.turn_ends() == "completed"
        await seen.is_now("idle")
        assert (await seen.prompt("do:hello")).ok
        assert await seen.turn_ends(2) == "completed"
        await seen.until(lambda agent: "Hellofromthescriptedmodel." in agent.screen)


class BetweenTheTwo(CodexAdapter):
    """Comes in the worst moment: the history has nothing of the turn yet, the subscription begins after its prompt."""

    async def _follow(self, answer: Any, *, ours: bool = True) -> None:
        turns = [{**turn, "items": []} for turn in answer["thread"]["turns"]]
        await super()._follow({**answer, "thread": {**answer["thread"], "turns": turns}}, ours=ours)

    async def _heard(self, rpc: Rpc, request: RpcRequest) -> None:
        if request.params.get("item", {}).get("type") != "userMessage":
            await super()._heard(rpc, request)


async def test_a_prompt_that_the_subscription_came_too_late_for_is_told_once(bench: Bench, codex: Place) -> None:
    async with in_terminal(bench, codex, BetweenTheTwo) as seen:
        await seen.says("do:risky please")
        asked = await seen.asks()
        await seen.until(lambda agent: agent.told("prompt"))
        assert (await seen.decide(asked, "deny")).ok
        assert await seen.turn_ends() == "completed"
        assert [prompt["text"] for prompt in seen.told("prompt")] == ["do:risky please"]
        assert seen.tools == [("command", "running"), ("command", "denied")]


async def test_two_at_once_do_not_touch_each_other(bench: Bench, codex: Place) -> None:
    async with in_terminal(bench, codex, CodexAdapter) as one, in_terminal(bench, codex, CodexAdapter) as other:
        await one.says("do:risky please")
        await one.asks()
        await other.is_now("idle")
        await other.says("do:hello please")
        assert await other.turn_ends() == "completed"
        assert other.requests == []
        await one.until(lambda agent: agent.told("prompt"))
        assert [prompt["text"] for prompt in one.told("prompt")] == ["do:risky please"]
        await other.session.stop(graceful=False)
        await other.session.over.wait()
        assert of_session(other.session.plan.session_id) == []
        assert (await one.decide(one.requests[0], "allow")).ok
        assert await one.turn_ends() == "completed"


async def test_nothing_of_it_goes_on_after_a_stop_with_a_command_at_work(bench: Bench, codex: Place) -> None:
    async with in_terminal(bench, codex, CodexAdapter) as seen:
        await seen.says("do:long please")
        await seen.until(lambda agent: ("command", "running") in agent.tools)
        await seen.session.stop(graceful=True)
        await seen.session.over.wait()
        assert of_session(seen.session.plan.session_id) == []


async def test_nothing_of_ours_is_in_its_settings(bench: Bench, codex: Place) -> None:
    settings = Path(codex.env["HOME"]) / ".codex" / "config.toml"
    before = settings.read_text()
    async with in_terminal(bench, codex, CodexAdapter) as seen:
        await seen.says("do:hello please")
        assert await seen.turn_ends() == "completed"
    after = settings.read_text()  # Codex counts there itself which news it has shown
    assert set(before.split()) <= set(after.split())
    assert seen.session.plan.session_id not in after
