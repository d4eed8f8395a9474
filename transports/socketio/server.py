"""TrioServer: python-socketio's server on trio. Its decorators and signatures; our engine and fan-out below."""

import inspect
from collections.abc import AsyncGenerator, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, cast

import structlog
import trio
from socketio import exceptions

from transports.edge import Edge
from transports.socketio.admission import PYTHON_REASONS, RECOVERABLE, admit, live_twin
from transports.socketio.api import ServerApi
from transports.socketio.base import NO_ACK, NoEngine, NoManager, Stats, as_list, fitting
from transports.socketio.client import Client
from transports.socketio.deadlines import Deadlines
from transports.socketio.engine import Engine, EngineSettings
from transports.socketio.message import Message, Tag
from transports.socketio.namespace import Namespace, Socket, not_covered
from transports.socketio.packet import Kind, Packet, PacketError
from transports.socketio.parser import PARSERS, Parser
from transports.socketio.recovery import RecoveryLog, RecoverySettings
from transports.socketio.replay import Replay
from transports.socketio.session import Session

log = structlog.get_logger("socketio")

RECOVERED = "townwatch.recovered"
"""In the environ of a connect handler: whether this client came back with its rooms."""
LAST_SECONDS = 2.0
"""For the disconnect handlers of those who were connected when the server stopped."""


