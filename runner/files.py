"""Which files a session touches, from the file system's own events."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import trio
from watchfiles import Change, DefaultFilter, awatch

from runner import git

GIT_MOVED = ("/.git/index", "/.git/HEAD", "/.git/logs/HEAD")
"""Files of git's own that say that the difference is another one: a commit, a checkout, something staged."""
STEP_MS, DEBOUNCE_MS = 50, 250
"""Changes of a file within the debounce are one."""


class _NotGit(DefaultFilter):
    """Everything but git's own files; what the repository ignores is asked of git, in batches."""

    ignore_dirs = (".git", ".townwatch", "__pycache__", "node_modules")

    def __call__(self, change: Change, path: str) -> bool:
        return path.endswith(GIT_MOVED) or super().__call__(change, path)


async def touched(root: Path, stop: trio.Event) -> AsyncGenerator[list[tuple[str, str]]]:
    """Batches of (path relative to `root`, write | delete), in order of their paths, until `stop`.

    An empty batch says that only git's own idea of the tree changed.
    """
    watching = awatch(
        root, watch_filter=_NotGit(), stop_event=stop, step=STEP_MS, debounce=DEBOUNCE_MS, rust_timeout=500
    )
    async with aclosing(watching):
        async for changes in watching:
            seen = await trio.to_thread.run_sync(_what_happened, root, changes)
            skip = await _ignored(root, list(seen))
            batch = [(git.shown(path), how) for path, how in sorted(seen.items()) if path not in skip]
            if batch or not seen:
                yield batch


def too_much(root: Path, is_repository: bool) -> bool:
    """Whether `root` is somebody's whole home, or more: nobody works on all of that, and to watch it takes minutes."""
    return not is_repository and Path.home().is_relative_to(root)


def _what_happened(root: Path, changes: set[tuple[Change, str]]) -> dict[str, str]:
    """Path → write or delete. A file that is gone by now is gone, whatever else happened to it."""
    seen: dict[str, str] = {}
    for change, name in changes:
        path = Path(name)
        if path.is_relative_to(root) and not name.endswith(GIT_MOVED) and not path.is_dir():
            gone = change == Change.deleted or not path.exists()
            seen[path.relative_to(root).as_posix()] = "delete" if gone else "write"
    return seen


async def _ignored(root: Path, paths: list[str]) -> set[str]:
    try:
        return await git.ignored(root, paths)
    except git.GitError:  # no repository here, so nothing is ignored
        return set()
