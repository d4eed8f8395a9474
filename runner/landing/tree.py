"""The working tree whose changes a person lands, and questions about it to git.

Looking runs nothing that the repository configures, as with the observers; only the acts do (`programs`).
"""

from __future__ import annotations

import shutil
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

import attrs
import trio

from townwatch.runner.landing.programs import LISTED_BYTES, Programs
from townwatch.runner.observers import git, repository
from townwatch.runner.observers.differences import Differences, Shadow
from townwatch.runner.observers.repository import Repository
from townwatch.runner.reading import as_acting
from townwatch.runner.session.lifecycle import NotPossible

ASK_SECONDS = 15.0
"""How long git has to answer one question."""
SHARED = ("main", "master", "trunk", "develop")
"""Branches that others usually build on."""
Forge = Literal["gh", "glab"]


@attrs.frozen(kw_only=True)
class LandTree:
    """A repository's working tree. `base`: what its branch is to be merged into, where that is known. `worktree`:
    whether it was made for the session. `env`: of the session's processes.
    """

    session_id: str
    directory: Path
    repository: Repository
    env: Mapping[str, str]
    base: str | None = None
    worktree: bool = False

    @property
    def top(self) -> Path:
        return self.repository.top

    @property
    def programs(self) -> Programs:
        """Return what runs programs at its top, with all that is configured for them."""
        return Programs(self.top, self.env)


async def open_tree(session_id: str, directory: Path, env: Mapping[str, str], **more: Any) -> LandTree:
    """Return the working tree that a directory is in. Raises `NotPossible` outside of one."""

    def look() -> Repository | None:
        with as_acting():
            return repository.find(directory)

    found = await trio.to_thread.run_sync(look)
    if found is None:
        raise NotPossible(f"{directory} is in no git repository: there is nothing to commit, push or merge")
    return LandTree(session_id=session_id, directory=directory, repository=found, env=env, **more)


async def differences(tree: LandTree) -> Differences:
    """Return what the commit that is checked out does not have. Raises `GitError`."""
    shadow = Shadow(tree.repository)
    try:
        with trio.fail_after(ASK_SECONDS):
            return await shadow.differences(await shadow.head())
    except trio.TooSlowError:
        raise NotKnown(f"what is not committed is not known: git did not answer in {ASK_SECONDS:g} s") from None
    finally:
        shadow.close()


class NotKnown(git.GitError):
    """git did not answer a question about a tree: nothing is done upon a guess."""


async def said(tree: LandTree, what: str, *words: str, none: Sequence[int] = (1,)) -> str:
    """Return git's answer to a question about the tree; empty where git says, by one of these exit codes, that there is
    none. `what`: is asked, for a person. Raises `NotKnown` where git did not answer.
    """
    try:
        out = await git.git(tree.top, *words, ok=(0, *none), seconds=ASK_SECONDS)
    except git.GitTooSlow:
        raise NotKnown(f"{what} is not known: git did not answer in {ASK_SECONDS:g} s") from None
    except git.GitError as error:
        raise NotKnown(f"{what} is not known: {error}") from None
    return out.decode(errors="replace").strip()


async def commit_of(tree: LandTree, revision: str = "HEAD") -> str | None:
    """Return the commit that a revision names. Raises `NotKnown`, as all of these."""
    what = "the commit that is checked out" if revision == "HEAD" else f"the commit of {revision}"
    return await said(tree, what, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}") or None


async def branch_of(tree: LandTree) -> str | None:
    """Return the branch that is checked out."""
    return await said(tree, "the branch that is checked out", "symbolic-ref", "--short", "--quiet", "HEAD") or None


async def subject_of(tree: LandTree, commit: str) -> str:
    """Return the first line of a commit's message."""
    words = ("log", "-1", "--format=%s", "--no-show-signature", commit, "--")
    return await said(tree, f"the message of {commit[:8]}", *words, none=())


async def count(tree: LandTree, *range_: str) -> int:
    """Return how many commits a range of revisions has, all of which are there."""
    return int(await said(tree, "the number of commits", "rev-list", "--count", *range_, "--", none=()))


async def url_of(tree: LandTree, remote: str, *more: str) -> str:
    """Return the address of a remote."""
    return await said(tree, f"the address of {remote}", "remote", "get-url", *more, remote, none=(2,))