class TrioServer(ServerApi):
    """Serve it with `mount(edge)` and run `run()` in a nursery.

    recovery           None turns connection state recovery off
    connect_timeout    seconds an Engine.IO session may live without joining a namespace
    parser             "json", or "msgpack" for clients with socket.io-msgpack-parser
    namespaces         which exist beside those that have handlers; "*": all
    """

    def __init__(
        self,
        *,
        path: str = "/socket.io",
        engine: EngineSettings | None = None,
        recovery: RecoverySettings | None = None,
        recover: bool = True,
        connect_timeout: float = 45.0,
        namespaces: Sequence[str] | str | None = None,
        parser: str = "json",
    ) -> None:
        self.path = path
        self.parser: Parser = PARSERS[parser]()
        self.engine = Engine(engine or EngineSettings())
        self._recovery = (recovery or RecoverySettings()) if recover else None
        self._spaces: dict[str, Namespace] = {}
        self._clients: dict[Session, Client] = {}
        self._undecided = Deadlines(connect_timeout, self._still_undecided)
        self._tasks: trio.Nursery | None = None
        self._last_gone: list[tuple[str, str, str]] = []
        cast(Any, super()).__init__(client_manager=NoManager(), namespaces=namespaces, async_handlers=False)
        self.engine.on_connect = self._opened
        self.engine.on_message = self._received
        self.engine.on_close = self._closed
        self.engine.gate = self._gate

    def mount(self, edge: Edge) -> None:
        """Serve polling and WebSockets at the path."""
        edge.http(self.path, self.engine.handle)
        edge.websocket(self.path, self.engine.handle_websocket)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """The tasks that outlive a request. When it is cancelled, clients are told to come back."""
        try:
            async with trio.open_nursery() as self._tasks:
                await self._tasks.start(self.engine.run)
                self._tasks.start_soon(self._expire_for_ever)
                self._tasks.start_soon(self._undecided.run)
                if self.observer is not None:
                    self._tasks.start_soon(self.observer.run)
                for space in self._spaces.values():
                    self._tasks.start_soon(space.flush_for_ever)
                task_status.started()
                try:
                    await trio.sleep_forever()  # no deadline: its children do the work
                finally:
                    self._tasks.cancel_scope.cancel()
        finally:
            await self._tell_of_the_last()

    async def _tell_of_the_last(self) -> None:
        """Who was connected at the end is gone too: what the application keeps for them must not be left over."""
        last, self._last_gone = self._last_gone, []
        with trio.move_on_after(LAST_SECONDS, shield=True):
            async with trio.open_nursery() as nursery:
                for gone in last:
                    nursery.start_soon(self._tell_gone, *gone)

    async def _expire_for_ever(self) -> None:
        while True:
            await trio.sleep(min(60.0, self._recovery.seconds / 2 if self._recovery else 60.0))
            for space in self._spaces.values():
                if space.recovery is not None:
                    space.recovery.expire()

    def _spawn(self, function: Any, *args: Any) -> bool:
        """False when it is too late for that: the server is stopping."""
        if self._tasks is None or self._tasks.cancel_scope.cancel_called:
            return False
        self._tasks.start_soon(function, *args)
        return True

    def space(self, name: str) -> Namespace:
        space = self._spaces.get(name)
        if space is None:
            log_ = RecoveryLog(self._recovery) if self._recovery is not None else None
            space = self._spaces[name] = Namespace(name, log_)
            self._spawn(space.flush_for_ever)
        return space

    def spaces(self) -> list[Namespace]:
        """Those that anybody was ever in."""
        return list(self._spaces.values())

    def sockets_of(self, session: Session) -> list[Socket]:
        client = self._clients.get(session)
        return list(client.sockets.values()) if client is not None else []

    def has_client(self, sid: str) -> bool:
        """Whether it is connected now."""
        return sid in self.space("/").sockets

    def _socket(self, sid: str, namespace: str | None) -> Socket:
        socket = self.space(namespace or "/").sockets.get(sid)
        if socket is None:
            raise KeyError("Session not found")
        return socket

    # --- what the engine tells -------------------------------------------------------------------------------

    def _opened(self, session: Session) -> None:
        self._clients[session] = client = Client(session, self._spawn, self.parser)
        self._undecided.add(client)

    def _still_undecided(self, client: Client) -> None:
        if not client.sockets and client.session.open:
            client.session.close("forced server close")

    def _received(self, session: Session, data: str | bytes) -> None:
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

    async def _gate(self, session: Session) -> None:
        client = self._clients.get(session)
        if client is not None:
            await client.gate()

    def _closed(self, session: Session, reason: str) -> None:
        client = self._clients.pop(session, None)
        if client is not None:
            for socket in list(client.sockets.values()):
                self._gone(socket, reason)

    # --- connecting ------------------------------------------------------------------------------------------

    def _exists(self, name: str) -> bool:
        base = cast(Any, self)
        known = name in base.handlers or name in base.namespace_handlers
        return bool(known or base.namespaces == "*" or name in base.namespaces)

    async def _connect(self, client: Client, name: str, auth: dict[str, Any]) -> None:
        session = client.session
        try:
            if not self._exists(name):
                _send(session, self.parser.encode(Kind.CONNECT_ERROR, name, {"message": "Invalid namespace"}))
                return
            socket, missed = self._admit(client, self.space(name), auth)
            refusal = await self._ask(client, socket, name, auth)
            if refusal is not None or not session.open:
                socket.namespace.remove(socket)
                if refusal is not None:
                    _send(session, self.parser.encode(Kind.CONNECT_ERROR, name, refusal))
                else:  # it hung up while it was being let in: whoever let it in must know
                    await self._tell_gone(name, socket.sid, "transport close")
                return
            self._accept(client, socket, missed)
        finally:
            client.connecting.remove(name)
        await self._trigger("connected", name, socket.sid)

    def _admit(self, client: Client, space: Namespace, auth: dict[str, Any]) -> tuple[Socket, list[Message]]:
        twin = live_twin(space, auth)
        if twin is not None:
            old = twin.client.session
            self._gone(twin, "transport close")
            old.close("forced close")
        return admit(client, space, auth)

    async def _ask(self, client: Client, socket: Socket, name: str, auth: dict[str, Any]) -> Any:
        """What the connect handler says: None to let it in, else the data of the refusal."""
        about = {**client.environ, RECOVERED: socket.recovered}
        try:
            answer = await self._trigger("connect", name, socket.sid, about, auth)
        except exceptions.ConnectionRefusedError as refused:
            answer = refused.error_args or {"message": "Connection rejected by server"}
        except Exception:
            log.exception("connect_handler_failed")
            answer = {"message": "the service could not let you in; try again"}
        if answer is None or answer is True or answer is self.not_handled:
            return None
        if answer is False:
            return {"message": "Connection rejected by server"}
        return {"message": answer} if isinstance(answer, str) else answer

    def _accept(self, client: Client, socket: Socket, missed: list[Message]) -> None:
        """What it missed first, then CONNECT, then what was meant for it meanwhile: as the official server does."""
        space = socket.namespace
        _send(client.session, missed)
        greeting = {"sid": socket.sid, "pid": socket.pid} if socket.pid else {"sid": socket.sid}
        _send(client.session, self.parser.encode(Kind.CONNECT, space.name, greeting))
        socket.connected = True
        if self.observer is not None:
            self.observer.connected(socket)
        client.sockets[space.name] = socket
        socket.release()

    def _gone(self, socket: Socket, reason: str) -> None:
        if not socket.connected:
            return
        socket.connected = False
        if self.observer is not None:
            self.observer.gone(socket, reason)
        space = socket.namespace
        space.flush_group(socket.group)
        caught_up = socket.held is None  # else it has seen a part of a replay: it begins anew, and says since when
        if space.recovery is not None and socket.pid is not None and reason in RECOVERABLE and caught_up:
            space.recovery.lose(socket.sid, socket.pid, socket.rooms, socket.state, socket.start, socket.whole_from)
        space.remove(socket)
        socket.client.sockets.pop(space.name, None)
        socket.give_up_waiting()
        gone = space.name, socket.sid, PYTHON_REASONS.get(reason, reason)
        if not self._spawn(self._tell_gone, *gone):
            self._last_gone.append(gone)

    async def _tell_gone(self, name: str, sid: str, reason: str) -> None:
        try:
            await self._trigger("disconnect", name, sid, reason)
        except Exception:
            log.exception("disconnect_handler_failed")

    # --- events ----------------------------------------------------------------------------------------------

    async def _event(self, socket: Socket, packet: Packet) -> None:
        if not socket.connected:
            return
        event, *arguments = cast(list[Any], packet.data)
        if self.observer is not None:
            self.observer.received(socket, str(event), arguments)
        answer = await self._trigger(str(event), socket.namespace.name, socket.sid, *arguments)
        if packet.ack is None or answer is self.not_handled or answer is NO_ACK:
            return
        data = as_list(answer)
        socket.send(self.parser.encode(Kind.ACK, socket.namespace.name, data, packet.ack))

    def _acknowledged(self, socket: Socket, packet: Packet) -> None:
        """Past the mailbox: a handler that waits for this answer must not wait for itself."""
        callback = socket.acks.pop(packet.ack, None) if packet.ack is not None else None
        if callback is not None:
            result = callback(*(packet.data or ()))
            if inspect.iscoroutine(result):
                self._spawn(_await, result)

    async def _trigger(self, event: str, namespace: str, *args: Any) -> Any:
        """The handler that python-socketio's rules find; its result, or `not_handled`."""
        handler, arguments = cast(Any, self)._get_event_handler(event, namespace, args)
        if handler is not None:
            if event in ("connect", "disconnect"):
                arguments = fitting(handler, arguments)
            result = handler(*arguments)
            return await result if inspect.isawaitable(result) else result
        space, arguments = cast(Any, self)._get_namespace_handler(namespace, args)
        if space is not None:
            return await space.trigger_event(event, *arguments)
        return self.not_handled

    # --- the hot path ----------------------------------------------------------------------------------------

    def publish(self, event: str, payload: bytes, rooms: Iterable[str], tag: Tag | None = None) -> None:
        """One event, its argument as JSON, to everybody in any of the rooms or ids: once each, encoded once."""
        wanted = tuple(rooms)
        space = self.space("/")
        space.broadcast(wanted, self.prepare(event, payload, wanted, tag))
        if self.observer is not None:
            self.observer.published(space, wanted, event, payload)

    def has_audience(self, rooms: Collection[str]) -> bool:
        """Whether anybody is in one of the rooms, or lost the connection there and may still come back.

        What is published to nobody need not be made at all.
        """
        space = self.space("/")
        return any(map(space.has_room, rooms)) or (space.recovery is not None and space.recovery.awaits(rooms))

    def prepare(self, event: str, payload: bytes, rooms: Collection[str], tag: Tag | None) -> Message:
        """The event's message, noted for recovery."""
        recovery = self.space("/").recovery
        if recovery is None:
            return self.parser.encode_event(event, payload, None, tag)
        message = self.parser.encode_event(event, payload, recovery.offset(), tag)
        recovery.record(rooms, (message,))
        return message

    @asynccontextmanager
    async def catch_up(self, sid: str) -> AsyncGenerator[Replay, None]:
        """While open, what is published to this client is held back; at the end it follows, without what was replayed.

        Raises KeyError for a client that is gone.
        """
        socket = self._socket(sid, None)
        socket.namespace.flush_group(socket.group)
        nested = socket.held is not None
        if not nested:
            socket.held = []
        replay = Replay(self.prepare, socket)
        try:
            yield replay
        finally:
            socket.namespace.flush_group(socket.group)
            if not nested:
                socket.held = not_covered(socket.held or (), replay.covered)
                recovery = socket.namespace.recovery
                if socket.held and replay.sent and recovery is not None:
                    socket.whole_from = recovery.next
                socket.release()

    # --- the end ---------------------------------------------------------------------------------------------

    async def drain(self, seconds: float) -> None:
        """Tell everybody to come back, in batches over the time, and flush what is on its way."""
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
        """What there is now."""
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


def _send(session: Session, messages: Iterable[Message]) -> None:
    for message in messages:
        session.send(message)


async def _await(awaitable: Any) -> None:
    await awaitable
