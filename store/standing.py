"""What authorization needs to know, by one query: in which village a thing is, and what the asker is there."""

from typing import Any, Literal, get_args

import attrs
from sqlalchemy import Connection, Select, bindparam, select

from store.members import Role
from store.rows import to_attrs
from store.tables import agents, houses, members, runners, sessions, villages

Kind = Literal["village", "house", "agent", "session", "runner"]

# The column that names a thing of each kind, and the column that says in which village it is.
_PLACES = {
    "village": (villages.c.village_id, villages.c.village_id),
    "house": (houses.c.house_id, houses.c.village_id),
    "agent": (agents.c.agent_id, agents.c.village_id),
    "session": (sessions.c.session_id, sessions.c.village_id),
    "runner": (runners.c.runner_id, runners.c.village_id),
}


@attrs.frozen(kw_only=True)
class Standing:
    """A person's standing towards a thing. `role` None: no member of its village."""

    village_id: str
    public: bool
    role: Role | None


def _question(kind: Kind) -> Select[Any, Any, Any]:
    name, place = _PLACES[kind]
    membership = (members.c.village_id == villages.c.village_id) & (members.c.user_id == bindparam("user"))
    source = villages.outerjoin(members, membership)
    if kind != "village":
        source = source.join(name.table, place == villages.c.village_id)
    asked = select(villages.c.village_id, villages.c.public, members.c.role).select_from(source)
    return asked.where(name == bindparam("thing"))


_QUESTIONS = {kind: _question(kind) for kind in get_args(Kind)}
"""Made once: they are asked for everybody at every door, and making one takes longer than its answer."""


def of(connection: Connection, kind: Kind, thing_id: str, user_id: str | None) -> Standing | None:
    """None where there is no such thing (or, for a runner, where it belongs to no village)."""
    row = connection.execute(_QUESTIONS[kind], {"user": user_id or "", "thing": thing_id}).first()
    return to_attrs(Standing, row) if row else None
