"""Some bytes of the disk kept back, so that a full disk can be made emptier: deleting needs room too, for the WAL."""

import os
from contextlib import suppress
from pathlib import Path

RESERVE_BYTES = 16 << 20
"""As much as the WAL grows before it is copied into the database."""
SMALL_PART = 16
"""On a disk without room for the whole reserve, one of this many parts is kept: enough to start and to delete with."""
KEEP_FREE = 4
"""The reserve is taken only while this many times its size is free: it must never be what fills the disk."""


class Reserve:
    """A file of zeros beside the log. `size` 0: none is kept."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._size = size
        self.given_back = 0
        """Bytes that were needed, and could not be taken again yet."""

    @property
    def held(self) -> bool:
        return self._path.exists()

    def hold(self) -> bool:
        """Take it, or a part of it, where there is room; whether any is held now. Never raises for want of room."""
        have = self._held_bytes()
        free = self._free()
        for wanted in (self._size, self._size // SMALL_PART):
            if have < wanted and free >= KEEP_FREE * wanted:
                return self._take(have, wanted)
        return self.held

    def _take(self, have: int, wanted: int) -> bool:
        try:
            with self._path.open("ab") as file:
                os.chmod(file.fileno(), 0o600)
                for start in range(have, wanted, 1 << 16):  # written, not just sized: a sparse file reserves nothing
                    file.write(bytes(min(wanted - start, 1 << 16)))
        except OSError:
            self.release()
        else:
            self.given_back = max(0, self.given_back - wanted)
        return self.held

    def _held_bytes(self) -> int:
        try:
            return self._path.stat().st_size
        except OSError:
            return 0

    def _free(self) -> int:
        room = os.statvfs(self._path.parent)
        return room.f_bavail * room.f_frsize

    def release(self) -> bool:
        """Give it back; whether there was one."""
        held = self._held_bytes()
        with suppress(FileNotFoundError):
            self._path.unlink()
        self.given_back = max(self.given_back, held)
        return held > 0

    def release_when_full(self) -> bool:
        """Give it back where less than a sixteenth of it is free; whether that was so."""
        return self._free() < self._size // SMALL_PART and self.release()
