"""A copy of the databases while the service runs: SQLite's online backup, so that each copy is one consistent state.

The tables are copied before the journal: events may name what the tables do not know yet, never the other way round.
"""

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from townwatch.app.doctor.databases import damage_of, reading
from townwatch.contracts.files import sync_directory

DATABASES = ("townwatch.db", "journal.db")
FILES = ("token.secret", "runner.json")
PAGES = 2048
"""Copied at a time; between two of these steps the service writes."""


class BackupFailed(Exception):
    """The backup failed; the message is one line."""


def back_up(state: Path, target: Path) -> list[Path]:
    """Copy what must survive to `target`, which must be empty or not be there. Raises `BackupFailed`."""
    if not (state / "journal.db").exists() and not (state / "townwatch.db").exists():
        raise BackupFailed(f"{state}: there is nothing to back up")
    target.mkdir(parents=True, exist_ok=True, mode=0o700)
    if any(target.iterdir()):
        raise BackupFailed(f"{target}: is not empty; give a new directory")
    done: list[Path] = []
    for name in DATABASES:
        if (state / name).exists():
            done.append(_copy_database(state / name, target / name))
    for name in FILES:
        if (state / name).exists():
            os.close(os.open(target / name, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
            shutil.copyfile(state / name, target / name)
            done.append(target / name)
    sync_directory(target)
    return done


def _copy_database(source: Path, target: Path) -> Path:
    os.close(os.open(target, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    try:
        with reading(source) as ours, closing(sqlite3.connect(target)) as copy:
            ours.backup(copy, pages=PAGES, sleep=0.01)
    except sqlite3.Error as error:
        raise BackupFailed(f"{source}: {error}") from None
    if (damage := damage_of(target)) is not None:
        raise BackupFailed(f"{target}: the copy is damaged ({damage}); see townwatch doctor")
    descriptor = os.open(target, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return target
