"""Villages, by key and by name."""

from typing import Any

import attrs
from sqlalchemy import ColumnElement, Connection, Select, bindparam, delete, or_, select, true, update

from townwatch.contracts.village_ids import new_key
from townwatch.store.rows import insert_new, to_attrs
from townwatch.store.tables import (
    alert_resolutions,
    api_tokens,
    approvals,
    codes,
    members,
    removed_villages,
    sessions,
    villages,
)

_BY_NAME = select(villages.c.village_id).where(villages.c.public_id == bindparam("public_id"))
_BY_ID = select(villages).where(villages.c.village_id == bindparam("id"))


@attrs.frozen(kw_only=True)
class Village:
    """A place for agents and the people who watch them. A public one may be read by anyone.

    `village_id` is its key, never used twice; `public_id` is what people call it in URLs and on the wire.
    """

    village_id: str
    public_id: str
    name: str
    public: bool
    created_ms: int
    leave_out_texts: bool = False
    """Whether texts are kept out of the log (townwatch.contracts.secrets.left_out)."""


@attrs.frozen(kw_only=True)
class VillageOf:
    """A village as one person sees it. `role` is None for a public village of others."""

    village_id: str
    name: str
    public: bool
    role: str | None
    leave_out_texts: bool = False


def create(
    connection: Connection, public_id: str, name: str, now_ms: int, *, public: bool = False, key: str | None = None
) -> str | None:
    """Make a village and return its key; None where the name is taken.

    `key`: only for the first village of an empty database, whose name was never used before.
    """
    village_id = key or new_key(public_id)
    values = {"village_id": village_id, "public_id": public_id, "name": name, "public": public, "created_ms": now_ms}
    return village_id if insert_new(connection, villages, values) else None


def key_of(connection: Connection, public_id: str) -> str | None:
    """Return the key of the village that has this name now."""
    return connection.execute(_BY_NAME, {"public_id": public_id}).scalar()


def keys(connection: Connection) -> set[str]:
    """Return the keys of all villages."""
    return set(connection.execute(select(villages.c.village_id)).scalars())


def get(connection: Connection, village_id: str) -> Village | None:
    """Return the village with this key, or None. Does not check who may see it."""
    row = connection.execute(_BY_ID, {"id": village_id}).first()
    return to_attrs(Village, row) if row else None


def leaving_out(connection: Connection) -> set[str]:
    """Return the keys of the villages that keep texts out of the log."""
    return set(connection.execute(select(villages.c.village_id).where(villages.c.leave_out_texts)).scalars())


def change(
    connection: Connection,
    village_id: str,
    *,
    name: str | None = None,
    public: bool | None = None,
    leave_out_texts: bool | None = None,
) -> bool:
    """Set what is not None; False where there is no such village."""
    wanted = {"name": name, "public": public, "leave_out_texts": leave_out_texts}
    values = {key: value for key, value in wanted.items() if value is not None}
    if not values:
        return get(connection, village_id) is not None
    statement = update(villages).where(villages.c.village_id == village_id).values(**values)
    return connection.execute(statement).rowcount > 0


def remove(connection: Connection, village_id: str) -> bool:
    """Delete a village with all that is in it: members, sessions and their tokens, approvals, runner
    grants, enrolment codes. Its name is free from then on; its key is never used again.
    """
    inside = select(sessions.c.session_id).where(sessions.c.village_id == village_id)
    connection.execute(delete(api_tokens).where(api_tokens.c.session_id.in_(inside)))
    connection.execute(delete(approvals).where(approvals.c.village_id == village_id))
    connection.execute(delete(alert_resolutions).where(alert_resolutions.c.village_id == village_id))
    connection.execute(delete(codes).where(codes.c.village_id == village_id))
    if not connection.execute(delete(villages).where(villages.c.village_id == village_id)).rowcount:
        return False
    insert_new(connection, removed_villages, {"village_id": village_id})
    return True


def removed(connection: Connection) -> list[str]:
    """Return the keys of deleted villages of which something may be left outside these tables."""
    return list(connection.execute(select(removed_villages.c.village_id)).scalars())


def forget_removed(connection: Connection, village_id: str) -> None:
    """Note that nothing is left of a deleted village."""
    connection.execute(delete(removed_villages).where(removed_villages.c.village_id == village_id))


def of_user(
    connection: Connection, user_id: str | None, *, public_too: bool = True, all_of_them: bool = False
) -> list[VillageOf]:
    """Return the villages that a person may see, by key; None is the anonymous. `all_of_them`: an administrator."""
    query = _ALL if all_of_them else _OWN_AND_PUBLIC if public_too else _OWN
    return [to_attrs(VillageOf, row) for row in connection.execute(query, {"user_id": user_id or ""})]


def _seen_by_user(visible: ColumnElement[bool]) -> Select[Any, Any, Any, Any, Any]:
    joined = villages.outerjoin(
        members, (members.c.village_id == villages.c.village_id) & (members.c.user_id == bindparam("user_id"))
    )
    shown = (villages.c.village_id, villages.c.name, villages.c.public, villages.c.leave_out_texts, members.c.role)
    return select(*shown).select_from(joined).where(visible).order_by(villages.c.village_id)


_OWN = _seen_by_user(members.c.role.is_not(None))
_OWN_AND_PUBLIC = _seen_by_user(or_(members.c.role.is_not(None), villages.c.public))
_ALL = _seen_by_user(true())
"""Made once: making such a statement takes as long as three of its executions."""
