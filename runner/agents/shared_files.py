"""Files and sockets between the runner and an agent's CLI, touched with the rights of the session's user and no others.

With `run_as` they are in a directory of that user's, closed to all others. The user can put a link or a pipe
there at any moment, so everything here acts as the user (a link leads no further than the user may go), follows no link
where a file is written, and waits for no pipe. Blocking: call it in a worker thread.
"""

import os
import shutil
import socket
import stat
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

from townwatch.runner.account import acting
from townwatch.runner.reading import as_acting, read_file

_ALWAYS = os.O_NOFOLLOW | os.O_CLOEXEC


class NotTheirs(OSError):
    """Another user's program listens on the socket."""


def make_directory(path: Path) -> None:
    """Make an empty directory that its user alone may enter. What was there under its name is removed."""
    with as_acting():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(mode=0o700)


def remove_directory(path: Path) -> None:
    """Remove a directory with all that is in it, as far as the user may."""
    with as_acting():
        shutil.rmtree(path, ignore_errors=True)


def write_new(path: Path, text: str) -> None:
    """Write a file that must not be there yet, and its directories. Raises `OSError`."""
    with as_acting():
        path.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _ALWAYS, 0o600), "w") as file:
            file.write(text)


def replace(path: Path, text: str) -> None:
    """Write a file so that a reader finds all of it or none. Raises `OSError`."""
    new = path.with_name(f"{path.name}.new")
    write_new(new, text)
    with as_acting():
        new.rename(path)


def append(path: Path, text: str) -> None:
    """Append to a regular file that is there. Raises `OSError`."""
    with as_acting(), os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | _ALWAYS), "a") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(f"{path} is no regular file")
        file.write(text)


def read(path: Path, offset: int = 0, most: int = -1) -> bytes:
    """Return up to `most` bytes of a regular file. Raises `OSError`."""
    with as_acting():
        return read_file(path, offset, most)


def find(directory: Path, pattern: str) -> list[Path]:
    """Return the paths below a directory that match, as far as the user may look."""
    with as_acting():
        return sorted(directory.glob(pattern))


def open_new_pipe(path: Path) -> int:
    """Make a named pipe and return a descriptor of both its ends: opening never waits. Raises `OSError`."""
    with as_acting():
        os.mkfifo(path, 0o600)
        descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | _ALWAYS)
    if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path} is no pipe")
    return descriptor


def connect(path: Path) -> socket.socket:
    """Connect to a unix socket that a program of the session's user listens on. Raises `OSError`.

    The path may be a link to a shorter one: that of a unix socket has 108 bytes at most.
    """
    account = acting.get()
    user = os.geteuid() if account is None else account.uid
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        found.setblocking(False)  # a full queue of the listener is an error, not a wait
        with as_acting():
            found.connect(os.path.realpath(path))
        for listener in _listener_of(found):
            if listener != user:
                raise NotTheirs(f"a program of another user (uid {listener}) listens on {path}")
    except BaseException:
        found.close()
        raise
    return found


def _listener_of(connection: socket.socket) -> Iterator[int]:
    """Yield the uid of the program at the other end, where the system tells it."""
    if sys.platform == "linux":
        _pid, uid, _gid = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        yield uid
