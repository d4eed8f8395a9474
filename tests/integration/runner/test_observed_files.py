"""The observer never harms the observed: odd trees are watched as far as they can be, and what is not seen is said."""

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.integration.runner.conftest import Bench, Event, open_bench, until
from townwatch.runner.observers import inotify
from townwatch.runner.session.session import Session


async def git(directory: Path, *words: str) -> None:
    who = ["-c", "user.name=T", "-c", "user.email=t@example.invalid", "-c", "commit.gpgsign=false"]
    who += ["-c", "protocol.file.allow=always"]
    await trio.run_process(["git", *who, *words], cwd=directory, capture_stdout=True, capture_stderr=True)


async def repository(directory: Path, **files: str) -> None:
    directory.mkdir(exist_ok=True, parents=True)
    await git(directory, "init", "-q", "-b", "main")
    for name, text in {"README": "a\nb\n", **files}.items():
        (directory / name).write_text(text)
    await git(directory, "add", "-A")
    await git(directory, "commit", "-q", "-m", "one")


def touched(bench: Bench, session: Session) -> set[str]:
    return {event["path"] for event in bench.events(session, "FILE_TOUCHED")}


def not_observed(bench: Bench, session: Session) -> list[Event]:
    told = [event["providerEvent"] for event in bench.events(session, "PROVIDER_EVENT_FORWARDED")]
    return [one for one in told if one["type"] == "not_observed"]


async def watched(bench: Bench, *command: str, **plan: Any) -> Session:
    """A session whose tree is watched, and whose baseline is taken."""
    session = bench.start(*command, **plan)
    await session.started.wait()
    await until(lambda: session._observers is not None and session._observers._tree is not None)
    observers = session._observers
    assert observers is not None
    assert observers._tree is not None
    with trio.fail_after(15):
        await observers._tree.watching.wait()
        while observers._tree.shadow is not None and observers._baseline is None:
            await trio.sleep(0.01)
    return session


async def changes(bench: Bench, session: Session) -> dict[str, tuple[str, int, int]]:
    """The last DIFF_SUMMARY of a session that has ended; empty where there was none."""
    await bench.over(session)
    told = bench.events(session, "DIFF_SUMMARY")
    files: list[dict[str, Any]] = told[-1]["files"] if told else []
    return {file["path"]: (file["status"], file["additions"], file["deletions"]) for file in files}


WAIT = "echo ready; read -r; "


async def test_names_of_any_bytes_are_told_and_harm_nothing(bench: Bench) -> None:
    await repository(bench.directory)
    names = [b"caf\xe9", b"a\nb", b'quo"te', b"tab\t", b" lead", b"-dash", "😀".encode(), b"back\\slash", b"x" * 250]
    session = await watched(bench, "cat")
    for name in names:
        (bench.directory / os.fsdecode(name)).write_text("x\n")
    shown = {name.decode(errors="replace") for name in names}
    await until(lambda: touched(bench, session) >= shown)
    await session.type("\x04")
    assert set(await changes(bench, session)) == shown
    assert not_observed(bench, session) == []


async def test_links_out_of_the_tree_are_not_followed(bench: Bench, tmp_path: Path) -> None:
    await repository(bench.directory)
    other = tmp_path / "other"
    other.mkdir()
    (bench.directory / "data").symlink_to(other)
    (bench.directory / "everything").symlink_to("/")
    session = await watched(bench, "cat")
    (other / "secret.txt").write_text("x")
    (bench.directory / "mine.txt").write_text("x")
    await until(lambda: "mine.txt" in touched(bench, session))
    await session.stop()
    await bench.over(session)
    assert touched(bench, session) == {"mine.txt"}
    assert bench.runner.shared.trees.count == 0


