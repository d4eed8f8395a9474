"""The decisions of a person, by adapter and by who comes first: what the CLI did, and what the log says.

One table for all: {allow, deny, deny and stop, escape, timeout} × {page first, terminal first, both at once} ×
{TUI, dispatched}. The service is away in all of them: a decision comes over the link as it would from it. Cells that
cannot be are named in `CANNOT`, with the reason, and in docs/agents.md.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import attrs
import pytest
import trio

from tests.integration.agents import others
from tests.integration.agents.conftest import Agent
from tests.integration.agents.others import Kind, Place, dispatched, in_terminal
from tests.integration.runner.conftest import Bench
from tests.support.agents import fake_model
from tests.support.agents.fake_protocols import PROTOCOLS
from townwatch.runner.agents import catalog
from townwatch.runner.session import approvals

Where = Literal["terminal", "dispatched"]
Doing = Literal["allow", "deny", "stop", "escape", "timeout"]
First = Literal["page", "terminal", "both"]
YES = {"claude_code": "\r", "codex": "y", "opencode": "\r"}
"""The key that says yes in a CLI's dialog."""
DIALOGS = {"claude_code": "Doyouwant", "codex": "Wouldyouliketorun", "opencode": "Permissionrequired"}
CLIS = [others.CLAUDE, others.CODEX, *others.by_hand(others.OPENCODE, others.GEMINI, others.QWEN, others.COPILOT)]
OWN_SCREEN = {"claude_code", "codex", "opencode"}
"""Providers whose TUI is answered from afar as well."""
CELLS: list[tuple[Where, Doing, First]] = [
    ("terminal", "allow", "page"),
    ("terminal", "allow", "terminal"),
    ("terminal", "allow", "both"),
    ("terminal", "deny", "page"),
    ("terminal", "stop", "page"),
    ("terminal", "escape", "terminal"),
    ("terminal", "timeout", "page"),
    ("dispatched", "allow", "page"),
    ("dispatched", "deny", "page"),
    ("dispatched", "stop", "page"),
    ("dispatched", "timeout", "page"),
]
ELSEWHERE = set(CELLS) - {
    ("terminal", "allow", "both"),
    ("terminal", "timeout", "page"),
    ("dispatched", "timeout", "page"),
}
"""Cells that test_claude_terminal and test_claude_dispatched have as well: of Claude, run by hand only."""
CANNOT: dict[tuple[str, Where], str] = {
    ("gemini_cli", "terminal"): "its hooks see a dialog and cannot answer it",
    ("copilot", "terminal"): "it keeps a file of events and reads none",
    ("qwen_code", "terminal"): "a no ends its turn and is not told; see test_others_terminal",
}


@pytest.fixture
def model() -> Iterator[fake_model.Model]:
    with fake_model.serve(protocols=PROTOCOLS) as found:
        yield found


@pytest.fixture(params=CLIS, ids=lambda kind: kind.provider)
def agent(request: pytest.FixtureRequest, tmp_path: Path, bench: Bench, model: fake_model.Model) -> Place:
    kind: Kind = request.param
    return others.place(kind, tmp_path, bench.directory, model)


@attrs.frozen
class Script:
    """What the model does, and the file that shows that it was done."""

    text: str
    made: str


def script_of(kind: Kind) -> Script:
    """Codex's sandbox lets a plain command through: it asks about one that leaves it."""
    return Script("do:risky please", "risky.txt") if kind is others.CODEX else Script("do:shell please", "shell.txt")


@asynccontextmanager
async def asked(bench: Bench, place: Place, where: Where) -> AsyncIterator[Agent]:
    """A session whose agent has begun its script, and is about to ask."""
    script = script_of(place.kind)
    if where == "dispatched":
        async with dispatched(bench, place, script.text) as seen:
            yield seen
        return
    adapter = catalog.recognise([place.kind.cli.name])
    assert adapter is not None
    flags = ("--permission-mode=manual",) if place.kind is others.CLAUDE else ()
    async with in_terminal(bench, place, adapter, *flags) as seen:
        await seen.says(script.text)
        yield seen


async def dialog(seen: Agent, kind: Kind) -> None:
    """Wait until the dialog is drawn and takes keys."""
    await seen.until(lambda agent: DIALOGS[kind.provider] in agent.screen)
    await trio.sleep(0.7)


@pytest.mark.timeout(150)
@pytest.mark.parametrize(("where", "doing", "first"), CELLS, ids=["-".join(cell) for cell in CELLS])
async def test_a_cell(
    bench: Bench, agent: Place, where: Where, doing: Doing, first: First, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = agent.kind
    if (kind.provider, where) in CANNOT:
        pytest.skip(CANNOT[kind.provider, where])
    if kind is others.CLAUDE and (where, doing, first) in ELSEWHERE and not others.by_hand(kind):
        pytest.skip("in Claude's own tests; run here by python -m tests.agents")
    if doing == "timeout":
        monkeypatch.setattr(approvals, "DEFAULT_TIMEOUT_SECONDS", 3.0)
    made = bench.directory / script_of(kind).made
    async with asked(bench, agent, where) as seen:
        request = await seen.asks()
        assert not made.exists()
        if first == "terminal" or doing == "escape":
            await dialog(seen, kind)
            await seen.keys("\x1b" if doing == "escape" else YES[kind.provider])
            await seen.until(lambda one: one.resolved)
        elif first == "both":
            await dialog(seen, kind)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(seen.keys, YES[kind.provider])
                nursery.start_soon(seen.decide, request, "deny")
            await seen.until(lambda one: one.resolved)
        elif doing == "timeout":
            await seen.until(lambda one: one.resolved)
        else:
            await seen.decide(request, "allow" if doing == "allow" else "deny", stop=doing == "stop")
        if doing == "stop":
            with trio.fail_after(30):
                await seen.session.over.wait()
        elif doing == "escape":
            await seen.is_now("idle")
        else:
            await seen.turn_ends()
    check(seen, doing, first, ran=made.exists())


def check(seen: Agent, doing: Doing, first: First, *, ran: bool) -> None:
    """The one resolution is true, and nothing ran that nobody allowed."""
    (one,) = seen.resolved
    if first == "both":  # whoever won, the log says the same as what was done
        assert one in {("withdrawn", "terminal"), ("allow", "terminal"), ("deny", "ada")}
        assert ran == (one[0] != "deny")
        return
    wanted = {
        "allow": {("allow", "ada")} if first == "page" else {("withdrawn", "terminal"), ("allow", "terminal")},
        "deny": {("deny", "ada")},
        "stop": {("deny", "ada")},
        "escape": {("withdrawn", "terminal"), ("deny", "terminal")},
        "timeout": {("deny", "timeout")},
    }
    assert one in wanted[doing]
    assert ran == (doing == "allow")
