"""Our rooms as other servers name them, and events of ours that are published for those."""

from collections.abc import Callable, Collection, Iterable, Sequence

import attrs

from townwatch.actors.ports import Tag
from townwatch.contracts import scopes
from townwatch.contracts.village_ids import name_of
from townwatch.transports.interop.rules import RoomList
from townwatch.transports.socketio import TrioServer
from townwatch.transports.socketio.handlers import SocketIoOutlet


@attrs.frozen
class OpenVillages:
    """The villages that have a part in the bridge. `present`: keys of the villages that have clients now."""

    names: frozenset[str]
    present: Callable[[], Iterable[str]]

    def rooms_of(self, room: str) -> tuple[str, ...]:
        """Return our rooms of this name: an agent or a house may be in several villages.

        >>> OpenVillages(frozenset({"demo"}), lambda: ["demo", "other"]).rooms_of("agent:a1")
        ('agent:demo:a1',)
        """
        kind, _, name = room.partition(":")
        keys = [key for key in self.present() if name_of(key) in self.names]
        if kind == "village":
            return tuple(scopes.village_room(key) for key in keys if name_of(key) == name)
        make = scopes.agent_room if kind == "agent" else scopes.repo_room
        return tuple(make(key, name) for key in keys)

    def has(self, room: str) -> bool:
        """Return whether one of our rooms belongs to such a village."""
        key = scopes.village_of_room(room)
        return key is not None and name_of(key) in self.names


@attrs.frozen
class Outgoing:
    """Which of our events are published: `offer(event, payload, rooms)` takes them, and never waits."""

    events: Collection[str]
    rooms: RoomList
    villages: OpenVillages
    offer: Callable[[str, bytes, list[str]], None]

    def names_of(self, rooms: Sequence[str]) -> list[str]:
        """Return the names of those rooms of ours that are published."""
        return [name for room in rooms if self.villages.has(room) and (name := scopes.wire_room(room)) in self.rooms]


class PublishingOutlet(SocketIoOutlet):
    """The cast's way out, which also publishes. Used only where something is to be published."""

    def __init__(self, server: TrioServer, outgoing: Outgoing) -> None:
        super().__init__(server)
        self._outgoing = outgoing

    def publish(
        self, event: str, payload: bytes, rooms: Sequence[str], tag: Tag | None = None, *, without: str | None = None
    ) -> None:
        super().publish(event, payload, rooms, tag, without=without)
        if event in self._outgoing.events and (names := self._outgoing.names_of(rooms)):
            self._outgoing.offer(event, payload, names)

    def listens(self, rooms: Sequence[str]) -> bool:
        return super().listens(rooms) or bool(self._outgoing.names_of(rooms))
