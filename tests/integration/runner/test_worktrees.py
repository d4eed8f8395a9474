"""Sessions in worktrees of their own, with real git: made, shown, removed where nothing is lost, kept where something
would be.
"""

import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.runner.conftest import Bench, open_bench, until
from townwatch.contracts.events import RepoRef
from townwatch.contracts.link import Command, ErrorBody
from townwatch.contracts.tasks import SessionConfig, TaskSpec, WorktreeSpec
from townwatch.runner.identity import new_session_id
from townwatch.runner.session.session import Session


def git(directory: Path, *words: str) -> str:
    settings = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    return subprocess.run(
        ["git", "-C", str(directory), *settings, *words], check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    directory = tmp_path / "work"
    (directory / "part").mkdir(parents=True)
    git(directory, "init", "--quiet", "--initial-branch=main")
    (directory / "part" / "readme").write_text("hello\n")
    git(directory, "add", ".")
    git(directory, "commit", "--quiet", "--message=first")
    async with open_bench(tmp_path / "state", directory) as found:
        yield found


async def order(bench: Bench, script: str, branch: str = "agent/one", **fields: Any) -> Session | ErrorBody:
    session_id = new_session_id()
    base = fields.pop("base", None)
    config = SessionConfig(
        session_id=session_id,
        org_id="demo",
        agent_id="a1",
        provider_id="command",
        repo_ref=RepoRef(provider="local", path=str(bench.directory)),
        task=TaskSpec(title="t", goal="g"),
        command=["bash", "-c", script],
        worktree=WorktreeSpec(branch=branch, base=base),
        **fields,
    )
    done = await bench.runner._handle(Command(command_id=session_id, command="start", config=config))
    return bench.runner.sessions[session_id] if done.ok else done.error


async def clean(bench: Bench, session: Session, *, discard: bool = False) -> str:
    """The runner's refusal; empty where it was done."""
    session_id = session.plan.session_id
    command = Command(command_id=new_session_id(), command="clean_worktree", session_id=session_id, discard=discard)
    done = await bench.runner._handle(command)
    return "" if done.ok else done.error.message


def told(bench: Bench, session: Session) -> list[dict[str, Any]]:
    events = [one["providerEvent"] for one in bench.events(session, "PROVIDER_EVENT_FORWARDED")]
    return [one for one in events if one["type"] == "agent.worktree"]


COMMIT = "git -c user.name=A -c user.email=a@b commit -q -a -m more"


async def test_a_tree_is_kept_for_a_new_file_and_goes_with_a_session_that_leaves_none(bench: Bench) -> None:
    session = await order(bench, "pwd; git branch --show-current; touch ignored", room_path="part")
    assert isinstance(session, Session)
    made = session.plan.tree
    assert made is not None
    await bench.over(session)
    shown = bench.output(session)
    assert made.path in shown
    assert "/part" in shown
    assert "agent/one" in shown
    assert [one["status"] for one in told(bench, session)] == ["made", "kept"]
    assert told(bench, session)[-1]["reason"] == "1 file with changes that are not committed"
    again = await order(bench, "rm part/ignored", base="main")
    assert isinstance(again, Session)
    await bench.over(again)
    assert told(bench, again)[0]["path"] == made.path
    assert told(bench, again)[-1]["status"] == "removed"
    assert not Path(made.path).exists()
    assert git(bench.directory, "branch", "--list", "agent/*") == ""
    assert git(bench.directory, "worktree", "list").count("\n") == 0
    assert await clean(bench, again) == ""  # it is gone


async def test_what_only_the_tree_has_is_kept_until_it_is_merged_or_discarded(bench: Bench) -> None:
    session = await order(bench, f"echo more >> part/readme; {COMMIT}")
    assert isinstance(session, Session)
    await bench.over(session)
    assert session.plan.tree is not None
    path = Path(session.plan.tree.path)
    assert told(bench, session)[-1]["reason"] == "1 commit that main does not have"
    assert "1 commit that main does not have" in await clean(bench, session)
    assert path.exists()
    assert (bench.directory / "part" / "readme").read_text() == "hello\n"
    git(bench.directory, "merge", "--quiet", "agent/one")
    assert await clean(bench, session) == ""
    assert not path.exists()
    assert (bench.directory / "part" / "readme").read_text() == "hello\nmore\n"
    other = await order(bench, f"echo yet >> part/readme; {COMMIT}; touch new", "agent/two")
    assert isinstance(other, Session)
    await bench.over(other)
    assert told(bench, other)[-1]["reason"] == (
        "1 commit that main does not have, 1 file with changes that are not committed"
    )
    assert await clean(bench, other, discard=True) == ""
    assert git(bench.directory, "branch", "--list", "agent/*") == ""
    assert git(bench.directory, "status", "--porcelain") == ""


async def test_a_tree_is_one_session_s_and_a_person_s_own_branch_stays(bench: Bench) -> None:
    git(bench.directory, "branch", "mine")
    session = await order(bench, "sleep 60", "mine")
    assert isinstance(session, Session)
    await until(lambda: bench.events(session, "SESSION_STARTED"))
    second = await order(bench, "true", "mine")
    assert isinstance(second, ErrorBody)
    assert "another session works in the worktree of mine" in second.message
    assert "stop it first" in await clean(bench, session, discard=True)
    await session.stop(graceful=False)
    await bench.over(session)
    assert told(bench, session)[-1]["status"] == "removed"
    assert git(bench.directory, "branch", "--list", "mine") == "mine"


@pytest.mark.parametrize(
    ("branch", "base", "why"),
    [
        ("main", None, "the branch main is checked out in"),
        ("-f", None, "'-f' is no name for a branch"),
        ("a..b", None, "'a..b' is no name for a branch"),
        ("new", "nowhere", "'nowhere' is no commit"),
        ("new", "--help", "'--help' is no commit"),
    ],
)
async def test_what_cannot_be_made_is_refused_and_changes_nothing(
    bench: Bench, branch: str, base: str | None, why: str
) -> None:
    refused = await order(bench, "true", branch, base=base)
    assert isinstance(refused, ErrorBody)
    assert why in refused.message
    assert git(bench.directory, "branch", "--list") == "* main"
    assert git(bench.directory, "worktree", "list").count("\n") == 0


async def test_a_directory_without_git_has_no_worktrees(bench: Bench, tmp_path: Path) -> None:
    bench.directory = tmp_path / "plain"
    bench.directory.mkdir()
    refused = await order(bench, "true")
    assert isinstance(refused, ErrorBody)
    assert "is no git repository" in refused.message
