"""Decisions with a service that is there, that is killed and returns, and that is away: everybody says the same.

One session of each adapter with four dialogs. Claude's terminal is in test_claude_with_the_service, which CI runs; the
others are run by hand (python -P -m tests.agents), for between service and runner a decision travels the same way.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import httpx
import pytest
import trio

from tests.integration.agents import others
from tests.integration.agents.conftest import Agent
from tests.integration.agents.others import Kind, Place, dispatched, in_terminal
from tests.integration.agents.test_claude_with_the_service import Far, service, signed_in
from tests.integration.runner.conftest import Bench, until
from tests.support.agents import fake_model
from townwatch.config.process import free_port
from townwatch.runner import identity
from townwatch.runner.agents import catalog
from townwatch.runner.opening import open_runner

Where = Literal["terminal", "dispatched"]
CASES: list[tuple[Kind, Where, str | None]] = [
    (others.CLAUDE, "dispatched", None),
    (others.CODEX, "terminal", "y"),
    (others.CODEX, "dispatched", "y"),
    (others.OPENCODE, "terminal", "\r"),
    (others.OPENCODE, "dispatched", "\r"),
    (others.GEMINI, "dispatched", None),
    (others.QWEN, "dispatched", None),
    (others.COPILOT, "dispatched", None),
]
"""With the key that says yes in the CLI's own dialog, where it has one."""


@asynccontextmanager
async def at_work(bench: Bench, place: Place, where: Where) -> AsyncIterator[Agent]:
    if where == "dispatched":
        async with dispatched(bench, place, "do:four please") as seen:
            yield seen
        return
    adapter = catalog.recognise([place.kind.cli.name])
    assert adapter is not None
    async with in_terminal(bench, place, adapter) as seen:
        yield seen


@pytest.mark.skipif(not others.by_hand(others.QWEN), reason="run by python -m tests.agents")
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("kind", "where", "key"), CASES, ids=[f"{kind.provider}-{where}" for kind, where, _ in CASES])
async def test_everybody_says_the_same(
    tmp_path: Path, model: fake_model.Model, kind: Kind, where: Where, key: str | None
) -> None:
    work, state, port = tmp_path / "work", tmp_path / "state", free_port("127.0.0.1")
    work.mkdir()
    place = others.place(kind, tmp_path, work, model)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as http:
        far = Far(http)
        async with service(state, port) as process:
            await signed_in(http, state)
            async with open_runner(identity.load(state), tmp_path / "runner", slot="main") as runner:
                bench = Bench(runner, work)
                async with at_work(bench, place, where) as seen:
                    far.session_id = seen.session.plan.session_id
                    if where == "terminal":
                        await far.is_now("idle")  # keys that are typed so soon after its start may be lost
                        assert (await far.post("prompts", text="do:four please")).status_code == 201
                    await up(far, work)
                    await killed_and_restarted(far, seen, process, state, port, work, key)


async def up(far: Far, work: Path) -> None:
    """A yes from the page."""
    asked = await far.asked()
    assert "echo one > one.txt" in asked["summary"]
    assert not (work / "one.txt").exists()
    assert (await far.decide(asked, decision="allow")).status_code == 200
    await far.until(lambda shown: [True for one in shown["pendingApprovals"] if "two.txt" in one["summary"]])
    assert (work / "one.txt").exists()
    assert await far.resolved() == [("allow", "Owner")]


async def killed_and_restarted(
    far: Far, seen: Agent, process: trio.Process, state: Path, port: int, work: Path, key: str | None
) -> None:
    """It is killed while a dialog is open, and returns: the dialog is the same. Then it is away for longer."""
    asked = await far.asked()
    process.kill()
    await process.wait()
    async with service(state, port) as again:
        await far.until(lambda shown: shown["pendingApprovals"])
        assert (await far.asked())["approvalId"] == asked["approvalId"]
        assert not (work / "two.txt").exists()
        assert (await far.decide(asked, decision="allow")).status_code == 200
        await far.until(lambda shown: [True for one in shown["pendingApprovals"] if "three.txt" in one["summary"]])
        assert (work / "two.txt").exists()
        third = await far.asked()
        again.kill()
        await again.wait()
        await trio.sleep(2)
        assert not (work / "three.txt").exists()  # nobody has answered
        if key is not None:
            await seen.keys(key)
            await until(lambda: (work / "three.txt").exists(), 60)
    async with service(state, port):
        if key is None:
            await far.until(lambda shown: shown["pendingApprovals"])
            assert (await far.asked())["approvalId"] == third["approvalId"]
            assert (await far.decide(third, decision="deny")).status_code == 200
        if seen.session.plan.provider in ("qwen_code", "copilot"):  # to which the no ended the turn
            await far.is_now("idle")
            assert (await far.post("prompts", text="do:risky again")).status_code == 201
        await far.until(lambda shown: [True for one in shown["pendingApprovals"] if "three" not in one["summary"]])
        assert (work / "three.txt").exists() == (key is not None)
        told = await far.resolved()
        assert told[:2] == [("allow", "Owner"), ("allow", "Owner")]
        assert told[2:] in ([("deny", "Owner")], [("withdrawn", "terminal")], [("allow", "terminal")])
        assert (told[2] == ("deny", "Owner")) == (key is None)
        last = await far.asked()
        assert (await far.decide(last, decision="deny", stop=True)).status_code == 200
        await far.until(lambda shown: shown["state"] == "COMPLETED")
        assert (await far.resolved())[3] == ("deny", "Owner")
        assert (await far.get("/api/approvals"))["items"] == []
        assert not (work / "four.txt").exists()
        assert not (work / "risky.txt").exists()
