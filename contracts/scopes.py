"""Keys and room names of ids that runners choose, each with the scope in which the id is unique.

A sessionId is unique in the service. An agentId and a repoId are unique in their village, an approvalId and an alertId
in their session. Every map, room, actor name and command id that uses one of them is made here, with its scope, so that
two scopes never share an entry.

Parts are percent-escaped before they are joined with ``:``. So no two different pairs give the same name, whatever
characters a runner puts into an id: ``("a:b", "c")`` is ``a%3Ab:c``, ``("a", "b:c")`` is ``a:b%3Ac``.

On the wire a room has the short name that clients know (``agent:<agentId>``): `wire_room` makes it.

The scopes that a token can be limited to are `TokenScope`.
"""

import hashlib
from functools import lru_cache
from typing import Literal, TypeAlias
from urllib.parse import quote, unquote

from townwatch.contracts.village_ids import name_of

TokenScope: TypeAlias = Literal["read", "drive", "decide", "manage", "admin"]
AgentKey: TypeAlias = tuple[str, str]
"""(villageId, agentId)"""
RepoKey: TypeAlias = tuple[str, str]
"""(villageId, repoId)"""
ApprovalKey: TypeAlias = tuple[str, str]
"""(sessionId, approvalId)"""
AlertKey: TypeAlias = tuple[str, str]
"""(sessionId, alertId)"""

ID_LENGTH = 200
"""The longest id that a wire takes; a longer name is replaced by a hash."""


def agent_key(village_id: str, agent_id: str) -> AgentKey:
    """Return the key of an agent."""
    return village_id, agent_id


def repo_key(village_id: str, repo_id: str) -> RepoKey:
    """Return the key of a house."""
    return village_id, repo_id


def approval_key(session_id: str, approval_id: str) -> ApprovalKey:
    """Return the key of an approval."""
    return session_id, approval_id


def alert_key(session_id: str, alert_id: str) -> AlertKey:
    """Return the key of an alert, and of its bug bot."""
    return session_id, alert_id


# --- names ---------------------------------------------------------------------------------------


def scoped(*parts: str) -> str:
    """Return one text for several ids, different for different ids."""
    return ":".join(_escaped(part) for part in parts)


def _escaped(part: str) -> str:
    return quote(part, safe="", errors="surrogatepass")


def actor_name(village_id: str, agent_id: str) -> str:
    """Return the name of an agent's actor among all agents."""
    return scoped(village_id, agent_id)


def approval_context(session_id: str, approval_id: str) -> str:
    """Return the name of an approval in a house's banner."""
    return scoped(session_id, approval_id)


def approve_command(session_id: str, approval_id: str) -> str:
    """Return the id of the command that tells a runner a decision."""
    return _command("approve", session_id, approval_id)


def session_command(name: str, session_id: str, *more: str) -> str:
    """Return the id of another command to a session. `more`: what tells it from others of the same name."""
    return _command(name, session_id, *more)


def is_session_command(command_id: str, name: str, session_id: str) -> bool:
    """Return True for an id that `session_command` made of this name and session."""
    short = f"{name}:{scoped(session_id)}:"
    return command_id.startswith((short, f"{name}:{_escaped(session_id)[:100]}:#"))


def _command(name: str, session_id: str, *more: str) -> str:
    """A command id names its session, and fits where an id fits: what is too long is hashed, behind a ``#``, which
    no escaped part contains."""
    full = f"{name}:{scoped(session_id, *more)}"
    if len(full) <= ID_LENGTH:
        return full
    digest = hashlib.sha256(full.encode()).hexdigest()[:32]
    return f"{name}:{_escaped(session_id)[:100]}:#{digest}"


# --- rooms ---------------------------------------------------------------------------------------


def village_room(village_id: str) -> str:
    """Return the room of a village."""
    return f"village:{village_id}"


def output_room(village_id: str) -> str:
    """Return the room of those in a village who get its terminals' output in the work stream."""
    return f"output:{village_id}"


@lru_cache(maxsize=4096)
def agent_room(village_id: str, agent_id: str) -> str:
    """Return the room of an agent."""
    return f"agent:{scoped(village_id, agent_id)}"


@lru_cache(maxsize=4096)
def terminal_room(village_id: str, agent_id: str) -> str:
    """Return the room of those followers of an agent who asked for `terminal_output`: an addition of ours."""
    return f"terminal:{scoped(village_id, agent_id)}"


@lru_cache(maxsize=4096)
def repo_room(village_id: str, repo_id: str) -> str:
    """Return the room of a house."""
    return f"repo:{scoped(village_id, repo_id)}"


def village_of_room(room: str) -> str | None:
    """Return the village whose people may be in the room; None for what is no room of ours."""
    kind, _, name = room.partition(":")
    match kind, name.split(":"):
        case "village" | "output", _:
            return name
        case "agent" | "terminal" | "repo", [village_id, _]:
            return unquote(village_id, errors="surrogatepass")
        case _:
            return None


def wire_room(room: str) -> str:
    """Return the room's name as clients know it: a village by its name, an agent or a house without its village."""
    kind, _, name = room.partition(":")
    match kind, name.split(":"):
        case "agent" | "terminal" | "repo", [_, thing_id]:
            return f"{kind}:{unquote(thing_id, errors='surrogatepass')}"
        case "village" | "output", _:
            return f"{kind}:{name_of(name)}"
        case _:
            return room
