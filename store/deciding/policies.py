"""Rules of villages, one row each."""

import attrs
from sqlalchemy import Connection, select, update

from townwatch.contracts.codec import Decoder, encode
from townwatch.contracts.policy import PolicyBody
from townwatch.store import audit
from townwatch.store.rows import insert_new
from townwatch.store.tables import village_policies, villages

_body = Decoder(PolicyBody)


@attrs.frozen(kw_only=True)
class PolicyRow:
    """A village's policy as it is stored. `public_id` is the village's name."""

    village_id: str
    public_id: str
    version: int
    body: PolicyBody
    changed_by: str | None
    changed_ms: int


class PolicyMoved(Exception):
    """The policy was changed meanwhile; the message says to which version."""


_ALL = select(
    village_policies.c.village_id,
    villages.c.public_id,
    village_policies.c.version,
    village_policies.c.body,
    village_policies.c.changed_by,
    village_policies.c.changed_ms,
).join(villages, villages.c.village_id == village_policies.c.village_id)


def everything(connection: Connection) -> list[PolicyRow]:
    """Return the policies of all villages that have one."""
    return [_row(*row) for row in connection.execute(_ALL.order_by(village_policies.c.village_id))]


def of_village(connection: Connection, village_id: str) -> PolicyRow | None:
    """Return a village's policy."""
    row = connection.execute(_ALL.where(village_policies.c.village_id == village_id)).first()
    return None if row is None else _row(*row)


def put(
    connection: Connection,
    village_id: str,
    body: PolicyBody,
    by: str | None,
    now_ms: int,
    expected: int | None,
    entry: audit.Entry | None = None,
) -> int:
    """Replace a village's policy and return its version. Raises `PolicyMoved` where it is not at `expected`. `entry`:
    into the audit log, in the same transaction.
    """
    if entry is not None:
        audit.add(connection, entry)
    found = of_village(connection, village_id)
    version = 0 if found is None else found.version
    if expected is not None and expected != version:
        raise PolicyMoved(f"the policy is at version {version}, not {expected}: read it again and change that")
    values = {"version": version + 1, "body": encode(body).decode(), "changed_by": by, "changed_ms": now_ms}
    if found is None:
        if not insert_new(connection, village_policies, {"village_id": village_id, **values}):
            raise PolicyMoved("the policy was made by another request at this moment: read it again")
        return version + 1
    mine = (village_policies.c.village_id == village_id) & (village_policies.c.version == version)
    if connection.execute(update(village_policies).where(mine).values(**values)).rowcount != 1:
        raise PolicyMoved("the policy was changed by another request at this moment: read it again")
    return version + 1


def _row(
    village_id: str, public_id: str, version: int, body: str, changed_by: str | None, changed_ms: int
) -> PolicyRow:
    return PolicyRow(
        village_id=village_id,
        public_id=public_id,
        version=version,
        body=_body.decode(body),
        changed_by=changed_by,
        changed_ms=changed_ms,
    )
