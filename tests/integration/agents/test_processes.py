"""Pause, resume and stop reach all that an agent has started: looked for by its mark over all of /proc."""

import os
from pathlib import Path

import psutil
import pytest
import trio

from tests.integration.agents import others
from tests.integration.agents.conftest import Agent
from tests.integration.agents.others import Kind, dispatched, marked, of_session
from tests.integration.runner.conftest import Bench
from tests.support.agents import fake_model

MORE = (others.OPENCODE, others.GEMINI, others.QWEN, others.COPILOT)
CASES = [
    (others.CLAUDE, "long", "time.sleep(120)"),
    (others.CLAUDE, "server", "time.sleep(121)"),
    (others.CLAUDE, "helper", "time.sleep(120)"),
    (others.CODEX, "long", "time.sleep(120)"),
    *((kind, "long", "time.sleep(120)") for kind in others.by_hand(*MORE)),
    *((kind, "server", "time.sleep(121)") for kind in others.by_hand(others.CODEX, *MORE)),
    *((kind, "helper", "time.sleep(120)") for kind in others.by_hand(others.OPENCODE)),
]
"""A tool at work, a server that was left in the background, a tool of a subagent."""


async def until_runs(seen: Agent, command: str) -> None:
    """Allow what is asked until this command is among the session's processes."""
    allowed = 0
    with trio.fail_after(150):
        while not any(command in line for line in of_session(seen.session.plan.session_id)):
            if len(seen.requests) > allowed:
                await seen.decide(seen.requests[allowed], "allow")
                allowed += 1
            await trio.sleep(0.1)


def working(session_id: str) -> list[str]:
    """The processes of a session that are not stopped."""
    found: list[str] = []
    for process in marked(session_id):
        try:
            if process.status() != psutil.STATUS_STOPPED and process.pid != os.getpid():
                found.append(f"{process.status()} {process.cmdline()}")
        except psutil.Error:
            continue
    return found


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("kind", "script", "command"), CASES, ids=[f"{k.provider}-{s}" for k, s, _ in CASES])
async def test_nothing_of_it_works_while_it_is_paused_or_after_its_end(
    bench: Bench, tmp_path: Path, model: fake_model.Model, kind: Kind, script: str, command: str
) -> None:
    place = others.place(kind, tmp_path, bench.directory, model)
    async with dispatched(bench, place, f"do:{script} please") as seen:
        await until_runs(seen, command)
        session_id = seen.session.plan.session_id
        assert (await seen.command("pause")).ok
        with trio.fail_after(10):
            while working(session_id):
                await trio.sleep(0.1)
        assert (await seen.command("resume")).ok
        with trio.fail_after(10):
            while not working(session_id):
                await trio.sleep(0.1)
        await seen.session.stop(graceful=True)
        await seen.session.over.wait()
        assert of_session(session_id) == []
