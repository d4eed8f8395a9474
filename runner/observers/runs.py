"""The test runs of a session: found among its processes wherever they run, and judged only by what is known of them.

In the order of what is believed: the exit status of the process itself; the JUnit file that it was told to write; the
summary that it printed on the session's terminal or into a file. Where none of them is to be had, the verdict is
unknown and the reason says why. Runs beside each other are told apart by their processes; what a test tool starts
itself is part of its run.
"""

import os
import stat
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import trio

from townwatch.runner.observers import testruns
from townwatch.runner.observers.differences import THREADS
from townwatch.runner.observers.exits import ProcessExit
from townwatch.runner.observers.failures import CleanLines, FailureText, junit_failures, printed_failures
from townwatch.runner.observers.sink import EventSink
from townwatch.runner.reading import as_acting, read_file
from townwatch.runner.session.processes import Process
from townwatch.runner.spool.recorder import now_ms

JUNIT_BYTES = 32 << 20
PSEUDO_TERMINALS = range(136, 144)
"""Major numbers of their devices on Linux."""
CLOCK = time.CLOCK_BOOTTIME if sys.platform == "linux" else time.CLOCK_MONOTONIC
"""What the kernel stamps processes with."""
BEFORE_SECONDS, BEFORE_PIECES = 3.0, 64
"""Output of the last moments, for a run that is found only after it printed something."""
SETTLE_SECONDS, LATE_SECONDS = 0.15, 1.5
"""The last words of a run are still on their way through the terminal when its process has ended. On a busy machine
they take longer: a run whose summary has not come yet is waited for, up to this."""


def new_run_id() -> str:
    """Unique in its session, and beyond."""
    return f"run_{uuid.uuid4().hex[:12]}"


@attrs.define(eq=False)
class Run:
    """One test run. `output_to`: terminal, pipe, file, nowhere or unknown; `file` and `offset`: where a file's part of
    this run begins. `alone`: no other run wrote to the same terminal meanwhile. `over`: its process has ended, with
    `status` where that can be seen.
    """

    tool: str
    command: list[str]
    pid: int
    began_ms: int
    run_id: str = attrs.field(factory=new_run_id)
    directory: Path | None = None
    output_to: str = "unknown"
    file: Path | None = None
    offset: int = 0
    text: str = ""
    alone: bool = True
    watches: bool = False
    finished: bool = False
    followed: bool = False
    over: bool = False
    status: int | None = None
    frozen: bool = False
    ending: bool = False
    printed: trio.Event = attrs.field(factory=trio.Event)
    turn: trio.Lock = attrs.field(factory=trio.Lock)

    @property
    def may_be_shown(self) -> bool:
        """Return whether its output may be on the session's terminal."""
        return self.output_to in ("terminal", "pipe", "unknown")


