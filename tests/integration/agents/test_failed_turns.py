"""A turn that failed says why, in the events and in the agent's status: real agents, whose model answers an error."""

from pathlib import Path

import pytest
import trio

from tests.integration.agents import others
from tests.integration.agents.conftest import Agent
from tests.integration.agents.others import Kind, dispatched, in_terminal, typed
from tests.integration.agents.test_two_at_once import FLAGS, says
from tests.integration.runner.conftest import open_bench
from tests.support.agents import fake_model
from tests.support.agents.fake_model import REFUSED
from townwatch.runner.agents import catalog

TERMINAL = [
    others.CLAUDE,
    others.CODEX,
    *others.by_hand(others.OPENCODE, others.GEMINI, others.QWEN, others.COPILOT),
]
DISPATCHED = [
    others.CLAUDE,
    others.CODEX,
    others.GEMINI,
    *others.by_hand(others.OPENCODE, others.QWEN, others.COPILOT),
]


async def said_why(seen: Agent) -> None:
    assert await seen.turn_ends() == "failed"
    assert REFUSED in seen.told("turn")[-1]["reason"]
    await seen.until(lambda agent: agent.told("status")[-1].get("for", "").startswith("its turn failed: "))
    assert REFUSED in seen.told("status")[-1]["for"]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("kind", TERMINAL, ids=lambda kind: kind.provider)
async def test_in_its_terminal(private: Path, model: fake_model.Model, kind: Kind) -> None:
    async with open_bench(private / "state", private / "work") as bench:
        place, adapter = others.place(kind, private, private / "work", model), catalog.recognise([kind.cli.name])
        assert adapter is not None
        async with in_terminal(bench, place, adapter, *FLAGS.get(kind.cli.name, ())) as seen:
            await says(seen, "do:refused please")
            await said_why(seen)
            await typed(seen, "do:hello again")
            assert await seen.turn_ends(2) == "completed"
            await seen.is_now("idle")
            assert "for" not in seen.told("status")[-1]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("kind", DISPATCHED, ids=lambda kind: kind.provider)
async def test_dispatched(private: Path, model: fake_model.Model, kind: Kind) -> None:
    async with open_bench(private / "state", private / "work") as bench:
        place = others.place(kind, private, private / "work", model)
        async with dispatched(bench, place, "do:refused please") as seen:
            await said_why(seen)
            with trio.fail_after(60):
                while not (await seen.prompt("do:hello again")).ok:
                    await trio.sleep(0.5)
            assert await seen.turn_ends(2) == "completed"
            await seen.is_now("idle")
            assert "for" not in seen.told("status")[-1]
