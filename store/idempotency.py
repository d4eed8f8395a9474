"""Idempotency keys: a POST that is sent again gets the answer of the first time, and does nothing.

A key belongs to the process that answers it. What a dead process left unanswered is taken over by the next request,
with the same claim id: what it names by that id (a session, a command) it makes once.
"""

import attrs
from sqlalchemy import Connection, delete, select, update

from townwatch.store.rows import insert_new, new_id, to_attrs
from townwatch.store.tables import idempotency


@attrs.frozen(kw_only=True)
class Answered:
    """The recorded answer to an idempotency key that was used before. `status` None: the first request is still being
    answered.
    """

    fingerprint: str
    status: int | None
    body: str | None


@attrs.frozen(kw_only=True)
class Claimed:
    """The key is ours to answer. `again`: another process, or an attempt that was cut off, began before us."""

    claim_id: str
    again: bool


def begin(
    connection: Connection, owner: str, key: str, fingerprint: str, process: str, now_ms: int
) -> Answered | Claimed:
    """Claim a key, or say what it was used for.

    `owner`: whose key it is (a user's id); `fingerprint`: a hash of method, path and body. The caller refuses a key
    that comes back with another fingerprint. `process`: this process, which names itself anew at each start.
    """
    claim_id = new_id("claim")
    values = {"owner": owner, "key": key, "fingerprint": fingerprint, "created_ms": now_ms}
    if insert_new(connection, idempotency, {**values, "process": process, "claim_id": claim_id}):
        return Claimed(claim_id=claim_id, again=False)
    left = idempotency.c.process.is_(None) | (idempotency.c.process != process)
    free = update(idempotency).where(_is(owner, key), idempotency.c.status.is_(None), left)
    free = free.where(idempotency.c.fingerprint == fingerprint)
    taken = connection.execute(free.values(process=process).returning(idempotency.c.claim_id)).first()
    if taken is not None:
        if taken.claim_id is None:  # of a version without them
            connection.execute(update(idempotency).where(_is(owner, key)).values(claim_id=claim_id))
        return Claimed(claim_id=taken.claim_id or claim_id, again=True)
    columns = (idempotency.c.fingerprint, idempotency.c.status, idempotency.c.body)
    row = connection.execute(select(*columns).where(_is(owner, key))).one()
    return to_attrs(Answered, row)


def finish(connection: Connection, owner: str, key: str, status: int, body: str) -> None:
    """Keep the answer."""
    connection.execute(update(idempotency).where(_is(owner, key)).values(status=status, body=body))


def abandon(connection: Connection, owner: str, key: str) -> None:
    """The request failed before it did anything: the key may be used again."""
    connection.execute(delete(idempotency).where(_is(owner, key), idempotency.c.status.is_(None)))


def release(connection: Connection, owner: str, key: str) -> None:
    """The request was cut off and may have done something: the next one with this key goes on with it."""
    unanswered = update(idempotency).where(_is(owner, key), idempotency.c.status.is_(None))
    connection.execute(unanswered.values(process=None))


def forget(connection: Connection, before_ms: int) -> int:
    """Drop keys older than that; returns how many."""
    return connection.execute(delete(idempotency).where(idempotency.c.created_ms < before_ms)).rowcount


def _is(owner: str, key: str):
    return (idempotency.c.owner == owner) & (idempotency.c.key == key)