class TestRuns:
    """TEST_RUN_STARTED and TEST_RUN_FINISHED of one session."""

    __test__ = False

    def __init__(self, sink: EventSink, directory: Path) -> None:
        self._sink = sink
        self._directory = directory
        self._runs: dict[int, Run] = {}
        self._own: int | None = None
        self._told = trio.Event()
        self._before: list[tuple[float, str]] = []
        self.nursery: trio.Nursery | None = None
        """Where the ends of runs are waited for."""

    async def own_command(self, pid: int, command: Sequence[str]) -> None:
        """The session's command itself may be a test run: it is told however short it is."""
        self._own = pid
        if pid not in self._runs and (tool := testruns.recognise(command)) is not None:
            run = Run(tool, list(command), pid, now_ms(), directory=self._directory, output_to="terminal")
            await self._begin(run)

    async def process(self, process: Process, members: Mapping[int, Process]) -> None:
        """A new process of the session, or one that became another program."""
        tool = testruns.recognise(process.command)
        if tool is None or self._is_part_of_a_run(process, members):
            return
        age = min(max(0.0, time.clock_gettime(CLOCK) - process.began_seconds), BEFORE_SECONDS)
        run = Run(tool, process.command, process.pid, now_ms() - int(age * 1000), directory=_directory(process.pid))
        _find_output(run, self._own)
        if run.may_be_shown:  # what it printed before it was found
            run.text = "".join(said for at, said in self._before if at >= time.clock_gettime(CLOCK) - age)
            self._before = []
        ending = ProcessExit(process.pid) if process.pid != self._own else None
        await self._begin(run)
        if ending is not None and self.nursery is not None:
            run.followed = True
            self.nursery.start_soon(self._follow, run, ending)

    async def gone(self, members: Mapping[int, Process]) -> None:
        """Finish the runs whose end was not waited for, of those that are not among the living any more."""
        for run in [one for one in self._runs.values() if not one.followed]:
            if run.pid not in members and run.pid != self._own:
                await self._finish(run, None)

    def _is_part_of_a_run(self, process: Process, members: Mapping[int, Process]) -> bool:
        seen: set[int] = set()
        current: Process | None = process
        while current is not None and current.pid not in seen:
            if current.pid in self._runs:
                return True
            seen.add(current.pid)
            current = members.get(current.parent)
        return False

    async def _begin(self, run: Run) -> None:
        run.watches = testruns.watches(run.tool, run.command, on_terminal=run.output_to == "terminal")
        self._runs[run.pid] = run
        self._note_company(run)
        await self._tell_started(run)
        if run.watches:
            await self._look_at_rounds(run)

    def _note_company(self, run: Run) -> None:
        """Note which other runs may write to the terminal: its text is one run's if it runs alone."""
        beside = [one for one in self._runs.values() if one.may_be_shown and one is not run]
        for one in beside:
            one.frozen = one.over
        going_on = [one for one in beside if not one.over]
        if run.may_be_shown and going_on:
            for one in [run, *going_on]:
                one.alone = False

    async def _tell_started(self, run: Run) -> None:
        shown = self._sink.clean(" ".join(run.command))
        files = testruns.test_files(run.command)
        where = f"process {run.pid}"
        await self._sink.tell("TEST_RUN_STARTED", command=shown, testFiles=files, runId=run.run_id, where=where)

    def output(self, text: str) -> None:
        """Give the runs what the terminal shows; the end of it holds the summary."""
        hearing = [run for run in self._runs.values() if run.may_be_shown and not run.frozen]
        if not hearing:
            now = time.clock_gettime(CLOCK)
            self._before = [(at, said) for at, said in self._before[-BEFORE_PIECES:] if now - at < BEFORE_SECONDS]
            self._before.append((now, text))
        for run in hearing:
            run.text = (run.text + text)[-2 * testruns.OUTPUT_CHARS :]
            run.printed.set()
            if run.watches and self.nursery is not None:
                self.nursery.start_soon(self._look_at_rounds, run)

    async def _look_at_rounds(self, run: Run) -> None:
        """A run that goes on watching its files has a result at the end of each round, and then begins another."""
        async with run.turn:
            while await self._next_turn_of(run):
                pass

    async def _next_turn_of(self, run: Run) -> bool:
        """Return whether a round began or ended."""
        if run.finished:
            begun = testruns.after_round_begins(run.tool, run.text)
            if begun is None:
                return False
            run.finished, run.text, run.began_ms, run.run_id = False, begun, now_ms(), new_run_id()
            await self._tell_started(run)
            return True
        ended = testruns.split_round(run.tool, run.text)
        if ended is None:
            return False
        run.finished, run.text = True, ended[1]
        seen = RunTraces(None, None)
        if run.alone:
            counts = testruns.count(run.tool, ended[0])
            seen = RunTraces(counts, _printed(run, ended[0], counts, self._sink.clean_lines))
        await self._tell_finished(run, None, seen)
        return True

    async def _follow(self, run: Run, ending: ProcessExit) -> None:
        try:
            run.status = await ending.wait()
            run.over = True
        finally:
            ending.close()
        with trio.move_on_after(LATE_SECONDS):
            await trio.sleep(SETTLE_SECONDS)
            while run.output_to == "terminal" and run.alone and testruns.count(run.tool, run.text) is None:
                run.printed = trio.Event()
                await run.printed.wait()
        await self._finish(run, run.status)

    async def finish(self, shell_code: int) -> None:
        """The session's command has ended; runs that go on without it are ended with it."""
        for run in list(self._runs.values()):
            if run.pid == self._own:
                await self._finish(run, shell_code)
        with trio.move_on_after(SETTLE_SECONDS * 4):  # their own ends are on their way
            await self._until_told()
        for run in list(self._runs.values()):
            await self._finish(run, run.status, None if run.over else "the session ended before its end was seen")
        await self._until_told()

    async def _until_told(self) -> None:
        while self._runs:
            self._told = trio.Event()
            await self._told.wait()

    async def _finish(self, run: Run, exit_code: int | None, reason: str | None = None) -> None:
        if run.ending:
            return
        run.ending = True
        try:
            if not run.finished:  # else it has told its last round
                seen = await trio.to_thread.run_sync(_look, run, exit_code, self._sink.clean_lines, limiter=THREADS)
                await self._tell_finished(run, exit_code, seen, reason)
        finally:
            self._runs.pop(run.pid, None)
            self._told.set()

    async def _tell_finished(
        self, run: Run, exit_code: int | None, seen: "RunTraces", reason: str | None = None
    ) -> None:
        counts = seen.counts
        interrupted = testruns.interrupted(run.tool, run.text)
        verdict, why = testruns.judge(run.tool, exit_code, counts, interrupted)
        if verdict == "unknown" and exit_code is None:
            why = reason or (_why_unknown(run) if counts is None else why)
        numbers: dict[str, Any] = attrs.asdict(counts) if counts is not None else {}
        failures = seen.failures if verdict == "failed" else None
        await self._sink.tell(
            "TEST_RUN_FINISHED",
            exitCode=exit_code,
            duration=max(0, now_ms() - run.began_ms),
            verdict=verdict,
            reason=why,
            runId=run.run_id,
            where=f"process {run.pid}",
            failureText=failures.text if failures is not None else None,
            failureCut=True if failures is not None and failures.cut else None,
            **numbers,
        )


