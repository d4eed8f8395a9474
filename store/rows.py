"""Small things that all the tables' modules share."""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

import attrs
from sqlalchemy import Connection, Row, Table
from sqlalchemy.dialects import postgresql, sqlite

from townwatch.contracts.codec import decode_json, encode

T = TypeVar("T")

MAX_LIMIT = 200


@attrs.frozen
class RowPage(Generic[T]):
    """Some of a list. `next`: the cursor to go on from, None at the end."""

    items: Sequence[T]
    next: str | None = None


def new_id(prefix: str) -> str:
    """Return an unguessable id: ``user_`` and 20 characters."""
    return f"{prefix}_{secrets.token_hex(10)}"


def to_attrs(cls: type[T], row: Row[*tuple[Any, ...]]) -> T:
    """A row whose columns are the class's fields."""
    return cls(**row._mapping)  # pyright: ignore[reportPrivateUsage] - SQLAlchemy's documented name


def to_json(value: Any) -> str:
    """JSON text of plain values or attrs classes."""
    return encode(value).decode()


def from_json(text: str | None) -> Any:
    """The values in a JSON column; None for NULL."""
    return None if text is None else decode_json(text, max_bytes=1 << 24)


def insert_new(connection: Connection, table: Table, values: Mapping[str, Any]) -> bool:
    """Insert unless the key is taken; whether it was inserted."""
    statement = _insert(connection, table).values(**values).on_conflict_do_nothing()
    # RETURNING, not rowcount: SQLAlchemy does not keep an INSERT's rowcount on PostgreSQL.
    return connection.execute(statement.returning(*table.primary_key)).first() is not None


def upsert(connection: Connection, table: Table, values: Mapping[str, Any], keep: Sequence[str] = ()) -> None:
    """Insert, or update all columns given but the key and those in `keep`."""
    keys = [column.name for column in table.primary_key]
    changes = {name: value for name, value in values.items() if name not in keys and name not in keep}
    statement = _insert(connection, table).values(**values)
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changes))


def _insert(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)
