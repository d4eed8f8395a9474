"""Agents' CLIs of another user (`run_as`): their adapters work as without, and nobody else reaches what they share."""

import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import attrs
import pytest
import trio

from tests.integration.agents import others
from tests.integration.agents.others import Kind, Place, dispatched, in_terminal, marked
from tests.integration.runner.conftest import NOBODY, Bench, until
from tests.support.accounts import python_of, reason_for_none, second_user
from tests.support.agents import fake_model
from townwatch.contracts.events import RepoRef
from townwatch.contracts.link import Command
from townwatch.contracts.tasks import SessionConfig, TaskSpec
from townwatch.runner import account
from townwatch.runner.account import Account
from townwatch.runner.agents import catalog, shared_files
from townwatch.runner.agents.adapter import AdapterOff
from townwatch.runner.agents.claude.terminal import ClaudeTerminal
from townwatch.runner.agents.gemini import hook_program
from townwatch.runner.identity import Identity
from townwatch.runner.opening import open_runner

# ruff: noqa: ASYNC220, ASYNC221  small programs of other users, beside the loop
pytestmark = [
    pytest.mark.skipif(bool(reason_for_none()), reason=reason_for_none()),
    pytest.mark.timeout(150),
]


@pytest.fixture(scope="module")
def user() -> Iterator[Account]:
    with second_user(f"tw-cli-{os.getpid()}") as found:
        yield found


@pytest.fixture(scope="module")
def stranger() -> Iterator[Account]:
    with second_user(f"tw-other-{os.getpid()}") as found:
        yield found


@pytest.fixture
async def bench(user: Account) -> AsyncIterator[Bench]:
    """A runner whose state directory is closed to the user, and a directory of the user's to work in."""
    state = Path(tempfile.mkdtemp(prefix="townwatch-closed-"))
    work = user.home / "work"
    work.mkdir()
    known = Identity(runner_id="test-runner", token="none", url=NOBODY)
    try:
        async with open_runner(known, state, slot="main", account=user) as runner:
            yield Bench(runner, work)
    finally:
        shutil.rmtree(state)
        for path in user.home.iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def of_user(kind: Kind, user: Account, bench: Bench, model: fake_model.Model) -> Place:
    """The CLI, with the user's own home as its."""
    place = others.place(kind, user.home, bench.directory, model)
    if subprocess.run(["test", "-x", place.program], cwd="/", **user.options()).returncode != 0:
        pytest.skip(f"other users may not execute {place.program}")
    made = Path(place.env["HOME"])
    for path in made.iterdir():
        path.rename(user.home / path.name)
    made.rmdir()
    subprocess.run(["chown", "-hR", f"{user.uid}:{user.gid}", str(user.home)], check=True)
    return attrs.evolve(place, env={**place.env, "HOME": str(user.home)})


def whose(session_id: str) -> set[int]:
    """The users that the processes of a session have."""
    return {process.uids().real for process in marked(session_id)}


def closed_to(stranger: Account, session_id: str, files: Path) -> str:
    """What a third user reads of a session: its directory, the environments of its processes. Empty: nothing."""
    looks = [f"ls {files}", f"cat {files}/*", f"ls -R {files.parent}"]
    looks += [f"cat /proc/{process.pid}/environ" for process in marked(session_id)]
    script = "; ".join(f"{look} 2>/dev/null" for look in looks)
    return subprocess.check_output(["/bin/sh", "-c", f"{script}; true"], text=True, cwd="/", **stranger.options())


def directories(files: Path) -> set[tuple[int, int]]:
    """(owner, rights) of a session's directory, and of those that its sockets really are in."""
    found = {files, *(path.resolve().parent for path in files.rglob("*.sock"))}
    return {(path.stat().st_uid, stat.S_IMODE(path.stat().st_mode)) for path in found}


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


CASES = [(others.CLAUDE, "do:shell please", "shell.txt"), (others.CODEX, "do:risky please", "risky.txt"),
         *((one, "do:shell please", "shell.txt") for one in others.by_hand(others.OPENCODE))]  # fmt: skip


@pytest.mark.parametrize(("kind", "script", "made"), CASES, ids=lambda one: getattr(one, "provider", ""))
async def test_what_is_ordered_is_asked_on_the_page_and_done_as_that_user(
    bench: Bench, user: Account, stranger: Account, model: fake_model.Model, kind: Kind, script: str, made: str
) -> None:
    async with dispatched(bench, of_user(kind, user, bench, model), script) as seen:
        request = await seen.asks()
        session_id = seen.session.plan.session_id
        files = bench.runner.agent_files / session_id
        assert directories(files) == {(user.uid, 0o700)}
        assert closed_to(stranger, session_id, files) == ""
        assert whose(session_id) == {user.uid}
        assert not (bench.directory / made).exists()
        assert (await seen.decide(request, "allow")).ok
        assert await seen.turn_ends() == "completed"
        assert (bench.directory / made).stat().st_uid == user.uid
        assert seen.resolved == [("allow", "ada")]
    assert not files.exists()


