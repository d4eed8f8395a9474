"""A person on the page decides while the service is killed and restarted, and while its runner cannot reach it.

{allow, deny} × {killed and restarted, unreachable} × {terminal, dispatched} for each adapter that the page can answer:
a session with four dialogs. Run by hand (python -P -m tests.agents). What a page cannot say is refused in all of them.
"""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import attrs
import httpx
import pytest
import trio

from tests.integration.agents import others
from tests.integration.agents.conftest import Agent
from tests.integration.agents.others import Kind, Place, dispatched, in_terminal
from tests.integration.agents.test_claude_with_the_service import Far, service, signed_in
from tests.integration.agents.test_matrix import FLAGS, Where
from tests.integration.runner.conftest import Bench, until
from tests.support.agents import fake_model
from tests.support.agents.provide import CACHE
from tests.support.proxy import Way, way_to
from townwatch.config.process import free_port
from townwatch.runner import identity
from townwatch.runner.agents import catalog
from townwatch.runner.opening import open_runner

CASES: list[tuple[Kind, Where]] = [
    (others.CLAUDE, "terminal"),
    (others.CLAUDE, "dispatched"),
    (others.CODEX, "terminal"),
    (others.CODEX, "dispatched"),
    (others.OPENCODE, "terminal"),
    (others.OPENCODE, "dispatched"),
    (others.GEMINI, "dispatched"),
    (others.QWEN, "dispatched"),
    (others.COPILOT, "dispatched"),
]
pytestmark = [
    pytest.mark.skipif(not others.by_hand(others.QWEN), reason="run by python -m tests.agents"),
    pytest.mark.timeout(350),
]
PAUSE = 2.0
"""Long enough for an answer that nobody gave to be seen."""


@attrs.define(eq=False)
class House:
    """A service in a process, a runner that reaches it by a way that can be cut, and one agent's session."""

    root: Path
    far: Far
    way: Way
    port: int
    process: trio.Process | None = None

    @property
    def work(self) -> Path:
        return self.root / "work"

    @asynccontextmanager
    async def restarted(self) -> AsyncIterator[None]:
        """Kill the service, and start it again for the block."""
        assert self.process is not None
        self.process.kill()
        await self.process.wait()
        async with service(self.root / "state", self.port) as process:
            self.process = process
            yield

    async def waits(self, text: str) -> dict[str, object]:
        """The one question, once it is about this."""
        await self.far.until(lambda shown: [1 for one in shown["pendingApprovals"] if text in one["summary"]])
        return await self.far.asked()

    async def says(self, text: str, decision: str) -> None:
        """Decide on the page. The service takes it at once."""
        answer = await self.far.decide(await self.waits(text), decision=decision)
        assert answer.status_code == 200, answer.text


@asynccontextmanager
async def house() -> AsyncIterator[House]:
    """Below no directory that others can write beside: Gemini reads no settings of ours there."""
    root, port = CACHE / "tmp" / uuid4().hex[:8], free_port("127.0.0.1")
    (root / "work").mkdir(parents=True)
    try:
        async with (
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as http,
            way_to(port) as way,
            service(root / "state", port) as process,
        ):
            await signed_in(http, root / "state")
            yield House(root, Far(http), way, port, process)
    finally:
        shutil.rmtree(root, ignore_errors=True)


@asynccontextmanager
async def at_work(house: House, place: Place, where: Where, text: str) -> AsyncIterator[Agent]:
    """A session that has its first prompt. What its runner told is gone from there once the service has it."""
    known = identity.load(house.root / "state")
    known = attrs.evolve(known, url=known.url.replace(f":{house.port}/", f":{house.way.port}/"))
    assert str(house.way.port) in known.url
    async with open_runner(known, house.root / "runner", slot="main") as runner:
        bench = Bench(runner, house.work)
        if where == "dispatched":
            async with dispatched(bench, place, text) as seen:
                house.far.session_id = seen.session.plan.session_id
                yield seen
            return
        adapter = catalog.recognise([place.kind.cli.name])
        assert adapter is not None
        async with in_terminal(bench, place, adapter, *FLAGS.get(place.kind.provider, ())) as seen:
            house.far.session_id = seen.session.plan.session_id
            await typed(house, seen, text)
            yield seen


