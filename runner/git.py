"""What git says about a working tree. Nothing here changes it: every command is read-only and takes no locks."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import trio

from contracts.events import DiffFile, RepoRef

COUNTED_BYTES = 1 << 20
"""A new file larger than this counts as one line: reading it would cost more than the number is worth."""
TIMEOUT_SECONDS = 20
MAX_FILES = 2000


FileStatus = Literal["added", "modified", "deleted", "renamed"]
_STATUS: dict[str, FileStatus] = {"A": "added", "C": "added", "D": "deleted", "R": "renamed"}


_POINTERS = frozenset({"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY"})
"""Set in hooks: they would make git look somewhere else than we say."""


class GitError(Exception):
    """git is missing, failed, or took too long."""


async def git(
    directory: Path, *arguments: str, feed: bytes = b"", ok: Sequence[int] = (0,), seconds: float = TIMEOUT_SECONDS
) -> bytes:
    """The output of one git command. Raises `GitError`."""
    inherited = {name: value for name, value in os.environ.items() if name not in _POINTERS}
    env = {**inherited, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    command = ["git", "-C", str(directory), "-c", "core.quotepath=off", *arguments]
    try:
        with trio.fail_after(seconds):
            done = await trio.run_process(
                command, stdin=feed, capture_stdout=True, capture_stderr=True, check=False, env=env
            )
    except OSError as error:
        raise GitError(f"git cannot be run: {error.strerror}") from None
    except trio.TooSlowError:
        raise GitError(f"git {arguments[0]} took more than {seconds:g} s") from None
    if done.returncode not in ok:
        raise GitError(done.stderr.decode(errors="replace").strip() or f"git {arguments[0]} failed")
    return done.stdout


async def top_level(directory: Path) -> Path | None:
    """The root of the working tree that `directory` is in; None outside of one."""
    try:
        return Path(os.fsdecode(await git(directory, "rev-parse", "--show-toplevel")).removesuffix("\n"))
    except GitError:
        return None


async def repo_ref(directory: Path) -> RepoRef:
    """Where the code lives: the forge that `origin` names, else this directory."""
    top = await top_level(directory)
    if top is None:
        return RepoRef(provider="local", path=str(directory), name=directory.name)
    branch = await _text(top, "symbolic-ref", "--short", "HEAD")
    remote = parse_remote(await _text(top, "remote", "get-url", "origin") or "")
    if remote is not None:
        provider, owner, name = remote
        return RepoRef(provider=provider, owner=owner, name=name, default_branch=branch)  # pyright: ignore
    return RepoRef(provider="local", path=str(top), name=top.name, default_branch=branch)


async def _text(directory: Path, *arguments: str) -> str | None:
    try:
        return (await git(directory, *arguments)).decode(errors="replace").strip() or None
    except GitError:
        return None


def parse_remote(url: str) -> tuple[str, str, str] | None:
    """(provider, owner, name) of a remote's address; None for hosts that are none of the three forges.

    >>> parse_remote("git@github.com:acme/app.git")
    ('github', 'acme', 'app')
    """
    host, _, path = url.partition("://")[2].partition("/") if "://" in url else url.partition(":")
    host = host.rpartition("@")[2].partition(":")[0].lower()
    provider = {"github.com": "github", "gitlab.com": "gitlab", "bitbucket.org": "bitbucket"}.get(host)
    owner, _, name = path.removesuffix("/").removesuffix(".git").rpartition("/")
    return (provider, owner, name) if provider and owner and name else None


async def ignored(top: Path, paths: Sequence[str]) -> set[str]:
    """Which of the paths (relative to `top`) git ignores."""
    if not paths:
        return set()
    feed = b"\0".join(os.fsencode(path) for path in paths) + b"\0"
    out = await git(top, "check-ignore", "-z", "--stdin", feed=feed, ok=(0, 1))
    return {os.fsdecode(path) for path in out.split(b"\0") if path}


async def _empty_tree(top: Path) -> str:
    """git's own name for a tree without files, which a repository without commits is compared with."""
    return (await git(top, "hash-object", "-t", "tree", "--stdin")).decode().strip()


def shown(path: str) -> str:
    """A path as it can be told: bytes that are no UTF-8 become U+FFFD."""
    return os.fsencode(path).decode(errors="replace")


async def diff_summary(top: Path) -> list[DiffFile]:
    """All that differs from the last commit, new files that are not ignored included, in order of their paths."""
    base = "HEAD" if await _text(top, "rev-parse", "--verify", "-q", "HEAD") else await _empty_tree(top)
    names = await git(top, "diff", "--name-status", "-z", "--find-renames", base)
    counts = parse_numstat(await git(top, "diff", "--numstat", "-z", "--find-renames", base))
    files = [
        DiffFile(
            path=shown(path),
            status=status,
            additions=counts.get(path, (0, 0))[0],
            deletions=counts.get(path, (0, 0))[1],
        )
        for status, path in parse_name_status(names)
    ]
    new = (await git(top, "ls-files", "--others", "--exclude-standard", "-z")).split(b"\0")
    known = {file.path for file in files}
    for raw in new[:MAX_FILES]:
        path = os.fsdecode(raw)
        if path and shown(path) not in known:
            lines = await trio.to_thread.run_sync(_count_lines, top / path)
            files.append(DiffFile(path=shown(path), status="added", additions=lines, deletions=0))
    return sorted(files, key=lambda file: file.path)[:MAX_FILES]


def parse_name_status(out: bytes) -> list[tuple[FileStatus, str]]:
    r"""(status, path) of ``--name-status -z``: b"M\0a.py\0R100\0old\0new\0" → modified a.py, renamed new."""
    fields = iter(out.decode(errors="surrogateescape").split("\0"))
    found: list[tuple[FileStatus, str]] = []
    for code in fields:
        if not code:
            break
        path = next(fields)
        if code[0] in "RC":
            path = next(fields)
        found.append((_STATUS.get(code[0], "modified"), path))
    return found


def parse_numstat(out: bytes) -> dict[str, tuple[int, int]]:
    r"""path → (added, removed) of ``--numstat -z``; a rename has an empty path and then old and new; binary is -."""
    fields = iter(out.decode(errors="surrogateescape").split("\0"))
    counts: dict[str, tuple[int, int]] = {}
    for field in fields:
        if not field:
            break
        added, removed, path = field.split("\t", 2)
        if not path:
            next(fields)
            path = next(fields)
        counts[path] = (int(added) if added != "-" else 0, int(removed) if removed != "-" else 0)
    return counts


def _count_lines(path: Path) -> int:
    try:
        if path.is_symlink() or path.stat().st_size > COUNTED_BYTES:
            return 1
        data = path.read_bytes()
    except OSError:  # it was deleted meanwhile
        return 0
    return data.count(b"\n") + (not data.endswith(b"\n") and bool(data))
