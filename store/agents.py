"""Agents: who works in a village. One may live through several sessions, one after the other."""

import attrs
from sqlalchemy import Connection, delete, select

from store.rows import to_attrs, upsert
from store.tables import agents


@attrs.frozen(kw_only=True)
class Agent:
    """An agent, with its latest session."""

    agent_id: str
    village_id: str
    house_id: str | None
    session_id: str | None
    name: str
    agent_type: str
    repo_path: str
    created_ms: int


def put(connection: Connection, agent: Agent) -> None:
    """Add it, or change what is known of it. Its village and its beginning never change."""
    upsert(connection, agents, attrs.asdict(agent), keep=["village_id", "created_ms"])


def get(connection: Connection, agent_id: str) -> Agent | None:
    """By id."""
    row = connection.execute(select(agents).where(agents.c.agent_id == agent_id)).first()
    return to_attrs(Agent, row) if row else None


def of_village(connection: Connection, village_id: str) -> list[Agent]:
    """All of a village, oldest first."""
    query = select(agents).where(agents.c.village_id == village_id).order_by(agents.c.created_ms, agents.c.agent_id)
    return [to_attrs(Agent, row) for row in connection.execute(query)]


def remove(connection: Connection, agent_id: str) -> bool:
    """Forget an agent; its sessions stay."""
    return connection.execute(delete(agents).where(agents.c.agent_id == agent_id)).rowcount > 0
