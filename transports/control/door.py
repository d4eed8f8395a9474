"""`/ws`: who is it, and is there room. Before authentication there is a connection and no actor; after it, both.

door = ControlDoor(deps)
edge.websocket("/ws", door.serve)
"""

import uuid
from contextlib import suppress
from typing import Any

import attrs
import structlog
import trio
from trio_websocket import wrap_server_stream

from actors.directory import Origin, tell_if_alive
from actors.ports import Ref, Subject
from actors.runtime import ActorDeadError, whereis
from contracts.codec import encode
from contracts.control import Authenticate, ControlError, EventMessage, Ping, Pong
from contracts.ui import iso
from supervision import ChildError, ChildSpec, Refused
from transports.control.client import GOING_AWAY, ControlClient, Said
from transports.control.incoming import Trouble, parse
from transports.control.ports import ControlDeps
from transports.edge_connection import Connection
from transports.edge_http import Request
from transports.edge_stream import ReplayStream
from transports.ws_actor import Hangup
from transports.ws_door import Knock, Rejection, contained, reject
from transports.ws_socket import GuardedStream, Message, MessageSocket

log = structlog.get_logger("control")

POLICY, TOO_BIG = 1008, 1009
TAKE_BACK_SECONDS = 5.0


@attrs.define(eq=False)
class Visit:
    """One connection. `client`: its actor, once it is authenticated."""

    client_id: str
    origin: Origin
    socket: MessageSocket
    user_id: str | None = None
    client: Ref | None = None


