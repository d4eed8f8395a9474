"""What the Socket.IO Admin UI (https://socket.io/docs/v4/admin-ui/) is told, and what it may ask for."""

import json
import os
import platform
import secrets
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl

import trio
from socketio.exceptions import ConnectionRefusedError

from transports.socketio.namespace import Namespace, Socket
from transports.socketio.session import Session

if TYPE_CHECKING:
    from transports.socketio.server import TrioServer

COMMANDS = ("EMIT", "JOIN", "LEAVE", "DISCONNECT", "MJOIN", "MLEAVE", "MDISCONNECT")
Credentials = dict[str, Any] | list[dict[str, Any]] | Callable[[Any], Any] | bool


class Admin:
    """Made by `TrioServer.instrument`. In mode "production" it tells numbers only; in "development" every socket,
    room and event too, which costs a message each. Nothing is made while nobody looks.
    """

    def __init__(
        self, server: "TrioServer", auth: Credentials, namespace: str, mode: str, *,
        read_only: bool, server_id: str | None, interval: float,
    ) -> None:  # fmt: skip
        self._server = server
        self._auth = auth
        self._name = namespace
        self._detailed = mode == "development"
        self._commands = self._detailed and not read_only
        self._read_only = read_only
        self._id = server_id or platform.node()
        self._interval = interval
        self._since = time.monotonic()
        self._counts: dict[tuple[int, str], int] = {}
        self._born: dict[str, float] = {}
        self._stopped = trio.Event()
        self._listen()

    def _listen(self) -> None:
        on = cast(Any, self._server).on
        on("connect", self._connect, namespace=self._name)
        on("connected", self._greet, namespace=self._name)
        if self._commands:
            on("emit", self._emit, namespace=self._name)
            on("join", self._join, namespace=self._name)
            on("leave", self._leave, namespace=self._name)
            on("_disconnect", self._disconnect, namespace=self._name)
        engine = self._server.engine
        engine.on_connect = _both(self._opened, engine.on_connect)
        engine.on_close = _both(self._closed, engine.on_close)
        engine.on_message = _both(self._came_in, engine.on_message)
        engine.on_upgrade = self._upgraded

    async def shutdown(self) -> None:
        """No more statistics."""
        self._stopped.set()
        await trio.lowlevel.checkpoint()

    def uninstrument(self) -> None:
        """Nothing is told any more."""
        self._stopped.set()
        self._server.observer = None

    async def run(self) -> None:
        """The numbers, at their interval."""
        while not self._stopped.is_set():
            with trio.move_on_after(self._interval):
                await self._stopped.wait()
                return
            self._tell("server_stats", self._stats())

    def _tell(self, event: str, *arguments: Any) -> None:
        if self._watched:
            self._server.emit_nowait(event, arguments, namespace=self._name)

    @property
    def _watched(self) -> bool:
        return bool(self._server.space(self._name).sockets)

    def _tells(self, space: Namespace) -> bool:
        return self._detailed and space.name != self._name and self._watched

    # --- who looks ----------------------------------------------------------------------------------------------------

    async def _connect(self, _sid: str, _environ: dict[str, Any], auth: dict[str, Any]) -> None:
        shown = {name: value for name, value in auth.items() if name not in ("pid", "offset")}
        if not await self._may(shown):
            raise ConnectionRefusedError("authentication failed")

    async def _may(self, shown: dict[str, Any]) -> bool:
        if self._auth is False:
            return True
        if callable(self._auth):
            answer = self._auth(shown)
            return bool(await answer if hasattr(answer, "__await__") else answer)
        known = self._auth if isinstance(self._auth, list) else [self._auth]
        same = [secrets.compare_digest(_flat(shown), _flat(one)) for one in known]  # all of them: equally slow for each
        return any(same)

    async def _greet(self, sid: str) -> None:
        features = ["AGGREGATED_EVENTS", *(() if self._read_only else COMMANDS)]
        if self._detailed:
            features.append("ALL_EVENTS")
        self._server.emit_nowait("config", {"supportedFeatures": features}, to=sid, namespace=self._name)
        if self._detailed:
            everybody = [self._describe(one) for space in self._server.spaces() for one in space.sockets.values()]
            self._server.emit_nowait("all_sockets", (everybody,), to=sid, namespace=self._name)

    # --- what it may ask for ------------------------------------------------------------------------------------------

    def _meant(self, namespace: str, wanted: Any) -> list[str]:
        rooms = None if wanted is None else [wanted] if isinstance(wanted, str) else list(wanted)
        return [socket.sid for socket in self._server.space(namespace).members(rooms)]

    async def _emit(self, _sid: str, namespace: str, wanted: Any, event: str, *data: Any) -> None:
        await self._server.emit(event, data, to=wanted, namespace=namespace)

    async def _join(self, _sid: str, namespace: str, room: str, wanted: Any = None) -> None:
        for sid in self._meant(namespace, wanted):
            await self._server.enter_room(sid, room, namespace)

    async def _leave(self, _sid: str, namespace: str, room: str, wanted: Any = None) -> None:
        for sid in self._meant(namespace, wanted):
            await self._server.leave_room(sid, room, namespace)

    async def _disconnect(self, _sid: str, namespace: str, close: bool = False, wanted: Any = None) -> None:
        for sid in self._meant(namespace, wanted):
            await (self._server.close_transport if close else self._server.disconnect)(sid, namespace)

    # --- what the server tells ----------------------------------------------------------------------------------------

    def connected(self, socket: Socket) -> None:
        """It is in a namespace."""
        self._born[socket.sid] = time.time()
        if self._tells(socket.namespace):
            self._tell("socket_connected", self._describe(socket), _now())

    def gone(self, socket: Socket, reason: str) -> None:
        """It is out of it."""
        self._born.pop(socket.sid, None)
        if self._tells(socket.namespace):
            self._tell("socket_disconnected", socket.namespace.name, socket.sid, reason, _now())

    def moved(self, socket: Socket, before: frozenset[str]) -> None:
        """It changed rooms."""
        if self._tells(socket.namespace):
            where = socket.namespace.name
            for room in socket.rooms - before:
                self._tell("room_joined", where, room, socket.sid, _now())
            for room in before - socket.rooms:
                self._tell("room_left", where, room, socket.sid, _now())

    def received(self, socket: Socket, event: str, arguments: Sequence[Any]) -> None:
        """An event from a client."""
        if self._tells(socket.namespace):
            self._tell("event_received", socket.namespace.name, socket.sid, [event, *arguments], _now())

    def sent(
        self, space: Namespace, sockets: Sequence[Socket], event: str, arguments: Sequence[Any], size: int
    ) -> None:
        """An event to these; `size` in bytes, of one."""
        self._count("packetsOut", len(sockets))
        self._count("bytesOut", size * len(sockets))
        if self._tells(space):
            for socket in sockets:
                self._tell("event_sent", space.name, socket.sid, [event, *arguments], _now())

    def published(self, space: Namespace, rooms: Sequence[str], event: str, payload: bytes) -> None:
        """One event, its argument as JSON, to everybody in these rooms."""
        if self._watched:
            arguments = [json.loads(payload)] if self._tells(space) else []
            self.sent(space, space.members(rooms), event, arguments, len(payload))

    def _opened(self, _session: Session) -> None:
        self._count("rawConnection")

    def _closed(self, _session: Session, _reason: str) -> None:
        self._count("rawDisconnection")

    def _came_in(self, _session: Session, data: str | bytes) -> None:
        self._count("packetsIn")
        self._count("bytesIn", len(data))

    def _upgraded(self, session: Session) -> None:
        for socket in self._server.sockets_of(session):
            if self._tells(socket.namespace):
                update = {"id": socket.sid, "nsp": socket.namespace.name, "transport": "websocket"}
                self._tell("socket_updated", update)

    def _count(self, kind: str, by: int = 1) -> None:
        if self._watched:
            at = int(time.time()) * 1000, kind
            self._counts[at] = self._counts.get(at, 0) + by

    def _stats(self) -> dict[str, Any]:
        counts, self._counts = self._counts, {}
        stats = self._server.stats()
        return {
            "serverId": self._id,
            "hostname": platform.node(),
            "pid": os.getpid(),
            "uptime": time.monotonic() - self._since,
            "clientsCount": stats.polling_connections + stats.websocket_connections,
            "pollingClientsCount": stats.polling_connections,
            "aggregatedEvents": [{"timestamp": at, "type": kind, "count": n} for (at, kind), n in counts.items()],
            "namespaces": [{"name": space.name, "socketsCount": len(space.sockets)} for space in self._server.spaces()],
        }

    def _describe(self, socket: Socket) -> dict[str, Any]:
        request, born = socket.client.session.request, self._born.get(socket.sid, 0.0)
        return {
            "id": socket.sid,
            "clientId": socket.client.session.id,
            "transport": socket.client.session.transport,
            "nsp": socket.namespace.name,
            "data": {},
            "handshake": {
                "address": request.client,
                "headers": {name: value for name, value in request.headers if name not in ("cookie", "authorization")},
                "query": dict(parse_qsl(request.query)),
                "secure": request.scheme == "https",
                "url": request.path,
                "issued": born * 1000,
                "time": datetime.fromtimestamp(born, UTC).isoformat() if born else "",
            },
            "rooms": [socket.sid, *sorted(socket.rooms)],
        }


def _both(first: Callable[..., None], then: Callable[..., None]) -> Callable[..., None]:
    def call(*arguments: Any) -> None:
        first(*arguments)
        then(*arguments)

    return call


def _flat(credentials: Any) -> bytes:
    return json.dumps(credentials, sort_keys=True, default=repr).encode()


def _now() -> str:
    return datetime.now(UTC).isoformat()
