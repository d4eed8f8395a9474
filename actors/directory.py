"""Shared lookup tables: actor addresses, session states, connections. Read by all, written by the owners only.

`Directory` maps names to addresses; it outlives every actor but the process. `Board` holds the last durable state of
each session: a session writes its own entry, all actors read. A village or an agent that restarts reads itself back
from it.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Literal

import attrs

from townwatch.actors.ports import Ref
from townwatch.actors.session.state import SessionState
from townwatch.contracts import scopes
from townwatch.runtime import ActorDeadError


class Board:
    """The last durable state of every session this process knows.

    An agent and a house are looked up within a village: agentIds are chosen by runners, repositories stand in many.
    """

    def __init__(self) -> None:
        self._sessions: dict[str, SessionState] = {}
        self._by_village: dict[str, set[str]] = defaultdict(set)
        self._agents = _Places()
        self._repos = _Places()

    def post(self, state: SessionState) -> None:
        """Store a session's new state (called by the session alone)."""
        before = self._sessions.get(state.session_id)
        self._sessions[state.session_id] = state
        self._by_village[state.village_id].add(state.session_id)
        self._agents.put(scopes.agent_key(state.village_id, state.agent_id), state.session_id)
        if before is not None and before.repo_path and before.repo_path != state.repo_path:
            self._repos.discard(scopes.repo_key(before.village_id, before.repo_id), before.session_id)
        if state.repo_path:
            self._repos.put(scopes.repo_key(state.village_id, state.repo_id), state.session_id)

    def session(self, session_id: str) -> SessionState | None:
        return self._sessions.get(session_id)

    def of_agent(self, village_id: str, agent_id: str) -> SessionState | None:
        """Return the latest session of a village's agent."""
        session_id = self._agents.latest(scopes.agent_key(village_id, agent_id))
        return None if session_id is None else self._sessions[session_id]

    def villages_of_agent(self, agent_id: str) -> list[str]:
        """Return the villages that have an agent of this id, the one that had it first in front."""
        return self._agents.villages(agent_id)

    def villages_of_repo(self, repo_id: str) -> list[str]:
        """Return the villages that have a house of this id, the one that had it first in front."""
        return self._repos.villages(repo_id)

    def of_village(self, village_id: str) -> list[SessionState]:
        """All sessions of a village, oldest first; those of one moment by their ids."""
        found = [self._sessions[s] for s in self._by_village.get(village_id, ())]
        return sorted(found, key=lambda state: (state.created_at or 0, state.session_id))

    def of_house(self, village_id: str, repo_id: str) -> list[SessionState]:
        """Return the sessions of a village that said that they work in this repository, in no order."""
        return [self._sessions[one] for one in self._repos.sessions(scopes.repo_key(village_id, repo_id))]

    def of_runner(self, runner_id: str) -> list[SessionState]:
        return [state for state in self._sessions.values() if state.runner_id == runner_id]

    def __iter__(self) -> Iterator[SessionState]:
        return iter(list(self._sessions.values()))

    def villages(self) -> list[str]:
        return sorted(self._by_village)

    def remove(self, session_id: str) -> None:
        """Forget a deleted session. An older session of its agent is the latest again."""
        state = self._sessions.pop(session_id, None)
        if state is not None:
            self._by_village[state.village_id].discard(session_id)
            self._agents.discard(scopes.agent_key(state.village_id, state.agent_id), session_id)
            self._repos.discard(scopes.repo_key(state.village_id, state.repo_id), session_id)


