"""Who is where, and what is known: looked up by all, written by the owners only.

`Directory` maps names to addresses; it outlives every actor but the process. `Board` holds the last durable state of
each session: a session writes its own entry, everybody reads. A village or an agent that restarts reads itself back
from it.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Literal

import attrs

from actors.ports import Ref
from actors.runtime import ActorDeadError
from actors.session_state import SessionState


class Board:
    """The last durable state of every session this process knows."""

    def __init__(self) -> None:
        self._sessions: dict[str, SessionState] = {}
        self._by_village: dict[str, set[str]] = defaultdict(set)
        self._by_agent: dict[str, str] = {}
        self._village_of_repo: dict[str, str] = {}

    def post(self, state: SessionState) -> None:
        """A session's new state (by the session alone)."""
        self._sessions[state.session_id] = state
        self._by_village[state.village_id].add(state.session_id)
        self._by_agent[state.agent_id] = state.session_id
        if state.repo_path:
            self._village_of_repo[state.repo_id] = state.village_id

    def session(self, session_id: str) -> SessionState | None:
        return self._sessions.get(session_id)

    def of_agent(self, agent_id: str) -> SessionState | None:
        """The latest session of an agent."""
        session_id = self._by_agent.get(agent_id)
        return None if session_id is None else self._sessions[session_id]

    def village_of_repo(self, repo_id: str) -> str | None:
        """The village a house stands in."""
        return self._village_of_repo.get(repo_id)

    def of_village(self, village_id: str) -> list[SessionState]:
        """All sessions of a village, oldest first."""
        found = [self._sessions[s] for s in self._by_village.get(village_id, ())]
        return sorted(found, key=lambda state: state.created_at or 0)

    def of_runner(self, runner_id: str) -> list[SessionState]:
        return [state for state in self._sessions.values() if state.runner_id == runner_id]

    def __iter__(self) -> Iterator[SessionState]:
        return iter(list(self._sessions.values()))

    def villages(self) -> list[str]:
        return sorted(self._by_village)

    def remove(self, session_id: str) -> None:
        """A deleted session."""
        state = self._sessions.pop(session_id, None)
        if state is not None:
            self._by_village[state.village_id].discard(session_id)
            if self._by_agent.get(state.agent_id) == session_id:
                del self._by_agent[state.agent_id]


@attrs.frozen
class Origin:
    """Where a connection comes from, as its request said."""

    address: str = ""
    user_agent: str = ""


@attrs.frozen(eq=False, kw_only=True)
class Connection:
    """A live connection of somebody. Written by its actor alone; `rooms` is what that actor keeps, as it is now."""

    connection_id: str
    kind: Literal["socketio", "control"]
    ref: Ref
    user_id: str | None
    origin: Origin
    since_ms: int
    rooms: Callable[[], Collection[str]]


class Directory:
    """Names to addresses."""

    def __init__(self) -> None:
        self.sessions: dict[str, Ref] = {}
        self.villages: dict[str, Ref] = {}
        self.agents: dict[str, Ref] = {}
        self.runners: dict[str, Ref] = {}
        self.clients: dict[str, Ref] = {}
        self.connections: dict[str, Connection] = {}

    def connected(self, connection: Connection) -> None:
        """Somebody is here now (by the connection's actor alone)."""
        self.clients[connection.connection_id] = connection.ref
        self.connections[connection.connection_id] = connection

    def disconnected(self, connection_id: str, ref: Ref) -> None:
        """And is gone; nothing changes where another actor has the connection by now."""
        if self.clients.get(connection_id) is ref:
            del self.clients[connection_id]
            del self.connections[connection_id]

    def of_user(self, user_id: str) -> list[Connection]:
        """Somebody's live connections, the oldest first."""
        found = [one for one in self.connections.values() if one.user_id == user_id]
        return sorted(found, key=lambda one: (one.since_ms, one.connection_id))

    @staticmethod
    def alive(table: dict[str, Ref], name: str) -> Ref | None:
        """The address, unless whoever lived there is gone for good."""
        ref = table.get(name)
        return ref if ref is not None and ref.is_alive() else None


class Taps:
    """Who listens to a session's events or a runner's status beside the rooms: the control plane's clients."""

    def __init__(self) -> None:
        self._listeners: dict[str, dict[str, Callable[[Any], None]]] = defaultdict(dict)

    def add(self, topic: str, listener_id: str, listener: Callable[[Any], None]) -> None:
        """`topic`: ``session:<id>`` or ``runner:<id>``. The listener must not block."""
        self._listeners[topic][listener_id] = listener

    def remove(self, topic: str, listener_id: str) -> bool:
        """Whether it was there."""
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
        """Hand the messages to every listener of the topic."""
        for listener in list(self._listeners.get(topic, {}).values()):
            for message in messages:
                listener(message)


def tell_if_alive(ref: Ref | None, message: Any) -> bool:
    """tell() to somebody who may be gone; whether it was sent."""
    if ref is None:
        return False
    try:
        ref.tell(message)
    except ActorDeadError:
        return False
    return True
