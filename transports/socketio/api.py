"""python-socketio's public server API on our rooms and messages: the same names, signatures and meanings."""

import inspect
from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager, suppress
from typing import Any, NoReturn, cast

import socketio
import structlog
import trio
from socketio import exceptions

from townwatch.transports.socketio import asgi
from townwatch.transports.socketio.background import BackgroundTask
from townwatch.transports.socketio.base import Postponed, fitting
from townwatch.transports.socketio.client import Client
from townwatch.transports.socketio.engine import Engine
from townwatch.transports.socketio.kept.keeper import SocketKeeper
from townwatch.transports.socketio.namespace import Namespace, Socket
from townwatch.transports.socketio.packet import Kind
from townwatch.transports.socketio.parser import Parser

log = structlog.get_logger("socketio")

LAST_SECONDS = 2.0
"""Time limit for the disconnect handlers of clients connected at shutdown."""
RECOVERED = "townwatch.recovered"
"""In the environ of a connect handler: whether this client came back with its rooms."""


class ServerApi(socketio.AsyncServer):
    """The API that programs call. The engine, the connecting and the hot path are `TrioServer`'s."""

    parser: Parser
    _early: list[BackgroundTask]
    """Background tasks that wait for the server to run."""

    engine: Engine
    keeper: SocketKeeper | None
    """Where clients are kept for other processes."""
    _last_gone: list[tuple[str, str, str]]
    """(namespace, sid, reason) of clients that were connected when the server stopped."""

    @property
    def is_running(self) -> bool:
        raise NotImplementedError

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        raise NotImplementedError

    def space(self, name: str) -> Namespace:
        raise NotImplementedError

    def _socket(self, sid: str, namespace: str | None) -> Socket:
        """KeyError for a client that is gone."""
        raise NotImplementedError

    def _gone(self, socket: Socket, reason: str) -> None:
        raise NotImplementedError

    def _spawn(self, function: Any, *args: Any) -> bool:
        raise NotImplementedError

    async def drain(self, seconds: float) -> None:
        raise NotImplementedError

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
        space = self.space(namespace or "/")
        target = to if to is not None else room
        rooms = None if target is None else (target,) if isinstance(target, str) else tuple(target)
        skip = {skip_sid} if isinstance(skip_sid, str) else set(skip_sid or ())
        arguments: list[Any] = [event]
        if data is not None:
            arguments += cast(tuple[Any, ...], data) if isinstance(data, tuple) else (data,)
        ack = None
        if callback is not None:
            ack, space.next_ack = space.next_ack, space.next_ack + 1
        elif space.recovery is not None:
            # volatile events carry the current offset, so that they do not spoil what the client remembers
            arguments.append(space.recovery.offset(space.recovery.next - 1 if volatile else None))
        messages = self.parser.encode(Kind.EVENT, space.name, arguments, ack)
        messages[0].numbered = ack is None and space.recovery is not None
        if callback is None and not volatile and space.recovery is not None:
            space.recovery.record(rooms, messages, skip)
        reached = 0
        for socket in space.members(rooms):
            if socket.sid in skip or (volatile and not socket.client.session.writable):
                continue
            if ack is not None:
                socket.acks[ack] = callback
            socket.send(messages)
            reached += 1
        return reached

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
        """Emit to one client and wait for its acknowledgement. Raises KeyError, and `socketio.exceptions.TimeoutError`,
        that as soon as the client is gone.
        """
        target = to or sid
        if target is None:
            raise ValueError("call() needs a client: to=sid")
        waits = self._socket(target, namespace).waits
        answered = trio.Event()
        answers: list[tuple[Any, ...]] = []

        def callback(*values: Any) -> None:
            answers.append(values)
            answered.set()

        self.emit_nowait(event, data, to=target, namespace=namespace, callback=callback)
        waits.append(answered)
        try:
            with trio.move_on_after(float("inf") if timeout is None else timeout):
                await answered.wait()
        finally:
            waits.remove(answered)
        if not answers:
            raise exceptions.TimeoutError
        values = answers[0]
        return values if len(values) > 1 else values[0] if values else None

    def enter_room_nowait(self, sid: str, room: str, namespace: str | None = None) -> None:
        """KeyError for a client that is gone."""
        socket = self._socket(sid, namespace)
        space = socket.namespace
        space.set_rooms(socket, socket.rooms | {room})
        if self.keeper is not None and space.recovery is not None and room not in socket.joins.rooms:
            socket.joins.rooms[room] = space.recovery.next, self.keeper.mark()

    def leave_room_nowait(self, sid: str, room: str, namespace: str | None = None) -> None:
        """Leave a room; one that the client is not in changes nothing."""
        with suppress(KeyError):
            socket = self._socket(sid, namespace)
            socket.namespace.set_rooms(socket, socket.rooms - {room})
            socket.joins.rooms.pop(room, None)

    async def enter_room(self, sid: str, room: str, namespace: str | None = None) -> None:  # type: ignore[override]
        self.enter_room_nowait(sid, room, namespace)

    async def leave_room(self, sid: str, room: str, namespace: str | None = None) -> None:  # type: ignore[override]
        self.leave_room_nowait(sid, room, namespace)

    async def close_room(self, room: str, namespace: str | None = None) -> None:  # type: ignore[override]
        for socket in self.space(namespace or "/").members((room,)):
            self.leave_room_nowait(socket.sid, room, namespace)

    def rooms(self, sid: str, namespace: str | None = None) -> list[str]:  # type: ignore[override]
        return [sid, *sorted(self._socket(sid, namespace).rooms)]

    async def disconnect(  # type: ignore[override]
        self, sid: str, namespace: str | None = None, ignore_queue: bool = False
    ) -> None:
        """Disconnect from the namespace, for good: the client does not come back by itself."""
        with suppress(KeyError):
            socket = self._socket(sid, namespace)
            socket.send(self.parser.encode(Kind.DISCONNECT, socket.namespace.name))
            self._gone(socket, "server namespace disconnect")
        await trio.lowlevel.checkpoint()

    async def close_transport(self, sid: str, namespace: str | None = None) -> None:
        """Cut the connection under it: the client comes back and recovers."""
        self.close_transport_nowait(sid, namespace)
        await trio.lowlevel.checkpoint()

    def close_transport_nowait(self, sid: str, namespace: str | None = None) -> None:
        """`close_transport` for who must not wait."""
        with suppress(KeyError):
            self._socket(sid, namespace).client.session.close("forced close")

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

    def instrument(self, *_args: Any, **_options: Any) -> NoReturn:
        """Raise NotImplementedError: the Socket.IO Admin UI is not served; GET /api/supervision shows the live tree."""
        raise NotImplementedError("the Socket.IO Admin UI is not served; watch the supervision tree instead")

    def start_background_task(self, target: Any, *args: Any, **kwargs: Any) -> BackgroundTask:  # type: ignore[override]
        """Start a task in the server's nursery; before the server runs, as soon as it does."""
        task = BackgroundTask(target, args, kwargs)
        if not self._spawn(task.run):
            self._early.append(task)
        return task

    async def sleep(self, seconds: float = 0) -> None:  # type: ignore[override]
        await trio.sleep(seconds)

    async def shutdown(self) -> None:  # type: ignore[override]
        """Close every session, recoverably."""
        await self.drain(1.0)

    # --- as an ASGI application ---------------------------------------------------------------------------------------

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator[None]:
        """Run the server while open: for the lifespan of an ASGI application, or around a program's own loop."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self.run)
            yield
            nursery.cancel_scope.cancel()

    async def handle_request(self, scope: Any, receive: Any, send: Any) -> None:  # type: ignore[override]
        """Serve one request of an ASGI server that runs on trio: what `socketio.ASGIApp` calls."""
        await asgi.serve(self.engine, self.is_running, scope, receive, send)

    def attach(self, app: Any, socketio_path: str = "socket.io") -> NoReturn:  # type: ignore[override]
        """Raise TypeError: an ASGI application is wrapped, and the edge is given to `mount`."""
        raise TypeError(
            f"attach({type(app).__name__}) is for asyncio's web servers: wrap an ASGI application with"
            " townwatch.transports.socketio.ASGIApp(server, app), or serve Socket.IO alone with mount(edge)"
        )

    # --- the handlers of the application ------------------------------------------------------------------------------

    async def _ask(self, client: Client, socket: Socket, name: str, auth: dict[str, Any]) -> Any:
        """Return the connect handler's answer: None to accept, else the data of the refusal. Raises `Postponed` where
        it failed or says so: nothing is wrong with the client.
        """
        about = {**client.environ, RECOVERED: socket.recovered}
        try:
            answer = await self._trigger("connect", name, socket.sid, about, auth)
        except exceptions.ConnectionRefusedError as refused:
            answer = refused.error_args or {"message": "Connection rejected by server"}
        except Postponed:
            raise
        except OSError as error:  # what it needs is away: not worth a traceback for each client that comes
            log.warning("connect_handler_failed", reason=str(error)[:300])
            raise Postponed(str(error)) from None
        except Exception as error:
            log.exception("connect_handler_failed")
            raise Postponed(repr(error)) from None
        if answer is None or answer is True or answer is self.not_handled:
            return None
        if answer is False:
            return {"message": "Connection rejected by server"}
        return {"message": answer} if isinstance(answer, str) else answer

    def _exists(self, name: str) -> bool:
        base = cast(Any, self)
        known = name in base.handlers or name in base.namespace_handlers
        return bool(known or base.namespaces == "*" or name in base.namespaces)

    async def _tell_gone(self, name: str, sid: str, reason: str) -> None:
        try:
            await self._trigger("disconnect", name, sid, reason)
        except Exception:
            log.exception("disconnect_handler_failed")

    async def _tell_of_the_last(self) -> None:
        """Run the disconnect handlers of clients still connected at shutdown, so that the application can clean up."""
        last, self._last_gone = self._last_gone, []
        with trio.move_on_after(LAST_SECONDS, shield=True):
            async with trio.open_nursery() as nursery:
                for gone in last:
                    nursery.start_soon(self._tell_gone, *gone)

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
            method = getattr(space, f"on_{event}", None) if event in ("connect", "disconnect") else None
            arguments = arguments if method is None else fitting(method, arguments)
            return await space.trigger_event(event, *arguments)
        return self.not_handled
