"""What git says of real repositories, and what is told of it."""

import errno
import os
import subprocess
import time
from pathlib import Path

import pytest
import trio

from townwatch.runner.observers import repository
from townwatch.runner.observers.baseline import Baseline
from townwatch.runner.observers.differences import Shadow, parse_diff
from townwatch.runner.observers.git import GitError, git
from townwatch.runner.observers.repository import Repository, parse_remote, repo_ref
from townwatch.runner.observers.trees import ChangedFiles, Trees


def run(top: Path, *arguments: str) -> None:
    who = ("-c", "user.name=T", "-c", "user.email=t@example.invalid", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", str(top), *who, *arguments], check=True, capture_output=True)


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A repository with one commit."""
    where = tmp_path / "repo"
    where.mkdir()
    run(where, "init", "-q", "-b", "main")
    for name in ("changed.txt", "gone.txt", "old name.txt"):
        (where / name).write_text("".join(f"{name} {n}\n" for n in range(10)))
    (where / ".gitignore").write_text("ignored/\n*.log\n")
    (where / "picture.bin").write_bytes(bytes(range(256)))
    run(where, "add", "-A")
    run(where, "commit", "-q", "-m", "one")
    return where


async def told(top: Path) -> list[tuple[str, str, int, int]]:
    shadow = Shadow(found(top))
    try:
        files = (await shadow.differences(await shadow.head())).files.values()
        return [(file.path, file.status, file.additions, file.deletions) for file in files]
    finally:
        shadow.close()


def found(directory: Path) -> Repository:
    where = repository.find(directory)
    assert where is not None
    return where


async def test_a_clean_tree_differs_in_nothing(top: Path) -> None:
    (top / "some.log").write_text("ignored")
    assert await told(top) == []


async def test_a_file_that_cannot_be_looked_at_is_not_said_to_be_gone(
    top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (top / "changed.txt").write_text("found so\n")
    shadow = Shadow(found(top))
    baseline = Baseline(shadow, await shadow.head())
    try:
        before = await shadow.differences(baseline.base)
        await baseline.take(before, started_ns=time.time_ns() + 10**9)
        with monkeypatch.context() as patch:
            patch.setattr(Path, "lstat", refused)
            assert await baseline.own(before) == {}
        (top / "changed.txt").unlink()
        assert (await baseline.own(before))["changed.txt"].status == "deleted"
    finally:
        baseline.close()
        shadow.close()


def refused(path: Path) -> None:
    raise PermissionError(errno.EACCES, "Permission denied", str(path))


async def test_every_kind_of_change_is_told_in_order_of_the_paths(top: Path) -> None:
    with (top / "changed.txt").open("a") as file:
        file.write("more\n")
    (top / "gone.txt").unlink()
    run(top, "mv", "old name.txt", "a new name.txt")
    (top / "picture.bin").write_bytes(bytes(reversed(range(256))))
    (top / "odd\tname\nübel.txt").write_text("one\ntwo")
    (top / "empty.txt").write_text("")
    assert await told(top) == [
        ("a new name.txt", "renamed", 0, 0),
        ("changed.txt", "modified", 1, 0),
        ("empty.txt", "added", 0, 0),
        ("gone.txt", "deleted", 0, 10),
        ("odd\tname\nübel.txt", "added", 2, 0),
        ("picture.bin", "modified", 0, 0),
    ]


@pytest.mark.parametrize("form", ["sha1", "sha256"])
async def test_before_the_first_commit_everything_is_new(tmp_path: Path, form: str) -> None:
    run(tmp_path, "init", "-q", f"--object-format={form}")
    (tmp_path / "a.txt").write_text("1\n2\n")
    (tmp_path / "b.txt").write_text("1\n")
    run(tmp_path, "add", "a.txt")
    assert await told(tmp_path) == [("a.txt", "added", 2, 0), ("b.txt", "added", 1, 0)]


async def test_a_name_that_is_no_utf8_is_told_as_well_as_it_can_be(top: Path) -> None:
    (top / os.fsdecode(b"b\xffd.txt")).write_text("x\n")
    assert await told(top) == [("b�d.txt", "added", 1, 0)]


async def test_a_hook_that_points_git_elsewhere_is_not_heeded(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert found(top).top == top
    assert await told(top) == []


def test_where_the_code_lives(top: Path, tmp_path: Path) -> None:
    (top / "sub").mkdir()
    ref = repo_ref(top / "sub", repository.find(top / "sub"))
    assert (ref.provider, ref.path, ref.name, ref.default_branch) == ("local", str(top), "repo", "main")
    run(top, "remote", "add", "origin", "git@github.com:acme/app.git")
    ref = repo_ref(top, repository.find(top))
    assert (ref.provider, ref.owner, ref.name) == ("github", "acme", "app")
    assert repository.find(tmp_path) is None
    outside = repo_ref(tmp_path, None)
    assert (outside.provider, outside.path) == ("local", str(tmp_path))


@pytest.mark.parametrize("packed", [False, True])
def test_the_commit_is_read_as_git_says_it(top: Path, tmp_path: Path, packed: bool) -> None:
    if packed:
        run(top, "pack-refs", "--all")
    run(top, "worktree", "add", "-q", "-b", "side/branch", str(tmp_path / "side"))
    for place in (top, tmp_path / "side"):
        said = subprocess.run(["git", "-C", str(place), "rev-parse", "HEAD"], capture_output=True, check=True).stdout
        assert repository.head_commit(found(place)) == said.decode().strip()
    assert found(tmp_path / "side").common_dir == top / ".git"
    assert repository.branch(found(tmp_path / "side")) == "side/branch"


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("https://user:pw@gitlab.com/group/sub/app.git", ("gitlab", "group/sub", "app")),
        ("ssh://git@bitbucket.org:22/team/app", ("bitbucket", "team", "app")),
        ("https://github.com/acme/app/", ("github", "acme", "app")),
        ("https://git.example.org/acme/app", None),
        ("../app.git", None),
        ("", None),
    ],
)
def test_remotes(url: str, parts: tuple[str, str, str] | None) -> None:
    assert parse_remote(url) == parts


def test_what_git_prints() -> None:
    out = (
        b":1 1 a b M\0a\0:1 1 a b R090\0old\0new\0:1 0 a b D\0b\0:1 1 a b T\0bin\0"
        b"1\t2\ta\0000\t3\t\0old\0new\0000\t9\tb\0-\t-\tbin\0"
    )
    told = {path: (file.status, file.additions, file.deletions) for path, file in parse_diff(out)[0].items()}
    assert told == {
        "a": ("modified", 1, 2),
        "new": ("renamed", 0, 3),
        "b": ("deleted", 0, 9),
        "bin": ("modified", 0, 0),
    }


async def test_files_that_are_touched_without_those_git_ignores(top: Path) -> None:
    seen: dict[str, bool] = {}
    moved = trio.Event()
    trees = Trees()

    async def follow() -> None:
        async with trees.follow(top, found(top)) as (_, follower):
            while True:
                batch: ChangedFiles = await follower.take()
                seen.update(batch.touched)
                if not batch.touched:
                    moved.set()

    async def until(path: str, gone: bool) -> None:
        with trio.fail_after(15):
            while seen.get(path) is not gone:
                await trio.sleep(0.02)

    async with trio.open_nursery() as nursery:
        await nursery.start(trees.run)
        nursery.start_soon(follow)
        with trio.fail_after(15):
            while "first.txt" not in seen:  # the watcher is there
                (top / "first.txt").write_text("x")
                await trio.sleep(0.1)
        (top / "ignored").mkdir()
        (top / "ignored" / "x.txt").write_text("x")
        (top / "noise.log").write_text("x")
        (top / "changed.txt").write_text("new")
        (top / "gone.txt").unlink()
        await until("changed.txt", False)
        await until("gone.txt", True)
        run(top, "commit", "-q", "-a", "-m", "two")
        with trio.fail_after(15):
            await moved.wait()  # a commit is no file, but another difference
        nursery.cancel_scope.cancel()
    assert set(seen) == {"first.txt", "changed.txt", "gone.txt"}


async def test_what_git_refuses_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(GitError, match=r"\A[^\n]+\Z") as no_repository:
        await git(tmp_path, "diff", "--stat", "HEAD")
    assert "usage" not in str(no_repository.value)
    with pytest.raises(GitError, match=r"^fatal: "):
        await git(tmp_path, "log")