class ControlDoor:
    """The control plane's WebSocket endpoint."""

    def __init__(self, deps: ControlDeps) -> None:
        self._deps = deps
        self._settings = deps.settings
        self._visits: dict[str, Visit] = {}
        self._opening = 0

    # --- to many ----------------------------------------------------------------------------------

    def broadcast(self, message: Any) -> int:
        """One message (of contracts.control, or a dict) to everybody who is authenticated. How many got it."""
        return self._send(message, [visit for visit in self._visits.values() if visit.client is not None])

    def to_user(self, user_id: str, message: Any) -> int:
        """The same to every connection of one person."""
        theirs = [visit for visit in self._visits.values() if visit.client is not None and visit.user_id == user_id]
        return self._send(message, theirs)

    def shutdown(self) -> None:
        """Say goodbye to everybody, authenticated or not."""
        for visit in list(self._visits.values()):
            visit.socket.close(GOING_AWAY, "the service is going away; come back")

    def _send(self, message: Any, visits: list[Visit]) -> int:
        values: dict[str, Any] = {"timestamp": self._now(), **message} if isinstance(message, dict) else message
        text = encode(values)
        return sum(visit.socket.send(text) for visit in visits)

    # --- a connection -----------------------------------------------------------------------------

    async def serve(self, request: Request, connection: Connection, leftover: bytes) -> None:
        """For the edge: a request to upgrade, and its connection."""
        await self.serve_stream(Knock.of(request), ReplayStream(request, connection, leftover))

    async def serve_stream(self, knock: Knock, stream: trio.abc.Stream) -> None:
        """From the request to the end of the connection. Never raises an `Exception`: it is logged."""
        try:
            self._admit(knock)
        except Rejection as rejection:
            log.info("control_rejected", status=rejection.status, reason=rejection.message, address=knock.address)
            await reject(stream, rejection)
        else:
            self._opening += 1
            try:
                with contained(knock.address, self._deps.context.measure):
                    await self._visit(knock, GuardedStream(stream, self._settings.socket.frames))
            finally:
                self._opening -= 1
        finally:
            await trio.aclose_forcefully(stream)

    def _admit(self, knock: Knock) -> None:
        """Raises `Rejection`."""
        knock.check()
        if not self._deps.allow_origin(knock.header("origin"), knock.header("host")):
            raise Rejection(403, "E_ORIGIN", "pages of this origin may not connect here")
        known = sum(visit.client is not None for visit in self._visits.values())
        if self._opening - known >= self._settings.strangers:
            raise Rejection(503, "E_BUSY", "too many connections wait to be authenticated; try again", retry_after=2)

    async def _visit(self, knock: Knock, stream: GuardedStream) -> None:
        async with trio.open_nursery() as nursery:
            socket = None
            with trio.move_on_after(self._settings.handshake):
                socket = await self._upgrade(nursery, stream)
            if socket is not None:
                origin = Origin(knock.address, knock.header("user-agent") or "")
                visit = Visit(uuid.uuid4().hex, origin, socket)
                nursery.start_soon(self._deadline, visit)
                await self._stay(visit)
            nursery.cancel_scope.cancel()

    async def _upgrade(self, nursery: trio.Nursery, stream: GuardedStream) -> MessageSocket:
        request = await wrap_server_stream(
            nursery, stream, max_message_size=self._settings.socket.message_bytes, message_queue_size=1
        )
        return MessageSocket(await request.accept(), stream, self._settings.socket)

    async def _stay(self, visit: Visit) -> None:
        """Until the connection is over, however it ends."""
        self._visits[visit.client_id] = visit
        self._event(visit, "connected", clientId=visit.client_id)
        try:
            await visit.socket.run(lambda message: self._receive(visit, message))
        finally:
            del self._visits[visit.client_id]
            if not tell_if_alive(visit.client, Hangup()):
                await self._take_back(visit)

    async def _take_back(self, visit: Visit) -> None:
        """It may have hung up while its actor was being started: nobody would ever end that one."""
        supervisor = whereis(self._deps.clients)
        with trio.move_on_after(TAKE_BACK_SECONDS, shield=True):
            if supervisor is not None:
                with suppress(ChildError, ActorDeadError):
                    await supervisor.proxy().terminate_child(f"control:{visit.client_id}")

    async def _deadline(self, visit: Visit) -> None:
        await trio.sleep(self._settings.authenticate)
        if visit.client is None:
            visit.socket.close(POLICY, f"no good token came within {self._settings.authenticate:g} s")

    # --- messages ---------------------------------------------------------------------------------

    async def _receive(self, visit: Visit, message: Message) -> None:
        if len(message.encode() if isinstance(message, str) else message) > self._settings.socket.message_bytes:
            visit.socket.close(TOO_BIG, "a message may have at most 1 MiB")
            return
        try:
            said = parse(message)
            if visit.client is not None:
                await visit.client.send(Said(said))
            else:
                await self._first_words(visit, said)
        except Trouble as trouble:
            self._error(visit, trouble)
        except ActorDeadError:
            visit.socket.close(GOING_AWAY, "the service let this connection go; come back")

    async def _first_words(self, visit: Visit, said: Any) -> None:
        match said:
            case Authenticate():
                await self._authenticate(visit, said)
            case Ping():
                visit.socket.send(encode(Pong(timestamp=self._now())))
            case _:
                raise Trouble("NOT_AUTHENTICATED", "authenticate first: {type: authenticate, token}")

    async def _authenticate(self, visit: Visit, said: Authenticate) -> None:
        """Raises `Trouble`."""
        subject = await self._subject(said)
        visit.user_id = subject.user_id
        visit.client = await self._start(visit, subject)

    async def _subject(self, said: Authenticate) -> Subject:
        try:
            with trio.fail_after(self._settings.handshake):
                subject = await self._deps.authenticate(said.token)
        except ValueError:
            raise Trouble("AUTH_FAILED", "the token is not valid") from None
        except trio.TooSlowError:
            raise Trouble("UNAVAILABLE", "the token could not be checked in time; try again") from None
        if subject.user_id is None:
            raise Trouble("AUTH_FAILED", "a token of a person is needed")
        if said.user_id is not None and said.user_id != subject.user_id:
            raise Trouble("AUTH_FAILED", "userId is not the one of the token")
        return subject

    async def _start(self, visit: Visit, subject: Subject) -> Ref:
        """The actor takes its place among the person's connections, or there is none."""
        args = (
            self._deps.context,
            self._deps.access,
            visit.socket,
            visit.client_id,
            subject,
            self._settings.subscriptions,
            visit.origin,
        )
        keys = {"user": subject.user_id or ""}
        spec = ChildSpec(
            id=f"control:{visit.client_id}", actor=ControlClient, args=args, restart="temporary", keys=keys
        )
        supervisor = whereis(self._deps.clients)
        try:
            if supervisor is None:
                raise ActorDeadError("the service is starting or stopping")
            return await supervisor.proxy().start_child(spec)
        except Refused as refused:
            self._deps.context.measure("limit", {"limit": refused.limit})
            when = "close another one first" if refused.retry_after is None else f"in {refused.retry_after:.3g} s"
            text = f"limit {refused.limit}: {refused.current:g} of {refused.allowed:g} connections; try again: {when}"
            raise Trouble("CONNECTION_LIMIT", text) from None

    # --- out --------------------------------------------------------------------------------------

    def _event(self, visit: Visit, event: Any, **data: str) -> None:
        visit.socket.send(encode(EventMessage(event=event, data=data, timestamp=self._now())))

    def _error(self, visit: Visit, trouble: Trouble) -> None:
        error = ControlError(code=trouble.code, message=trouble.message, timestamp=self._now())
        visit.socket.send(encode(error))

    def _now(self) -> str:
        return iso(self._deps.context.clock.now_ms())
