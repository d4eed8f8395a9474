"""Facts for authorization, by one query: the village that a thing is in, and the asker's role there."""

from typing import Any, Literal, get_args

import attrs
from sqlalchemy import Connection, Select, bindparam, select

from townwatch.store.members import Role
from townwatch.store.rows import to_attrs
from townwatch.store.tables import members, runner_villages, runners, sessions, villages

Kind = Literal["village", "village_name", "session"]

# The column that names a thing of each kind, and the column that says in which village it is. Only ids that the service
# makes are here: an agentId, which runners choose, does not say by itself in which village it is.
_PLACES = {
    "village": (villages.c.village_id, villages.c.village_id),
    "village_name": (villages.c.public_id, villages.c.village_id),
    "session": (sessions.c.session_id, sessions.c.village_id),
}


@attrs.frozen(kw_only=True)
class Membership:
    """A person's standing towards a thing. `village_id` is a key. `role` None: no member of its village."""

    village_id: str
    public: bool
    role: Role | None


def _question(kind: Kind) -> Select[Any, Any, Any]:
    name, place = _PLACES[kind]
    membership = (members.c.village_id == villages.c.village_id) & (members.c.user_id == bindparam("user"))
    source = villages.outerjoin(members, membership)
    if kind not in ("village", "village_name"):
        source = source.join(name.table, place == villages.c.village_id)
    asked = select(villages.c.village_id, villages.c.public, members.c.role).select_from(source)
    return asked.where(name == bindparam("thing"))


_QUESTIONS = {kind: _question(kind) for kind in get_args(Kind)}
"""Made once: they run for every request and every join, and building one takes longer than running it."""


def of(connection: Connection, kind: Kind, thing_id: str, user_id: str | None) -> Membership | None:
    """Return a person's standing, or None where there is no such thing."""
    row = connection.execute(_QUESTIONS[kind], {"user": user_id or "", "thing": thing_id}).first()
    return to_attrs(Membership, row) if row else None


_OF_RUNNER = (
    select(runner_villages.c.village_id, members.c.role)
    .select_from(
        runner_villages.outerjoin(
            members,
            (members.c.village_id == runner_villages.c.village_id) & (members.c.user_id == bindparam("user")),
        )
    )
    .where(runner_villages.c.runner_id == bindparam("runner"))
)
_RUNNER = select(runners.c.runner_id).where(runners.c.runner_id == bindparam("runner"))


def of_runner(
    connection: Connection, runner_id: str, user_id: str | None, any_owner: bool = False
) -> Membership | None:
    """Return a person's standing towards a runner; None where there is no such runner.

    Owner: of every village that it serves (`any_owner`: of one of them), for what is done to it is done to all of them.
    Viewer: member of one of them. A runner that serves no village is visible to administrators only; to be a passer-by
    of a public village shows no runner.
    """
    if connection.execute(_RUNNER, {"runner": runner_id}).first() is None:
        return None
    roles = [role for _, role in connection.execute(_OF_RUNNER, {"user": user_id or "", "runner": runner_id})]
    owner = bool(roles) and (any if any_owner else all)(role == "owner" for role in roles)
    member = any(role is not None for role in roles)
    return Membership(village_id="", public=False, role="owner" if owner else "viewer" if member else None)
