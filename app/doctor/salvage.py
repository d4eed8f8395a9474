"""Reading what can be read of a damaged SQLite file, row by row, into a new one.

Walks each table in the order of its key. Where a page cannot be read, the walk goes on behind it, and comes back from
behind up to it: what is given up are the rows of the damaged pages.
"""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs

MAGIC = b"SQLite format 3\0"
_HEADER = 100
_LARGEST = 1 << 62
_PAGE_SIZES = (1, 512, 1024, 2048, 4096, 8192, 16384, 32768)


@attrs.frozen
class Salvaged:
    """Number of rows of a table that were copied."""

    table: str
    rows: int
    whole: bool


def mend_header(damaged: Path, sound: Path) -> None:
    """Make a working copy readable: one whose first bytes were overwritten gets the header of a sound file of the same
    kind, and one that was cut off the number of pages that it has left. The list of free pages is left out.
    """
    size = damaged.stat().st_size
    with damaged.open("r+b") as file:
        head = bytearray(file.read(_HEADER))
        page = int.from_bytes(head[16:18], "big")
        if bytes(head[:16]) != MAGIC or page not in _PAGE_SIZES:
            head = bytearray(sound.read_bytes()[:_HEADER])
            page = int.from_bytes(head[16:18], "big")
        elif int.from_bytes(head[28:32], "big") * (65536 if page == 1 else page) <= size:
            return
        head[28:32] = (size // (65536 if page == 1 else page)).to_bytes(4, "big")
        head[32:40] = bytes(8)
        file.seek(0)
        file.write(bytes(head))


def set_apart(path: Path, stamp: str) -> Path:
    """Move a database and the files beside it to ``NAME.damaged-STAMP``; the new path."""
    apart = path.with_name(f"{path.name}.damaged-{stamp}")
    for suffix in ("-wal", "-shm", ""):
        with suppress(FileNotFoundError):
            os.replace(f"{path}{suffix}", f"{apart}{suffix}")
    return apart


def working_copy(apart: Path) -> Path:
    """A copy that may be mended and opened for writing: the file that was set apart stays as it is."""
    copy = apart.with_name(f"{apart.name}.work")
    for suffix in ("", "-wal"):
        if Path(f"{apart}{suffix}").exists():
            shutil.copy2(f"{apart}{suffix}", f"{copy}{suffix}")
    return copy


def remove_copy(copy: Path) -> None:
    """The working copy and what SQLite made beside it."""
    for suffix in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            os.unlink(f"{copy}{suffix}")


def transplant(source: sqlite3.Connection, target: sqlite3.Connection, table: str, key: str) -> Salvaged:
    """Copy every readable row of a table that both have. `key`: rowid, or the primary key of a table without one."""
    try:
        there = {str(row[1]) for row in source.execute(f'PRAGMA table_info("{table}")')}
    except sqlite3.DatabaseError:
        return Salvaged(table, 0, False)
    columns = [str(row[1]) for row in target.execute(f'PRAGMA table_info("{table}")') if str(row[1]) in there]
    if not columns:
        return Salvaged(table, 0, False)
    names = ", ".join(f'"{name}"' for name in columns)
    insert = f'INSERT OR REPLACE INTO "{table}" ({names}) VALUES ({", ".join("?" * len(columns))})'
    rows, whole = 0, True
    for found in _walk(source, table, names, key):
        if found is None:
            whole = False
            continue
        try:
            target.execute(insert, found[1:])
            rows += 1
        except sqlite3.IntegrityError:  # NOT NULL and kin: the row is damaged itself
            whole = False
    return Salvaged(table, rows, whole)


def _walk(source: sqlite3.Connection, table: str, names: str, key: str) -> Iterator[tuple[Any, ...] | None]:
    """Rows as (key, values…); None where something could not be read."""
    select = f'SELECT {key}, {names} FROM "{table}" NOT INDEXED'
    if key != "rowid":
        try:
            yield from source.execute(select)
        except sqlite3.DatabaseError:
            yield None
        return
    low = -_LARGEST
    while True:
        try:
            for row in source.execute(f"{select} WHERE rowid > ? ORDER BY rowid", (low,)):
                low = row[0]
                yield row
            return
        except sqlite3.DatabaseError:
            yield None
        start = _behind(source, table, low)
        if start is None:
            yield from _backwards(source, select, low, _LARGEST)
            return
        yield from _backwards(source, select, low, start)
        low = start - 1


def _behind(source: sqlite3.Connection, table: str, low: int) -> int | None:
    """The first key that can be read again, searched in steps that grow."""
    step, base = 1, max(low, 0)
    while base + step < _LARGEST:
        try:
            sql = f'SELECT rowid FROM "{table}" NOT INDEXED WHERE rowid > ? ORDER BY rowid LIMIT 1'
            row = source.execute(sql, (base + step,)).fetchone()
            return None if row is None else int(row[0])
        except sqlite3.DatabaseError:
            step = step * 2 if step < 64 else step + step // 4
    return None


def _backwards(source: sqlite3.Connection, select: str, low: int, high: int) -> Iterator[tuple[Any, ...]]:
    with suppress(sqlite3.DatabaseError):
        yield from source.execute(f"{select} WHERE rowid < ? AND rowid > ? ORDER BY rowid DESC", (high, low))
