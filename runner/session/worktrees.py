"""Worktrees: a working tree and a branch of a session's own, made with git beside the repository that it was ordered
for.

A tree lies at a place that its repository and its branch name, so that a session that goes on with the same branch
finds the files, and its agent the conversation, where they were. It is removed, with a branch that was made for it,
where nothing would be lost, or where a person says that what it has is to be discarded. A tree of a person's own is
never touched.
"""

import hashlib
import json
import re
from collections.abc import Collection
from pathlib import Path

import attrs
import trio

from townwatch.contracts.agent_events import Worktree, WorktreeStatus
from townwatch.contracts.codec import ContractError, Decoder, encode
from townwatch.contracts.tasks import SessionConfig
from townwatch.runner.observers import git
from townwatch.runner.session.lifecycle import NotPossible

MAKE_SECONDS = 300.0
END_SECONDS = 5.0
"""How long the end of a session waits for git."""
DIRECTORY = "worktrees"


@attrs.frozen(kw_only=True)
class SessionTree:
    """A tree that was made. `sessions`: those that worked in it, the latest last. `base`: what the branch is to be
    merged into. `inside`: the ordered directory, below the tree's top. `record`: the file that remembers it.
    """

    sessions: list[str]
    repository: str
    path: str
    branch: str
    base: str
    made_branch: bool
    inside: str = ""
    record: str = ""

    @property
    def directory(self) -> Path:
        """Return the directory in which a session in it works."""
        return Path(self.path) / self.inside

    def event(self, status: WorktreeStatus, reason: str | None = None) -> Worktree:
        return Worktree(branch=self.branch, base=self.base, path=self.path, status=status, reason=reason)


_tree = Decoder(SessionTree)


async def make(config: SessionConfig, directory: Path, records: Path, root: Path, busy: Collection[str]) -> SessionTree:
    """Make or find the worktree of an order. `directory`: in the repository; `records`: the runner's own directory;
    `root`: below which the trees are, of the user that sessions are executed as; `busy`: trees that sessions are in.

    Raises `ContractError`, `NotPossible` where the branch is checked out elsewhere, `git.GitError`.
    """
    wanted = config.worktree
    assert wanted is not None
    top = Path((await _said(directory, "rev-parse", "--show-toplevel", why="is no git repository")).strip())
    common = await _said(directory, "rev-parse", "--path-format=absolute", "--git-common-dir")
    inside = await _said(directory, "rev-parse", "--show-prefix")
    branch = await _checked_branch(directory, wanted.branch)
    base = wanted.base or (config.checkout.revision if config.checkout is not None else None)
    base = base or await _current(directory)
    commit = await _commit(directory, base)
    name = f"{Path(common).parent.name[:40]}-{_digest(common)}"
    path = root / DIRECTORY / name / _plain(branch)
    if str(path) in busy:
        raise NotPossible(f"another session works in the worktree of {branch}; stop it, or choose another branch")
    record = records / DIRECTORY / name / f"{_plain(branch)}.json"
    try:
        known = await trio.to_thread.run_sync(_load, record)
    except (OSError, ValueError) as error:
        raise NotPossible(f"whether {branch} has a worktree is not known: {record} cannot be read ({error})") from None
    there = await checked_out(directory, branch)
    exists = await _exists(directory, branch)
    if there is not None and (there != path or known is None):
        raise NotPossible(f"the branch {branch} is checked out in {there}; choose another branch")
    if there is None or not await trio.Path(path).is_dir():
        more = ["--force"] if there is not None else []
        how = [str(path), branch] if exists else ["-b", branch, "--no-track", str(path), commit]
        await git.git(directory, "worktree", "add", "--quiet", *more, *how, seconds=MAKE_SECONDS)
    made = SessionTree(
        sessions=[*(known.sessions[-20:] if known is not None else ()), config.session_id],
        repository=str(top),
        path=str(path),
        branch=branch,
        base=base if wanted.base or known is None else known.base,
        made_branch=not exists or (known is not None and known.made_branch),
        inside=inside,
        record=str(record),
    )
    await trio.to_thread.run_sync(_save, made)
    return made


async def clean(tree: SessionTree, *, discard: bool) -> Worktree:
    """Remove a tree, and a branch that was made for it, where nothing is lost, or where it is to be discarded.

    Returns what became of it. Raises `git.GitError`.
    """
    repository, path = Path(tree.repository), trio.Path(tree.path)
    if not discard and (lost := await _only_here(tree, there=await path.is_dir())):
        return tree.event("kept", lost)
    if await path.is_dir():
        await git.git(repository, "worktree", "remove", "--force", "--force", tree.path, seconds=MAKE_SECONDS)
    else:  # removed by hand: git forgets it when it is asked to put another in its place
        await git.git(repository, "worktree", "prune")
    if tree.made_branch and await _exists(repository, tree.branch):
        await git.git(repository, "branch", "--quiet", "-D", "--", tree.branch)
    await trio.Path(tree.record).unlink(missing_ok=True)
    return tree.event("removed", "discarded" if discard else "nothing in it would be lost")


