"""Rows of the SQLite tables that cannot be read are moved aside, so that one damaged row never stops the service.

A row is unreadable where a value has another type than its column, a text is not UTF-8, or a JSON text is malformed.
A damaged display name is mended in place (its readable part stays); every other unreadable row leaves its table. What
was there, bytes and all, is kept in the table ``quarantine``.
"""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

import structlog
from sqlalchemy import BigInteger, Boolean, Double, Integer, Table

from townwatch.contracts.clock import epoch_ms
from townwatch.store.tables import metadata

log = structlog.get_logger("tables")

LARGE = frozenset({"audit", "idempotency"})
"""Tables that grow with use: looked through only when a row of them could not be read, and by `townwatch doctor`."""
_JSON = {
    "approvals": ("request",),
    "sessions": ("usage", "config"),
    "runners": ("capabilities", "labels", "details"),
    "audit": ("details",),
}
_MENDABLE = frozenset({"name", "hostname", "note"})
_INSERT = "INSERT INTO quarantine (at_ms, table_name, row_id, why, raw) VALUES (?, ?, ?, ?, ?)"

_NUMBERS: dict[type[Any], tuple[bytes, ...]] = {
    Integer: (b"integer",),
    BigInteger: (b"integer",),
    Boolean: (b"integer",),
    Double: (b"real", b"integer"),
}
"""Type of a column of numbers → what SQLite may have in it. The other columns are text."""


def set_aside(raw: sqlite3.Connection, *, everything: bool = False) -> int:
    """Move every unreadable row to the quarantine, in one transaction; how many. `everything`: the large tables too.

    The connection must be outside a transaction: foreign keys are switched off meanwhile, since a row that leaves its
    table must not take with it the rows that refer to it.
    """
    keys_on = raw.execute("PRAGMA foreign_keys").fetchone()[0]
    raw.execute("PRAGMA foreign_keys = OFF").close()
    try:
        raw.execute("BEGIN IMMEDIATE").close()
        try:
            count = sum(_examine(raw, table) for table in _tables(raw, everything=everything))
        except BaseException:
            raw.execute("ROLLBACK").close()
            raise
        raw.execute("COMMIT").close()
    finally:
        raw.execute(f"PRAGMA foreign_keys = {keys_on}").close()
    if count:
        log.error("unreadable_rows_set_aside", rows=count, advice="see townwatch doctor")
    return count


def unreadable(raw: sqlite3.Connection) -> list[tuple[str, int, str]]:
    """(table, rowid, why) of every unreadable row, without changing anything."""
    found: list[tuple[str, int, str]] = []
    for table in _tables(raw, everything=True):
        found += [(table.name, row_id, why) for row_id, why, _column, _values in _bad_rows(raw, table)]
    return found


def quarantined(raw: sqlite3.Connection) -> int:
    """Return the number of rows that were set aside and are still kept."""
    if not raw.execute("SELECT 1 FROM sqlite_master WHERE name = 'quarantine'").fetchone():
        return 0
    return int(raw.execute("SELECT count(*) FROM quarantine").fetchone()[0])


def _tables(raw: sqlite3.Connection, *, everything: bool) -> list[Table]:
    there = {name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    wanted = [table for table in metadata.sorted_tables if table.name in there and table.name != "quarantine"]
    return [table for table in wanted if everything or table.name not in LARGE]


def _examine(raw: sqlite3.Connection, table: Table) -> int:
    count = 0
    for row_id, why, column, values in list(_bad_rows(raw, table)):
        kept = {name: _kept(value) for name, value in values.items()}
        raw.execute(_INSERT, (epoch_ms(), table.name, row_id, why, json.dumps(kept))).close()
        value = values.get(column)
        if column in _MENDABLE and isinstance(value, bytes):
            mended = value.decode("utf-8", "replace")
            raw.execute(f'UPDATE "{table.name}" SET "{column}" = ? WHERE rowid = ?', (mended, row_id)).close()
        else:
            raw.execute(f'DELETE FROM "{table.name}" WHERE rowid = ?', (row_id,)).close()
        log.error("unreadable_row", table=table.name, row=row_id, why=why)
        count += 1
    return count


def _bad_rows(raw: sqlite3.Connection, table: Table) -> Iterator[tuple[int, str, str, dict[str, Any]]]:
    there = {row[1] for row in raw.execute(f'PRAGMA table_info("{table.name}")')}
    columns = [column.name for column in table.columns if column.name in there]
    rule = {column.name: (_NUMBERS.get(type(column.type), ()), bool(column.nullable)) for column in table.columns}
    names = ", ".join(f'"{name}", typeof("{name}")' for name in columns)
    before, raw.text_factory = raw.text_factory, bytes
    try:
        rows = raw.execute(f'SELECT rowid, {names} FROM "{table.name}"').fetchall()
    finally:
        raw.text_factory = before
    for row_id, *cells in rows:
        pairs = list(zip(columns, cells[::2], cells[1::2], strict=True))
        for name, value, kind in pairs:
            numbers, nullable = rule[name]
            why = _fault(value, bytes(kind), numbers=numbers, nullable=nullable)
            if why is None and name in _JSON.get(table.name, ()) and value is not None:
                why = _json_fault(value)
            if why is not None:
                yield row_id, f"{name}: {why}", name, {key: cell for key, cell, _ in pairs}
                break


def _fault(value: Any, kind: bytes, *, numbers: Sequence[bytes], nullable: bool) -> str | None:
    if value is None:
        return None if nullable else "is missing"
    if numbers:
        return None if kind in numbers else f"is {kind.decode()}, not a number"
    if kind != b"text":
        return f"is {kind.decode()}, not text"
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return "is not UTF-8"
    return None


def _json_fault(value: bytes) -> str | None:
    try:
        json.loads(value)
    except (ValueError, RecursionError):
        return "is not JSON"
    return None


def _kept(value: Any) -> Any:
    """As JSON can hold it: bytes (and text, which is read as bytes here) in hexadecimal."""
    return {"hex": value.hex()} if isinstance(value, bytes) else value
