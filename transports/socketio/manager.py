"""Rooms and connections as python-socketio's manager tells them, read from the namespaces; and `environ`.

Read only: rooms change by enter_room, leave_room and close_room.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from townwatch.transports.socketio.namespace import Namespace, Socket


class RoomManager:
    """`server.manager`."""

    def __init__(self, spaces: dict[str, Namespace]) -> None:
        self._spaces = spaces

    def set_server(self, server: Any) -> None:
        """Do nothing; called by the base class."""

    def get_namespaces(self) -> list[str]:
        """Return the namespaces that have clients."""
        return [name for name, space in self._spaces.items() if space.sockets]

    def get_participants(self, namespace: str, room: str | list[str] | None) -> Iterator[tuple[str, str]]:
        """Iterate over (sid, Engine.IO's sid) of the clients in a room, or in any of several; None: all of them."""
        space = self._spaces.get(namespace)
        if space is not None:
            rooms = None if room is None else (room,) if isinstance(room, str) else room
            yield from ((socket.sid, _engine_sid(socket)) for socket in space.members(rooms))

    def get_rooms(self, sid: str, namespace: str) -> list[str]:
        """Return the rooms of a client, its own first; none where it is gone."""
        socket = self._socket(sid, namespace)
        return [] if socket is None else [sid, *sorted(socket.rooms)]

    def is_connected(self, sid: str, namespace: str) -> bool:
        socket = self._socket(sid, namespace)
        return socket is not None and socket.connected

    def eio_sid_from_sid(self, sid: str, namespace: str) -> str | None:
        socket = self._socket(sid, namespace)
        return None if socket is None else _engine_sid(socket)

    def sid_from_eio_sid(self, eio_sid: str, namespace: str) -> str | None:
        found = {engine_sid: sid for sid, engine_sid in self.get_participants(namespace, None)}
        return found.get(eio_sid)

    @property
    def rooms(self) -> dict[str, dict[str | None, dict[str, str]]]:
        """namespace → room (None: all) → sid → Engine.IO's sid: a copy."""
        found: dict[str, dict[str | None, dict[str, str]]] = {}
        for name, space in self._spaces.items():
            rooms = found[name] = {None: {}}
            for socket in space.sockets.values():
                for room in (None, socket.sid, *socket.rooms):
                    rooms.setdefault(room, {})[socket.sid] = _engine_sid(socket)
        return found

    def _socket(self, sid: str, namespace: str) -> Socket | None:
        space = self._spaces.get(namespace)
        return None if space is None else space.sockets.get(sid)


class Environs(Mapping[str, dict[str, Any]]):
    """`server.environ`: the request that opened a connection, by the client's sid or by Engine.IO's."""

    def __init__(self, spaces: dict[str, Namespace]) -> None:
        self._spaces = spaces

    def __getitem__(self, sid: str) -> dict[str, Any]:
        for space in self._spaces.values():
            for socket in (found,) if (found := space.sockets.get(sid)) is not None else space.sockets.values():
                if sid in (socket.sid, _engine_sid(socket)):
                    return socket.client.environ
        raise KeyError(sid)

    def __iter__(self) -> Iterator[str]:
        """Engine.IO's sids."""
        found = {_engine_sid(socket) for space in self._spaces.values() for socket in space.sockets.values()}
        return iter(found)

    def __len__(self) -> int:
        return len(list(iter(self)))


def _engine_sid(socket: Socket) -> str:
    return socket.client.session.id
