"""Some bytes of the disk kept back, so that a full disk can be made emptier: deleting needs room too, for the WAL."""

import os
from contextlib import suppress
from pathlib import Path

RESERVE_BYTES = 16 << 20
"""As much as the WAL grows before it is copied into the database."""
KEEP_FREE = 4
"""The reserve is taken only while this many times its size is free: it must never be what fills the disk."""


class Reserve:
    """A file of zeros beside the log. `size` 0: none is kept."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._size = size

    @property
    def held(self) -> bool:
        return self._path.exists()

    def hold(self) -> bool:
        """Take it, where there is room enough; whether it is held now. Never raises for want of room."""
        if not self._size or self.held:
            return self.held
        room = os.statvfs(self._path.parent)
        if room.f_bavail * room.f_frsize < KEEP_FREE * self._size:
            return False
        try:
            with self._path.open("xb") as file:
                os.chmod(file.fileno(), 0o600)
                for _ in range(0, self._size, 1 << 16):  # written, not just sized: a sparse file reserves nothing
                    file.write(bytes(min(self._size, 1 << 16)))
        except OSError:
            self.release()
        return self.held

    def release(self) -> bool:
        """Give it back; whether there was one."""
        held = self.held
        with suppress(FileNotFoundError):
            self._path.unlink()
        return held