@pytest.mark.parametrize(("kind", "script", "made"), CASES[:2], ids=lambda one: getattr(one, "provider", ""))
async def test_a_dialog_in_its_terminal_is_answered_from_the_page(
    bench: Bench, user: Account, model: fake_model.Model, kind: Kind, script: str, made: str
) -> None:
    adapter = catalog.recognise([kind.cli.name])
    assert adapter is not None
    flags = ("--permission-mode=manual",) if kind is others.CLAUDE else ()
    async with in_terminal(bench, of_user(kind, user, bench, model), adapter, *flags) as seen:
        await seen.says(script)
        request = await seen.asks()
        assert (await seen.decide(request, "allow")).ok
        assert await seen.turn_ends() == "completed"
        await seen.is_now("idle")
        assert (bench.directory / made).stat().st_uid == user.uid
        assert not [one for one in seen.events if one["type"] == "ALERT_RAISED"]


async def test_an_adapter_that_cannot_work_there_says_so_and_the_session_goes_on(
    bench: Bench, user: Account, model: fake_model.Model
) -> None:
    (user.home / ".townwatch").write_text("no directory")
    session = bench.start("claude", provider="claude_code", adapter=ClaudeTerminal)
    await bench.over(session)  # there is no such program on its path: what matters is what was said before
    (alert,) = bench.events(session, "ALERT_RAISED")
    assert alert["title"] == "adapter off: claude_code"
    assert str(user.home / ".townwatch") in alert["description"]


async def test_an_order_whose_adapter_cannot_work_there_is_not_started(bench: Bench, user: Account) -> None:
    (user.home / ".townwatch").write_text("no directory")
    order = SessionConfig(
        session_id="cannot", org_id="demo", agent_id="a1", provider_id="acp", command=["true"],
        repo_ref=RepoRef(provider="local", path=str(bench.directory)), task=TaskSpec(title="t", goal="g"),
    )  # fmt: skip
    assert (await bench.runner._handle(Command(command_id="c1", command="start", config=order))).ok
    session = bench.runner.sessions["cannot"]
    ended = await bench.over(session)
    assert ended["finalState"] == "FAILED"
    assert ended["reason"].startswith("could not start: ") and ".townwatch" in ended["reason"]


# --- what the user may put in the way -------------------------------------------------------------------------------


@pytest.fixture
def shared(user: Account) -> Iterator[Path]:
    """A directory of the user's in which a session's files are, and the account as the acting one."""
    place = user.home / "shared"
    place.mkdir()
    os.chown(place, user.uid, user.gid)
    token = account.acting.set(user)
    yield place
    account.acting.reset(token)
    shutil.rmtree(place)


async def test_links_and_pipes_in_the_way_lead_nowhere_and_nothing_waits(shared: Path, tmp_path: Path) -> None:
    secret = tmp_path / "of-the-runner"
    secret.write_text("secret")
    os.symlink(secret, shared / "link")
    os.mkfifo(shared / "pipe")
    os.symlink(tmp_path, shared / "folder")
    for refused in (
        partial(shared_files.write_new, shared / "link", "x"),
        partial(shared_files.write_new, shared / "pipe", "x"),
        partial(shared_files.write_new, shared / "folder" / "new", "x"),
        partial(shared_files.append, shared / "link", "x"),
        partial(shared_files.append, shared / "pipe", "x"),
        partial(shared_files.read, shared / "link"),
        partial(shared_files.read, shared / "pipe"),
        partial(shared_files.open_new_pipe, shared / "link"),
        partial(shared_files.make_directory, shared / "folder" / "new"),
    ):
        with trio.fail_after(5), pytest.raises(OSError):
            await trio.to_thread.run_sync(refused, abandon_on_cancel=True)
    await trio.to_thread.run_sync(shared_files.remove_directory, shared / "folder")
    assert secret.read_text() == "secret"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["of-the-runner"]


async def test_another_users_socket_in_the_place_of_the_servers_is_refused(
    shared: Path, user: Account, stranger: Account
) -> None:
    shared.chmod(0o777)
    listen = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); sys.stdin.read()"
    for whom, trusted in ((user, True), (stranger, False)):
        path = shared / whom.name
        python, env = python_of(whom)
        command = [python, "-c", f"import os; os.umask(0); {listen}", str(path)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, env=env, cwd="/", **whom.options()) as server:
            await until(lambda path=path: _listens(path))
            if trusted:
                (await trio.to_thread.run_sync(shared_files.connect, path)).close()
            else:
                with pytest.raises(shared_files.NotTheirs, match="another user"):
                    await trio.to_thread.run_sync(shared_files.connect, path)
            assert server.stdin is not None
            server.stdin.close()


async def test_the_hook_of_other_clis_is_a_copy_that_the_user_can_run(shared: Path, user: Account) -> None:
    python_of(user)  # skips where there is no Python for others
    command = await trio.to_thread.run_sync(hook_program.write, shared, user.environment())
    tried = subprocess.run(
        [*command, "http://127.0.0.1:9/hook"], input=b"{}", capture_output=True, cwd="/",
        env=user.environment(), **user.options(),
    )  # fmt: skip
    assert (tried.returncode, tried.stdout, tried.stderr) == (0, b"", b"")
    assert shared in Path(command[-1]).parents


async def test_without_a_python_for_the_user_the_adapter_says_what_to_do(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with pytest.raises(AdapterOff, match="may execute neither /nonexistent/python nor another python3"):
        await trio.to_thread.run_sync(hook_program.write, shared, {"PATH": "/nonexistent"})
