"""Members of a village and their roles."""

from typing import Literal

import attrs
from sqlalchemy import Connection, bindparam, delete, select

from townwatch.store.rows import to_attrs, upsert
from townwatch.store.tables import members, users

_ROLE = select(members.c.role).where(
    (members.c.village_id == bindparam("village")) & (members.c.user_id == bindparam("user"))
)

Role = Literal["owner", "operator", "viewer"]
ROLES: tuple[Role, ...] = ("owner", "operator", "viewer")


class LastOwner(Exception):
    """A village keeps at least one owner: make another one first."""

    def __init__(self, village_id: str) -> None:
        super().__init__(f"{village_id} would have no owner left; make another member an owner first")


@attrs.frozen(kw_only=True)
class Member:
    """A person in a village."""

    village_id: str
    user_id: str
    name: str
    email: str | None
    role: Role
    added_ms: int


def put(connection: Connection, village_id: str, user_id: str, role: Role, now_ms: int) -> None:
    """Add a person, or change their role. Raises `LastOwner`."""
    if role not in ROLES:
        raise ValueError(f"role: must be one of {', '.join(ROLES)}, not {role!r}")
    if role != "owner":
        _keep_an_owner(connection, village_id, user_id)
    values = {"village_id": village_id, "user_id": user_id, "role": role, "added_ms": now_ms}
    upsert(connection, members, values, keep=["added_ms"])


def remove(connection: Connection, village_id: str, user_id: str) -> bool:
    """Remove a member; return False if the person is none. Raises `LastOwner`."""
    _keep_an_owner(connection, village_id, user_id)
    where = (members.c.village_id == village_id) & (members.c.user_id == user_id)
    return connection.execute(delete(members).where(where)).rowcount > 0


def of_village(connection: Connection, village_id: str) -> list[Member]:
    """Return all members, by name."""
    query = select(
        members.c.village_id, members.c.user_id, users.c.name, users.c.email, members.c.role, members.c.added_ms
    ).join(users, users.c.user_id == members.c.user_id)
    rows = connection.execute(query.where(members.c.village_id == village_id).order_by(users.c.name, users.c.user_id))
    return [to_attrs(Member, row) for row in rows]


def role_of(connection: Connection, village_id: str, user_id: str) -> Role | None:
    """The role, None for who is no member."""
    return connection.execute(_ROLE, {"village": village_id, "user": user_id}).scalar()


def _keep_an_owner(connection: Connection, village_id: str, leaving: str) -> None:
    # Owners are locked while we count, so that two of them cannot demote each other at once.
    owners = select(members.c.user_id).where(members.c.village_id == village_id, members.c.role == "owner")
    found = set(connection.execute(owners.with_for_update()).scalars())
    if found == {leaving}:
        raise LastOwner(village_id)
