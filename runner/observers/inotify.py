"""Linux's own file events for a directory tree: names are bytes, links are not followed, what fails is said.

`open` and `read` do system calls that take long for a large tree: call them in a thread, one at a time.
"""

import ctypes
import errno
import os
import struct
from collections.abc import Callable
from contextlib import suppress

import attrs

from townwatch.runner.observers.sink import Blind

MODIFY, ATTRIB, CLOSE_WRITE, MOVED_FROM, MOVED_TO = 0x2, 0x4, 0x8, 0x40, 0x80
CREATE, DELETE, DELETE_SELF, MOVE_SELF = 0x100, 0x200, 0x400, 0x800
OVERFLOW, IGNORED, IS_DIR = 0x4000, 0x8000, 0x40000000
ONLY_DIR, DONT_FOLLOW, EXCL_UNLINK = 0x01000000, 0x02000000, 0x04000000
WANTED = MODIFY | CLOSE_WRITE | MOVED_FROM | MOVED_TO | CREATE | DELETE | ONLY_DIR | DONT_FOLLOW | EXCL_UNLINK
GONE = DELETE | MOVED_FROM
MOST_DIRECTORIES = 65_536
"""Directories of one tree that are watched: the kernel's table is the whole user's."""
READ_BYTES = 256 * 1024
_HEADER = struct.Struct("iIII")
_libc = ctypes.CDLL(None, use_errno=True)


@attrs.define
class TreeEvents:
    """Path relative to the root, as bytes → whether it is gone. `lost`: the kernel dropped some."""

    touched: dict[bytes, bool] = attrs.field(factory=dict[bytes, bool])
    lost: bool = False
    ended: bool = False
    """The root is gone: nothing comes any more."""
    blind: list[Blind] = attrs.field(factory=list[Blind])


class TreeWatch:
    """Watches all directories below a root but those that `skip` names (by their path relative to the root)."""

    def __init__(self, root: str, skip: Callable[[bytes], bool]) -> None:
        """Raises OSError where the kernel has no instance left."""
        self.descriptor = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self.descriptor < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        self._root = os.fsencode(root)
        self._skip = skip
        self._paths: dict[int, bytes] = {}
        self._extra: set[int] = set()
        self._identity: tuple[int, int] | None = None

    @property
    def directories(self) -> int:
        return len(self._paths)

    def open(self) -> TreeEvents:
        """Watch everything that is there. Names in `blind` what cannot be watched."""
        events = TreeEvents()
        self._identity = _identity(self._root)
        self._walk(b"", events, tell=False)
        return events

    def watch_beside(self, directory: str) -> None:
        """One directory outside of the tree; its files come as absolute paths. What cannot be watched is left out."""
        with suppress(OSError):
            watch = self._add(os.fsencode(directory))
            self._extra.add(watch)
            self._paths[watch] = os.fsencode(directory)

    def _walk(self, start: bytes, events: TreeEvents, *, tell: bool) -> None:
        """Watch `start` and what is below it; `tell`: the files in it are new."""
        waiting = [start]
        while waiting:
            relative = waiting.pop()
            if len(self._paths) >= MOST_DIRECTORIES:
                events.blind.append(_blind(relative, f"more than {MOST_DIRECTORIES} directories", 1 + len(waiting)))
                return
            path = os.path.join(self._root, relative) if relative else self._root
            try:
                self._paths[self._add(path)] = relative
                with os.scandir(path) as entries:
                    for entry in entries:
                        below = relative + b"/" + entry.name if relative else entry.name
                        if entry.is_dir(follow_symlinks=False):
                            if not self._skip(below):
                                waiting.append(below)
                        elif tell:
                            events.touched[below] = False
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.ENOTDIR) and relative:
                    continue
                events.blind.append(_blind(relative, _why(error)))
                if error.errno == errno.ENOSPC:
                    events.blind[-1] = _blind(relative, _why(error), 1 + len(waiting))
                    return

    def _add(self, path: bytes) -> int:
        wanted = WANTED | ATTRIB if path == self._root else WANTED  # of the root, also that it was removed
        watch = _libc.inotify_add_watch(self.descriptor, path, ctypes.c_uint32(wanted))
        if watch < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return watch

    def read(self) -> TreeEvents:
        """Return all that happened since the last time."""
        events = TreeEvents()
        while True:
            try:
                data = os.read(self.descriptor, READ_BYTES)
            except BlockingIOError:
                events.ended = self._identity is not None and _identity(self._root) != self._identity
                return events
            position = 0
            while position < len(data):
                watch, mask, _, length = _HEADER.unpack_from(data, position)
                name = data[position + _HEADER.size : position + _HEADER.size + length].rstrip(b"\0")
                position += _HEADER.size + length
                self._take(watch, mask, name, events)

    def _take(self, watch: int, mask: int, name: bytes, events: TreeEvents) -> None:
        if mask & OVERFLOW:
            events.lost = True
        if mask & IGNORED:
            self._paths.pop(watch, None)
            self._extra.discard(watch)
            return
        directory = self._paths.get(watch)
        if directory is None or not name or not mask & ~(ATTRIB | IS_DIR):
            return
        path = directory + b"/" + name if directory else name
        if not mask & IS_DIR:
            events.touched[path] = bool(mask & GONE)
        elif watch not in self._extra and not self._skip(path):
            if mask & MOVED_FROM:
                self._forget(path)
            elif mask & (CREATE | MOVED_TO):
                self._walk(path, events, tell=True)
            events.touched.setdefault(path + b"/", bool(mask & GONE))

    def _forget(self, directory: bytes) -> None:
        """A directory was moved away: where to is not known."""
        for watch, path in list(self._paths.items()):
            if path == directory or path.startswith(directory + b"/"):
                _libc.inotify_rm_watch(self.descriptor, watch)
                del self._paths[watch]

    def close(self) -> None:
        """Watch nothing any more."""
        os.close(self.descriptor)


def _identity(path: bytes) -> tuple[int, int] | None:
    """Return (device, inode): they tell a removed directory, in which a process still works, from one with its path."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _blind(relative: bytes, why: str, count: int = 1) -> Blind:
    return Blind(relative.decode(errors="replace") + "/" if relative else "the working tree", why, count)


def _why(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "the limit of watched directories is reached (raise fs.inotify.max_user_watches)"
    if error.errno == errno.EACCES:
        return "permission denied"
    return (error.strerror or str(error)).lower()
