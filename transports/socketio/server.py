"""TrioServer: python-socketio's server on trio. Its decorators, namespaces and signatures; our engine and fan-out below."""

import inspect
import secrets
from collections.abc import AsyncGenerator, Collection, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, cast

import attrs
import socketio
import structlog
import trio
from socketio import exceptions

from transports.edge import Edge
from transports.socketio.client import Client
from transports.socketio.engine import Engine, EngineSettings
from transports.socketio.message import Message, Tag
from transports.socketio.namespace import Namespace, Socket, not_covered
from transports.socketio.packet import Kind, Packet, PacketError, encode, encode_event
from transports.socketio.recovery import RecoveryLog, RecoverySettings
from transports.socketio.session import Session

log = structlog.get_logger("socketio")

RECOVERABLE = frozenset(
    {
        "transport error",
        "transport close",
        "forced close",
        "ping timeout",
        "server shutting down",
        "forced server close",
    }
)
"""Ends of a connection after which the client may come back as the same."""
PYTHON_REASONS = {
    "client namespace disconnect": "client disconnect",
    "server namespace disconnect": "server disconnect",
}
RECOVERED = "townwatch.recovered"
"""In the environ of a connect handler: whether this client came back with its rooms."""
NO_ACK = object()
"""A handler returns this to leave the client's acknowledgement unanswered."""


@attrs.frozen(kw_only=True)
class Stats:
    """What the server can count. Connections by transport; `cut`: clients that were too slow; bytes that recovery keeps."""

    polling_connections: int
    websocket_connections: int
    sockets: int
    cut: int
    recovery_bytes: int


class Replay:
    """Sends to one client past what is held back for it."""

    def __init__(self, server: "TrioServer", socket: Socket) -> None:
        self._server = server
        self._socket = socket
        self.covered: dict[str, int] = {}

    def send(self, event: str, payload: bytes, tag: Tag | None = None) -> None:
        """One event whose argument is JSON already."""
        message = self._server.prepare(event, payload, (self._socket.sid,), tag)
        self._socket.send_now((message,))
        if tag is not None:
            self.covered[tag[0]] = max(self.covered.get(tag[0], 0), tag[1])


