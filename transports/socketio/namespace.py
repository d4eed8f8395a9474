"""A namespace: its sockets, their rooms, and the hot path from a broadcast to the connections.

Sockets with the same set of rooms are a *group*: they get identical bytes, so what is pending for them is joined
once and written with one call each. A broadcast only appends to the pending lists of the groups it concerns; one
flush task, woken by the first of them, does the writing. So an idle server sends at once, and a busy one sends in
batches.
"""

import time
from collections.abc import Iterable
from typing import Any, Protocol

import trio

from townwatch.transports.edge.connection import Audience, Connection
from townwatch.transports.socketio.kept.keeper import Joins, Returned
from townwatch.transports.socketio.message import Message, Tag
from townwatch.transports.socketio.recovery import RecoveryLog
from townwatch.transports.socketio.session import EngineSession
from townwatch.transports.websocket.deflate import WIDEST_WINDOW

WRITES_PER_CHECKPOINT = 256
GATHER_SECONDS = 0.02
"""Longest wait for more to send, under load."""
NO_ROOMS: frozenset[str] = frozenset()
NO_JOINS = Joins()
"""Of all clients where none is kept for other processes."""


class SocketOwner(Protocol):
    """The client that a socket belongs to."""

    session: EngineSession
    sockets: "dict[str, Socket]"

    @property
    def environ(self) -> dict[str, Any]: ...


class Socket:
    """One client in one namespace."""

    __slots__ = (
        "_held",
        "acks",
        "came_with",
        "client",
        "connected",
        "group",
        "joins",
        "namespace",
        "pid",
        "recovered",
        "returned",
        "sid",
        "start",
        "state",
        "waits",
        "whole_from",
    )

    def __init__(self, namespace: "Namespace", client: SocketOwner, sid: str, pid: str | None, start: int) -> None:
        self.namespace = namespace
        self.client = client
        self.sid = sid
        self.pid = pid
        """Private: what proves, after a lost connection, that this is the same client."""
        self.start = start
        """The recovery log's next number when it connected: nothing before is its to replay."""
        self.whole_from = 0
        """Clients whose last offset is below this number cannot be recovered: what was held back during a replay has
        lower numbers than what was replayed, and was sent after it. An offset among them does not say what was seen.
        """
        self.group = namespace.group_of(NO_ROOMS)
        self.group.add(self)
        if pid is not None:
            namespace.by_pid[pid] = self
        self.acks: dict[int, Any] = {}
        self.waits: list[trio.Event] = []  # no set: an empty one is a fifth of a kilobyte
        """Of those who wait for an acknowledgement: set when it came, and when the client is gone."""
        self.connected = False
        self.recovered = False
        self.returned: Returned | None = None
        """Set where it was another process's client: it is in no room before the application has shown what it missed.
        """
        self.came_with: str | None = None
        """The offset with which it came from there."""
        self.joins = NO_JOINS
        self._held: list[Message] | None = []
        self.state: dict[str, Any] = {}
        """python-socketio's session."""

    def give_up_waiting(self) -> None:
        """Give up waiting: it is gone, and no acknowledgement will come."""
        self.acks.clear()
        for wait in self.waits:
            wait.set()

    @property
    def rooms(self) -> frozenset[str]:
        """Rooms of this socket, without the room of its own id."""
        return self.group.rooms

    @property
    def held(self) -> list[Message] | None:
        """Not None: what would be sent now is kept until the CONNECT packet, or a replay, is out."""
        return self._held

    @held.setter
    def held(self, messages: list[Message] | None) -> None:
        self._held = messages
        self.group.changed()

    def send(self, messages: Iterable[Message]) -> None:
        """Send to this socket alone, after everything that was broadcast to it before."""
        self.namespace.flush_group(self.group)
        if self._held is not None:
            self._held.extend(messages)
        else:
            self.send_now(messages)

    def send_now(self, messages: Iterable[Message]) -> None:
        """Send immediately, bypassing the held queue."""
        for message in messages:
            self.client.session.send(message)

    def release(self) -> None:
        """Stop holding and send the held messages."""
        self.namespace.flush_group(self.group)
        held, self.held = self.held, None
        self.send_now(held or ())


class Group:
    """All sockets with the same rooms."""

    __slots__ = ("_ways", "members", "pending", "rooms")

    def __init__(self, rooms: frozenset[str]) -> None:
        self.rooms = rooms
        self.members: dict[Socket, None] = {}
        self.pending: list[Message] = []
        self._ways: tuple[Audience, Audience, list[Socket]] | None = None

    def add(self, socket: Socket) -> None:
        self.members[socket] = None
        self.changed()

    def remove(self, socket: Socket) -> None:
        self.members.pop(socket, None)
        self.changed()

    def changed(self) -> None:
        """Forget what `write` remembers of members: something of it is no longer so."""
        if self._ways is not None:
            direct, deflating, _ = self._ways
            direct.end()
            deflating.end()
            self._ways = None

    def write(self, joined: bytes, messages: list[Message]) -> None:
        """Write to every member: the same bytes to most, and by its own send path to each of the others."""
        direct, deflating, others = self._ways or self._find_ways()
        direct.write(joined)
        if deflating:
            small = all(message.deflated is message.frame for message in messages)
            deflating.write(joined if small else b"".join([m.deflated for m in messages]))
        for socket in others:
            if socket.held is not None:
                socket.held.extend(messages)
            else:
                socket.client.session.send_joined(joined, messages)

    def _find_ways(self) -> tuple[Audience, Audience, list[Socket]]:
        direct, deflating, others = list[Connection](), list[Connection](), list[Socket]()
        for socket in self.members:
            connection = socket.client.session.direct
            window = socket.client.session.window
            if connection is not None and socket.held is None and window in (0, WIDEST_WINDOW):
                (deflating if window else direct).append(connection)
            else:
                others.append(socket)
        self._ways = Audience(direct), Audience(deflating), others
        return self._ways


