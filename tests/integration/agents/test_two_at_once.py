"""Two sessions of one CLI at once, of one person in one directory: each hears of its own only. Run by hand."""

from pathlib import Path

import pytest
import trio

from tests.integration.agents import others
from tests.integration.agents.conftest import Agent
from tests.integration.agents.others import Kind, in_terminal, typed
from tests.integration.runner.conftest import open_bench
from tests.support.agents import fake_model
from townwatch.runner.agents import catalog

KINDS = [others.CLAUDE, others.CODEX, others.OPENCODE, others.GEMINI, others.QWEN, others.COPILOT]
FLAGS = {"qwen": ("--auth-type", "openai", "--approval-mode", "default")}
TRUST = "Confirmfoldertrust"


async def says(seen: Agent, text: str) -> None:
    if seen.session.plan.provider == "copilot":
        await seen.until(lambda agent: TRUST in agent.screen)
        await trio.sleep(1)
        await seen.keys("\r")
    await typed(seen, text)


@pytest.mark.skipif(not others.by_hand(others.QWEN), reason="run by python -m tests.agents")
@pytest.mark.timeout(240)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.provider)
async def test_each_hears_of_its_own_only(private: Path, model: fake_model.Model, kind: Kind) -> None:
    async with open_bench(private / "state", private / "work") as bench:
        place, adapter = others.place(kind, private, private / "work", model), catalog.recognise([kind.cli.name])
        assert adapter is not None
        flags = FLAGS.get(kind.cli.name, ())
        async with (
            in_terminal(bench, place, adapter, *flags) as one,
            in_terminal(bench, place, adapter, *flags) as other,
        ):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(says, one, "do:hello from the first")
                nursery.start_soon(says, other, "do:hello from the second")
            for seen in (one, other):
                assert await seen.turn_ends() == "completed"
                await seen.is_now("idle")
            assert [said["text"] for said in one.told("prompt")] == ["do:hello from the first"]
            assert [said["text"] for said in other.told("prompt")] == ["do:hello from the second"]
            named = [{said.get("cliSessionId") for said in seen.told("session")} - {None} for seen in (one, other)]
            assert [len(names) for names in named] == [1, 1]  # a later event may tell of the model alone
            assert named[0] != named[1]
