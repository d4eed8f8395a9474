"""The decisions of a person, by adapter and by who comes first: what the CLI did, and what the log says.

One table for all: {allow, deny, deny and stop, question, escape, timeout} × {page first, terminal first, both at once}
× {TUI, dispatched}. The service is away in all of them: a decision comes over the link as it would from it; with a
service that is there, and that is killed and returns, see test_matrix_with_the_service. Cells that cannot be are named
in `cannot`, with the reason, and in docs/agents.md.
"""

import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal
from uuid import uuid4

import attrs
import pytest
import trio

from tests.integration.agents import others
from tests.integration.agents.conftest import Agent
from tests.integration.agents.others import Kind, Place, dispatched, in_terminal, typed
from tests.integration.runner.conftest import Bench, open_bench
from tests.support.agents import fake_model
from tests.support.agents.provide import CACHE
from townwatch.runner.agents import catalog
from townwatch.runner.session import approvals

Where = Literal["terminal", "dispatched"]
Doing = Literal["allow", "deny", "stop", "escape", "timeout", "question"]
First = Literal["page", "terminal", "both"]
YES = {"claude_code": "\r", "codex": "y", "opencode": "\r", "gemini_cli": "\r", "qwen_code": "\r"}
"""The key that says yes in a CLI's dialog, and takes the first answer to a question."""
NO = {"codex": "n", "opencode": "\x1b[C\x1b[C\r", "gemini_cli": "\x1b"}
DIALOGS = {
    "claude_code": "Doyouwant",
    "codex": "Wouldyouliketorun",
    "opencode": "Permissionrequired",
    "gemini_cli": "Allowexecution",
    "qwen_code": "Allowexecution",
}
COLOUR = "Which colour?"
CLIS = [others.CLAUDE, others.CODEX, *others.by_hand(others.OPENCODE, others.GEMINI, others.QWEN, others.COPILOT)]
TUI_WHEN_DISPATCHED = {"codex", "opencode"}
QUESTIONS = {"claude_code", "codex", "opencode"}
"""Providers whose agent asks a person questions of its own."""
CELLS: list[tuple[Where, Doing, First]] = [
    ("terminal", "allow", "page"),
    ("terminal", "allow", "terminal"),
    ("terminal", "allow", "both"),
    ("terminal", "deny", "page"),
    ("terminal", "deny", "terminal"),
    ("terminal", "deny", "both"),
    ("terminal", "stop", "page"),
    ("terminal", "escape", "terminal"),
    ("terminal", "escape", "both"),
    ("terminal", "timeout", "page"),
    ("terminal", "question", "page"),
    ("terminal", "question", "terminal"),
    ("terminal", "question", "both"),
    ("dispatched", "allow", "page"),
    ("dispatched", "allow", "terminal"),
    ("dispatched", "allow", "both"),
    ("dispatched", "deny", "page"),
    ("dispatched", "stop", "page"),
    ("dispatched", "escape", "terminal"),
    ("dispatched", "timeout", "page"),
    ("dispatched", "question", "page"),
    ("dispatched", "question", "terminal"),
]
"""`both`: the page says the opposite of the terminal in the same moment."""
IN_CI = {
    "claude_code": {
        ("terminal", "allow", "both"),
        ("terminal", "stop", "page"),
        ("terminal", "timeout", "page"),
        ("dispatched", "timeout", "page"),
        ("terminal", "question", "both"),
    },
    "codex": {
        ("terminal", "allow", "both"),
        ("terminal", "deny", "page"),
        ("terminal", "stop", "page"),
        ("terminal", "escape", "terminal"),
        ("dispatched", "allow", "terminal"),
        ("dispatched", "deny", "page"),
        ("dispatched", "timeout", "page"),
    },
}
"""What CI runs of an adapter; the other cells are run by hand. Claude's are in its own tests, too."""


def cannot(provider: str, where: Where, doing: Doing, first: First) -> str | None:
    """Return why a cell cannot be; None where it can."""
    if where == "terminal" and provider == "copilot":
        return "it keeps a file of events and reads none"
    if where == "terminal" and provider == "qwen_code" and first != "page" and (doing, first) != ("allow", "terminal"):
        return "a no in its terminal is not told"
    if doing == "question" and provider not in QUESTIONS:
        return "it asks no questions that reach us"
    if where == "terminal" and provider == "gemini_cli" and (doing, first) in (("allow", "page"), ("deny", "both")):
        return "a yes is taken in its terminal only"
    if where == "dispatched" and first != "page" and provider not in TUI_WHEN_DISPATCHED:
        return "it has no dialog of its own there"
    return None


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """Below no directory that others can write beside: Gemini reads no settings of ours there."""
    root = CACHE / "tmp" / uuid4().hex[:8]
    (root / "work").mkdir(parents=True)
    async with open_bench(root / "state", root / "work") as found:
        yield found
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(params=CLIS, ids=lambda kind: kind.provider)
def agent(request: pytest.FixtureRequest, bench: Bench, model: fake_model.Model) -> Place:
    kind: Kind = request.param
    return others.place(kind, bench.directory.parent, bench.directory, model)


@attrs.frozen
class Script:
    """What the model does, and the file that shows that it was done."""

    text: str
    made: str


