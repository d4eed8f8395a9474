"""Engine.IO 4, with the behaviour of the official server (https://github.com/socketio/engine.io-protocol)."""

import base64
import json
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import trio

from townwatch.transports.edge.connection import Connection
from townwatch.transports.edge.http import Headers, Request, Response
from townwatch.transports.socketio.heartbeat import HeartbeatSchedule
from townwatch.transports.socketio.hooks import ERRORS, EngineHooks, EngineRefusal, EngineSettings as EngineSettings
from townwatch.transports.socketio.message import CLOSE, NOOP, PONG_PROBE, Message
from townwatch.transports.socketio.session import SEPARATOR, EngineSession
from townwatch.transports.websocket.deflate import negotiate, window_of
from townwatch.transports.websocket.frames import close_frame
from townwatch.transports.websocket.handshake import HandshakeRejected, accept, check_handshake, refuse, reject
from townwatch.transports.websocket.messages import Incoming
from townwatch.transports.websocket.pace import MessageLimits

NOOP_SECONDS = 0.1
"""How long after the probe a waiting poll is released, as the official server does it."""
CLOSED_SECONDS = 1.0
PACKETS_PER_CHECKPOINT = 256
LINGER_SECONDS = 3.0


class Engine:
    """The sessions. Callbacks are synchronous: connected(session), message(session, data), close(session, reason)."""

    def __init__(self, settings: EngineSettings) -> None:
        self.settings = settings
        self.sessions: dict[str, EngineSession] = {}
        self.heartbeat = HeartbeatSchedule(settings.ping_interval, settings.ping_timeout, self._silent)
        self.on_connect: Callable[[EngineSession], None] = lambda _session: None
        self.on_message: Callable[[EngineSession, str | bytes], None] = lambda _session, _data: None
        self.on_close: Callable[[EngineSession, str], None] = lambda _session, _reason: None
        self.on_upgrade: Callable[[EngineSession], None] = lambda _session: None
        self.gate: Callable[[EngineSession], Awaitable[None]] | None = None
        """Awaited after each packet that came in: the application's back-pressure."""
        self.hooks = EngineHooks()
        self.slow_clients_cut = 0
        self._nursery: trio.Nursery | None = None
        self._closed: dict[str, float] = {}
        self.limits = MessageLimits(message_bytes=settings.max_payload)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run the heartbeats, and the nursery of what outlives a request. Ends every session when it is cancelled."""
        try:
            async with trio.open_nursery() as self._nursery:
                task_status.started()
                await self.heartbeat.run()
        finally:
            self._nursery = None
            for session in list(self.sessions.values()):
                session.ended("server shutting down")

    def spawn(self, function: Callable[..., Awaitable[Any]], *args: Any) -> None:
        """A task that outlives its request. Nothing when the engine is stopping."""
        if self._nursery is not None and not self._nursery.cancel_scope.cancel_called:
            self._nursery.start_soon(function, *args)

    def _silent(self, session: EngineSession) -> None:
        session.ended("ping timeout")

    def cut_later(self, session: EngineSession) -> None:
        """Cut a client that is too slow: recoverably, and not in the middle of a broadcast."""
        self.slow_clients_cut += 1
        self.spawn(self._cut, session)

    async def _cut(self, session: EngineSession) -> None:
        connection = session.connection
        session.ended("transport close")
        if connection is not None:
            connection.abort()

    def remember_closed(self, sid: str) -> None:
        """A POST closed it an instant before its own poll arrives: that poll is still answered properly."""
        now = trio.current_time()
        self._closed = {known: until for known, until in self._closed.items() if until > now}
        self._closed[sid] = now + CLOSED_SECONDS

    # --- requests -----------------------------------------------------------------------------------------------------

    def verify(self, request: Request, *, upgrade: bool) -> EngineSession | None:
        """The session a request belongs to; None for a new one. Raises `EngineRefusal`."""
        transport = request.argument("transport")
        if transport not in self.settings.transports:
            raise EngineRefusal(0)
        sid = request.argument("sid")
        if sid is not None:
            session = self.sessions.get(sid)
            if session is None:
                raise EngineRefusal(1)
            if not upgrade and session.transport != transport:
                raise EngineRefusal(3)
            return session
        if not self.origin_allowed(request):  # first, so that a page can ask why its WebSocket was refused
            raise EngineRefusal(4)
        if request.method != "GET":
            raise EngineRefusal(2)
        if (transport == "websocket") != upgrade:
            raise EngineRefusal(3)
        if request.argument("EIO") != "4":
            raise EngineRefusal(5)
        return None

    def origin_allowed(self, request: Request) -> bool:
        """Return True for no Origin (no browser); the service's own pages pass; others must be on the list."""
        origins = [value for name, value in request.headers if name == "origin"]
        if not origins:
            return True
        own = f"{request.scheme}://{request.header('host')}"
        listed = self.settings.origins
        return len(origins) == 1 and (origins[0] == own or origins[0] in listed or "*" in listed)

    def _cors(self, request: Request) -> Headers:
        origin = request.header("origin")
        if not origin or not self.origin_allowed(request):
            return []
        credentials = [("access-control-allow-credentials", "true")] if self.settings.credentials else []
        return [("access-control-allow-origin", origin), *credentials, ("vary", "origin")]

    def refusal(self, refused: EngineRefusal) -> Response:
        return self._refusal(refused.code, [], str(refused))

    def _refusal(self, code: int, cors: Headers, message: str | None = None) -> Response:
        body = json.dumps({"code": code, "message": message or ERRORS[code]}, separators=(",", ":")).encode()
        return Response(403 if code == 4 else 400, body, [("content-type", "application/json"), *cors])

    def _new_session(self, request: Request, transport: str) -> tuple[EngineSession, Message]:
        sid = base64.urlsafe_b64encode(secrets.token_bytes(15)).decode()
        session = self.sessions[sid] = EngineSession(self, sid, request, transport)
        settings = self.settings
        greeting = {
            "sid": sid,
            "upgrades": ["websocket"] if transport == "polling" and self._upgrades else [],
            "pingInterval": round(settings.ping_interval * 1000),
            "pingTimeout": round(settings.ping_timeout * 1000),
            "maxPayload": settings.max_payload,
        }
        return session, Message("0" + json.dumps(greeting, separators=(",", ":")))

    @property
    def _upgrades(self) -> bool:
        return self.settings.upgrades and "websocket" in self.settings.transports

    async def handle(self, request: Request) -> Response:
        """A polling request."""
        self.heartbeat.tick()
        cors = [*self._cors(request), *self.hooks.headers_of(request)]
        if request.method == "OPTIONS":
            return self._preflight(request, cors)
        if request.method == "GET" and self._was_just_closed(request):
            return _payload("6", cors)
        try:
            session = self.verify(request, upgrade=False)
            if session is None:
                await self.hooks.ask(request)
        except EngineRefusal as refused:
            return self._refusal(refused.code, cors, str(refused))
        if session is None:
            session, greeting = self._new_session(request, "polling")
            session.send(greeting)
            answer = _payload(session.take(self.settings.payload_packets), cors)
            self.on_connect(session)
            self.heartbeat.expect_ping(session)
            return answer
        match request.method:
            case "GET":
                return await self._poll(session, cors)
            case "POST":
                return await self._post(session, request, cors)
            case _:
                return self._refusal(2, cors)

    def _preflight(self, request: Request, cors: Headers) -> Response:
        asked = request.header("access-control-request-headers")
        headers = [*cors, ("access-control-allow-methods", "GET,HEAD,PUT,PATCH,POST,DELETE")]
        return Response(204, b"", [*headers, ("access-control-allow-headers", asked)] if asked else headers)

    def _was_just_closed(self, request: Request) -> bool:
        until = self._closed.pop(request.argument("sid") or "", 0.0) if self._closed else 0.0
        return until > trio.current_time()

    async def _poll(self, session: EngineSession, cors: Headers) -> Response:
        if session.poll is not None:  # two polls at once: the official server gives up on the session
            session.buffer.append(CLOSE)
            session.ended("transport error")
            return self._refusal(3, cors)
        if session.upgrading and session.probed and not session.buffer:
            self.spawn(self._release_poll, session)
        if not session.buffer:
            session.poll = trio.Event()
            try:
                await session.poll.wait()  # no deadline of its own: pings come, or the session ends
            except trio.Cancelled:
                session.poll = None
                session.ended("transport error")
                raise
            session.poll = None
            if not session.buffer:
                return self._refusal(3 if session.connection is not None else 1, cors)
        return _payload(session.take(self.settings.payload_packets), cors)

    async def _post(self, session: EngineSession, request: Request, cors: Headers) -> Response:
        if session.posting or request.header("content-type") == "application/octet-stream":
            session.ended("transport error")
            return self._refusal(3, cors)
        if len(request.body) > (session.limits or self.limits).message_bytes:
            return Response(413, b"", cors)
        session.posting = True
        try:
            return await self._take_payload(session, request.body, cors)
        finally:
            session.posting = False

    async def _take_payload(self, session: EngineSession, body: bytes, cors: Headers) -> Response:
        try:
            text = body.decode()
        except UnicodeDecodeError:
            session.ended("parse error")
            return self._refusal(3, cors)
        for number, packet in enumerate(text.split(SEPARATOR), 1):
            if number % PACKETS_PER_CHECKPOINT == 0:
                await trio.lowlevel.checkpoint()  # a body of half a million packets must not keep the loop
            if not session.receive(packet):
                if packet != "1":
                    return self._refusal(3, cors)
                break
            if self.gate is not None:
                await self.gate(session)
        return Response(200, b"ok", [("content-type", "text/html"), *cors])

    # --- WebSockets ---------------------------------------------------------------------------------------------------

    async def handle_websocket(self, request: Request, connection: Connection, leftover: bytes) -> None:
        """Serve a WebSocket connection from the handshake to its end."""
        try:
            check_handshake(request)
            session = await self.admit_websocket(request)
        except HandshakeRejected as rejection:
            await reject(connection, rejection)
            return
        except EngineRefusal as refused:
            answer = self.refusal(refused)
            await refuse(connection, answer.status, answer.body, [])
            return
        connection.backlog = self.settings.backlog
        accepted = negotiate(request.header("sec-websocket-extensions")) if self.settings.deflate else None
        accept(request, connection, extensions=accepted, headers=self.hooks.headers_of(request))
        request.headers = [pair for pair in request.headers if pair[0] != "sec-websocket-key"]  # it has served
        limits = (session.limits if session is not None else None) or self.limits
        incoming = Incoming(
            connection, leftover, limits, window=window_of(accepted), agreed_bytes=self.settings.max_payload
        )
        await self.serve_websocket(request, session, connection, incoming)

    async def admit_websocket(self, request: Request) -> EngineSession | None:
        """The session that a WebSocket's request is to upgrade; None for a new one. Raises `EngineRefusal`."""
        self.heartbeat.tick()
        session = self.verify(request, upgrade=True)
        if request.argument("transport") != "websocket":
            raise EngineRefusal(3)
        if session is None:
            await self.hooks.ask(request)
        return session

    async def serve_websocket(
        self, request: Request, session: EngineSession | None, connection: Connection, incoming: Incoming
    ) -> None:
        """Serve an accepted WebSocket to its end."""
        if session is not None or request.argument("sid") is not None:
            await self._maybe_upgrade(session, connection, incoming)
            return
        session, greeting = self._new_session(request, "websocket")
        self._adopt(session, connection, incoming)
        session.send(greeting)
        self.on_connect(session)
        self.heartbeat.expect_ping(session)
        await self.read(session)

    def _adopt(self, session: EngineSession, connection: Connection, incoming: Incoming) -> None:
        session.connection, session.incoming = connection, incoming
        session.window = incoming.window
        plain = connection.takes_frames and not (session.base64 or session.bare)
        session.direct = connection if plain else None
        connection.on_slow = session.cut_later

    async def read(self, session: EngineSession) -> None:
        """Read until the connection is over or parked without a task; a parked one is read again when bytes arrive."""
        connection, incoming, parked = session.connection, session.incoming, False
        assert connection is not None and incoming is not None
        try:
            while not parked:
                try:
                    await self._hear(session, incoming, wait=not connection.can_park)
                    break
                except trio.WouldBlock:
                    parked = connection.park(session.read)
        finally:  # also where the listener ends, and with it all that came by it
            if session.open and not parked:
                session.ended("transport close")
        if not parked:
            await self._linger(connection)

    async def _hear(self, session: EngineSession, incoming: Incoming, *, wait: bool) -> None:
        while (message := await incoming.receive(wait=wait)) is not None:
            if not session.receive(message):
                break
            if self.gate is not None:
                await self.gate(session)

    async def _linger(self, connection: Connection) -> None:
        ends = trio.current_time() + LINGER_SECONDS
        with suppress(trio.TooSlowError):  # its close frame, which answers ours
            while trio.current_time() < ends and await connection.recv(ends=ends):
                await trio.lowlevel.checkpoint()

    async def _maybe_upgrade(self, session: EngineSession | None, connection: Connection, incoming: Incoming) -> None:
        """A WebSocket for a session that polls. One that cannot be is opened and closed at once, as officially."""
        impossible = session is None or not self._upgrades
        if (
            session is None
            or impossible
            or session.upgrading
            or session.connection is not None
            or session.transport != "polling"
        ):
            connection.write(close_frame())
            await connection.hang_up(1)
            return
        session.upgrading = True
        try:
            upgraded = await self._probe(session, connection, incoming)
        finally:
            session.upgrading = session.probed = False
        if not upgraded or not session.open:
            connection.write(close_frame())
            await connection.hang_up(1)
            return
        self._switch(session, connection, incoming)
        await self.read(session)

    async def _probe(self, session: EngineSession, connection: Connection, incoming: Incoming) -> bool:
        """Answer a probe: 2probe → 3probe, then 5."""
        with trio.move_on_after(self.settings.upgrade_timeout):
            while (message := await incoming.receive()) is not None:
                match message:
                    case "2probe":
                        connection.write(PONG_PROBE.frame)
                        session.probed = True
                        if session.poll is not None and not session.buffer:
                            self.spawn(self._release_poll, session)
                    case "5":
                        return session.open
                    case _:
                        return False
        return False

    def _switch(self, session: EngineSession, connection: Connection, incoming: Incoming) -> None:
        waiting = [message for message in session.buffer if message is not NOOP]
        session.buffer.clear()
        session.transport = "websocket"
        self._adopt(session, connection, incoming)
        if session.poll is not None:
            session.poll.set()
        for message in waiting:
            session.send(message)
        self.on_upgrade(session)

    async def _release_poll(self, session: EngineSession) -> None:
        await trio.sleep(NOOP_SECONDS)
        if session.upgrading and session.poll is not None and not session.buffer:
            session.buffer.append(NOOP)
            session.poll.set()


def _payload(text: str, cors: Headers) -> Response:
    headers = [("content-type", "text/plain; charset=UTF-8"), ("cache-control", "no-store"), *cors]
    return Response(200, text.encode(), headers)
