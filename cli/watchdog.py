"""`townwatch serve --keep`: a process that starts the service again whenever it dies, where there is no systemd.

It loads the service once and forks: a new version needs a new wrapper.
"""

import gc
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from random import Random
from types import FrameType

from townwatch.config.process import KEPT
from townwatch.supervision import Backoff

FORKS = sys.platform == "linux"
"""Elsewhere a fork without an exec may break what the system's own libraries do."""
WRONG_USE = 2
"""The status of a service that cannot start because of what it was told: starting it again would not help."""
WAITS = Backoff(base=0.1, cap=5.0, jitter=0, reset_after=2.0)
"""A service that lived for `reset_after` seconds did not fail at its start: it is started again at once."""


def keep_running(arguments: list[str], port: int) -> int | None:
    """Start `townwatch ARGUMENTS` (less --keep) at this port again and again, until it ends by itself with 0 or 2, or
    this process is told to stop: its last status then. None in the process that is to be the service, each time.

    A service that dies again and again is started after longer and longer waits.
    """
    if FORKS:
        return _Keeper(_fork).run()
    command = [sys.executable, "-P", "-m", "townwatch", *_without(arguments, "--port"), f"--port={port}"]
    return _Keeper(partial(_start, [one for one in command if one != "--keep"])).run()


def _without(arguments: list[str], option: str) -> list[str]:
    """Less an option and its value."""
    kept: list[str] = []
    skip = False
    for one in arguments:
        if not skip and one != option and not one.startswith(f"{option}="):
            kept.append(one)
        skip = one == option
    return kept


def _start(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, env={**os.environ, KEPT: str(os.getpid())})


def _fork() -> "_Forked | None":
    """All of the service is loaded before: who is started again needs a second less, and shares the memory. Nothing of
    it runs here, not even a thread. None in the child.
    """
    import townwatch.app.service  # noqa: F401  # pyright: ignore[reportUnusedImport]

    gc.freeze()
    keeper, pid = os.getpid(), os.fork()
    if pid:
        return _Forked(pid)
    os.environ[KEPT] = str(keeper)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return None


def _say(line: str) -> None:
    """Write a line to standard error if that does not block: the restart of the service must not wait for a reader."""
    with suppress(OSError):
        watch = select.poll()
        watch.register(2, select.POLLOUT)
        if watch.poll(0):
            os.write(2, line.encode())


class _Forked:
    """A child, with as much of `subprocess.Popen` as is needed."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._status: int | None = None

    def wait(self) -> int:
        """Its status; less than 0 for a signal."""
        if self._status is None:
            self._status = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        return self._status

    def send_signal(self, number: int) -> None:
        if self._status is None:
            os.kill(self._pid, number)


class _Keeper:
    def __init__(self, start: Callable[[], "subprocess.Popen[bytes] | _Forked | None"]) -> None:
        self._start = start
        self._child: subprocess.Popen[bytes] | _Forked | None = None
        self._told = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._pass_on)

    def run(self) -> int | None:
        failures = 0
        while True:
            began = time.monotonic()
            self._child = self._start()
            if self._child is None:
                return None
            status = self._child.wait()
            if self._told or status in (0, WRONG_USE):
                return status if status >= 0 else 128 - status
            lived = time.monotonic() - began
            failures = 0 if lived >= WAITS.reset_after else failures + 1
            why = signal.Signals(-status).name if status < 0 else f"status {status}"
            _say(f"townwatch: the service died ({why}) after {lived:.1f} s; starting it again\n")
            if failures:
                time.sleep(WAITS.delay(failures, Random()))
            if self._told:
                return 0

    def _pass_on(self, number: int, _frame: FrameType | None) -> None:
        """The child ends in order; ^C reaches it by itself too, which does no harm."""
        self._told = True
        if self._child is not None:
            self._child.send_signal(number)
