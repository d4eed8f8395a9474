"""Clients of Socket.IO, kept for the process that takes over. Of a client's private id only the hash is stored."""

from collections.abc import Collection, Sequence

import attrs
from sqlalchemy import Connection, Select, delete, func, select, update

from townwatch.store.rows import to_attrs, upsert
from townwatch.store.tables import kept_sockets

MOST_LOST = 20
"""Clients of one owner that lost their connection; the oldest of more are forgotten."""
MOST = 20_000
"""Rows. Beyond them the oldest of those that lost their connection are forgotten."""


@attrs.frozen(kw_only=True)
class KeptRow:
    """`lost_ms`: when its connection was lost, None while it is connected."""

    pid_hash: str
    owner: str
    body: str
    saved_ms: int
    lost_ms: int | None = None


@attrs.frozen(kw_only=True)
class Changes:
    """What is to be written in one transaction."""

    saved: Sequence[KeptRow] = ()
    lost: Collection[str] = ()
    forgotten: Collection[str] = ()


def begin(connection: Connection, now_ms: int) -> None:
    """Note at the start of a process that leads: all connections to the one before it are lost."""
    connection.execute(update(kept_sockets).where(kept_sockets.c.lost_ms.is_(None)).values(lost_ms=now_ms))
    connection.execute(update(kept_sockets).where(kept_sockets.c.lost_ms > now_ms).values(lost_ms=now_ms))


def write(connection: Connection, changes: Changes, now_ms: int) -> None:
    """Write the changes, and forget the oldest lost clients of an owner that has too many."""
    for row in changes.saved:
        upsert(connection, kept_sockets, attrs.asdict(row))
    owners: set[str] = set()
    for pid_hash in changes.lost:
        gone = update(kept_sockets).where(kept_sockets.c.pid_hash == pid_hash).values(lost_ms=now_ms)
        owners.update(connection.execute(gone.returning(kept_sockets.c.owner)).scalars())
    for pid_hash in changes.forgotten:
        connection.execute(delete(kept_sockets).where(kept_sockets.c.pid_hash == pid_hash))
    for owner in owners:
        newest = _lost().where(kept_sockets.c.owner == owner).offset(MOST_LOST)
        connection.execute(delete(kept_sockets).where(kept_sockets.c.pid_hash.in_(_limited(newest))))


def find(connection: Connection, pid_hash: str) -> KeptRow | None:
    """Return the row of a private id's hash."""
    row = connection.execute(select(kept_sockets).where(kept_sockets.c.pid_hash == pid_hash)).first()
    return None if row is None else to_attrs(KeptRow, row)


def expire(connection: Connection, before_ms: int) -> None:
    """Forget whose connection was lost before this time, and what is too much."""
    connection.execute(delete(kept_sockets).where(kept_sockets.c.lost_ms < before_ms))
    if connection.execute(select(func.count()).select_from(kept_sockets)).scalar_one() > MOST:
        over = _lost().offset(MOST)
        connection.execute(delete(kept_sockets).where(kept_sockets.c.pid_hash.in_(_limited(over))))


def _lost() -> Select[tuple[str]]:
    return (
        select(kept_sockets.c.pid_hash)
        .where(kept_sockets.c.lost_ms.is_not(None))
        .order_by(kept_sockets.c.lost_ms.desc(), kept_sockets.c.saved_ms.desc())
    )


def _limited(chosen: Select[tuple[str]]) -> Select[tuple[str]]:
    """SQLite takes no OFFSET without LIMIT."""
    return chosen.limit(1 << 30)
