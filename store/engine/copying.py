"""Copying all tables from one database into an empty one, SQLite or PostgreSQL."""

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import Connection, Table, func, select, text

from townwatch.store.tables import metadata

BATCH = 1000


def counts(connection: Connection) -> dict[str, int]:
    """Return table → number of rows, of the tables that have any."""
    found = {
        table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
        for table in metadata.sorted_tables
    }
    return {name: count for name, count in found.items() if count}


def copy_tables(source: Connection, target: Connection, going_on: Callable[[], None]) -> dict[str, int]:
    """Copy every row and compare what arrived; return the counts. `going_on` is called between two batches.

    Raises ValueError where a table arrived otherwise than it left.
    """
    for table in metadata.sorted_tables:
        for batch in _batches(source, table):
            target.execute(table.insert(), batch)
            going_on()
        _number_on(target, table)
    for table in metadata.sorted_tables:
        if _digest(source, table) != _digest(target, table):
            raise ValueError(f"table {table.name}: the copy differs from the original")
        going_on()
    return counts(target)


def _batches(connection: Connection, table: Table) -> Iterator[list[dict[str, Any]]]:
    rows = connection.execute(select(table)).yield_per(BATCH)
    for part in rows.partitions():
        yield [dict(row._mapping) for row in part]  # pyright: ignore[reportPrivateUsage] - the documented name


def _number_on(connection: Connection, table: Table) -> None:
    """Let PostgreSQL number new rows after the copied ones; SQLite does that by itself."""
    if connection.dialect.name != "postgresql" or table.autoincrement_column is None:
        return
    column = table.autoincrement_column.name
    connection.execute(
        text(
            f"SELECT setval(pg_get_serial_sequence('{table.name}', '{column}'), max({column}))"
            f" FROM {table.name} HAVING max({column}) IS NOT NULL"
        )
    )


def _digest(connection: Connection, table: Table) -> tuple[int, int]:
    """Number of rows, and a sum over them that does not depend on their order: two databases sort text differently."""
    count, total = 0, 0
    for row in connection.execute(select(table)).yield_per(BATCH):
        count += 1
        total += int.from_bytes(hashlib.sha256(repr(tuple(row)).encode("utf-8", "surrogatepass")).digest()[:16])
    return count, total % 2**128
