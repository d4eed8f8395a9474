"""What psutil says of processes, for systems without /proc: elsewhere it takes too long to be imported."""

import os
from contextlib import suppress

import psutil

_LETTERS = {psutil.STATUS_STOPPED: "T", psutil.STATUS_ZOMBIE: "Z", psutil.STATUS_DEAD: "X"}


def pids() -> set[int]:
    """Return the ids of all processes."""
    return set(psutil.pids())


def state_of(pid: int) -> str:
    """Return the letter that Linux would say."""
    with suppress(psutil.Error, OSError):
        return _LETTERS.get(psutil.Process(pid).status(), "S")
    return "X"


def read(pid: int) -> tuple[int, int, float] | None:
    """Return a process's parent, session and beginning; None for one that is gone, or a zombie."""
    with suppress(psutil.Error, OSError):
        process = psutil.Process(pid)
        if process.status() != psutil.STATUS_ZOMBIE:
            return process.ppid(), os.getsid(pid), process.create_time()
    return None


def variable(pid: int, name: str) -> str | None:
    """Return a variable of a process's environment."""
    with suppress(psutil.Error, OSError):
        return psutil.Process(pid).environ().get(name)
    return None


def directory(pid: int) -> str:
    """Return where a process works. Raises OSError."""
    try:
        return psutil.Process(pid).cwd()
    except psutil.Error as error:
        raise OSError(str(error)) from None


def command(pid: int) -> list[str]:
    """Return a process's command line; empty where it is gone."""
    with suppress(psutil.Error, OSError):
        return psutil.Process(pid).cmdline()
    return []


def name(pid: int) -> str:
    """Return the name of a process's program."""
    with suppress(psutil.Error, OSError):
        return psutil.Process(pid).name()
    return "?"
