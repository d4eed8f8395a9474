"""GitHub Copilot CLI in a terminal: we read the events that it keeps of its session, and answer nothing.

Its files are the person's (``~/.copilot/session-state``); they are only read. Questions are shown as what it waits for,
and are answered in the terminal.
"""

import os
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from typing import ClassVar

import psutil
import trio

from townwatch.runner.agents import shape, shared_files
from townwatch.runner.agents.adapter import Host, Prepared
from townwatch.runner.agents.copilot.reading import CopilotReader
from townwatch.runner.agents.events import Status
from townwatch.runner.agents.readings import Asked, Reading, Settled
from townwatch.runner.agents.shape import ShapeError
from townwatch.runner.agents.tail import json_lines
from townwatch.runner.agents.tasks import open_tasks
from townwatch.runner.session.lifecycle import NotPossible

UNTOUCHED = frozenset({"-p", "--prompt", "--acp", "-v", "--version", "-h", "--help", "--resume", "--continue"})
COMMANDS = frozenset({"login", "logout", "update", "help", "init", "mcp", "plugin", "version"})
LOOK_SECONDS, DIALOG_SECONDS, LOCK_SECONDS = 0.5, 3.0, 5.0
EXPLAINED_SECONDS = 2.0
"""How much later than the end of a turn the error that ended it may be written: it has been 2 ms."""
FIRST = "its first prompt, or a dialog of its start (trust, sign-in), in its terminal"
LOCKS = "inuse.*.lock"
"""Beside a session's events: the process that has it open. Within LOCK_SECONDS there is one; where a version has none,
the directory has to do.
"""


class CopilotTerminal:
    """One Copilot CLI in a person's terminal."""

    provider: ClassVar[str] = "copilot"
    programs: ClassVar[tuple[str, ...]] = ("copilot",)
    tested: ClassVar[tuple[str, str]] = ("1.0.102", "1.0.102")

    def __init__(self, host: Host) -> None:
        self._host = host
        self._reader = CopilotReader()
        self._before: set[Path] = set()
        self._seen: dict[Path, float] = {}

    @classmethod
    def recognise(cls, command: Sequence[str]) -> bool:
        """Return whether this opens a new conversation of Copilot's in the terminal."""
        if not command or command[0].rpartition("/")[2] != "copilot":
            return False
        first = next((word for word in command[1:] if not word.startswith("-")), "")
        return first not in COMMANDS and not any(word.partition("=")[0] in UNTOUCHED for word in command[1:])

    async def prepare(self) -> Prepared:
        """Change nothing; note which sessions were there before."""
        self._before = await trio.to_thread.run_sync(self._sessions)
        return Prepared(command=list(self._host.launch.command))

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Read the session's events until cancelled. Raises `AdapterOff`."""
        task_status.started()
        await self._host.say(Status(status="starting"))
        async with open_tasks() as tasks, aclosing(json_lines(await self._find())) as events:
            async for event in events:
                await self._tell(self._reader.event(event))
                if self._reader.ending:
                    tasks.start_soon(self._end_without_an_answer)

    async def _tell(self, readings: Sequence[Reading]) -> None:
        for said in readings:
            if not isinstance(said, Asked | Settled):
                await self._host.say(said)

    async def _end_without_an_answer(self) -> None:
        """End a turn without an answer, once an error that explains it would have come."""
        await trio.sleep(EXPLAINED_SECONDS)
        await self._tell(self._reader.ended())

    @property
    def goes_on_alone(self) -> bool:
        """Return False: the order would stand still."""
        return False

    async def prompt(self, text: str) -> None:
        """Raises `NotPossible` always."""
        raise NotPossible("Copilot takes prompts in its terminal only; dispatched, it takes them from here")

    async def interrupt(self) -> None:
        """Press Escape."""
        await self._host.type(b"\x1b")

    def _is_open_in_ours(self, path: Path) -> bool | None:
        """Return whether a process of this session has it open; None where that is not said."""
        said = [lock.name.split(".")[1] for lock in shared_files.find(path.parent, LOCKS)]
        known = [int(pid) for pid in said if pid.isdecimal()]
        return any(self._is_ours(pid) for pid in known) if known else None

    def _is_ours(self, pid: int) -> bool:
        try:
            process = psutil.Process(pid)
            return self._host.pid in (pid, *(one.pid for one in process.parents()))
        except psutil.Error:
            return False

    async def _began_here(self, path: Path) -> bool:
        """Return whether the session says that it works in our directory."""
        try:
            async with aclosing(json_lines(path)) as events:
                first = await anext(events)
        except ShapeError:
            return False
        where = shape.maybe(shape.maybe(first.get("data")).get("context")).get("cwd")
        return where == str(self._host.launch.cwd)

    def _sessions(self) -> set[Path]:
        home = self._host.launch.env.get("HOME") or os.path.expanduser("~")
        return set(shared_files.find(Path(home) / ".copilot" / "session-state", "*/events.jsonl"))

    async def _find(self) -> Path:
        """Wait for the events of a session that began after us and is our process's; others may begin beside it."""
        while True:
            for path in await trio.to_thread.run_sync(self._sessions) - self._before:
                ours = await trio.to_thread.run_sync(self._is_open_in_ours, path)
                late = trio.current_time() > self._seen.setdefault(path, trio.current_time()) + LOCK_SECONDS
                if ours or (ours is None and late and await self._began_here(path)):
                    return path
                if ours is False or late:
                    self._before.add(path)
            quiet = self._host.quiet_seconds
            if quiet is not None:  # it has drawn something, and begins a session's file with its first prompt only
                dialog = Status(status="waiting", for_=FIRST)
                await self._host.say(dialog if quiet >= DIALOG_SECONDS else Status(status="starting"))
            await trio.sleep(LOOK_SECONDS)