class TrioServer(socketio.AsyncServer):
    """Serve it with `attach(edge)` and run `run()` in a nursery.

    recovery           None turns connection state recovery off
    connect_timeout    seconds an Engine.IO session may live without joining a namespace
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
    ) -> None:
        self.path = path
        self.engine = Engine(engine or EngineSettings())
        self._recovery = (recovery or RecoverySettings()) if recover else None
        self._spaces: dict[str, Namespace] = {}
        self._clients: dict[Session, Client] = {}
        self._connect_timeout = connect_timeout
        self._tasks: trio.Nursery | None = None
        super().__init__(client_manager=_NoManager(), namespaces=namespaces, async_handlers=False)
        self.engine.on_connect = self._opened
        self.engine.on_message = self._received
        self.engine.on_close = self._closed
        self.engine.gate = self._gate

    def attach(self, edge: Edge) -> None:
        """Serve polling and WebSockets at the path."""
        edge.http(self.path, self.engine.handle)
        edge.websocket(self.path, self.engine.handle_websocket)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """The tasks that outlive a request. When it is cancelled, clients are told to come back."""
        async with trio.open_nursery() as self._tasks:
            await self._tasks.start(self.engine.run)
            self._tasks.start_soon(self._expire_for_ever)
            for space in self._spaces.values():
                self._tasks.start_soon(space.flush_for_ever)
            task_status.started()
            try:
                await trio.sleep_forever()  # no deadline: its children do the work
            finally:
                self._tasks.cancel_scope.cancel()

    async def _expire_for_ever(self) -> None:
        while True:
            await trio.sleep(min(60.0, self._recovery.seconds / 2 if self._recovery else 60.0))
            for space in self._spaces.values():
                if space.recovery is not None:
                    space.recovery.expire()

    def _spawn(self, function: Any, *args: Any) -> None:
        if self._tasks is not None and not self._tasks.cancel_scope.cancel_called:
            self._tasks.start_soon(function, *args)

    def _space(self, name: str) -> Namespace:
        space = self._spaces.get(name)
        if space is None:
            log_ = RecoveryLog(self._recovery) if self._recovery is not None else None
            space = self._spaces[name] = Namespace(name, log_)
            self._spawn(space.flush_for_ever)
        return space

    def _socket(self, sid: str, namespace: str | None) -> Socket:
        socket = self._space(namespace or "/").sockets.get(sid)
        if socket is None:
            raise KeyError("Session not found")
        return socket

    # --- what the engine tells ------------------------------------------------------------------------------------------

    def _opened(self, session: Session) -> None:
        client = self._clients[session] = Client(session)
        self._spawn(client.work)
        self._spawn(self._demand_connect, client)

    async def _demand_connect(self, client: Client) -> None:
        await trio.sleep(self._connect_timeout)
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
                client.connecting.add(packet.namespace)
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
            client.close()

    # --- connecting -----------------------------------------------------------------------------------------------------

    def _exists(self, name: str) -> bool:
        return (
            name in self.handlers
            or name in self.namespace_handlers
            or self.namespaces == "*"
            or name in self.namespaces
        )

    async def _connect(self, client: Client, name: str, auth: dict[str, Any]) -> None:
        session = client.session
        try:
            if not self._exists(name):
                _send(session, encode(Kind.CONNECT_ERROR, name, {"message": "Invalid namespace"}))
                return
            socket, missed = self._admit(client, self._space(name), auth)
            refusal = await self._ask(client, socket, name, auth)
            if refusal is not None or not session.open:
                socket.namespace.remove(socket)
                if refusal is not None:
                    _send(session, encode(Kind.CONNECT_ERROR, name, refusal))
                return
            self._accept(client, socket, missed)
        finally:
            client.connecting.discard(name)
        await self._trigger("connected", name, socket.sid)

    def _admit(self, client: Client, space: Namespace, auth: dict[str, Any]) -> tuple[Socket, list[Message]]:
        """A new socket, or the one that was lost, with its rooms and what it missed: nothing can come in between."""
        recovery, pid = space.recovery, auth.get("pid")
        if recovery is not None and isinstance(pid, str):
            self._take_over(space, pid)
            found = recovery.restore(pid, auth.get("offset"))
            if found is not None:
                lost = found.lost
                socket = Socket(space, client, lost.sid, lost.pid, lost.start)
                socket.recovered, socket.state = True, dict(lost.state)
                space.sockets[socket.sid] = socket
                space.set_rooms(socket, lost.rooms)
                return socket, found.missed
        start = recovery.next if recovery is not None else 0
        own_pid = secrets.token_urlsafe(15) if recovery is not None else None
        socket = Socket(space, client, secrets.token_urlsafe(15), own_pid, start)
        space.sockets[socket.sid] = socket
        return socket, []

    def _take_over(self, space: Namespace, pid: str) -> None:
        """The same client on a new connection, while the old one only seems to live."""
        live = next((s for s in space.sockets.values() if s.pid == pid and s.connected), None)
        if live is not None:
            old = live.client.session
            self._gone(live, "transport close")
            old.close("forced close")

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
        _send(client.session, encode(Kind.CONNECT, space.name, greeting))
        socket.connected = True
        client.sockets[space.name] = socket
        socket.release()

    def _gone(self, socket: Socket, reason: str) -> None:
        if not socket.connected:
            return
        socket.connected = False
        space = socket.namespace
        space.flush_group(socket.group)
        if space.recovery is not None and socket.pid is not None and reason in RECOVERABLE:
            space.recovery.lose(socket.sid, socket.pid, socket.rooms, socket.state, socket.start)
        space.remove(socket)
        socket.client.sockets.pop(space.name, None)
        socket.acks.clear()
        self._spawn(self._tell_gone, space.name, socket.sid, PYTHON_REASONS.get(reason, reason))

    async def _tell_gone(self, name: str, sid: str, reason: str) -> None:
        try:
            await self._trigger("disconnect", name, sid, reason)
        except Exception:
            log.exception("disconnect_handler_failed")

    # --- events ---------------------------------------------------------------------------------------------------------

    async def _event(self, socket: Socket, packet: Packet) -> None:
        if not socket.connected:
            return
        event, *arguments = cast(list[Any], packet.data)
        answer = await self._trigger(str(event), socket.namespace.name, socket.sid, *arguments)
        if packet.ack is None or answer is self.not_handled or answer is NO_ACK:
            return
        data: list[Any] = [] if answer is None else list(answer) if isinstance(answer, tuple) else [answer]
        socket.send(encode(Kind.ACK, socket.namespace.name, data, packet.ack))

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
                arguments = _fitting(handler, arguments)
            result = handler(*arguments)
            return await result if inspect.isawaitable(result) else result
        space, arguments = cast(Any, self)._get_namespace_handler(namespace, args)
        if space is not None:
            return await space.trigger_event(event, *arguments)
        return self.not_handled

    # --- the hot path -----------------------------------------------------------------------------------------------------

    def publish(self, event: str, payload: bytes, rooms: Iterable[str], tag: Tag | None = None) -> None:
        """One event, its argument as JSON, to everybody in any of the rooms (or ids): once each, encoded once. Sync."""
        wanted = tuple(rooms)
        space = self._space("/")
        space.broadcast(wanted, self.prepare(event, payload, wanted, tag))

    def prepare(self, event: str, payload: bytes, rooms: Collection[str], tag: Tag | None) -> Message:
        """The event's message, noted for recovery."""
        recovery = self._space("/").recovery
        if recovery is None:
            return encode_event(event, payload, None, tag)
        message = encode_event(event, payload, recovery.offset(), tag)
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
        replay = Replay(self, socket)
        try:
            yield replay
        finally:
            socket.namespace.flush_group(socket.group)
            if not nested:
                socket.held = not_covered(socket.held or (), replay.covered)
                socket.release()

    # --- python-socketio's API ----------------------------------------------------------------------------------------------

    def emit_nowait(
        self,
        event: str,
        data: Any = None,
        to: str | Collection[str] | None = None,
        room: str | Collection[str] | None = None,
        skip_sid: str | Collection[str] | None = None,
        namespace: str | None = None,
        callback: Any = None,
        volatile: bool = False,
    ) -> int:
        """As `emit`, without waiting. Returns how many sockets it was sent to."""
        space = self._space(namespace or "/")
        target = to if to is not None else room
        rooms = None if target is None else (target,) if isinstance(target, str) else tuple(target)
        skip = {skip_sid} if isinstance(skip_sid, str) else set(skip_sid or ())
        arguments = [event, *(data if isinstance(data, tuple) else () if data is None else (data,))]
        ack = None
        if callback is not None:
            ack, space.next_ack = space.next_ack, space.next_ack + 1
        elif space.recovery is not None:
            # volatile events carry the current offset, so that they do not spoil what the client remembers
            arguments.append(space.recovery.offset(space.recovery.next - 1 if volatile else None))
        messages = encode(Kind.EVENT, space.name, arguments, ack)
        if callback is None and not volatile and space.recovery is not None:
            space.recovery.record(rooms, messages, skip)
        count = 0
        for socket in space.members(rooms):
            if socket.sid in skip or (volatile and not socket.client.session.writable):
                continue
            if ack is not None:
                socket.acks[ack] = callback
            socket.send(messages)
            count += 1
        return count

    async def emit(self, event: str, data: Any = None, **options: Any) -> None:  # type: ignore[override]
        """python-socketio's `emit`: to, room, skip_sid, namespace, callback; and volatile."""
        options.pop("ignore_queue", None)
        self.emit_nowait(event, data, **options)
        await trio.lowlevel.checkpoint()

    async def send(self, data: Any, **options: Any) -> None:  # type: ignore[override]
        """The event `message`."""
        await self.emit("message", data, **options)

    async def call(  # type: ignore[override]
        self,
        event: str,
        data: Any = None,
        to: str | None = None,
        sid: str | None = None,
        namespace: str | None = None,
        timeout: float | None = 60,
        ignore_queue: bool = False,
    ) -> Any:
        """Emit to one client and wait for its acknowledgement. Raises `socketio.exceptions.TimeoutError`, KeyError."""
        target = to or sid
        if target is None:
            raise ValueError("call() needs a client: to=sid")
        self._socket(target, namespace)
        answered = trio.Event()
        answers: list[tuple[Any, ...]] = []

        def callback(*values: Any) -> None:
            answers.append(values)
            answered.set()

        self.emit_nowait(event, data, to=target, namespace=namespace, callback=callback)
        with trio.move_on_after(float("inf") if timeout is None else timeout):
            await answered.wait()
        if not answers:
            raise exceptions.TimeoutError
        values = answers[0]
        return values if len(values) > 1 else values[0] if values else None

    def enter_room_nowait(self, sid: str, room: str, namespace: str | None = None) -> None:
        """KeyError for a client that is gone."""
        socket = self._socket(sid, namespace)
        socket.namespace.set_rooms(socket, socket.rooms | {room})

    def leave_room_nowait(self, sid: str, room: str, namespace: str | None = None) -> None:
        """Leaving a room one is not in changes nothing."""
        with suppress(KeyError):
            socket = self._socket(sid, namespace)
            socket.namespace.set_rooms(socket, socket.rooms - {room})

    async def enter_room(self, sid: str, room: str, namespace: str | None = None) -> None:  # type: ignore[override]
        self.enter_room_nowait(sid, room, namespace)

    async def leave_room(self, sid: str, room: str, namespace: str | None = None) -> None:  # type: ignore[override]
        self.leave_room_nowait(sid, room, namespace)

    async def close_room(self, room: str, namespace: str | None = None) -> None:  # type: ignore[override]
        for socket in self._space(namespace or "/").members((room,)):
            self.leave_room_nowait(socket.sid, room, namespace)

    def rooms(self, sid: str, namespace: str | None = None) -> list[str]:  # type: ignore[override]
        return [sid, *sorted(self._socket(sid, namespace).rooms)]

    async def disconnect(  # type: ignore[override]
        self, sid: str, namespace: str | None = None, ignore_queue: bool = False
    ) -> None:
        """Out of the namespace, for good: the client does not come back by itself."""
        with suppress(KeyError):
            socket = self._socket(sid, namespace)
            socket.send(encode(Kind.DISCONNECT, socket.namespace.name))
            self._gone(socket, "server namespace disconnect")
        await trio.lowlevel.checkpoint()

    async def close_transport(self, sid: str, namespace: str | None = None) -> None:
        """Cut the connection under it: the client comes back and recovers."""
        with suppress(KeyError):
            self._socket(sid, namespace).client.session.close("forced close")
        await trio.lowlevel.checkpoint()

    def get_environ(self, sid: str, namespace: str | None = None) -> dict[str, Any]:  # type: ignore[override]
        return self._socket(sid, namespace).client.environ

    async def get_session(self, sid: str, namespace: str | None = None) -> dict[str, Any]:  # type: ignore[override]
        return self._socket(sid, namespace).state

    async def save_session(  # type: ignore[override]
        self, sid: str, session: dict[str, Any], namespace: str | None = None
    ) -> None:
        self._socket(sid, namespace).state = session

    @asynccontextmanager
    async def session(self, sid: str, namespace: str | None = None) -> AsyncGenerator[dict[str, Any], None]:  # type: ignore[override]
        state = await self.get_session(sid, namespace)
        yield state
        await self.save_session(sid, state, namespace)

    def transport(self, sid: str, namespace: str | None = None) -> str:  # type: ignore[override]
        return self._socket(sid, namespace).client.session.transport

    def start_background_task(self, target: Any, *args: Any, **kwargs: Any) -> None:  # type: ignore[override]
        """In the server's nursery."""
        self._spawn(partial(target, *args, **kwargs))

    async def sleep(self, seconds: float = 0) -> None:  # type: ignore[override]
        await trio.sleep(seconds)

    async def shutdown(self) -> None:  # type: ignore[override]
        """Close every session, recoverably."""
        await self.drain(1.0)

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

    # --- what python-socketio's constructor wants ------------------------------------------------------------------------------

    def _engineio_server_class(self) -> Any:
        return _NoEngine


def _send(session: Session, messages: Iterable[Message]) -> None:
    for message in messages:
        session.send(message)


async def _await(awaitable: Any) -> None:
    await awaitable


def _fitting(handler: Any, arguments: Sequence[Any]) -> Sequence[Any]:
    """connect may leave out auth, disconnect the reason."""
    try:
        inspect.signature(handler).bind(*arguments)
    except TypeError:
        return arguments[:-1]
    return arguments


class _NoManager:
    """python-socketio's manager keeps rooms in a way that scans all of them at each disconnect; ours are in `Namespace`."""

    def set_server(self, server: Any) -> None:
        """Called by the base class."""


class _NoEngine:
    """What the base class makes instead of python-engineio's server."""

    async_mode = "trio"

    def __init__(self, **_options: Any) -> None:
        """Nothing: the engine is made by `TrioServer`."""

    def on(self, event: str, handler: Any = None) -> None:
        """Engine.IO's events come by callbacks of our engine."""
