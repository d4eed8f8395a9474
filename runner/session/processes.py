"""Processes and the sessions that they belong to, wherever they run.

A process is a session's when it is in the session of its terminal, when its environment has the session's mark, when it
is in the session's control group (`cgroups`), or when its parent is the session's. Once it is, it stays so, whatever
its parent becomes. One table serves all sessions of a runner process; a new process is read once.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import attrs

from townwatch.runner.session.system import cgroups

MARK = "TOWNWATCH_SESSION"
"""The variable in the environment of a session's processes; its value is the session's id."""
YOUNG_SECONDS = 2.0
"""A process of this age may still become another program, or get its mark: it is looked at every time."""
OLD_LOOK_SECONDS = 1.0
"""How often an older one is looked at."""


_TICKS = os.sysconf("SC_CLK_TCK")


@attrs.define(eq=False)
class Process:
    """A living process. `began` (as the kernel counts) tells it from a later one with the same id."""

    pid: int
    parent: int
    terminal_session: int
    began: float
    session: str | None = None
    mark: str | None = None
    command: list[str] = attrs.field(factory=list[str])
    first_seen: float = 0.0
    looked: float = 0.0

    @property
    def began_seconds(self) -> float:
        """Return when it began, on the clock that counts from the machine's start; elsewhere than on Linux, now."""
        return self.began / _TICKS if sys.platform == "linux" else time.clock_gettime(time.CLOCK_MONOTONIC)


class ProcessTable:
    """Synchronous and short; threads wait for each other on a lock."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._leaders: dict[str, int] = {}
        self._groups: dict[str, str] = {}
        """Name of a control group → its session; empty where there are none."""
        self._known: dict[int, Process] = {}
        self._scanned = float("-inf")

    @property
    def sessions(self) -> int:
        return len(self._leaders)

    def add(self, session_id: str, leader: int) -> None:
        """A session whose terminal's session is `leader`."""
        with self._lock:
            self._leaders[session_id] = leader
            if cgroups.usable() is not None:
                self._groups[cgroups.name_for(session_id)] = session_id
            self._known.pop(leader, None)

    def forget(self, session_id: str) -> None:
        with self._lock:
            self._leaders.pop(session_id, None)
            self._groups.pop(cgroups.name_for(session_id), None)

    def members(self, session_id: str, max_age: float = 0.0) -> dict[int, Process]:
        """The session's living processes, as of a scan that is no older than `max_age` seconds."""
        return self.all_members(max_age).get(session_id, {})

    def all_members(self, max_age: float = 0.0) -> dict[str, dict[int, Process]]:
        """Session → its living processes."""
        with self._lock:
            self._scan(max_age)
            found: dict[str, dict[int, Process]] = {}
            for pid, process in self._known.items():
                if process.session in self._leaders:
                    found.setdefault(process.session, {})[pid] = process
            return found

    def others_in(self, root: Path) -> int:
        """Count the sessions of other runner processes that have a process in a directory."""
        with self._lock:
            foreign = [one for one in self._known.values() if one.session is None and one.mark is not None]
        return len({one.mark for one in foreign if one.mark not in self._leaders and _is_in(one.pid, root)})

    def _scan(self, max_age: float) -> None:
        """Look at what is new, what is young, and what belongs to a session."""
        now = self._clock()
        if now - self._scanned < max_age:
            return
        self._scanned = now
        living = pids()
        for pid in self._known.keys() - living:
            del self._known[pid]
        for pid in sorted(living):
            known = self._known.get(pid)
            if known is None or self._is_due(known, now):
                self._look(pid, known, now)
        self._inherit()

    def _is_due(self, known: Process, now: float) -> bool:
        if now - known.first_seen < YOUNG_SECONDS:
            return True
        return known.session is not None and now - known.looked >= OLD_LOOK_SECONDS

    def _look(self, pid: int, known: Process | None, now: float) -> None:
        found = _read(pid)
        if found is None:  # a zombie, or gone by now
            self._known.pop(pid, None)
            return
        found.first_seen, found.looked = now, now
        if known is not None and known.began == found.began:
            found.session, found.first_seen = known.session, known.first_seen
        if found.session is None:
            found.session = self._owner(found)
        if found.session is not None:
            found.command = _command(pid)
        self._known[pid] = found
        parent = self._known.get(found.parent)
        if known is None and parent is not None and parent.session is not None and parent.looked != now:
            self._look(parent.pid, parent, now)  # a fork is called as its parent is now, not as it was called once

    def _owner(self, process: Process) -> str | None:
        process.mark = _mark(process.pid)
        if process.mark in self._leaders:
            return process.mark
        for session_id, leader in self._leaders.items():
            if leader in (process.pid, process.terminal_session):
                return session_id
        if self._groups:
            return next((self._groups[name] for name in cgroups.names_of(process.pid) if name in self._groups), None)
        return None

    def _inherit(self) -> None:
        """Children of a session's processes are the session's, and theirs."""
        grew = True
        while grew:
            grew = False
            for process in self._known.values():
                parent = self._known.get(process.parent)
                if process.session is None and parent is not None and parent.session is not None:
                    process.session, process.command = parent.session, _command(process.pid)
                    grew = True


