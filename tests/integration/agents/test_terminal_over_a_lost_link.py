"""Dialogs that are answered in the terminal, and open, while the page cannot know of it: the log, the lists and what
ran agree once the way is back, and no yes stands that no person gave.

{allow, deny} in the terminal × {unreachable, killed and restarted}, and a yes of the page that comes too late, for the
CLIs whose own dialog takes both (Claude, whose Escape is its no). Run by hand (python -P -m tests.agents).
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from tests.integration.agents import others
from tests.integration.agents.conftest import SEQUENCE, Agent
from tests.integration.agents.others import Kind
from tests.integration.agents.test_claude_with_the_service import service
from tests.integration.agents.test_matrix import NO, YES, Where
from tests.integration.agents.test_matrix_with_the_link import PAUSE, House, at_work, house
from tests.integration.runner.conftest import until
from tests.support.agents import fake_model

CASES: list[tuple[Kind, Where]] = [
    (others.CLAUDE, "terminal"),
    (others.CODEX, "terminal"),
    (others.OPENCODE, "terminal"),
    (others.OPENCODE, "dispatched"),
]
pytestmark = [
    pytest.mark.skipif(not others.by_hand(others.QWEN), reason="run by python -m tests.agents"),
    pytest.mark.timeout(420),
]
ESCAPE = "\x1b"
TERMINAL = {"allow": {("allow", "terminal"), ("withdrawn", "terminal")}}
TERMINAL["deny"] = {("deny", "terminal"), ("withdrawn", "terminal")}
"""Codex says that a question is over, and not how."""


async def press(there: House, seen: Agent, keys: str, over: Callable[[], bool]) -> None:
    """Press keys in the dialog until they have done what they do: it takes none in its first moment."""
    for _ in range(10):
        await trio.sleep(PAUSE)
        if over():
            return
        await seen.keys(keys)
        with trio.move_on_after(PAUSE):
            await until(over, 60)
            return
    raise AssertionError(f"the dialog takes no key; its screen: {await screen(there)}")


async def screen(there: House) -> str:
    """Return the end of what the terminal showed, without its sequences and blanks."""
    there.way.mend()
    await trio.sleep(PAUSE)
    said = (await there.far.get(f"/api/runner/sessions/{there.far.session_id}/events?limit=1000"))["items"]
    text = "".join(one["data"] for one in said if one["type"] == "TERMINAL_CHUNK")
    return re.sub(r"\s+", "", SEQUENCE.sub("", text))[-600:]


def waiting(seen: Agent) -> list[str]:
    """What the runner knows to wait."""
    return [one.summary for one in seen.session.approvals.waiting()]


async def decided_list(there: House) -> list[dict[str, Any]]:
    """What the page's list of decisions says."""
    return (await there.far.get("/api/approvals?state=decided"))["items"]


async def killed(there: House, meanwhile: Callable[[], Awaitable[None]]) -> Any:
    """Kill the service, and return it started again once `meanwhile` is over."""
    assert there.process is not None
    there.process.kill()
    await there.process.wait()
    await meanwhile()
    return service(there.root / "state", there.port)


@pytest.mark.parametrize(("kind", "where"), CASES, ids=[f"{kind.provider}-{where}" for kind, where in CASES])
async def test_what_the_terminal_says_stands(model: fake_model.Model, kind: Kind, where: Where) -> None:
    yes, no = YES[kind.provider], NO.get(kind.provider, ESCAPE)
    async with house() as there:
        one, two, risky = (there.work / f"{name}.txt" for name in ("one", "two", "risky"))

        async with at_work(there, place_of(kind, there, model), where, "do:four please") as seen:

            async def refused() -> None:
                await press(there, seen, no, lambda: not any("two.txt" in text for text in waiting(seen)))

            # Unreachable: a yes in the terminal, and the next dialog opens.
            await there.waits("one.txt")
            there.way.cut()
            await press(there, seen, yes, one.exists)
            await until(lambda: any("two.txt" in text for text in waiting(seen)), 60)
            await trio.sleep(PAUSE)
            assert not two.exists()
            there.way.mend()
            await there.waits("two.txt")
            (first,) = await there.far.resolved()
            assert first in TERMINAL["allow"]
            # Killed and restarted: a no in the terminal.
            async with await killed(there, refused) as process:
                there.process = process
                await there.far.until(
                    lambda shown: not any("two.txt" in a["summary"] for a in shown["pendingApprovals"])
                )
                assert (await there.far.resolved())[1] in TERMINAL["deny"]
                assert not two.exists()
                # Unreachable: a no in the terminal, and then a yes of the page that has not heard of it.
                last = await one_more(there)
                asked = await there.waits(last)
                there.way.cut()
                await trio.sleep(PAUSE)
                await press(there, seen, no, lambda: not any(last in text for text in waiting(seen)))
                assert (await there.far.decide(asked, decision="allow")).status_code == 200
                there.way.mend()
                await there.far.until(lambda shown: len(shown["pendingApprovals"]) == 0)
                await trio.sleep(2 * PAUSE)
                told = await there.far.resolved()
                assert [said in TERMINAL["deny"] for said in told[1:3]] == [True, True], told
                assert not (there.work / last).exists()
                (decided,) = [a for a in await decided_list(there) if a["approvalId"] == asked["approvalId"]]
                outcome = decided["outcome"]  # what became of the person's yes
                assert (decided["decision"], decided["resolvedBy"]) == ("allow", "Owner")
                assert (outcome["decision"], outcome["resolvedBy"]) in TERMINAL["deny"]
        assert not risky.exists()


async def one_more(there: House) -> str:
    """The file of the next question; a no in the terminal has ended the turn of some."""

    def goes_on(shown: dict[str, Any]) -> bool:
        over = (shown.get("agent") or {}).get("status") == "idle"
        return over or any("three.txt" in one["summary"] for one in shown["pendingApprovals"])

    await there.far.until(goes_on)
    if (await there.far.get("/api/approvals"))["items"]:
        return "three.txt"
    assert (await there.far.post("prompts", text="do:risky again")).status_code == 201
    return "risky.txt"


def place_of(kind: Kind, there: House, model: fake_model.Model) -> others.Place:
    return others.place(kind, there.root, there.work, model)
