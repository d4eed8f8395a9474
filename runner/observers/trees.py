"""Working trees that are observed: one watch and one git for each, shared by all its sessions.

A tree is watched while a session follows it. A watch that fails is started again after a pause, and its followers are
told why they see nothing; nothing of it reaches a session's own tasks.
"""

import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import attrs
import trio

from townwatch.runner.observers import files
from townwatch.runner.observers.differences import Differences, Shadow
from townwatch.runner.observers.git import GitError
from townwatch.runner.observers.inotify import TreeEvents
from townwatch.runner.observers.repository import Repository
from townwatch.runner.observers.sink import Blind, why

BATCHES = 64
"""Batches that wait for a session; of what comes beyond, it learns only that there was more."""
AGAIN_SECONDS, AGAIN_MOST_SECONDS = 1.0, 60.0
"""The pause before a failed watch is started again; it doubles each time, up to the second."""
CACHED_BASES = 16


@attrs.frozen
class ChangedFiles:
    """Files that changed: (path relative to the tree, whether it is gone); what is not seen; whether some were lost."""

    touched: Sequence[tuple[str, bool]] = ()
    blind: Sequence[Blind] = ()


class Follower:
    """One session's end of a tree."""

    def __init__(self) -> None:
        self.send, self._receive = trio.open_memory_channel[ChangedFiles](BATCHES)
        self.missed = 0
        self.changed = trio.Event()
        """Set when the tree may differ; its owner replaces it."""

    def give(self, batch: ChangedFiles) -> None:
        self.changed.set()
        try:
            self.send.send_nowait(batch)
        except trio.WouldBlock:
            self.missed += len(batch.touched)

    async def take(self) -> ChangedFiles:
        """The next batch; a word on what was left out before it."""
        batch = await self._receive.receive()
        if self.missed:
            missed, self.missed = self.missed, 0
            batch = attrs.evolve(batch, blind=[*batch.blind, Blind("file changes", "more than can be told", missed)])
        return batch


class Tree:
    """One working tree. `shadow` is None outside of a repository."""

    def __init__(self, root: Path, repository: Repository | None, excluded: Sequence[Path]) -> None:
        self.root = root
        self.shadow = Shadow(repository) if repository is not None else None
        self.followers: set[Follower] = set()
        self.watching = trio.Event()
        """Set when the watch has begun, or has failed."""
        self._blind: list[Blind] = []
        self._repository = repository
        self._skip = files.Skip(root, excluded)
        self._generation = 0
        self._known: dict[str, tuple[int, Differences]] = {}
        self._asking = trio.Lock()

    @property
    def shared_with(self) -> int:
        """Count the other sessions that work in this tree."""
        return max(0, len(self.followers) - 1)

    async def differences(self, base: str) -> Differences:
        """Return what differs from `base`, asked of git once for each state of the tree. Raises `GitError`."""
        assert self.shadow is not None
        async with self._asking:
            generation = self._generation
            known = self._known.get(base)
            if known is not None and known[0] == generation:
                return known[1]
            found = await self.shadow.differences(base)
            self._known.pop(base, None)
            self._known[base] = (generation, found)
            while len(self._known) > CACHED_BASES:
                del self._known[next(iter(self._known))]
            return found

    def doubt(self) -> None:
        """Mark what is known as old: the next call gets a fresh answer."""
        self._generation += 1

    def join(self, follower: Follower) -> None:
        self.followers.add(follower)
        if self._blind:
            follower.give(ChangedFiles(blind=list(self._blind)))

    async def run(self) -> None:
        """Watch until cancelled."""
        if files.too_much(self.root, self._repository is not None):
            self._say(ChangedFiles(blind=[Blind(str(self.root), "a home directory is no repository")]))
            self.watching.set()
            await trio.sleep_forever()
        pause = AGAIN_SECONDS
        while True:
            began = trio.current_time()
            try:
                await self._watch()
            except Exception as error:  # whatever it is, the sessions go on
                self._say(ChangedFiles(blind=[Blind("the working tree", why(error))]))
            self.watching.set()
            if trio.current_time() - began > AGAIN_MOST_SECONDS:
                pause = AGAIN_SECONDS
            await trio.sleep(pause)
            pause = min(pause * 2, AGAIN_MOST_SECONDS)
            self.doubt()

    async def _watch(self) -> None:
        beside = []
        if self._repository is not None:
            beside = [self._repository.git_dir, self._repository.git_dir / "logs"]
        async with aclosing(files.watch(self.root, self._skip, beside)) as batches:
            async for events in batches:
                await self._take(events)
                self.watching.set()

    async def _take(self, events: TreeEvents) -> None:
        seen = {os.fsdecode(path): gone for path, gone in events.touched.items() if not path.startswith(b"/")}
        git_moved = any(os.path.basename(path) in (b"index", b"HEAD") for path in events.touched if path[:1] == b"/")
        touched = {path: gone for path, gone in seen.items() if not path.endswith("/")}
        blind = list(events.blind)
        skip = await self._ignored(list(touched), blind)
        told = [(path, gone) for path, gone in sorted(touched.items()) if path not in skip]
        if events.lost:
            blind.append(Blind("file changes", "more than the kernel keeps"))
        if told or blind or git_moved or events.lost or len(seen) > len(touched):
            self.doubt()
            self._say(ChangedFiles(told, blind))

    def _say(self, batch: ChangedFiles) -> None:
        self._blind += [one for one in batch.blind if one.what != "file changes" and one not in self._blind]
        for follower in self.followers:
            follower.give(batch)

    async def _ignored(self, paths: list[str], blind: list[Blind]) -> set[str]:
        """Return what git ignores of it. Where git does not say, all of it is told, and that with it."""
        if self.shadow is None:
            return set()
        try:
            return await self.shadow.ignored(paths)
        except GitError as error:
            blind.append(Blind("which files git ignores", str(error)))
            return set()


class Trees:
    """The trees of one runner process; `run` it beside the sessions."""

    def __init__(self, excluded: Sequence[Path] = ()) -> None:
        """`excluded`: directories that are never observed: where our own files are."""
        self._excluded = excluded
        self._trees: dict[Path, tuple[Tree, trio.CancelScope]] = {}
        self._nursery: trio.Nursery | None = None

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            await trio.sleep_forever()

    @property
    def count(self) -> int:
        return len(self._trees)

    @asynccontextmanager
    async def follow(self, root: Path, repository: Repository | None) -> AsyncGenerator[tuple[Tree, Follower]]:
        """A tree, watched for as long as one session or more is in this block."""
        assert self._nursery is not None
        if root not in self._trees:
            self._trees[root] = (Tree(root, repository, self._excluded), trio.CancelScope())
            self._nursery.start_soon(self._observe, *self._trees[root], name=f"tree {root}")
        tree, scope = self._trees[root]
        follower = Follower()
        tree.join(follower)
        try:
            yield tree, follower
        finally:
            tree.followers.discard(follower)
            if not tree.followers:
                del self._trees[root]
                scope.cancel()

    async def _observe(self, tree: Tree, scope: trio.CancelScope) -> None:
        try:
            with scope:
                await tree.run()
        finally:
            if tree.shadow is not None:
                tree.shadow.close()