class _Places:
    """Sessions by (village, id), and villages by id. Both in the order in which they were put."""

    def __init__(self) -> None:
        self._sessions: dict[tuple[str, str], dict[str, None]] = {}
        self._villages: dict[str, dict[str, None]] = {}

    def put(self, key: tuple[str, str], session_id: str) -> None:
        """Note the session as the latest of this key."""
        sessions = self._sessions.get(key)
        if sessions is None:
            self._sessions[key] = {session_id: None}
            self._villages.setdefault(key[1], {})[key[0]] = None
        elif next(reversed(sessions)) != session_id:
            sessions.pop(session_id, None)
            sessions[session_id] = None

    def discard(self, key: tuple[str, str], session_id: str) -> None:
        """Forget a session; the key with its last one."""
        sessions = self._sessions.get(key, {})
        sessions.pop(session_id, None)
        if not sessions and self._sessions.pop(key, None) is not None:
            villages = self._villages[key[1]]
            del villages[key[0]]
            if not villages:
                del self._villages[key[1]]

    def latest(self, key: tuple[str, str]) -> str | None:
        """Return the session that was put last."""
        sessions = self._sessions.get(key)
        return next(reversed(sessions)) if sessions else None

    def sessions(self, key: tuple[str, str]) -> list[str]:
        """Return all of them, in the order in which they were put."""
        return list(self._sessions.get(key, ()))

    def villages(self, thing_id: str) -> list[str]:
        """Return the villages that have something of this id."""
        return list(self._villages.get(thing_id, ()))


@attrs.frozen
class Origin:
    """The network origin of a connection, as its request said."""

    address: str = ""
    user_agent: str = ""


@attrs.frozen(eq=False, kw_only=True)
class LiveConnection:
    """A live connection of a client. Written by its actor alone; `rooms` is what that actor keeps, as it is now."""

    connection_id: str
    kind: Literal["socketio", "control"]
    ref: Ref
    user_id: str | None
    origin: Origin
    since_ms: int
    rooms: Callable[[], Collection[str]]
    name: str = ""
    in_rooms: Callable[[], Collection[str]] = tuple
    """Its rooms by their inner names."""


class Directory:
    """Names to addresses."""

    def __init__(self) -> None:
        self.sessions: dict[str, Ref] = {}
        self.villages: dict[str, Ref] = {}
        self.agents: dict[str, Ref] = {}
        """By `townwatch.contracts.scopes.actor_name`: an agentId is unique in its village only."""
        self.runners: dict[str, Ref] = {}
        self.clients: dict[str, Ref] = {}
        self.connections: dict[str, LiveConnection] = {}

    def connected(self, connection: LiveConnection) -> None:
        """Register a live connection. Called by the connection's actor alone."""
        self.clients[connection.connection_id] = connection.ref
        self.connections[connection.connection_id] = connection

    def disconnected(self, connection_id: str, ref: Ref) -> None:
        """Forget a connection; nothing changes where another actor has it by now."""
        if self.clients.get(connection_id) is ref:
            del self.clients[connection_id]
            del self.connections[connection_id]

    def of_user(self, user_id: str) -> list[LiveConnection]:
        """Return a person's live connections, the oldest first."""
        found = [one for one in self.connections.values() if one.user_id == user_id]
        return sorted(found, key=lambda one: (one.since_ms, one.connection_id))

    @staticmethod
    def alive(table: dict[str, Ref], name: str) -> Ref | None:
        """Return the address, or None if its actor has ended for good."""
        ref = table.get(name)
        return ref if ref is not None and ref.is_alive() else None


class Subscriptions:
    """Subscriptions of the control plane's clients to sessions' events and runners' status, beside the rooms."""

    def __init__(self) -> None:
        self._listeners: dict[str, dict[str, Callable[[Any], None]]] = defaultdict(dict)

    def add(self, topic: str, listener_id: str, listener: Callable[[Any], None]) -> None:
        """`topic`: ``session:<id>`` or ``runner:<id>``. The listener must not block."""
        self._listeners[topic][listener_id] = listener

    def remove(self, topic: str, listener_id: str) -> bool:
        """Remove a listener; return True if it was subscribed."""
        listeners = self._listeners.get(topic)
        if listeners is None or listeners.pop(listener_id, None) is None:
            return False
        if not listeners:
            del self._listeners[topic]
        return True

    def remove_all(self, listener_id: str) -> None:
        for topic in list(self._listeners):
            self.remove(topic, listener_id)

    def tell(self, topic: str, messages: Sequence[Any]) -> None:
        """Hand each message to every listener of the topic: what one makes of a message, the next can share."""
        listeners = list(self._listeners.get(topic, {}).values())
        for message in messages:
            for listener in listeners:
                listener(message)


def tell_if_alive(ref: Ref | None, message: Any) -> bool:
    """Tell an actor that may have ended; return True if the message was sent."""
    if ref is None:
        return False
    try:
        ref.tell(message)
    except ActorDeadError:
        return False
    return True
