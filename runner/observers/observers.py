"""The observers of one session: files, differences, processes and test runs, beside the agent and never in its way.

They start after the agent, nothing of the agent waits for them, and each runs under its own guard: an observer that
fails is said once with its reason and started again after a pause. `finish` gives them a moment for their last words.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import attrs
import trio

from townwatch.contracts.codec import to_json_values
from townwatch.contracts.events import DiffFile
from townwatch.contracts.lists import SessionDiff
from townwatch.runner.observers.baseline import Baseline
from townwatch.runner.observers.differences import THREADS, Differences, shown
from townwatch.runner.observers.git import GitError
from townwatch.runner.observers.patches import ALONE, KEPT, LISTED, TextLimits, file_diffs
from townwatch.runner.observers.process_watch import ProcessWatch
from townwatch.runner.observers.repository import Repository
from townwatch.runner.observers.runs import TestRuns
from townwatch.runner.observers.sink import Blind, EventSink, Notes, why
from townwatch.runner.observers.trees import ChangedFiles, Follower, Tree, Trees
from townwatch.runner.spool.recorder import now_ms

DIFF_SECONDS = 1.0
"""A DIFF_SUMMARY at most this often."""
DIFF_SHARE = 8.0
"""After git took a time to answer, it is left alone for this many times as long."""
AGAIN_SECONDS, AGAIN_MOST_SECONDS = 1.0, 60.0
FINAL_SECONDS = 2.0
"""How long the end of a session waits for what its observers still have to say."""
KEEP_SECONDS = 5.0
"""How long, beyond that, it waits for the text of the changes, where git has answered before."""
LISTED_FILES, LISTED_BYTES = 2000, 256 << 10
"""The files that one DIFF_SUMMARY names; it says how many there are."""
TOLD_FILES = 1000
"""FILE_TOUCHED events for one batch of changes."""
SAME_TRIES = 3
"""Tries to read text and counts of one state of the tree, while files are being written."""


class NotChanged(Exception):
    """There is no text to show: the message says why."""


@attrs.frozen
class Shared:
    """Observers that the sessions of one runner process share."""

    trees: Trees
    processes: ProcessWatch


@attrs.frozen(kw_only=True)
class ObservedSession:
    """The session that is observed. `commit`: what was checked out when it began; None where it is not known."""

    session_id: str
    provider: str
    directory: Path
    command: list[str]
    repository: Repository | None
    commit: str | None
    started_ns: int
    told_by_agent: Callable[[], bool] = lambda: False
    """Whether the adapter of an agent's CLI tells the agent's commands, and so its test runs."""


class Observers:
    """`run` it in the session's nursery once there is a terminal; `finish` it when the command has ended."""

    def __init__(self, sink: EventSink, subject: ObservedSession, shared: Shared) -> None:
        self._sink = sink
        self._subject = subject
        self._shared = shared
        self._notes = Notes(sink, subject.provider)
        self.tests = TestRuns(sink, subject.directory)
        self._told: list[DiffFile] = []
        self._baseline: Baseline | None = None
        self._tree: Tree | None = None
        self._leader = 0
        self._asking = trio.Lock()

    async def run(self, leader: int) -> None:
        """Run until cancelled. `leader`: the process that the session's terminal belongs to."""
        self._leader = leader
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._guard, "processes and test runs", self._watch_processes)
                nursery.start_soon(self._guard, "files", self._follow_tree)
        finally:
            self._shared.processes.forget(self._subject.session_id)
            if self._baseline is not None:
                self._baseline.close()

    def output(self, text: str) -> None:
        """Take what the terminal shows."""
        self.tests.output(text)
        self._shared.processes.printed()

    async def finish(self, shell_code: int) -> None:
        """The command has ended: what is left to be told of it, within `FINAL_SECONDS`."""
        with trio.move_on_after(FINAL_SECONDS):
            await self._once("test runs", partial(self.tests.finish, shell_code))
        with trio.move_on_after(FINAL_SECONDS):
            if self._tree is not None and self._tree.shadow is not None:
                self._tree.doubt()
                await self._once("changes", partial(self._tell_difference, self._tree))
            await self._notes.finish()
        with trio.move_on_after(KEEP_SECONDS):
            if self._tree is not None and self._baseline is not None:
                await self._once("changes", partial(self._keep_text, self._tree))

    async def _guard(self, what: str, observe: Callable[[], Awaitable[None]]) -> None:
        pause = AGAIN_SECONDS
        while True:
            await self._once(what, observe)
            await trio.sleep(pause)
            pause = min(2 * pause, AGAIN_MOST_SECONDS)

    async def _once(self, what: str, observe: Callable[[], Awaitable[None]]) -> None:
        try:
            await observe()
        except Exception as error:  # whatever it is, the agent goes on; the session says that nothing is seen
            await self._notes.add(Blind(what, why(error)))

    # --- files ------------------------------------------------------------------------------------------------------

    async def _follow_tree(self) -> None:
        repository = self._subject.repository
        root = repository.top if repository is not None else self._subject.directory.resolve()
        async with self._shared.trees.follow(root, repository) as (tree, follower), trio.open_nursery() as nursery:
            self._tree = tree
            try:
                nursery.start_soon(self._tell_files, follower)
                if repository is not None:
                    nursery.start_soon(self._watch_differences, tree, follower)
            finally:
                await trio.sleep_forever()

    async def _tell_files(self, follower: Follower) -> None:
        while True:
            batch = await follower.take()
            for blind in batch.blind:
                await self._notes.add(blind)
            await self._tell_touched(batch)

    async def _tell_touched(self, batch: ChangedFiles) -> None:
        for path, gone in batch.touched[:TOLD_FILES]:
            self._sink.usage.file()
            await self._sink.tell("FILE_TOUCHED", path=shown(path), reason="delete" if gone else "write")
        if len(batch.touched) > TOLD_FILES:
            rest = len(batch.touched) - TOLD_FILES
            await self._notes.add(Blind("file changes", "more at once than can be told", rest))

    async def _watch_differences(self, tree: Tree, follower: Follower) -> None:
        """DIFF_SUMMARY when the session's changes are others than the last that were told."""
        follower.changed.set()
        while True:
            await follower.changed.wait()
            follower.changed = trio.Event()
            began = trio.current_time()
            await self._once("changes", partial(self._tell_difference, tree))
            await trio.sleep(max(DIFF_SECONDS, DIFF_SHARE * (trio.current_time() - began)))

    async def _tell_difference(self, tree: Tree) -> None:
        try:
            async with self._asking:
                await self._tell_summary(tree, *await self._own(tree))
            self._sink.changes_known = True
        except BaseException as error:  # what was told before may be another thing by now
            self._sink.changes_known = False
            if not isinstance(error, GitError):
                raise
            await self._notes.add(Blind("changes", str(error)))

    async def _own(self, tree: Tree) -> tuple[Differences, dict[str, DiffFile]]:
        """Return what differs now, and what of it is the session's. Raises `GitError`."""
        baseline = self._baseline or await self._take_baseline(tree)
        found = await tree.differences(baseline.base)
        return found, await baseline.own(found)

    async def _tell_summary(self, tree: Tree, found: Differences, changed: dict[str, DiffFile]) -> None:
        own = list(changed.values())
        if own == self._told:
            return
        self._told = own
        listed = listed_files(own)
        cut = len(listed) < len(own) or found.uncounted > 0
        await self._sink.tell(
            "DIFF_SUMMARY",
            filesChanged=len(own),
            linesAdded=sum(file.additions for file in own),
            linesRemoved=sum(file.deletions for file in own),
            files=listed,
            filesTotal=len(own) if cut else None,
            truncated=True if cut else None,
            sharedTree=await self._shared_with(tree) or None,
        )

    async def text(self, path: str | None = None) -> SessionDiff:
        """The text of what the session changed, of one file or of all: of the state that the DIFF_SUMMARY that was told
        last counts, or else of a newer one, which is told then. Raises `NotChanged`, `GitError`.
        """
        tree = self._tree
        if self._subject.repository is None:
            raise NotChanged("the session does not work in a git repository")
        if tree is None or tree.shadow is None:
            raise NotChanged("the session's tree is not observed yet; ask again")
        async with self._asking:
            tree.doubt()
            return await self._text(tree, LISTED if path is None else ALONE, path)

    async def _text(self, tree: Tree, room: TextLimits, path: str | None = None) -> SessionDiff:
        diff, same = await self._read_text(tree, room, path)
        for _ in range(SAME_TRIES - 1):
            if same:
                break
            tree.doubt()
            diff, same = await self._read_text(tree, room, path)
        return diff

    async def _read_text(self, tree: Tree, room: TextLimits, path: str | None) -> tuple[SessionDiff, bool]:
        """The text, and whether all of it is of the state that is counted. Raises `NotChanged`, `GitError`."""
        found, own = await self._own(tree)
        assert self._baseline is not None
        assert tree.shadow is not None
        wanted = own if path is None else {name: file for name, file in own.items() if file.path == path}
        if path is not None and not wanted:
            raise NotChanged(f"the session has not changed {path[:200]}")
        listed = dict(list(wanted.items())[: len(listed_files(list(wanted.values())))])
        files, same = await file_diffs(tree.shadow, self._baseline, found, listed, self._sink.clean_lines, room)
        await self._tell_summary(tree, found, own)
        diff = SessionDiff(
            base=self._baseline.base,
            files_changed=len(own),
            lines_added=sum(file.additions for file in own.values()),
            lines_removed=sum(file.deletions for file in own.values()),
            files=files,
            truncated=len(files) < len(wanted) or any(file.truncated for file in files),
            shared_tree=await self._shared_with(tree),
        )
        return diff, same

    async def _keep_text(self, tree: Tree) -> None:
        """The text goes home with the session's last words: its tree may change or vanish afterwards."""
        if not self._told:
            return
        try:
            kept = await self._text(tree, KEPT)
        except GitError as error:
            await self._notes.add(Blind("the text of the changes", str(error)))
            return
        inner = {"type": kept.TYPE, "providerId": self._subject.provider, "timestamp": now_ms()}
        await self._sink.tell("PROVIDER_EVENT_FORWARDED", providerEvent=inner | to_json_values(kept))

    async def _shared_with(self, tree: Tree) -> int:
        """Count the other sessions that work in this tree, those of other runner processes of this user among them."""
        others_in = self._shared.processes.table.others_in
        return tree.shared_with + await trio.to_thread.run_sync(others_in, tree.root, limiter=THREADS)

    async def _take_baseline(self, tree: Tree) -> Baseline:
        """It may be late: what was changed since the session began is known by its time."""
        assert tree.shadow is not None
        baseline = Baseline(tree.shadow, self._subject.commit or await tree.shadow.head())
        await baseline.take(await tree.differences(baseline.base), self._subject.started_ns)
        self._baseline = baseline
        return baseline

    # --- processes --------------------------------------------------------------------------------------------------

    async def _watch_processes(self) -> None:
        """Count the commands that run, and notice the test runs among them."""
        await self.tests.own_command(self._leader, self._subject.command)
        async with trio.open_nursery() as nursery:
            self.tests.nursery = nursery
            try:
                await self._look_on()
            finally:
                self.tests.nursery = None

    async def _look_on(self) -> None:
        seen: dict[int, list[str]] = {}
        while True:
            members = await self._shared.processes.changed(self._subject.session_id)
            for pid, process in members.items():
                if seen.get(pid) != process.command:  # new, or it became another program
                    self._sink.usage.command()
                    if not self._subject.told_by_agent():
                        await self.tests.process(process, members)
            await self.tests.gone(members)
            seen = {pid: process.command for pid, process in members.items()}


def listed_files(files: list[DiffFile]) -> list[DiffFile]:
    """As many of the first as one event may name."""
    listed: list[DiffFile] = []
    room = LISTED_BYTES
    for file in files[:LISTED_FILES]:
        room -= len(file.path.encode())
        if room < 0:
            break
        listed.append(file)
    return listed
