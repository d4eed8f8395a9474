"""Small private files that are replaced whole: a reader, after a power cut too, finds the old one or the new."""

import os
from pathlib import Path


def replace_durably(path: Path, data: bytes) -> None:
    """Write a file of mode 0600 in the place of another; contents and name are on the disk when this returns. Blocks.

    Raises OSError: the file is then as it was.
    """
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        descriptor = os.open(draft, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)  # half of it would be in the way of the room that is missing
        raise
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable: a new file's name is only when its directory is. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