async def typed(house: House, seen: Agent, text: str) -> None:
    """Give a prompt; one that is typed into a program that has just started may be lost."""
    await house.far.is_now("idle")
    if seen.session.plan.provider != "gemini_cli":
        assert (await house.far.post("prompts", text=text)).status_code == 201
        return
    for _ in range(4):
        await trio.sleep(3)
        await seen.keys(f"\x15{text}")
        await trio.sleep(2)
        await seen.keys("\r")
        with trio.move_on_after(20):
            await until(lambda: seen.session.agent is None or not seen.session.agent.status.startswith("idle"), 60)
            return


@pytest.mark.parametrize(("kind", "where"), CASES, ids=[f"{kind.provider}-{where}" for kind, where in CASES])
async def test_what_a_person_says_is_done_once_and_nothing_else_is(
    model: fake_model.Model, kind: Kind, where: Where
) -> None:
    async with house() as there:
        made = [there.work / f"{name}.txt" for name in ("one", "two", "three")]
        place = others.place(kind, there.root, there.work, model)
        async with at_work(there, place, where, "do:four please") as seen:
            await there.waits("one.txt")
            async with there.restarted():
                await there.says("one.txt", "allow")
                await there.waits("two.txt")
                assert made[0].exists()
                there.way.cut()
                await there.says("two.txt", "allow")
                await trio.sleep(PAUSE)
                assert not made[1].exists()
                there.way.mend()
                await there.waits("three.txt")
                assert made[1].exists()
                async with there.restarted():
                    await there.says("three.txt", "deny")
                    last = await one_more(there)
                    there.way.cut()
                    await there.says(last, "deny")
                    await trio.sleep(PAUSE)
                    there.way.mend()
                    await there.far.is_now("idle")
                    await said_the_same(there, seen, ["allow", "allow", "deny", "deny"])
                    assert not made[2].exists()
                    assert not (there.work / last).exists()


async def one_more(there: House) -> str:
    """The file of one more question, which is open; after a no that ended the turn (Qwen, Copilot) of a new one."""

    def goes_on(shown: dict[str, Any]) -> bool:
        over = (shown.get("agent") or {}).get("status") == "idle"
        return over or any("four.txt" in one["summary"] for one in shown["pendingApprovals"])

    await there.far.until(goes_on)
    if (await there.far.get("/api/approvals"))["items"]:
        return "four.txt"
    assert (await there.far.post("prompts", text="do:risky again")).status_code == 201
    await there.waits("risky.txt")  # a way that is cut before it leads there has no question to answer
    return "risky.txt"


async def said_the_same(there: House, seen: Agent, decisions: list[str]) -> None:
    """CLI, log and lists agree."""
    wanted = [(one, "Owner") for one in decisions]
    await until(lambda: seen.session.events.lifecycle.state == "RUNNING")
    with trio.fail_after(120):
        while await there.far.resolved() != wanted:
            await trio.sleep(0.1)
    assert (await there.far.get("/api/approvals"))["items"] == []


@pytest.mark.parametrize("lost", ["killed", "unreachable"])
async def test_geminis_terminal_takes_a_no_from_the_page_and_a_yes_in_its_dialog_only(
    model: fake_model.Model, lost: str
) -> None:
    async with house() as there:
        place = others.place(others.GEMINI, there.root, there.work, model)
        async with at_work(there, place, "terminal", "do:shell please") as seen:
            refused = await there.far.decide(await there.waits("shell.txt"), decision="allow")
            assert (refused.status_code, refused.json()["error"]["code"]) == (409, "E_NOT_FROM_AFAR")
            if lost == "killed":
                async with there.restarted():
                    await there.says("shell.txt", "deny")
                    await allowed_in_its_terminal(there, seen)
            else:
                there.way.cut()
                await there.says("shell.txt", "deny")
                await trio.sleep(PAUSE)
                assert seen.session.approvals.waiting()  # its runner has not heard of it
                there.way.mend()
                await allowed_in_its_terminal(there, seen)


async def allowed_in_its_terminal(there: House, seen: Agent) -> None:
    await there.far.until(lambda shown: not shown["pendingApprovals"])
    assert not (there.work / "shell.txt").exists()
    await typed(there, seen, "do:shell again")
    there.way.cut()
    await until(seen.session.approvals.waiting, 60)
    await trio.sleep(3)
    await seen.keys("\r")
    await until(lambda: (there.work / "shell.txt").exists(), 60)
    there.way.mend()
    await there.far.is_now("idle")
    with trio.fail_after(120):
        while await there.far.resolved() != [("deny", "Owner"), ("allow", "terminal")]:
            await trio.sleep(0.1)
    assert (await there.far.get("/api/approvals"))["items"] == []