def _why_unknown(run: Run) -> str:
    match run.output_to:
        case "pipe":
            what = "its output went to another program"
        case "file":
            what = "the file with its output has no summary"
        case "nowhere":
            what = "its output was thrown away"
        case _ if not run.alone:
            what = "another run wrote to the same terminal"
        case _:
            what = "its output has no summary"
    return f"{what}, and its exit status cannot be seen"


def _directory(pid: int) -> Path | None:
    try:
        return Path(os.readlink(f"/proc/{pid}/cwd"))
    except OSError:
        return None


def _find_output(run: Run, leader: int | None) -> None:
    """Find out where the standard output of a run goes."""
    descriptors = Path(f"/proc/{run.pid}/fd")
    number = 1
    try:
        found = (descriptors / "1").stat()
        if stat.S_ISREG(found.st_mode) and found.st_nlink == 0:  # pytest captures what tests print
            number = _saved_before(descriptors, found)
            found = (descriptors / str(number)).stat()
        target = os.readlink(descriptors / str(number))
    except OSError:
        return
    if stat.S_ISFIFO(found.st_mode) or stat.S_ISSOCK(found.st_mode):
        run.output_to = "pipe"
    elif stat.S_ISREG(found.st_mode):
        run.output_to, run.file, run.offset = "file", Path(target), _position(run.pid, number, found.st_size)
    elif stat.S_ISCHR(found.st_mode):
        if leader is None or found.st_rdev == _terminal_of(leader):
            run.output_to = "terminal"
        else:  # tox and others give a program a terminal of its own, and pass on what it shows
            run.output_to = "pipe" if os.major(found.st_rdev) in PSEUDO_TERMINALS else "nowhere"


def _saved_before(descriptors: Path, captured: os.stat_result) -> int:
    """Return the descriptor that holds the standard output of a program that captures it: it was saved just before the
    file without a name was opened that takes its place. 1 where none is found.
    """
    numbers = sorted(int(one) for one in os.listdir(descriptors) if int(one) > 2)
    for number in numbers:
        there = (descriptors / str(number)).stat()
        if (there.st_dev, there.st_ino) == (captured.st_dev, captured.st_ino):
            return max((one for one in numbers if one < number), default=1)
    return 1


def _position(pid: int, number: int, size: int) -> int:
    """Return the offset at which the process writes to the file: earlier bytes are not its output."""
    try:
        with open(f"/proc/{pid}/fdinfo/{number}", encoding="ascii") as file:
            position = int(file.readline().partition(":")[2])
    except (OSError, ValueError):
        return 0
    return min(position, size)


def _terminal_of(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[4])
    except (OSError, ValueError, IndexError):
        return -1


@attrs.frozen
class RunTraces:
    """Traces that a run left behind: its counts, and the text of its failures. None: not known."""

    counts: testruns.Counts | None
    failures: FailureText | None


def _look(run: Run, exit_code: int | None, clean: CleanLines) -> RunTraces:
    """Read the JUnit file where the run was told to write one, else its output."""
    with as_acting():
        path = testruns.junit_path(run.command)
        if path is not None and run.directory is not None:
            data = _read(run.directory / path, 0, JUNIT_BYTES, newer_than_ms=run.began_ms - 1000)
            if data is not None and (counts := testruns.count_junit(data)) is not None:
                return RunTraces(counts, junit_failures(data, clean) if counts.failed else None)
        if run.file is not None:
            data = _read(run.file, run.offset, 2 * testruns.OUTPUT_CHARS)
            run.text = data.decode(errors="replace") if data is not None else ""
        elif not run.alone:
            return RunTraces(None, None)
        counts = testruns.count(run.tool, run.text)
        return RunTraces(counts, _printed(run, run.text, counts, clean, exit_code))


def _printed(
    run: Run, text: str, counts: testruns.Counts | None, clean: CleanLines, exit_code: int | None = None
) -> FailureText | None:
    """Return what a run that did not pass printed about it."""
    if exit_code == 0 or (counts is not None and not counts.failed and not exit_code):
        return None
    its_own = run.output_to in ("terminal", "file") and exit_code is not None
    return printed_failures(run.tool, text, clean, all_its_own=its_own)


def _read(path: Path, offset: int, most: int, newer_than_ms: int = 0) -> bytes | None:
    """The last `most` bytes after `offset` of a regular file; None where there is none."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) or found.st_mtime_ns // 1_000_000 < newer_than_ms:
            return None
        return read_file(path, max(offset, found.st_size - most), most)
    except OSError:
        return None
