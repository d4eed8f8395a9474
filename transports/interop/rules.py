"""Rules of the bridge: which event of another server reaches which room of ours, and which of ours is published.

Default deny. What others say can never pass for an event of ours: its names are refused, whatever the lists say.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any, cast

import attrs
import msgspec
import trio

from townwatch.contracts.asyncapi.wires import SOCKETIO
from townwatch.supervision import Rate, RateLimited, TokenBuckets
from townwatch.transports.interop.wires import ForeignEmit
from townwatch.transports.socketio.packet import RESERVED

OWN_EVENTS = frozenset((*SOCKETIO.sent, *SOCKETIO.received, *RESERVED))
"""Names that only the service itself gives to events, and those of the protocol."""
ROOM_KINDS = ("village:", "agent:", "repo:")
MOST_ARGUMENTS, MOST_ROOMS = 8, 64
_NAME = re.compile(r"[A-Za-z0-9_.:/-]{1,64}")
Refusals = Counter[str]


class NotAdmitted(Exception):
    """An emit that does not pass. The text is its kind, one of few: a metric has it as a label."""


@attrs.frozen(kw_only=True)
class Admitted:
    """What may reach our clients. `payload`: the arguments as JSON, with commas between them; `without`: a room whose
    clients do not get it. Rooms are named as clients name them.
    """

    event: str
    payload: bytes
    rooms: tuple[str, ...]
    without: str | None


@attrs.frozen
class RoomList:
    """Rooms by name, or by how they begin."""

    names: frozenset[str]
    beginnings: tuple[str, ...]

    @classmethod
    def read(cls, option: str, rooms: Sequence[str]) -> "RoomList":
        """Parse the entries of an option. Raises ValueError."""
        for room in rooms:
            if not room.startswith(ROOM_KINDS) or "*" in room[:-1] or room in ROOM_KINDS:
                kinds = ", ".join(f"{kind}NAME" for kind in ROOM_KINDS)
                raise ValueError(f"{option}: {room!r} is none of {kinds}; * stands for the rest of a name, at its end")
        return cls(
            frozenset(room for room in rooms if not room.endswith("*")),
            tuple(room[:-1] for room in rooms if room.endswith("*")),
        )

    def __contains__(self, room: str) -> bool:
        return room in self.names or (bool(self.beginnings) and room.startswith(self.beginnings))

    def __bool__(self) -> bool:
        return bool(self.names or self.beginnings)


def read_events(option: str, names: Sequence[str], own: Collection[str], *, ours: bool) -> frozenset[str]:
    """Check names of events. `ours`: they must be among those of the service, else they must not. Raises ValueError."""
    for name in names:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{option}: {name!r} is no name of an event: letters, digits and _ . : / - only")
        if ours and name not in own:
            raise ValueError(f"{option}: {name!r} is no event of Townwatch; docs/wire-additions.md lists them")
        if not ours and name in own:
            raise ValueError(f"{option}: {name!r} is an event of Townwatch itself, which no other may say")
    return frozenset(names)


class Border:
    """Judges emits of others. One a service; `now` is trio's clock."""

    def __init__(
        self,
        *,
        events: frozenset[str],
        rooms: RoomList,
        villages: Collection[str],
        namespaces: Collection[str],
        most_bytes: int,
        rate: Rate,
    ) -> None:
        self._events = events
        self._rooms = rooms
        self._villages = frozenset(villages)
        self._namespaces = frozenset(namespaces)
        self._most = most_bytes
        self._buckets = TokenBuckets("bridge", rate)

    def admit(self, emit: ForeignEmit) -> Admitted:
        """Raises `NotAdmitted`. The cheap questions come first; only what would pass takes of the rate."""
        if emit.namespace not in self._namespaces:
            raise NotAdmitted("namespace")
        if emit.event in OWN_EVENTS:
            raise NotAdmitted("own_event")
        if emit.event not in self._events:
            raise NotAdmitted("event")
        if not emit.rooms or len(emit.rooms) > MOST_ROOMS or not all(map(self._is_open, emit.rooms)):
            raise NotAdmitted("room")  # without a room it is for all clients of the service: of all villages
        if emit.wants_answer:
            raise NotAdmitted("wants_answer")
        without = [room for room in emit.skipped if room.startswith(ROOM_KINDS)]
        if len(without) > 1:
            raise NotAdmitted("except")
        payload = self._encoded(emit.arguments)
        try:
            self._buckets.take("", trio.current_time())
        except RateLimited:
            raise NotAdmitted("rate") from None
        return Admitted(event=emit.event, payload=payload, rooms=emit.rooms, without=without[0] if without else None)

    def _is_open(self, room: str) -> bool:
        kind, _, name = room.partition(":")
        return room in self._rooms and (kind != "village" or name in self._villages)

    def _encoded(self, arguments: Sequence[Any]) -> bytes:
        if len(arguments) > MOST_ARGUMENTS:
            raise NotAdmitted("too_long")
        if has_bytes(arguments):
            raise NotAdmitted("binary")
        try:
            payload = msgspec.json.encode(list(arguments))[1:-1]
        except (TypeError, ValueError, RecursionError):  # a key that is a list, a lone surrogate
            raise NotAdmitted("unreadable") from None
        if len(payload) > self._most:
            raise NotAdmitted("too_long")
        return payload


def has_bytes(value: Any) -> bool:
    """Return whether a decoded value has bytes somewhere."""
    waiting: list[Any] = [value]
    while waiting:
        match one := waiting.pop():
            case bytes() | bytearray() | memoryview():
                return True
            case list() | tuple():
                waiting.extend(cast("Iterable[Any]", one))
            case dict():
                waiting.extend(cast("dict[Any, Any]", one).keys())
                waiting.extend(cast("dict[Any, Any]", one).values())
            case _:
                pass
    return False
