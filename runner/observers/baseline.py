"""State of the repository when a session began: its commit, and the files that differed already, which are not its
work.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import attrs
import trio

from townwatch.contracts.events import DiffFile
from townwatch.runner.account import let_read
from townwatch.runner.observers.differences import THREADS, Differences, Shadow, shown
from townwatch.runner.reading import as_acting, read_file

HASHED_BYTES = 4 << 20
"""Of a larger file size and times are compared, not its content."""
COPIED_BYTES, ALL_COPIED_BYTES = 256 << 10, 16 << 20
"""Files that differed already are copied, each and all together up to this, to count what the session changes there."""
CLOCK_NS = 5_000_000
"""The clock that stamps files goes in steps: a file made just after the start may carry an earlier time."""

Stamp = tuple[int, int, int]
"""(size, time of change, inode)."""
UNKNOWN: Stamp = (-1, -1, -1)
"""The file cannot be looked at: it may be there or not, changed or not."""


@attrs.frozen
class BaselineFile:
    """A file as the session found it. `stamp` is None where it was deleted, `digest` where it was not read; a file of
    which nothing was known is never counted as the session's.
    """

    stamp: Stamp | None
    digest: bytes | None
    copy: Path | None


class Baseline:
    """The state of a tree at a session's start. `close` removes the copies."""

    def __init__(self, shadow: Shadow, base: str) -> None:
        self.base = base
        self._shadow = shadow
        self._top = shadow.repository.top
        self._found: dict[str, BaselineFile] = {}
        self._copies: Path | None = None

    async def take(self, differing: Differences, started_ns: int) -> None:
        """Remember the files that differed. What was changed after `started_ns` is the session's own already."""
        await trio.to_thread.run_sync(self._take, list(differing.files), started_ns, limiter=THREADS)

    def _take(self, paths: list[str], started_ns: int) -> None:
        room = ALL_COPIED_BYTES
        for number, path in enumerate(paths):
            file = self._top / path
            content: bytes | None = None
            with as_acting():
                if _changed_at(file) >= started_ns - CLOCK_NS:
                    continue
                stamp = _stamp(file)
                if stamp not in (None, UNKNOWN) and stamp[0] <= min(COPIED_BYTES, room):
                    content = _content(file, COPIED_BYTES)
                    room -= stamp[0]
                digest = _digest(file, stamp)
            self._found[path] = BaselineFile(stamp, digest, None if content is None else self._copy(content, number))

    def _copy(self, content: bytes, number: int) -> Path | None:
        if self._copies is None:
            self._copies = Path(tempfile.mkdtemp(prefix="townwatch-baseline-"))
            let_read(self._copies)
        try:
            copy = self._copies / str(number)
            copy.write_bytes(content)
            let_read(copy)
        except OSError:
            return None
        return copy

    async def own(self, now: Differences) -> dict[str, DiffFile]:
        """The files that the session changed, with the lines that it added and removed. Raises `GitError`."""
        if not self._found:
            return dict(now.files)
        changed = await trio.to_thread.run_sync(self._changed, limiter=THREADS, abandon_on_cancel=True)
        files = {path: file for path, file in now.files.items() if path not in self._found}
        for path, exists in changed.items():
            files[path] = await self._difference(path, exists, now.files)
        return dict(sorted(files.items()))

    def _changed(self) -> dict[str, bool]:
        """Path → whether it is there, of the files that are other than they were found."""
        changed: dict[str, bool] = {}
        with as_acting():
            for path, was in self._found.items():
                stamp = _stamp(self._top / path)
                if stamp == was.stamp or UNKNOWN in (stamp, was.stamp):
                    continue
                if stamp is None or was.digest is None or _digest(self._top / path, stamp) != was.digest:
                    changed[path] = stamp is not None
        return changed

    async def _difference(self, path: str, exists: bool, now: Mapping[str, DiffFile]) -> DiffFile:
        was = self._found[path]
        empty = Path("/dev/null")
        known = now.get(path)
        added, removed = (known.additions, known.deletions) if known is not None else (0, 0)
        if was.copy is not None or was.stamp is None:
            after = self._top / path if exists else empty
            added, removed = await self._shadow.lines_between(was.copy or empty, after)
        status = "deleted" if not exists else "added" if was.stamp is None else "modified"
        return DiffFile(path=shown(path), status=status, additions=added, deletions=removed)

    def before(self, path: str) -> Path | None:
        """The copy of a file that differed already when the session began; /dev/null where there was none then. None:
        it is compared with the commit.
        """
        was = self._found.get(path)
        if was is None:
            return None
        return Path("/dev/null") if was.stamp is None else was.copy

    def close(self) -> None:
        """Remove the copies."""
        if self._copies is not None:
            shutil.rmtree(self._copies, ignore_errors=True)
            self._copies = None


def _changed_at(file: Path) -> int:
    """Return when a file, or for a deleted file its directory, was last changed (ns)."""
    try:
        return file.lstat().st_ctime_ns
    except OSError:
        pass
    try:
        return file.parent.lstat().st_mtime_ns
    except OSError:
        return 0


def _stamp(file: Path) -> Stamp | None:
    """Return a file's stamp; None where there is no such file."""
    try:
        found = file.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return UNKNOWN
    return found.st_size, found.st_mtime_ns, found.st_ino


def _digest(file: Path, stamp: Stamp | None) -> bytes | None:
    """Digest a file's content, or a link's target; None for what is not read."""
    if stamp in (None, UNKNOWN) or stamp[0] > HASHED_BYTES:
        return None
    try:
        if file.is_symlink():
            return hashlib.blake2b(str(file.readlink()).encode(errors="surrogateescape")).digest()
    except OSError:
        return None
    content = _content(file, HASHED_BYTES)
    return None if content is None else hashlib.blake2b(content).digest()


def _content(file: Path, most: int) -> bytes | None:
    """Return what a regular file holds, up to `most` bytes; None for a link and for what cannot be read."""
    try:
        return read_file(file, most=most, follow=False)
    except OSError:
        return None