async def local_base(tree: LandTree, branch: str | None, remote: str | None) -> str | None:
    """Return the local branch that a merge goes into: that of the worktree, else the one that others build on. None
    where there is none but the branch itself.
    """
    for base in (tree.base, await default_branch(tree, remote), *SHARED):
        if base and base != branch and await commit_of(tree, f"refs/heads/{base}") is not None:
            return base
    return None


async def remotes(tree: LandTree) -> list[str]:
    return (await said(tree, "which remotes there are", "remote", none=())).split()


async def remote_for(tree: LandTree, branch: str | None) -> str | None:
    """Return the remote that a branch goes to, as git itself would choose it; None where that is not clear."""
    known = await remotes(tree)
    names = (f"branch.{branch}.pushRemote", "remote.pushDefault", f"branch.{branch}.remote")
    for name in names if branch else names[1:2]:
        if (found := await said(tree, f"git's setting {name}", "config", "--get", name)) in known:
            return found
    return "origin" if "origin" in known else known[0] if len(known) == 1 else None


async def default_branch(tree: LandTree, remote: str | None) -> str | None:
    """Return the branch that a remote calls its own, as far as this clone knows."""
    if remote is None:
        return None
    what = f"the branch that {remote} calls its own"
    found = await said(tree, what, "symbolic-ref", "--short", "--quiet", f"refs/remotes/{remote}/HEAD")
    return found.removeprefix(f"{remote}/") or None


async def push_risk(tree: LandTree, branch: str | None, remote: str | None) -> Literal["med", "high"]:
    shared = {*SHARED, tree.base, await default_branch(tree, remote)}
    return "high" if branch in shared else "med"


async def forge_of(tree: LandTree, remote: str | None) -> Forge | None:
    """Return the program that opens pull requests at a remote, where it is on this machine."""

    def look(name: str) -> bool:
        with as_acting():
            return shutil.which(name, path=tree.env.get("PATH")) is not None

    address = await url_of(tree, remote) if remote is not None else ""
    order: tuple[Forge, ...] = ("glab", "gh") if "gitlab" in address else ("gh", "glab")
    for name in order:
        if await trio.to_thread.run_sync(look, name):
            return name
    return None


async def checked_branch(tree: LandTree, name: str) -> None:
    """Raise `NotPossible` for what is no name of a branch."""
    full = f"refs/heads/{name}"
    fit = not name.startswith("-") and name != "HEAD" and "\0" not in name
    if not fit or await said(tree, "whether that is a name", "check-ref-format", "--normalize", full) != full:
        raise NotPossible(f"{name[:200]!r} is no name for a branch")


def without_password(address: str) -> str:
    """Return a remote's address without what signs in there."""
    try:
        parts = urlsplit(address)
        if parts.password is None and "@" not in parts.netloc:
            return address
        if parts.scheme in ("ssh", "") and parts.password is None:
            return address
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    except ValueError:
        return address


async def contents(tree: LandTree, paths: Sequence[str]) -> str:
    """Return what a commit of these files would hold: of each the kind or where a link leads, and what git calls the
    contents. Raises `ProgramFailed`, OSError.
    """

    def look() -> dict[str, str]:
        with as_acting():
            return {path: _kind(tree.top / path) for path in paths}

    kinds = await trio.to_thread.run_sync(look)
    whole = [path for path, kind in kinds.items() if kind.startswith("file")]
    hashing = ("hash-object", "--no-filters")
    feed = "".join(f"{path}\n" for path in whole if "\n" not in path).encode(errors="surrogateescape")
    done = await tree.programs.git(*hashing, "--stdin-paths", feed=feed, most=LISTED_BYTES)
    odd = [path for path in whole if "\n" in path]  # no line of a list can name them
    more = await tree.programs.git(*hashing, "--", *odd, most=LISTED_BYTES) if odd else done
    return f"{await commit_of(tree)} {kinds} {done.text} {more.text}"


def _kind(path: Path) -> str:
    """Return "file" with its rights, "link" with its target, "gone", or "other". Raises OSError."""
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return "gone"
    if stat.S_ISLNK(found.st_mode):
        return f"link {path.readlink()}"
    return f"file {found.st_mode:o}" if stat.S_ISREG(found.st_mode) else "other"