def marked(session_id: str) -> list[int]:
    """Living processes that have the mark of a session, or are in its group, whose leader is not known any more. Never
    our own.
    """
    name = cgroups.name_for(session_id)
    return [pid for pid in pids() - {os.getpid()} if _mark(pid) == session_id or cgroups.names_of(pid)[-1:] == [name]]


def pids() -> set[int]:
    """Return the ids of all processes."""
    if sys.platform != "linux":
        from townwatch.runner import portable

        return portable.pids()
    return {int(name) for name in os.listdir("/proc") if name.isdigit()}


def state_of(pid: int) -> str:
    """Return the letter that the kernel says (R, S, T, Z …), and X for a process that is gone."""
    if sys.platform != "linux":
        from townwatch.runner import portable

        return portable.state_of(pid)
    fields = _stat(pid)
    return "X" if fields is None else fields[0].decode()


def _stat(pid: int) -> list[bytes] | None:
    """The fields of /proc/…/stat behind the program's name."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return None


def _read(pid: int) -> Process | None:
    """None for one that is gone, or a zombie."""
    if sys.platform != "linux":
        from townwatch.runner import portable

        found = portable.read(pid)
        return None if found is None else Process(pid, *found)
    fields = _stat(pid)
    if fields is None or fields[0] in (b"Z", b"X"):
        return None
    return Process(pid, int(fields[1]), int(fields[3]), float(fields[19]))


def _mark(pid: int) -> str | None:
    """None where there is none, or where it is another user's process."""
    if sys.platform != "linux":
        from townwatch.runner import portable

        return portable.variable(pid, MARK)
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            found = (b"\0" + file.read()).partition(b"\0" + MARK.encode() + b"=")[2]
    except OSError:
        return None
    return found.partition(b"\0")[0].decode(errors="replace") or None


def _is_in(pid: int, root: Path) -> bool:
    """Return whether a process works in a directory or below it."""
    try:
        where = os.readlink(f"/proc/{pid}/cwd") if sys.platform == "linux" else _directory(pid)
    except OSError:
        return False
    return Path(where).is_relative_to(root)


def _directory(pid: int) -> str:
    from townwatch.runner import portable

    return portable.directory(pid)


def _command(pid: int) -> list[str]:
    if sys.platform != "linux":
        from townwatch.runner import portable

        return portable.command(pid)
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return os.fsdecode(file.read()).rstrip("\0").split("\0")
    except OSError:
        return []


def name_of(pid: int) -> str:
    """The program's name, for a person."""
    if sys.platform != "linux":
        from townwatch.runner import portable

        return portable.name(pid)
    try:
        with open(f"/proc/{pid}/comm", "rb") as file:
            name = os.fsdecode(file.read()).rstrip("\n")
    except OSError:
        return "?"
    whole = Path(next(iter(_command(pid)), "")).name  # the kernel keeps the first 15 characters
    return whole if whole.startswith(name) else name


def kill_marked(session_id: str) -> None:
    """Kill what a killed runner left running: what has the session's mark, or is in its group, is the session's."""
    cgroups.kill_left(session_id)
    for pid in marked(session_id):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
