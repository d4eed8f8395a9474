"""Codex without its server: the terminal program goes on by itself, one alert says why, and nothing is done twice."""

import os
import shlex
from pathlib import Path
from typing import Any, Literal

import attrs
import pytest
import trio

from tests.integration.agents import others
from tests.integration.agents.conftest import Agent
from tests.integration.agents.others import Place, dispatched, in_terminal
from tests.integration.runner.conftest import Bench
from tests.support.agents import fake_model
from townwatch.contracts.policy import Budget
from townwatch.runner.agents.codex.adapter import CodexAdapter
from townwatch.runner.agents.codex.reading import CodexReader
from townwatch.runner.agents.shape import ShapeError

pytestmark = pytest.mark.timeout(150)


@pytest.fixture
def codex(tmp_path: Path, bench: Bench, model: fake_model.Model) -> Place:
    return others.place(others.CODEX, tmp_path, bench.directory, model)


def without_a_server(codex: Place, tmp_path: Path) -> Place:
    """A Codex that has everything but an app-server."""
    program = tmp_path / "bin" / "codex"
    program.parent.mkdir()
    real = shlex.quote(str(codex.program))
    script = f'[ "$1" = app-server ] && {{ echo "no such command: app-server" >&2; exit 2; }}\nexec {real} "$@"'
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    path = os.pathsep.join([str(program.parent), codex.env["PATH"]])
    return attrs.evolve(codex, program=program, env={**codex.env, "PATH": path})


async def works_alone(seen: Agent, why: str) -> None:
    """Its own dialog asks, a person answers it in the terminal, and the order is carried out once."""
    (alert,) = await seen.until(lambda agent: alerts(agent))
    assert alert["title"] == "adapter off: codex"
    assert why in alert["description"]
    assert alert["description"].endswith("The session goes on as a plain terminal.")
    assert seen.told("status")[-1]["status"] == "unknown"
    await seen.until(lambda agent: "Wouldyouliketorun" in agent.screen)
    await trio.sleep(1)
    made = seen.bench.directory / "risky.txt"
    assert not made.exists()
    await seen.keys("y")
    await seen.until(lambda agent: "Thatwasall." in agent.screen)
    assert made.read_text() == "outside\n"
    assert len(alerts(seen)) == 1
    assert not seen.session.lifecycle.ended


def alerts(agent: Agent) -> list[dict[str, Any]]:
    return [one for one in agent.events if one["type"] == "ALERT_RAISED"]


@pytest.mark.parametrize("where", ["terminal", "dispatched"])
async def test_a_server_that_cannot_start(
    bench: Bench, codex: Place, tmp_path: Path, model: fake_model.Model, where: Literal["terminal", "dispatched"]
) -> None:
    place = without_a_server(codex, tmp_path)
    if where == "dispatched":
        async with dispatched(bench, place, "do:risky please") as seen:
            await works_alone(seen, "cannot be started: no such command: app-server")
    else:
        async with in_terminal(bench, place, CodexAdapter) as seen:
            await seen.until(lambda agent: "unknown" in agent.statuses and "AskCodextodoanything" in agent.screen)
            await trio.sleep(1)
            await seen.keys("do:risky please")
            await trio.sleep(1)
            await seen.keys("\r")
            await works_alone(seen, "cannot be started: no such command: app-server")
    assert model.asked.count(("risky", 1)) == 1  # its command has run once


async def test_a_message_of_an_unknown_shape_leaves_what_was_begun_to_the_terminal(
    bench: Bench, codex: Place, model: fake_model.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = CodexReader.notification

    def odd(self: CodexReader, method: str, params: Any) -> Any:
        if method == "turn/started":
            raise ShapeError("turn.id: a text is expected, not int")
        return known(self, method, params)

    monkeypatch.setattr(CodexReader, "notification", odd)
    async with dispatched(bench, codex, "do:risky please") as seen:
        await works_alone(seen, "turn.id: a text is expected")
    assert model.asked.count(("risky", 1)) == 1  # its command has run once


async def test_what_has_a_budget_that_nobody_counts_any_more_is_stopped(
    bench: Bench, codex: Place, tmp_path: Path
) -> None:
    place = without_a_server(codex, tmp_path)
    async with dispatched(bench, place, "do:risky please", budget=Budget(tokens=1_000_000)) as seen:
        with trio.fail_after(60):
            await seen.session.over.wait()
        (alert,) = alerts(seen)
        assert alert["description"].endswith("The session is stopped.")
