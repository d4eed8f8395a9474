"""Check that the files that a database has open are still the ones that its paths name.

A file that was removed or replaced under a running service goes on taking writes that no restart will find.

The database is opened once and kept open: closing any descriptor of a file gives up all locks that this process has on
it (POSIX), SQLite's too.
"""

import os
from pathlib import Path

import attrs

MAGIC = b"SQLite format 3\0"
_HEADER_BYTES = 32


@attrs.define(eq=False)
class FileIdentity:
    """Identity of one SQLite database and the files beside it. `wal_limit`: a WAL above this may be cut back by SQLite
    itself.

    `check` costs a few system calls; it is meant to be called beside each commit.
    """

    path: Path
    wal_limit: int = 0
    _known: dict[str, tuple[int, int]] = attrs.field(factory=dict[str, tuple[int, int]])
    _wal_bytes: int = 0
    _bytes_seen: int = 0
    _descriptor: int = -1

    def wal_was_cut(self) -> None:
        """The service cut the WAL back itself: a smaller one is no sign of damage."""
        self._wal_bytes = 0

    def check(self) -> str | None:
        """Return what is wrong, in a few words, or None while every file is the one that was opened."""
        return self._database() or self._beside("-wal") or self._beside("-shm") or self._beside(".lock")

    def close(self) -> None:
        """Let go of the file, after every connection to it was closed."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _database(self) -> str | None:
        try:
            if self._descriptor < 0:
                self._descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            found, ours = os.stat(self.path), os.fstat(self._descriptor)
            head = os.pread(self._descriptor, _HEADER_BYTES, 0)
        except OSError as error:
            return f"{self.path.name} cannot be found or read any more ({error.strerror})"
        if (found.st_dev, found.st_ino) != (ours.st_dev, ours.st_ino):
            return f"{self.path.name} was replaced by another file"
        if not found.st_size and not self._known.get("-wal"):
            return None  # nothing was ever written
        if found.st_size and head[: len(MAGIC)] != MAGIC:
            return f"the beginning of {self.path.name} was overwritten"
        page = int.from_bytes(head[16:18], "big") if len(head) == _HEADER_BYTES else 0
        pages = int.from_bytes(head[28:32], "big") if len(head) == _HEADER_BYTES else 0
        named = (65536 if page == 1 else page) * pages
        # Shorter than its first page says is lawful after a power cut: the WAL has what an unfinished checkpoint did
        # not get to the disk. Only a file that shrank below it while it was open has lost something.
        if found.st_size < self._bytes_seen and (found.st_size < named or not found.st_size):
            return f"{self.path.name} was cut off"
        self._bytes_seen = found.st_size
        return None

    def _beside(self, suffix: str) -> str | None:
        place = f"{self.path}{suffix}"
        before = self._known.get(suffix)
        try:
            found = os.stat(place)
        except OSError as error:
            return None if before is None else f"{os.path.basename(place)} is gone ({error.strerror})"
        if before is None:
            self._known[suffix] = (found.st_dev, found.st_ino)
        elif before != (found.st_dev, found.st_ino):
            return f"{os.path.basename(place)} was replaced by another file"
        if suffix == "-wal":
            if found.st_size < min(self._wal_bytes, self.wal_limit):
                return f"{os.path.basename(place)} was cut off"
            self._wal_bytes = found.st_size
        return None
