"""Whole turns of real agents from npm, ordered from afar, against the scripted model; the service is away."""

from pathlib import Path

import pytest

from tests.integration.agents import others
from tests.integration.agents.others import Kind, Place, dispatched
from tests.integration.runner.conftest import Bench
from tests.support.agents import fake_model
from townwatch.contracts.tasks import PolicySpec

KINDS = [others.CODEX, others.GEMINI, *others.by_hand(others.OPENCODE, others.QWEN, others.COPILOT)]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.provider)
def agent(request: pytest.FixtureRequest, tmp_path: Path, bench: Bench, model: fake_model.Model) -> Place:
    kind: Kind = request.param
    return others.place(kind, tmp_path, bench.directory, model)


def settings_of(agent: Place) -> dict[str, bytes]:
    """The files of a person's settings. Codex's is left out: it notes there itself which news it has shown."""
    home = Path(agent.env["HOME"])
    names = (".gemini/settings.json", ".qwen/settings.json", ".config/opencode/opencode.json")
    return {name: (home / name).read_bytes() for name in names if (home / name).exists()}


async def test_an_order_is_asked_about_allowed_denied_and_ends_idle(bench: Bench, agent: Place) -> None:
    script = "risky" if agent.kind is others.CODEX else "two"
    before = settings_of(agent)
    async with dispatched(bench, agent, f"do:{script} please") as seen:
        await seen.until(lambda found: "busy" in found.statuses)
        first = await seen.asks(1)
        assert first["category"] == "shell"
        assert "echo" in first["summary"]
        assert await seen.decide(first, "allow")
        if agent.kind is not others.CODEX:
            second = await seen.asks(2)
            assert (await seen.decide(second, "deny")).ok
        assert await seen.turn_ends() == "completed"
        await seen.is_now("idle")
        if agent.kind is others.CODEX:  # its sandbox lets the second of `two` through
            assert (await seen.prompt("do:risky again")).ok
            second = await seen.asks(2)
            assert (await seen.decide(second, "deny")).ok
            assert await seen.turn_ends(2) == "completed"
        assert [one[0] for one in seen.resolved] == ["allow", "deny"]
        statuses = [status for _, status in seen.tools if status != "running"]
        assert statuses == ["ok", "denied"]
        made = {path.name for path in bench.directory.glob("*.txt")}
        assert made == ({"risky.txt"} if agent.kind is others.CODEX else {"first.txt"})
        assert "waiting" in seen.statuses
        assert seen.screen != ""
    assert settings_of(agent) == before  # a person's settings are neither read nor written by us


@pytest.mark.skipif(not others.by_hand(others.QWEN), reason="run by python -m tests.agents")
async def test_qwens_question_is_answered_with_an_answer_and_by_no_bare_yes(
    bench: Bench, tmp_path: Path, model: fake_model.Model
) -> None:
    agent = others.place(others.QWEN, tmp_path, bench.directory, model)
    async with dispatched(bench, agent, "do:ask please") as seen:
        asked = await seen.asks()
        assert (asked["category"], asked["summary"]) == ("question", "Which colour?")
        assert not (await seen.decide(asked, "allow")).ok
        assert (await seen.decide(asked, "allow", answers={"Which colour?": "blue"})).ok
        assert await seen.turn_ends() == "completed"
        assert seen.resolved == [("allow", "ada")]
        (said,) = [tool["output"] for tool in seen.told("tool") if tool["status"] == "ok"]
        assert "blue" in said
        assert (await seen.prompt("do:ask again")).ok
        asked = await seen.asks(2)
        assert (await seen.decide(asked, "deny")).ok
        await seen.is_now("idle")
        assert seen.resolved[1] == ("deny", "ada")


async def test_a_command_that_the_order_forbids_is_refused_without_asking(
    bench: Bench, tmp_path: Path, model: fake_model.Model
) -> None:
    agent = others.place(others.CODEX, tmp_path, bench.directory, model)
    async with dispatched(bench, agent, "do:risky please", PolicySpec(shell_denylist=["echo outside*"])) as seen:
        assert await seen.turn_ends() == "completed"
        assert seen.requests == []
        assert ("command", "denied") in seen.tools
        assert not (bench.directory / "risky.txt").exists()
