"""Idempotency keys: a POST that is sent again gets the answer of the first time, and does nothing."""

import attrs
from sqlalchemy import Connection, delete, select, update

from store.rows import insert_new, to_attrs
from store.tables import idempotency


@attrs.frozen(kw_only=True)
class Answered:
    """What is known of a key. `status` None: the first request is still being answered."""

    fingerprint: str
    status: int | None
    body: str | None


def begin(connection: Connection, owner: str, key: str, fingerprint: str, now_ms: int) -> Answered | None:
    """Claim a key: None when it is ours to answer, else what it was used for.

    `owner`: whose key it is (a user's id); `fingerprint`: a hash of method, path and body. The caller refuses a key
    that comes back with another fingerprint.
    """
    values = {"owner": owner, "key": key, "fingerprint": fingerprint, "created_ms": now_ms}
    if insert_new(connection, idempotency, values):
        return None
    columns = (idempotency.c.fingerprint, idempotency.c.status, idempotency.c.body)
    row = connection.execute(select(*columns).where(_is(owner, key))).first()
    return to_attrs(Answered, row) if row else None


def finish(connection: Connection, owner: str, key: str, status: int, body: str) -> None:
    """Keep the answer."""
    connection.execute(update(idempotency).where(_is(owner, key)).values(status=status, body=body))


def abandon(connection: Connection, owner: str, key: str) -> None:
    """The request failed before it did anything: the key may be used again."""
    connection.execute(delete(idempotency).where(_is(owner, key), idempotency.c.status.is_(None)))


def forget(connection: Connection, before_ms: int) -> int:
    """Drop keys older than that; returns how many."""
    return connection.execute(delete(idempotency).where(idempotency.c.created_ms < before_ms)).rowcount


def _is(owner: str, key: str):
    return (idempotency.c.owner == owner) & (idempotency.c.key == key)
