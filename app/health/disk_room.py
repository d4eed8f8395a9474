"""Room on the disk of the state directory: without it nothing can be stored, and readiness says so."""

import os
from collections.abc import Callable
from pathlib import Path

FULL_BYTES = 1 << 20
"""Free space below which the service is not ready."""


class DiskRoom:
    """Looks when it is asked; asking the file system takes microseconds."""

    def __init__(self, folder: Path, borrowed: Callable[[], int] = lambda: 0) -> None:
        """`borrowed()`: bytes that are free only because the journal gave its reserve back."""
        self._folder = folder
        self._borrowed = borrowed

    def lacking(self) -> list[str]:
        """Return one line when the disk is full, none when it is not."""
        try:
            found = os.statvfs(self._folder)
        except OSError as error:
            return [f"{self._folder} cannot be looked at: {error.strerror}"]
        free = max(0, found.f_bavail * found.f_frsize - self._borrowed())
        if free >= FULL_BYTES:
            return []
        return [f"the disk of {self._folder} is full ({free >> 10} KiB free): delete sessions, or make room"]
