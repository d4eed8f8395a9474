"""The directory a session works in: a local repository as it is, one of a forge as a clone of our own."""

import shutil
from collections.abc import Collection
from pathlib import Path

import trio

from townwatch.contracts.codec import ContractError
from townwatch.contracts.tasks import SessionConfig
from townwatch.runner.account import acting
from townwatch.runner.observers import git
from townwatch.runner.session import worktrees
from townwatch.runner.session.worktrees import SessionTree

CLONE_SECONDS = 900.0
HOSTS = {"github": "https://github.com", "gitlab": "https://gitlab.com", "bitbucket": "https://bitbucket.org"}


async def prepare(
    config: SessionConfig, directory: Path, busy: Collection[str] = ()
) -> tuple[Path, SessionTree | None]:
    """Return where to start the session's command, and the worktree that was made for it. `busy`: worktrees that other
    sessions are in.

    Raises `ContractError`, `NotPossible`, `git.GitError`.
    """
    account = acting.get()
    root = directory if account is None else account.home / ".townwatch"
    if config.repo_ref.provider == "local":
        base = Path(config.repo_ref.path or "")
        if not base.is_absolute() or not await trio.Path(base).is_dir():
            raise ContractError("config.repoRef.path", f"{base} is no directory of this machine")
    else:
        base = await _clone(config, root / "workspaces" / config.session_id)
    revision = config.checkout.revision if config.checkout is not None else None
    if config.worktree is not None:
        tree = await worktrees.make(config, base, directory, root, busy)
        return _room(tree.directory, config.room_path), tree
    if revision is not None:
        if revision.startswith("-"):
            raise ContractError("config.checkout", f"{revision!r} is no revision")
        await git.git(base, "checkout", "--quiet", revision)
    return _room(base, config.room_path), None


async def _clone(config: SessionConfig, target: Path) -> Path:
    ref = config.repo_ref
    address = f"{HOSTS[ref.provider]}/{ref.owner}/{ref.name}.git"
    account = acting.get()
    if account is None:  # git makes it itself, as the account
        await trio.Path(target.parent).mkdir(parents=True, exist_ok=True)
    try:
        await git.git(Path("/"), "clone", "--quiet", "--", address, str(target), seconds=CLONE_SECONDS)
    except BaseException:  # half a clone would be in the way of the next try
        with trio.CancelScope(shield=True):
            if account is not None:
                await account.remove(target)
            else:
                await trio.to_thread.run_sync(lambda: shutil.rmtree(target, ignore_errors=True))
        raise
    return target


def _room(base: Path, room: str | None) -> Path:
    """A part of the repository; never outside of it."""
    if not room:
        return base
    inside = (base / room).resolve()
    if not inside.is_relative_to(base.resolve()) or not inside.is_dir():
        raise ContractError("config.roomPath", f"{room!r} is no directory of the repository")
    return inside