async def clean_at_end(tree: SessionTree) -> Worktree:
    """Remove the tree of a session that has ended where nothing is lost; never fails and never takes long."""
    with trio.move_on_after(END_SECONDS):
        try:
            return await clean(tree, discard=False)
        except (git.GitError, OSError) as error:
            return tree.event("kept", f"it could not be looked at: {error}")
    return tree.event("kept", f"it could not be looked at within {END_SECONDS:g} s")


def find(records: Path, session_id: str) -> SessionTree | None:
    """Return the tree that a session worked in; None where there is none any more. Raises `NotPossible` where another
    session has taken it over.
    """
    unread: list[str] = []
    for record in sorted((records / DIRECTORY).glob("*/*.json")):
        try:
            tree = _load(record)
        except (OSError, ValueError) as error:
            unread.append(f"{record} cannot be read ({error})")
            continue
        if tree is not None and session_id in tree.sessions:
            if tree.sessions[-1] != session_id:
                raise NotPossible(f"session {tree.sessions[-1]} has gone on in this worktree; clean up there")
            return tree
    if unread:
        raise NotPossible(f"whether the session has a worktree is not known: {unread[0]}")
    return None


async def _only_here(tree: SessionTree, *, there: bool) -> str:
    """Return what would be lost with a tree; empty where nothing would."""
    repository = Path(tree.repository)
    found: list[str] = []
    tips = [f"refs/heads/{tree.branch}"] if await _exists(repository, tree.branch) else []
    if there:
        changed = (await git.git(Path(tree.path), "status", "--porcelain", "-z", "--no-renames")).split(b"\0")
        if files := len(changed) - 1:
            found.append(f"{files} file{'s' if files > 1 else ''} with changes that are not committed")
        head = await git.git(Path(tree.path), "rev-parse", "--verify", "--quiet", "HEAD", ok=(0, 1))
        tips += [head.decode().strip()] if head.strip() else []
    target = await git.git(repository, "rev-parse", "--verify", "--quiet", f"{tree.base}^{{commit}}", ok=(0, 1))
    if not target.strip():
        return ", ".join([*found, f"{tree.base}, which it was to be merged into, is gone"])
    if tips:
        commits = int(await git.git(repository, "rev-list", "--count", *tips, f"^{target.decode().strip()}"))
        if commits:
            found.insert(0, f"{commits} commit{'s' if commits > 1 else ''} that {tree.base} does not have")
    return ", ".join(found)


def _plain(branch: str) -> str:
    """Return a name for a directory, another for each branch: some CLIs decode a percent sign in a path."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "-", branch)[:60]
    return plain if plain == branch else f"{plain}-{_digest(branch)[:6]}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:12]


async def _said(directory: Path, *arguments: str, why: str = "") -> str:
    try:
        return (await git.git(directory, *arguments)).decode(errors="surrogateescape").removesuffix("\n")
    except git.GitError as error:
        raise ContractError("config.worktree", f"{directory} {why}: {error}" if why else str(error)) from None


async def _checked_branch(directory: Path, branch: str) -> str:
    """Return the name where it is one of a branch. Raises `ContractError`, `git.GitError` where git does not say."""
    full = f"refs/heads/{branch}"
    fit = not branch.startswith("-") and branch != "HEAD" and "\0" not in branch
    if fit:
        fit = (await git.git(directory, "check-ref-format", "--normalize", full, ok=(0, 1))).decode().strip() == full
    if not fit:
        raise ContractError("config.worktree.branch", f"{branch!r} is no name for a branch")
    return branch


async def _commit(directory: Path, revision: str) -> str:
    """Return the commit that a revision names. Raises `ContractError`, `git.GitError` where git does not say."""
    found = b""
    if not revision.startswith("-") and "\0" not in revision:
        words = ("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
        found = await git.git(directory, *words, ok=(0, 1, 128))
    if not found.strip():
        raise ContractError("config.worktree.base", f"{revision!r} is no commit of {directory}")
    return found.decode().strip()


async def _current(directory: Path) -> str:
    """Return the branch that is checked out in the repository, else its commit."""
    name = (await git.git(directory, "symbolic-ref", "--short", "--quiet", "HEAD", ok=(0, 1))).decode().strip()
    return name or (await git.git(directory, "rev-parse", "HEAD")).decode().strip()


async def _exists(directory: Path, branch: str) -> bool:
    found = await git.git(directory, "rev-parse", "--verify", "--quiet", f"refs/heads/{branch}", ok=(0, 1))
    return bool(found.strip())


async def checked_out(directory: Path, branch: str) -> Path | None:
    """Return the working tree that has a branch."""
    listed = (await git.git(directory, "worktree", "list", "--porcelain", "-z")).decode(errors="surrogateescape")
    for entry in listed.split("\0\0"):
        lines = entry.split("\0")
        if f"branch refs/heads/{branch}" in lines:
            return Path(lines[0].removeprefix("worktree "))
    return None


def _load(record: Path) -> SessionTree | None:
    """Return what a record says; None where there is none. Raises OSError, ValueError where it cannot be read."""
    try:
        return _tree.convert(json.loads(record.read_bytes()))
    except FileNotFoundError:
        return None


def _save(tree: SessionTree) -> None:
    record = Path(tree.record)
    record.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
    new = record.with_suffix(".new")
    new.write_bytes(encode(tree))
    new.replace(record)