async def test_an_unreadable_directory_is_said_once_and_the_rest_is_watched(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await repository(bench.directory)
    for name in ("pgdata", "other"):
        (bench.directory / name).mkdir()
    add = inotify.TreeWatch._add

    def refuse(self: inotify.TreeWatch, path: bytes) -> int:
        if path.endswith((b"/pgdata", b"/other")):
            raise PermissionError(errno.EACCES, "Permission denied")
        return add(self, path)

    monkeypatch.setattr(inotify.TreeWatch, "_add", refuse)
    session = await watched(bench, "cat")
    (bench.directory / "new.txt").write_text("x")
    await until(lambda: "new.txt" in touched(bench, session))
    await session.stop()
    await bench.over(session)
    told = not_observed(bench, session)
    assert {one["reason"] for one in told} == {"permission denied"}
    assert told[-1]["count"] == 2
    assert told[0]["message"].startswith("not watched: ")


async def test_a_full_table_of_watches_is_said_with_a_count(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    await repository(bench.directory)
    for number in range(10):
        (bench.directory / f"d{number}").mkdir()
    add = inotify.TreeWatch._add

    def full(self: inotify.TreeWatch, path: bytes) -> int:
        if self.directories >= 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        return add(self, path)

    monkeypatch.setattr(inotify.TreeWatch, "_add", full)
    session = await watched(bench, "cat")
    (bench.directory / "new.txt").write_text("x")
    await until(lambda: "new.txt" in touched(bench, session))
    (told,) = not_observed(bench, session)
    assert (told["count"], "max_user_watches" in told["reason"]) == (7, True)
    await session.stop()
    await bench.over(session)


@pytest.mark.parametrize("failing", ["_follow_tree", "_watch_processes"])
async def test_an_observer_that_fails_ends_no_agent(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    async def fail(self: object) -> None:
        raise ExceptionGroup("several", [ValueError("it broke")])

    monkeypatch.setattr(f"townwatch.runner.observers.observers.Observers.{failing}", fail)
    session = bench.start("bash", "-c", "read -r; echo alive")
    (told,) = await until(lambda: not_observed(bench, session))
    assert told["reason"] == "ValueError: it broke"
    await session.type("\r")
    ended = await bench.over(session)
    assert (ended["finalState"], "alive" in bench.output(session)) == ("COMPLETED", True)


async def test_a_git_that_hangs_delays_neither_start_nor_end(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await repository(bench.directory)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "git").write_text("#!/bin/sh\necho $$ >> " + str(tmp_path / "pids") + "\nsleep 1000\n")
    (tmp_path / "bin" / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setattr(
        "townwatch.runner.observers.git.git.__kwdefaults__", {"feed": b"", "ok": (0,), "seconds": 1000.0, "env": {}}
    )
    session = bench.start("bash", "-c", "echo there; read -r")
    await bench.shows(session, "there")
    started = await bench.one(session, "SESSION_STARTED")
    assert started["repoRef"]["defaultBranch"] == "main"
    await until((tmp_path / "pids").exists)
    await session.type("\r")
    await bench.over(session)
    pids = [int(line) for line in (tmp_path / "pids").read_text().split()]
    await until(lambda: not any(os.path.exists(f"/proc/{pid}/exe") for pid in pids))


RUNS = {
    "core.fsmonitor": "touch {ran}",
    "core.hooksPath": "{hooks}",
    "filter.evil.clean": "touch {ran}; cat",
    "filter.evil.process": "touch {ran}",
    "filter.evil.smudge": "touch {ran}; cat",
    "diff.external": "touch {ran}",
    "diff.evil.textconv": "touch {ran}; cat",
    "diff.evil.command": "touch {ran}",
    "core.pager": "touch {ran}; cat",
    "core.editor": "touch {ran}",
    "core.sshCommand": "touch {ran}",
    "core.gitProxy": "touch {ran}",
    "alias.diff": "!touch {ran}",
    "alias.ls-files": "!touch {ran}",
    "alias.rev-parse": "!touch {ran}",
    "credential.helper": "!touch {ran}",
    "gpg.program": "touch {ran}",
    "merge.evil.driver": "touch {ran}",
    "submodule.sub.update": "!touch {ran}",
    "trailer.evil.command": "touch {ran}",
    "interactive.diffFilter": "touch {ran}; cat",
    "uploadpack.packObjectsHook": "touch {ran}",
}


@pytest.mark.parametrize("where", ["the repository", "a submodule", "an included file", "a worktree"])
async def test_nothing_that_the_repository_configures_is_run(bench: Bench, tmp_path: Path, where: str) -> None:
    await repository(tmp_path / "part", **{".gitattributes": "* filter=evil diff=evil merge=evil\n"})
    await repository(bench.directory, **{".gitattributes": "* filter=evil diff=evil merge=evil\n"})
    await git(bench.directory, "submodule", "add", "-q", str(tmp_path / "part"), "sub")
    await git(bench.directory, "commit", "-q", "-am", "two")
    ran, hooks = tmp_path / "ran", tmp_path / "hooks"
    hooks.mkdir()
    for hook in ("post-index-change", "post-checkout", "pre-commit", "reference-transaction", "fsmonitor-watchman"):
        (hooks / hook).write_text(f"#!/bin/sh\ntouch {ran}\n")
        (hooks / hook).chmod(0o755)
        shutil.copy(hooks / hook, bench.directory / ".git" / "hooks" / hook)
    config = bench.directory / ".git" / "config"
    if where == "a submodule":
        config = bench.directory / ".git" / "modules" / "sub" / "config"
    elif where == "an included file":
        with config.open("a") as file:
            file.write(f"[include]\n\tpath = {tmp_path / 'evil'}\n")
        config = tmp_path / "evil"
    elif where == "a worktree":
        with config.open("a") as file:
            file.write("[extensions]\n\tworktreeConfig = true\n")
        config = bench.directory / ".git" / "config.worktree"
    lines: list[str] = []
    for name, value in RUNS.items():
        section, _, key = name.rpartition(".")
        head, _, sub = section.partition(".")
        title = f'[{head} "{sub}"]' if sub else f"[{head}]"
        lines.append(f'{title}\n\t{key} = "{value.format(ran=ran, hooks=hooks)}"\n')
    with config.open("a") as file:
        file.write("".join(lines))
    session = await watched(bench, "cat")
    (bench.directory / "README").write_text("changed\n")
    (bench.directory / "sub" / "README").write_text("changed\n")
    (bench.directory / "new.txt").write_text("new\n")
    await until(lambda: {"README", "new.txt"} <= touched(bench, session))
    await session.type("\x04")
    assert await changes(bench, session) == {"README": ("modified", 1, 2), "new.txt": ("added", 1, 0)}
    assert not ran.exists()
    assert not list(bench.directory.glob("[0-9]*"))


async def test_a_repository_of_another_user_is_read(bench: Bench) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to give a repository away")
    await repository(bench.directory, **{".gitignore": "*.log\n"})
    await git(bench.directory, "remote", "add", "origin", "git@github.com:acme/app.git")
    for path in [bench.directory, *bench.directory.rglob("*")]:
        os.chown(path, 12345, 12345)
    session = await watched(bench, "cat")
    (bench.directory / "a.log").write_text("x")
    (bench.directory / "new.txt").write_text("x\n")
    await until(lambda: "new.txt" in touched(bench, session))
    await session.type("\x04")
    assert await changes(bench, session) == {"new.txt": ("added", 1, 0)}
    assert touched(bench, session) == {"new.txt"}
    assert bench.events(session, "SESSION_STARTED")[0]["repoRef"]["name"] == "app"


@pytest.mark.parametrize("place", [".townwatch/demo", "node_modules/lib", "__pycache__/x", "a/.git-like/b"])
async def test_a_tree_inside_of_a_folder_that_is_skipped_sees_its_files(tmp_path: Path, place: str) -> None:
    await repository(tmp_path / place)
    async with open_bench(tmp_path / ".townwatch", tmp_path / place) as bench:
        session = await watched(bench, "cat")
        for name in ("new.txt", "node_modules", "sub"):
            (tmp_path / place / name).mkdir() if "." not in name else (tmp_path / place / name).write_text("x")
        await until(lambda: "new.txt" in touched(bench, session))
        (tmp_path / place / "node_modules" / "no.txt").write_text("x")
        (tmp_path / place / "sub" / "yes.txt").write_text("x")
        await until(lambda: "sub/yes.txt" in touched(bench, session))
        await session.stop()
        await bench.over(session)
        assert "node_modules/no.txt" not in touched(bench, session)


async def test_the_state_directory_is_left_out_by_where_it_is(tmp_path: Path) -> None:
    await repository(tmp_path / "repo")
    async with open_bench(tmp_path / "repo" / "mystate", tmp_path / "repo") as bench:
        session = await watched(bench, "cat")
        (tmp_path / "repo" / ".townwatch").mkdir()
        await until(lambda: bench.runner.shared.trees.count == 1)
        (tmp_path / "repo" / "mystate" / "x").write_text("x")
        (tmp_path / "repo" / "new.txt").write_text("x")
        await until(lambda: "new.txt" in touched(bench, session))
        await session.stop()
        await bench.over(session)
        assert touched(bench, session) == {"new.txt"}


# --- whose changes ----------------------------------------------------------------------------------------------------


async def test_work_that_was_committed_stays_the_sessions_work(bench: Bench) -> None:
    await repository(bench.directory)
    session = await watched(bench, "cat")
    (bench.directory / "b.txt").write_text("1\n2\n3\n")
    await git(bench.directory, "add", "-A")
    await git(bench.directory, "commit", "-q", "-m", "two")
    await session.type("\x04")
    assert await changes(bench, session) == {"b.txt": ("added", 3, 0)}


async def test_a_dirty_tree_that_it_found_is_not_its_own(bench: Bench) -> None:
    await repository(bench.directory, c="1\n2\n", d="1\n")
    (bench.directory / "README").write_text("x\n" * 100)
    (bench.directory / "old.txt").write_text("old\n")
    (bench.directory / "d").unlink()
    await trio.sleep(0.05)
    session = await watched(bench, "cat")
    assert bench.events(session, "DIFF_SUMMARY") == []
    (bench.directory / "old.txt").write_text("old\nmore\n")
    (bench.directory / "c").write_text("1\n")
    await session.type("\x04")
    assert await changes(bench, session) == {"c": ("modified", 0, 1), "old.txt": ("modified", 1, 0)}


async def test_found_changes_that_are_taken_back_are_its_work(bench: Bench) -> None:
    await repository(bench.directory)
    (bench.directory / "README").write_text("a\nb\nc\n")
    (bench.directory / "old.txt").write_text("old\n")
    await trio.sleep(0.05)
    session = await watched(bench, "cat")
    await git(bench.directory, "checkout", "-q", "README")
    (bench.directory / "old.txt").unlink()
    await session.type("\x04")
    assert await changes(bench, session) == {"README": ("modified", 0, 1), "old.txt": ("deleted", 0, 1)}


async def test_a_session_that_only_looks_has_changed_nothing(bench: Bench) -> None:
    await repository(bench.directory)
    (bench.directory / "README").write_text("x\n" * 100)
    await trio.sleep(0.05)
    session = bench.start("bash", "-c", "git status; cat README")
    assert await changes(bench, session) == {}


async def test_what_is_changed_at_once_is_the_sessions_own(bench: Bench) -> None:
    await repository(bench.directory)
    session = bench.start("bash", "-c", "echo mine > mine.txt")
    assert await changes(bench, session) == {"mine.txt": ("added", 1, 0)}


@pytest.mark.parametrize("where", ["a linked worktree", "a submodule"])
async def test_a_commit_is_noticed_wherever_its_git_directory_is(bench: Bench, tmp_path: Path, where: str) -> None:
    await repository(bench.directory)
    if where == "a submodule":
        await repository(tmp_path / "part")
        await git(bench.directory, "submodule", "add", "-q", str(tmp_path / "part"), "sub")
        place = bench.directory / "sub"
    else:
        place = tmp_path / "wt"
        await git(bench.directory, "worktree", "add", "-q", str(place), "-b", "f")
    (place / "b.txt").write_text("1\n")
    await trio.sleep(0.05)
    session = await watched(bench, "cat", directory=place)
    tree = session._observers._tree  # type: ignore[union-attr]
    assert tree is not None
    before = tree._generation
    await git(place, "add", "b.txt")
    await git(place, "commit", "-q", "-m", "two")
    await until(lambda: tree._generation > before)
    await session.type("\x04")
    assert await changes(bench, session) == {}  # it was there before, committed or not


async def test_a_list_that_is_cut_says_so(bench: Bench) -> None:
    await repository(bench.directory)
    session = await watched(bench, "cat")
    for number in range(5000):
        (bench.directory / f"file{number:04}").write_text("x\n")
    told = await until(lambda: [one for one in bench.events(session, "DIFF_SUMMARY") if one["filesChanged"] == 5000])
    await session.type("\x04")
    await bench.over(session)
    told = told[-1]
    assert (told["filesChanged"], told["filesTotal"], told["truncated"], len(told["files"])) == (5000, 5000, True, 2000)
    assert told["linesAdded"] == 5000


async def test_a_shared_tree_is_watched_once_and_says_that_it_is_shared(bench: Bench) -> None:
    await repository(bench.directory)
    sessions = [await watched(bench, "cat") for _ in range(3)]
    assert bench.runner.shared.trees.count == 1
    (bench.directory / "new.txt").write_text("1\n")
    for session in sessions:
        assert (await bench.one(session, "DIFF_SUMMARY"))["sharedTree"] == 2
        assert "new.txt" in touched(bench, session)
    for session in sessions:
        await session.stop()
        await bench.over(session)
    assert bench.runner.shared.trees.count == 0


async def test_sessions_of_other_runner_processes_share_a_tree_too(bench: Bench, tmp_path: Path) -> None:
    await repository(bench.directory)
    async with open_bench(tmp_path / "other", bench.directory, slot="run-1") as other:
        theirs = await watched(other, "cat")
        session = await watched(bench, "cat")
        await until(lambda: bench.runner.shared.processes.table.others_in(bench.directory) == 1)
        (bench.directory / "new.txt").write_text("1\n")
        assert (await bench.one(session, "DIFF_SUMMARY"))["sharedTree"] == 1
        await theirs.stop()
        await other.over(theirs)
    await session.stop()
    await bench.over(session)


async def test_a_tree_that_is_removed_and_comes_back_is_watched_again(bench: Bench, tmp_path: Path) -> None:
    await repository(tmp_path / "tree")
    session = await watched(bench, "cat", directory=tmp_path / "tree")
    shutil.rmtree(tmp_path / "tree")
    await until(lambda: not_observed(bench, session))
    await repository(tmp_path / "tree")
    with trio.fail_after(20):
        while "back.txt" not in touched(bench, session):
            (tmp_path / "tree" / "back.txt").write_text("x")
            await trio.sleep(0.2)
    await session.stop()
    await bench.over(session)


async def test_before_the_first_commit_and_in_no_repository_it_works_too(bench: Bench) -> None:
    session = await watched(bench, "cat")
    (bench.directory / "new.txt").write_text("x")
    await until(lambda: touched(bench, session) == {"new.txt"})
    await session.type("\x04")
    assert await changes(bench, session) == {}
    await git(bench.directory, "init", "-q")
    session = await watched(bench, "cat")
    (bench.directory / "more.txt").write_text("x\n")
    await session.type("\x04")
    assert await changes(bench, session) == {"more.txt": ("added", 1, 0)}
