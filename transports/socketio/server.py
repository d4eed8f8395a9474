"""TrioServer: python-socketio's server on trio. Its decorators and signatures; our engine and fan-out below."""

import inspect
from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, cast

import structlog
import trio

from townwatch.transports.edge.server import Edge
from townwatch.transports.socketio.admission import PYTHON_REASONS, RECOVERABLE, Strangers
from townwatch.transports.socketio.api import RECOVERED as RECOVERED
from townwatch.transports.socketio.background import BackgroundTask
from townwatch.transports.socketio.base import NO_ACK, NoEngine, Postponed, Stats, as_list
from townwatch.transports.socketio.client import Client
from townwatch.transports.socketio.deadlines import Deadlines
from townwatch.transports.socketio.engine import Engine
from townwatch.transports.socketio.hooks import Allow, EngineHooks, EngineSettings, HeaderHook
from townwatch.transports.socketio.kept.server import KeepingApi, nothing_missed, shows_missed
from townwatch.transports.socketio.keywords import parser_of, settings
from townwatch.transports.socketio.manager import Environs, RoomManager
from townwatch.transports.socketio.message import Message, Tag
from townwatch.transports.socketio.namespace import Namespace, Socket
from townwatch.transports.socketio.packet import Kind, Packet, PacketError
from townwatch.transports.socketio.parser import PARSERS, Parser
from townwatch.transports.socketio.recovery import RecoveryLog, RecoverySettings
from townwatch.transports.socketio.replay import ReplayWriter, catch_up
from townwatch.transports.socketio.session import EngineSession

log = structlog.get_logger("socketio")