def script_of(kind: Kind, doing: Doing) -> Script:
    """Codex's sandbox lets a plain command through: it asks about one that leaves it."""
    if doing == "question":
        return Script("do:ask please", "nothing.txt")
    return Script("do:risky please", "risky.txt") if kind is others.CODEX else Script("do:shell please", "shell.txt")


FLAGS = {
    "claude_code": ("--permission-mode=manual",),
    "qwen_code": ("--auth-type", "openai", "--approval-mode", "default"),
}


@asynccontextmanager
async def asked(bench: Bench, place: Place, where: Where, script: Script) -> AsyncIterator[Agent]:
    """A session whose agent has begun its script, and is about to ask."""
    if where == "dispatched":
        async with dispatched(bench, place, script.text) as seen:
            yield seen
        return
    adapter = catalog.recognise([place.kind.cli.name])
    assert adapter is not None
    async with in_terminal(bench, place, adapter, *FLAGS.get(place.kind.provider, ())) as seen:
        await typed(seen, script.text)
        yield seen


async def dialog(seen: Agent, kind: Kind, doing: Doing) -> None:
    """Wait until the dialog is drawn and takes keys."""
    drawn = COLOUR.replace(" ", "") if doing == "question" else DIALOGS[kind.provider]
    await seen.until(lambda agent: drawn in agent.screen)
    await trio.sleep(1)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("where", "doing", "first"), CELLS, ids=["-".join(cell) for cell in CELLS])
async def test_a_cell(
    bench: Bench, agent: Place, where: Where, doing: Doing, first: First, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, provider = agent.kind, agent.kind.provider
    if (why := cannot(provider, where, doing, first)) is not None:
        pytest.skip(why)
    if not others.by_hand(kind) and (where, doing, first) not in IN_CI[provider]:
        pytest.skip("run by python -m tests.agents")
    if doing == "timeout":
        monkeypatch.setattr(approvals, "DEFAULT_TIMEOUT_SECONDS", 3.0)
    script = script_of(kind, doing)
    made = bench.directory / script.made
    async with asked(bench, agent, where, script) as seen:
        request = await seen.asks()
        assert not made.exists()
        assert request["category"] == ("question" if doing == "question" else "shell")
        if first != "page":
            await dialog(seen, kind, doing)
        async with trio.open_nursery() as nursery:
            if first != "page":
                nursery.start_soon(seen.keys, key_of(seen, doing))
            if first != "terminal" and doing != "timeout":
                nursery.start_soon(decided_afar, seen, request, doing, first)
        await seen.until(lambda one: one.resolved or one.session.over.is_set())
        if doing == "stop":
            with trio.fail_after(90):
                await seen.session.over.wait()
        elif doing == "escape" or seen.resolved[0] == ("deny", "terminal"):
            await seen.is_now("idle")
        else:
            await seen.until(lambda one: one.turns or one.statuses[-1] == "idle")
    check(seen, doing, first, ran=made.exists())


def key_of(seen: Agent, doing: Doing) -> str:
    """Return what a person presses in the dialog. Claude's No has the number that stands before it: 2, 3 or 4."""
    provider = seen.session.plan.provider
    if doing == "deny" and provider == "claude_code":
        return re.findall(r"(\d)\.No", seen.screen)[-1]
    return {"escape": "\x1b", "deny": NO.get(provider, ""), "question": "\r"}.get(doing, YES[provider])


async def decided_afar(seen: Agent, request: dict[str, Any], doing: Doing, first: First) -> None:
    """Decide on the page; where the terminal answers in the same moment, the opposite of what it says."""
    if doing == "question":
        await seen.decide(request, "allow", answers={COLOUR: "blue"})
        return
    said = "allow" if doing == "allow" else "deny"
    if first == "both":
        said = "deny" if doing == "allow" else "allow"
    await seen.decide(request, said, stop=doing == "stop")


def check(seen: Agent, doing: Doing, first: First, *, ran: bool) -> None:
    """The one resolution is true, and nothing ran that nobody allowed."""
    (one,) = seen.resolved
    locally = {("withdrawn", "terminal"), ("allow", "terminal"), ("deny", "terminal")}
    if doing == "question":
        wanted = {"page": {("allow", "ada")}, "terminal": locally, "both": {("allow", "ada"), *locally}}
        assert one in wanted[first]
        return
    if first == "both":  # whoever won, the log says the same as what was done
        assert one in {("allow", "ada"), ("deny", "ada"), *locally}
        if one == ("allow", "ada") and doing == "escape" and seen.turns == ["interrupted"]:
            # It took the yes, and Escape, which came when the dialog was gone, ended the call: the log says both.
            assert "after Claude had taken the yes" in seen.told("tool")[-1]["output"]
            assert seen.tools[-1][1] == "failed"
            return
        if one[1] == "ada" or one[0] != "withdrawn":
            assert ran == (one[0] == "allow")
        elif doing != "allow":
            assert not ran
        return
    expected = {
        "allow": {("allow", "ada")} if first == "page" else locally - {("deny", "terminal")},
        "deny": {("deny", "ada")} if first == "page" else locally - {("allow", "terminal")},
        "stop": {("deny", "ada")},
        "escape": locally - {("allow", "terminal")},
        "timeout": {("deny", "timeout")},
    }
    assert one in expected[doing]
    assert ran == (doing == "allow")
