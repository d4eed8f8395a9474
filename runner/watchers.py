"""What goes on around a session's command: files, the diff, processes, test runs. Each is a task of the session."""

from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import psutil
import structlog
import trio

from runner import files, git, testruns
from runner.recorder import now_ms
from runner.terminal import Exit, session_members

if TYPE_CHECKING:
    from runner.session import Session

log = structlog.get_logger("watch")

DIFF_SECONDS = 1.0
"""A DIFF_SUMMARY at most this often."""
JUNIT_BYTES = 32 << 20
LOOK_SECONDS = 0.2
"""How often the session's processes are looked at. Shorter commands of a shell are not seen."""


async def watch_files(session: "Session", root: Path, stop: trio.Event, is_repository: bool = True) -> None:
    """FILE_TOUCHED for what is created, changed and removed."""
    if files.too_much(root, is_repository):
        log.info("files_not_watched", directory=str(root), reason="a home directory is no repository")
        return
    try:
        async with aclosing(files.touched(root, stop)) as batches:
            async for batch in batches:
                for path, how in batch:
                    session.usage.file()
                    await session.tell("FILE_TOUCHED", path=path, reason=how)
                session.tree_changed.set()
    except (OSError, RuntimeError) as error:  # the limit of watches, a directory that was removed: the rest goes on
        log.warning("files_not_watched", directory=str(root), reason=str(error))


async def watch_diff(session: "Session", top: Path, once: bool = False) -> None:
    """DIFF_SUMMARY when git's answer is another one than the last."""
    while True:
        if not once:
            await session.tree_changed.wait()
            session.tree_changed = trio.Event()
        try:
            changed = await git.diff_summary(top)
        except git.GitError as error:
            log.warning("no_diff", reason=str(error))
            changed = session.last_diff
        if changed != session.last_diff:
            session.last_diff = changed
            await session.tell(
                "DIFF_SUMMARY",
                filesChanged=len(changed),
                linesAdded=sum(file.additions for file in changed),
                linesRemoved=sum(file.deletions for file in changed),
                files=changed,
            )
        if once:
            return
        await trio.sleep(DIFF_SECONDS)


async def watch_processes(session: "Session", pid: int, tests: "TestWatch") -> None:
    """Count the commands that run, and notice the test runs among them."""
    seen: dict[int, list[str]] = {}
    while True:
        alive = await trio.to_thread.run_sync(_command_lines, pid)
        for member, command in alive.items():
            if seen.get(member) != command:  # new, or it became another program (a shell's child before its exec)
                session.usage.command()
                await tests.process(member, command)
        seen = alive
        await tests.gone(set(alive))
        await trio.sleep(LOOK_SECONDS)


def _command_lines(leader: int) -> dict[int, list[str]]:
    """pid → argument vector, of everybody in the terminal's session."""
    found: dict[int, list[str]] = {}
    for pid in session_members(leader):
        try:
            found[pid] = psutil.Process(pid).cmdline()
        except psutil.Error:
            continue
    return found


@attrs.define
class _Run:
    tool: testruns.Tool
    command: list[str]
    pid: int | None
    began_ms: int
    output: str = ""


class TestWatch:
    """TEST_RUN_STARTED and TEST_RUN_FINISHED. One run at a time: what a test tool starts itself is part of its run."""

    __test__ = False

    def __init__(self, session: "Session") -> None:
        self._session = session
        self._run: _Run | None = None
        self._own: int | None = None

    async def own_command(self, pid: int, command: Sequence[str]) -> None:
        """The session's command itself may be a test run: it is told however short it is, with its own exit code."""
        if testruns.recognise(command) is not None:
            self._own = pid
            await self.process(pid, list(command))

    async def process(self, pid: int, command: list[str]) -> None:
        """A new process of the session."""
        tool = testruns.recognise(command) if self._run is None else None
        if tool is None:
            return
        self._run = _Run(tool, command, pid, now_ms())
        shown = self._session.clean(" ".join(command))
        await self._session.tell("TEST_RUN_STARTED", command=shown, testFiles=testruns.test_files(command))

    def output(self, text: str) -> None:
        """What the terminal shows; the end of it holds the summary."""
        if self._run is not None:
            self._run.output = (self._run.output + text)[-2 * testruns.OUTPUT_CHARS :]

    async def gone(self, alive: set[int]) -> None:
        """The processes there are now: has the run ended?"""
        run = self._run
        if run is not None and run.pid not in alive and run.pid != self._own:
            await trio.sleep(LOOK_SECONDS / 2)  # its last words are still on their way through the terminal
            await self._say_finished(run, None)

    async def finish(self, ended: Exit) -> None:
        """The session's command has ended, and every run with it."""
        if self._run is not None:
            await self._say_finished(self._run, ended.shell_code if self._run.pid == self._own else None)

    async def _say_finished(self, run: _Run, exit_code: int | None) -> None:
        if self._run is not run:
            return
        self._run = None
        counts = await trio.to_thread.run_sync(_counts, run, self._session.plan.directory)
        failed = counts is None or counts.failed > 0
        numbers: dict[str, Any] = attrs.asdict(counts or testruns.Counts(0, 0, 0))
        await self._session.tell(
            "TEST_RUN_FINISHED",
            exitCode=exit_code if exit_code is not None else int(failed),
            duration=now_ms() - run.began_ms,
            **numbers,
        )


def _counts(run: _Run, directory: Path) -> testruns.Counts | None:
    """From the JUnit file where the run was told to write one, else from its output."""
    path = testruns.junit_path(run.command)
    if path is not None:
        file = directory / path
        try:
            fresh = file.stat().st_mtime_ns // 1_000_000 >= run.began_ms - 1000 and file.stat().st_size <= JUNIT_BYTES
            counts = testruns.count_junit(file.read_bytes()) if fresh else None  # one of an earlier run says nothing
        except OSError:
            counts = None
        if counts is not None:
            return counts
    return testruns.count(run.tool, run.output)