class TrioServer(KeepingApi):
    """Serve it with `mount(edge)` and run `run()` in a nursery; or by `ASGIApp`.

    recovery           turns connection state recovery on, as in the official server it is off without it
    connect_timeout    seconds an Engine.IO session may live without joining a namespace
    parser             "json", or "msgpack" for clients with socket.io-msgpack-parser
    namespaces         which exist beside those that have handlers; "*": all
    allow_request, initial_headers, headers: the hooks of `EngineHooks`
    keywords           those of python-socketio's AsyncServer; TypeError says what replaces the others
    """

    def __init__(
        self,
        *,
        path: str = "/socket.io",
        engine: EngineSettings | None = None,
        recovery: RecoverySettings | None = None,
        connect_timeout: float = 45.0,
        namespaces: Sequence[str] | str | None = None,
        parser: str = "json",
        serializer: Any = None,
        allow_request: Allow | None = None,
        initial_headers: HeaderHook | None = None,
        headers: HeaderHook | None = None,
        **keywords: Any,
    ) -> None:
        self.path = path
        self.parser: Parser = PARSERS[parser_of(parser, serializer)]()
        self.engine = Engine(settings(engine, keywords))
        self.engine.hooks = EngineHooks(allow_request, initial_headers, headers)
        self._recovery = recovery
        self._spaces: dict[str, Namespace] = {}
        self._clients: dict[EngineSession, Client] = {}
        self._undecided = Deadlines(connect_timeout, self._still_undecided)
        self._strangers = Strangers()
        self._tasks: trio.Nursery | None = None
        self._last_gone = []
        self.keeper, self.on_return = None, nothing_missed
        self._early: list[BackgroundTask] = []
        manager = RoomManager(self._spaces)
        cast(Any, super()).__init__(client_manager=manager, namespaces=namespaces, async_handlers=False)
        self.environ: Any = Environs(self._spaces)
        self.engine.on_connect = self._opened
        self.engine.on_message = self._received
        self.engine.on_close = self._closed
        self.engine.on_upgrade = self._upgraded
        self.engine.gate = self._gate

    def mount(self, edge: Edge) -> None:
        """Serve polling and WebSockets at the path."""
        edge.http(self.path, self.engine.handle, waits=True)
        edge.websocket(self.path, self.engine.handle_websocket)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """The tasks that outlive a request. When it is cancelled, clients are told to come back."""
        try:
            async with trio.open_nursery() as self._tasks:
                await self._tasks.start(self.engine.run)
                self._tasks.start_soon(self._expire_for_ever)
                self._tasks.start_soon(self._undecided.run)
                for space in self._spaces.values():
                    self._tasks.start_soon(space.flush_for_ever)
                for task in self._early:
                    self._tasks.start_soon(task.run)
                self._early.clear()
                task_status.started()
                try:
                    await trio.sleep_forever()  # no deadline: its children do the work
                finally:
                    self._tasks.cancel_scope.cancel()
        finally:
            self._tasks = None
            await self._tell_of_the_last()

    async def _expire_for_ever(self) -> None:
        while True:
            await trio.sleep(min(60.0, self._recovery.seconds / 2 if self._recovery else 60.0))
            for space in self._spaces.values():
                if space.recovery is not None:
                    space.recovery.expire()

    def _spawn(self, function: Any, *args: Any) -> bool:
        """Start a task; False when it is too late for that: the server is stopping."""
        if self._tasks is None or self._tasks.cancel_scope.cancel_called:
            return False
        self._tasks.start_soon(function, *args)
        return True

    @property
    def is_running(self) -> bool:
        return self._tasks is not None

    def space(self, name: str) -> Namespace:
        space = self._spaces.get(name)
        if space is None:
            log_ = RecoveryLog(self._recovery) if self._recovery is not None else None
            space = self._spaces[name] = Namespace(name, log_)
            self._spawn(space.flush_for_ever)
        return space

    def has_client(self, sid: str) -> bool:
        """Return True if the client is connected now."""
        return sid in self.space("/").sockets

    def _socket(self, sid: str, namespace: str | None) -> Socket:
        socket = self.space(namespace or "/").sockets.get(sid)
        if socket is None:
            raise KeyError("Session not found")
        return socket

    # --- what the engine tells -------------------------------------------------------------------------------

    def _opened(self, session: EngineSession) -> None:
        self._clients[session] = client = Client(session, self._spawn, self.parser)
        self._undecided.add(client)
        for one in self._strangers.came(client, session.request):
            one.session.close("forced server close")

    def _upgraded(self, session: EngineSession) -> None:
        """Note that broadcasts to it go another way from now on."""
        client = self._clients.get(session)
        for socket in () if client is None else client.sockets.values():
            socket.group.changed()

    def _still_undecided(self, client: Client) -> None:
        if not client.sockets and client.session.open:
            client.session.close("forced server close")

    def _received(self, session: EngineSession, data: str | bytes) -> None:
        client = self._clients.get(session)
        if client is None:
            return
        try:
            packet = client.packet(data)
            if packet is not None:
                self._route(client, packet)
        except PacketError as error:
            log.debug("protocol_broken", reason=str(error))
            session.close("parse error")

    def _route(self, client: Client, packet: Packet) -> None:
        socket = client.sockets.get(packet.namespace)
        match packet.kind:
            case Kind.CONNECT:
                if socket is not None or packet.namespace in client.connecting:
                    raise PacketError("connected already")
                client.connecting.append(packet.namespace)
                client.post(partial(self._connect, client, packet.namespace, packet.data or {}))
            case Kind.EVENT if socket is not None:
                client.post(partial(self._event, socket, packet))
            case Kind.ACK if socket is not None:
                self._acknowledged(socket, packet)
            case Kind.DISCONNECT if socket is not None:
                self._gone(socket, "client namespace disconnect")
            case Kind.DISCONNECT if packet.namespace in client.connecting:
                pass
            case _:
                raise PacketError("not connected, or nothing that a client says")

    async def _gate(self, session: EngineSession) -> None:
        client = self._clients.get(session)
        if client is not None:
            await client.gate()

    def _closed(self, session: EngineSession, reason: str) -> None:
        client = self._clients.pop(session, None)
        if client is not None:
            self._undecided.discard(client)
            self._strangers.left(client)
            for socket in list(client.sockets.values()):
                self._gone(socket, reason)

    # --- connecting ------------------------------------------------------------------------------------------

    async def _connect(self, client: Client, name: str, auth: dict[str, Any]) -> None:
        session = client.session
        try:
            if not self._exists(name):
                _send(session, self.parser.encode(Kind.CONNECT_ERROR, name, {"message": "Invalid namespace"}))
                return
            try:
                socket, missed = await self._admit(client, self.space(name), auth)
            except Postponed as passing:
                log.debug("connect_postponed", reason=str(passing)[:300])
                session.close("transport close")
                return
            try:
                refusal = await self._ask(client, socket, name, auth)
            except Postponed as passing:
                self._postpone(socket, passing)
                return
            if refusal is not None or not session.open:
                socket.namespace.remove(socket)
                if refusal is not None:
                    self._release(socket)
                    _send(session, self.parser.encode(Kind.CONNECT_ERROR, name, refusal))
                else:  # it hung up while it was being let in: the application must know
                    self._give_up(socket)
                    await self._tell_gone(name, socket.sid, "transport close")
                return
            self._accept(client, socket, missed)
        finally:
            client.connecting.remove(name)
        if socket.returned is not None:
            await self._bring_back(socket, socket.returned)
        elif socket.joins.owner is not None:  # it was lost, and is back
            self._spawn(self.keep, socket.sid, socket.joins.owner)
        await self._trigger("connected", name, socket.sid)

    def _accept(self, client: Client, socket: Socket, missed: list[Message]) -> None:
        """Send CONNECT, then what it missed, then what was held for it meanwhile.

        The official server sends what was missed first; its client, cut before CONNECT, shows that twice.
        """
        space = socket.namespace
        greeting = {"sid": socket.sid, "pid": socket.pid} if socket.pid else {"sid": socket.sid}
        _send(client.session, self.parser.encode(Kind.CONNECT, space.name, greeting))
        _send(client.session, missed)
        socket.connected = True
        client.joined(space.name, socket)
        self._strangers.left(client)
        socket.release()

    def _gone(self, socket: Socket, reason: str) -> None:
        if not socket.connected:
            return
        socket.connected = False
        space = socket.namespace
        space.flush_group(socket.group)
        # In a replay it has seen a part, and what lets it into a room may still be under way: it begins anew, and says
        # since when.
        returns = reason in RECOVERABLE and socket.held is None and not shows_missed(socket)
        if returns:
            self._lose(socket)
        self._tell_keeper(socket, reason, returns)
        space.remove(socket)
        socket.client.sockets.pop(space.name, None)
        socket.give_up_waiting()
        gone = space.name, socket.sid, PYTHON_REASONS.get(reason, reason)
        if not self._spawn(self._tell_gone, *gone):
            self._last_gone.append(gone)

    # --- events ----------------------------------------------------------------------------------------------

    async def _event(self, socket: Socket, packet: Packet) -> None:
        if not socket.connected:
            return
        event, *arguments = cast(list[Any], packet.data)
        answer = await self._trigger(str(event), socket.namespace.name, socket.sid, *arguments)
        if packet.ack is None or answer is self.not_handled or answer is NO_ACK:
            return
        data = as_list(answer)
        socket.send(self.parser.encode(Kind.ACK, socket.namespace.name, data, packet.ack))

    def _acknowledged(self, socket: Socket, packet: Packet) -> None:
        """Run an ack's callback without the mailbox: a handler that waits for this answer must not wait for itself."""
        callback = socket.acks.pop(packet.ack, None) if packet.ack is not None else None
        if callback is not None:
            result = callback(*(packet.data or ()))
            if inspect.iscoroutine(result):
                self._spawn(_await, result)

    # --- the hot path ----------------------------------------------------------------------------------------

    def publish(
        self, event: str, payload: bytes, rooms: Iterable[str], tag: Tag | None = None, *, without: str | None = None
    ) -> None:
        """Send one event, its argument as JSON (several: with commas between them), to every client in any of the rooms
        or ids: once each, encoded once; to none that is in the room `without`.
        """
        wanted = tuple(rooms)
        space = self.space("/")
        space.broadcast(wanted, self.prepare(event, payload, wanted, tag, without), without)

    def has_audience(self, rooms: Collection[str]) -> bool:
        """Return True if one of the rooms has a client, or one that lost its connection and may recover.

        Without one, a message need not be built at all.
        """
        space = self.space("/")
        return any(map(space.has_room, rooms)) or (space.recovery is not None and space.recovery.awaits(rooms))

    def prepare(
        self,
        event: str,
        payload: bytes,
        rooms: Collection[str],
        tag: Tag | None,
        without: str | None = None,
        *,
        mark: str | None = None,
    ) -> Message:
        """The event's message, noted for recovery. `mark`: in its offset, instead of the keeper's."""
        recovery = self.space("/").recovery
        if recovery is None:
            return self.parser.encode_event(event, payload, None, tag)
        message = self.parser.encode_event(event, payload, recovery.offset(mark=mark), tag)
        recovery.record(rooms, (message,), () if without is None else (without,))
        return message

    def catch_up(self, sid: str) -> AbstractAsyncContextManager[ReplayWriter]:
        """Hold back what is published to this client while open; at the end it follows, without what was replayed.

        Raises KeyError for a client that is gone.
        """
        return catch_up(self.prepare, self._socket(sid, None))

    # --- the end ---------------------------------------------------------------------------------------------

    async def drain(self, seconds: float) -> None:
        """Tell all clients to reconnect, in batches over the time, and flush what is on its way."""
        sessions = list(self.engine.sessions.values())
        with trio.move_on_after(seconds):
            for number, session in enumerate(sessions):
                session.close("server shutting down")
                if number % 256 == 255:
                    await trio.sleep(seconds * 128 / len(sessions))
            for session in sessions:
                if session.connection is not None:
                    await session.connection.flush(seconds)

    def stats(self) -> Stats:
        """Return the counters as they are now."""
        sessions = self.engine.sessions.values()
        websockets = sum(session.connection is not None for session in sessions)
        return Stats(
            polling_connections=len(sessions) - websockets,
            websocket_connections=websockets,
            sockets=sum(len(space.sockets) for space in self._spaces.values()),
            cut=self.engine.slow_clients_cut,
            recovery_bytes=sum(space.recovery.size for space in self._spaces.values() if space.recovery),
        )

    # --- what python-socketio's constructor wants ------------------------------------------------------------

    def _engineio_server_class(self) -> Any:
        return NoEngine


def _send(session: EngineSession, messages: Iterable[Message]) -> None:
    for message in messages:
        session.send(message)


async def _await(awaitable: Any) -> None:
    await awaitable
