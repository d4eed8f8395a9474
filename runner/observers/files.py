"""Files that change below a directory, in batches: from inotify on Linux, from watchfiles elsewhere."""

import errno
import os
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from townwatch.runner.observers.differences import THREADS
from townwatch.runner.observers.inotify import TreeEvents, TreeWatch
from townwatch.runner.observers.sink import Blind
from townwatch.runner.reading import as_acting

if TYPE_CHECKING:
    from watchfiles import Change

BATCH_SECONDS = 0.25
"""Changes of a file within this time are one."""
SKIPPED = frozenset({b".git", b"__pycache__", b"node_modules"})
"""Directories of these names, below the root, are not watched."""


class Skip:
    """Paths relative to a root that are left out: by name, and these directories by where they are."""

    def __init__(self, root: Path, excluded: Sequence[Path] = ()) -> None:
        inside = [path.resolve() for path in excluded]
        self._excluded = {os.fsencode(path.relative_to(root)) for path in inside if path.is_relative_to(root)} - {b"."}

    def __call__(self, directory: bytes) -> bool:
        """Return whether a directory is left out, its parents being watched."""
        return directory.rsplit(b"/", 1)[-1] in SKIPPED or directory in self._excluded

    def below(self, path: bytes) -> bool:
        """Return whether any of the directories above a file is left out."""
        parts = path.split(b"/")[:-1]
        return any(self(b"/".join(parts[: end + 1])) for end in range(len(parts)))


def too_much(root: Path, is_repository: bool) -> bool:
    """Return whether `root` is a whole home directory, or more: too much to watch, which would take minutes."""
    return not is_repository and Path.home().is_relative_to(root)


async def watch(root: Path, skip: Skip, beside: Sequence[Path] = ()) -> AsyncGenerator[TreeEvents]:
    """Yield the changes below `root`, and in the directories `beside` it (these with absolute paths). The first batch
    says that the watch has begun, and what of the tree it cannot see. Raises OSError where nothing can be watched.
    """
    events = _inotify if sys.platform == "linux" else _portable
    async with aclosing(events(root, skip, beside)) as batches:
        async for batch in batches:
            yield batch


async def _inotify(root: Path, skip: Skip, beside: Sequence[Path]) -> AsyncGenerator[TreeEvents]:
    tree = TreeWatch(str(root), skip)
    try:
        yield await _in_thread(partial(_open, tree, beside))
        while True:
            await trio.lowlevel.wait_readable(tree.descriptor)
            await trio.sleep(BATCH_SECONDS)
            events = await _in_thread(tree.read)
            yield events
            if events.ended:
                raise FileNotFoundError(errno.ENOENT, "it was removed", str(root))
    finally:
        tree.close()


def _open(tree: TreeWatch, beside: Sequence[Path]) -> TreeEvents:
    begun = tree.open()
    for directory in beside:
        tree.watch_beside(str(directory))
    return begun


async def _in_thread(function: Callable[[], TreeEvents]) -> TreeEvents:
    def look() -> TreeEvents:
        with as_acting():
            return function()

    return await trio.to_thread.run_sync(look, limiter=THREADS)


async def _portable(root: Path, skip: Skip, beside: Sequence[Path]) -> AsyncGenerator[TreeEvents]:
    """Watch without the exact reasons why something is not seen: the system's own watcher does not report them."""
    from watchfiles import awatch  # brings anyio; on Linux it is not used

    yield TreeEvents()
    watching = awatch(root, *beside, watch_filter=None, step=50, debounce=int(BATCH_SECONDS * 1000), rust_timeout=500)
    try:
        async with aclosing(watching):
            async for changes in watching:
                yield _seen(root, skip, changes)
    except (RuntimeError, UnicodeError) as error:
        yield TreeEvents(blind=[Blind("the working tree", str(error))])


def _seen(root: Path, skip: Skip, changes: "set[tuple[Change, str]]") -> TreeEvents:
    from watchfiles import Change

    events = TreeEvents()
    for change, name in changes:
        path = Path(name)
        if not path.is_relative_to(root):
            events.touched[os.fsencode(name)] = change == Change.deleted
        elif not skip.below(relative := os.fsencode(path.relative_to(root))) and not path.is_dir():
            events.touched[relative] = change == Change.deleted or not path.exists()
    return events
