"""Real agents in worktrees of their own that go on with an earlier session, with a model that was chosen."""

import subprocess
from pathlib import Path

import pytest

from tests.integration.agents import others
from tests.integration.agents.others import Kind, Place, dispatched
from tests.integration.runner.conftest import Bench
from tests.support.agents import fake_model
from townwatch.contracts.tasks import WorktreeSpec

KINDS = [others.CLAUDE, others.CODEX, *others.by_hand(others.GEMINI, others.OPENCODE, others.QWEN, others.COPILOT)]
MODELS = {
    "claude_code": "claude-sonnet-4-5",
    "codex": "gpt-5.4",
    "gemini_cli": "gemini-2.5-flash",
    "opencode": "fake/other",
    "qwen_code": "other",
    "copilot": "gpt-5.4",
}


@pytest.fixture(params=KINDS, ids=lambda kind: kind.provider)
def agent(request: pytest.FixtureRequest, tmp_path: Path, bench: Bench, model: fake_model.Model) -> Place:
    kind: Kind = request.param
    return others.place(kind, tmp_path, bench.directory, model)


def make_repository(directory: Path) -> None:
    git = ["git", "-C", str(directory), "-c", "user.name=A", "-c", "user.email=a@b"]
    for words in (["init", "-q", "-b", "main"], ["commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run([*git, *words], check=True, capture_output=True)


def let_a_minute_pass(home: Path) -> None:
    """Gemini names a conversation's file by the minute of its start, and overwrites it where it is resumed in that."""
    for file in home.glob(".gemini/tmp/*/chats/session-*"):
        file.rename(file.with_name(f"session-2020-01-01T00-00-{file.name.rpartition('-')[2]}"))


@pytest.mark.timeout(180)
async def test_a_session_goes_on_in_its_worktree_with_its_conversation(
    bench: Bench, agent: Place, model: fake_model.Model
) -> None:
    make_repository(bench.directory)
    tree = WorktreeSpec(branch="agent/x")
    async with dispatched(bench, agent, "do:shell please", worktree=tree) as first:
        if agent.kind is not others.CODEX:  # whose sandbox lets it through
            await first.decide(await first.asks(), "allow")
        assert await first.turn_ends() == "completed"
        await first.is_now("idle")
        conversation = [one["cliSessionId"] for one in first.told("session") if "cliSessionId" in one][-1]
        await first.command("stop")
        await bench.over(first.session)
    assert [one["status"] for one in first.told("worktree")] == ["made", "kept"]
    where = Path(first.told("worktree")[0]["path"])
    assert (where / "shell.txt").exists()
    assert list(bench.directory.glob("*.txt")) == []
    let_a_minute_pass(Path(agent.env["HOME"]))
    more = {"resume_of": first.session.plan.session_id, "cli_session_id": conversation}
    wanted = MODELS[agent.kind.provider]
    async with dispatched(bench, agent, "do:hello again", worktree=tree, model=wanted, **more) as second:
        assert await second.turn_ends() == "completed"
        assert {"shell", "hello"} <= set(model.history)
        assert wanted.rpartition("/")[2] in {name.rpartition("/")[2] for name in model.models}
        told = [one for one in second.told("session") if "cliSessionId" in one]
        assert told[-1]["cliSessionId"] == conversation
        assert second.told("session")[0]["resumeOf"] == first.session.plan.session_id
        assert [prompt["text"] for prompt in second.told("prompt")] == ["A task\n\ndo:hello again"]
        assert second.turns == ["completed"]  # what was told before is not told again
        assert second.session.plan.directory == where