class Namespace:
    """Everything under one name."""

    def __init__(self, name: str, recovery: "RecoveryLog | None") -> None:
        self.name = name
        self.recovery = recovery
        self.sockets: dict[str, Socket] = {}
        self.by_pid: dict[str, Socket] = {}
        """Private id → the latest socket that has it: looked up for each returning client, in a reconnect storm
        thousands.
        """
        self.next_ack = 0
        self._groups: dict[frozenset[str], Group] = {}
        self._by_room: dict[str, dict[Group, None]] = {}
        self._dirty: dict[Group, None] = {}
        self._wake = trio.Event()
        self._broadcasts = 0
        """Since the flush task last began to write."""

    # --- rooms --------------------------------------------------------------------------------------------------------

    def group_of(self, rooms: frozenset[str]) -> Group:
        group = self._groups.get(rooms)
        if group is None:
            group = self._groups[rooms] = Group(rooms)
            for room in rooms:
                self._by_room.setdefault(room, {})[group] = None
        return group

    def set_rooms(self, socket: Socket, rooms: frozenset[str]) -> None:
        """Move the socket. What was broadcast before goes to the members of before."""
        old = socket.group
        if rooms == old.rooms:
            return
        self.flush_group(old)
        old.remove(socket)
        self._forget_if_empty(old)
        socket.group = self.group_of(rooms)
        self.flush_group(socket.group)
        socket.group.add(socket)

    def remove(self, socket: Socket) -> None:
        """It is gone."""
        socket.group.remove(socket)
        self._forget_if_empty(socket.group)
        if self.sockets.get(socket.sid) is socket:
            del self.sockets[socket.sid]
        if socket.pid is not None and self.by_pid.get(socket.pid) is socket:
            del self.by_pid[socket.pid]

    def _forget_if_empty(self, group: Group) -> None:
        if group.members or group.pending:
            return
        self._groups.pop(group.rooms, None)
        for room in group.rooms:
            groups = self._by_room.get(room)
            if groups is not None:
                groups.pop(group, None)
                if not groups:
                    del self._by_room[room]

    def has_room(self, room: str) -> bool:
        return room in self._by_room or room in self.sockets

    def members(self, rooms: Iterable[str] | None) -> list[Socket]:
        """Return the sockets in any of the rooms (None: in the namespace), once each."""
        if rooms is None:
            return list(self.sockets.values())
        found: dict[Socket, None] = {}
        for room in rooms:
            own = self.sockets.get(room)
            if own is not None:
                found[own] = None
            for group in self._by_room.get(room, ()):
                found.update(group.members)
        return list(found)

    # --- the hot path
    # ---------------------------------------------------------------------------------------------------

    def broadcast(self, rooms: Iterable[str] | None, message: Message, without: str | None = None) -> None:
        """Send to every socket in any of the rooms, once each, but to none in `without`; the flush task writes it."""
        if rooms is None:
            groups: Iterable[Group] = list(self._groups.values())
        else:
            rooms = tuple(rooms)
            groups = {group: None for room in rooms for group in self._by_room.get(room, ())}
            for room in rooms:
                own = self.sockets.get(room)
                if own is not None and own.group not in groups:
                    own.send((message,))
        if without is not None and without in self._by_room:
            groups = [group for group in groups if without not in group.rooms]
        for group in groups:
            group.pending.append(message)
            self._dirty[group] = None
        self._broadcasts += 1
        if self._dirty:
            self._wake.set()

    def flush_group(self, group: Group) -> None:
        """Write what is pending for the group, now."""
        if not group.pending:
            return
        messages, group.pending = group.pending, []
        self._dirty.pop(group, None)
        joined = messages[0].frame if len(messages) == 1 else b"".join([message.frame for message in messages])
        group.write(joined, messages)
        self._forget_if_empty(group)

    async def flush_for_ever(self) -> None:
        """The flush task. Between two groups it may let others run; what is pending then waits for the next round."""
        spent = 0.0
        while True:
            if not self._dirty:
                self._wake = trio.Event()
                await self._wake.wait()
            await trio.lowlevel.checkpoint()  # let tasks that publish in this pass publish all of it
            if spent:
                await self._gather(spent)
            begun, busy = time.perf_counter(), self._broadcasts > 1
            self._broadcasts = 0
            writes = 0
            for group in list(self._dirty):
                self.flush_group(group)
                writes += len(group.members)
                if writes >= WRITES_PER_CHECKPOINT:
                    writes = 0
                    await trio.lowlevel.checkpoint()
            spent = time.perf_counter() - begun if busy or self._broadcasts else 0.0

    async def _gather(self, seconds: float) -> None:
        """Under load, wait as long as the last flush took, so that this one has more to send at the same price; no
        longer than events keep coming.
        """
        seconds = min(seconds, GATHER_SECONDS)
        until, slice_ = trio.current_time() + seconds, max(seconds / 4, 0.0005)
        before = 0
        while self._broadcasts > before and trio.current_time() < until:
            before = self._broadcasts
            await trio.sleep(slice_)


def not_covered(messages: Iterable[Message], covered: dict[str, int]) -> list[Message]:
    """Return the messages whose events a replay has not shown already."""

    def shown(tag: Tag | None) -> bool:
        return tag is not None and covered.get(tag[0], 0) >= tag[1]

    return [message for message in messages if not shown(message.tag)]
