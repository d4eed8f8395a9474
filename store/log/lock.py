"""The lock that keeps a second process from writing to an event log."""

import fcntl
import os
from pathlib import Path

from townwatch.store.log.records import LogInUse


def lock_file(path: Path) -> int:
    """Take the lock; the descriptor holds it. Raises `LogInUse`.

    It is a file beside: SQLite's own locks come and go with each transaction.
    """
    descriptor = os.open(f"{path}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise LogInUse(str(path)) from None
    return descriptor
