"""`/ws`: who is it, and is there room. Before authentication there is a connection and no actor; after it, both.

door = ControlEndpoint(deps)
edge.websocket("/ws", door.serve)
"""

import uuid
from contextlib import suppress
from typing import Any

import attrs
import structlog
import trio

from townwatch.actors.directory import Origin, tell_if_alive
from townwatch.actors.ports import Principal, Ref
from townwatch.contracts.codec import encode
from townwatch.contracts.control import Authenticate, ControlError, EventMessage, Ping, Pong
from townwatch.contracts.ui import iso
from townwatch.runtime import ActorDeadError, MailboxFull, whereis
from townwatch.supervision import ChildError, ChildSpec, LimitReached, Supervisor
from townwatch.transports.control.client import ClientMessage, ControlClient
from townwatch.transports.control.feed import SessionFeed
from townwatch.transports.control.incoming import Trouble, parse
from townwatch.transports.control.ports import ControlDeps
from townwatch.transports.edge.connection import Connection
from townwatch.transports.edge.http import Request
from townwatch.transports.websocket.actor import Hangup
from townwatch.transports.websocket.close_codes import CloseCode
from townwatch.transports.websocket.frames import TEXT, build_frame
from townwatch.transports.websocket.handshake import HandshakeRejected, accept, check_handshake, reject
from townwatch.transports.websocket.socket import MessageSocket

log = structlog.get_logger("control")

TAKE_BACK_SECONDS = 5.0


@attrs.frozen
class ComeBack(Exception):
    """A passing reason why a client cannot be let in: it is told, and closed with 1013, so that it tries again."""

    reason: str


@attrs.define(eq=False)
class ControlConnection:
    """One connection. `client`: its actor, once it is authenticated."""

    client_id: str
    origin: Origin
    socket: MessageSocket
    user_id: str | None = None
    client: Ref | None = None


class ControlEndpoint:
    """The control plane's WebSocket endpoint."""

    def __init__(self, deps: ControlDeps) -> None:
        self._deps = deps
        self._settings = deps.settings
        self._visits: dict[str, ControlConnection] = {}
        self._feed = SessionFeed()
        self._opening = 0

    # --- to many ----------------------------------------------------------------------------------

    def broadcast(self, message: Any) -> int:
        """Send a message (of contracts.control, or a dict) to all authenticated clients. Return how many got it."""
        return self._send(message, [visit for visit in self._visits.values() if visit.client is not None])

    def to_user(self, user_id: str, message: Any) -> int:
        """The same to every connection of one person."""
        theirs = [visit for visit in self._visits.values() if visit.client is not None and visit.user_id == user_id]
        return self._send(message, theirs)

    def announce(self, event: str, data: dict[str, Any], user_id: str | None) -> int:
        """Send an event to all authenticated clients, or to those of one person. Return how many got it."""
        message = EventMessage(event=event, data=data, timestamp=self._now())
        return self.broadcast(message) if user_id is None else self.to_user(user_id, message)

    def shutdown(self) -> None:
        """Say goodbye to all clients, authenticated or not."""
        for visit in list(self._visits.values()):
            visit.socket.close(CloseCode.GOING_AWAY, "the service is going away; come back")

    def _send(self, message: Any, visits: list[ControlConnection]) -> int:
        values: dict[str, Any] = {"timestamp": self._now(), **message} if isinstance(message, dict) else message
        frame = build_frame(TEXT, encode(values))
        return sum(visit.socket.send_frame(frame) for visit in visits)

    # --- a connection -----------------------------------------------------------------------------

    async def serve(self, request: Request, connection: Connection, leftover: bytes) -> None:
        """Serve a request to upgrade and its connection, from before the 101 to the end; called by the edge."""
        try:
            check_handshake(request)
            self._admit(request)
        except HandshakeRejected as rejection:
            log.info("control_rejected", status=rejection.status, reason=rejection.message, address=request.client)
            await reject(connection, rejection)
            return
        accept(request, connection)
        socket = MessageSocket(connection, leftover, self._settings.socket)
        self._opening += 1
        try:
            await self._visit(
                ControlConnection(uuid.uuid4().hex, Origin(request.client, request.only("user-agent") or ""), socket)
            )
        finally:
            self._opening -= 1

    def _admit(self, request: Request) -> None:
        """Raises `HandshakeRejected`."""
        if not self._deps.allow_origin(request.only("origin"), request.only("host")):
            raise HandshakeRejected(403, "E_ORIGIN", "pages of this origin may not connect here")
        known = sum(visit.client is not None for visit in self._visits.values())
        if self._opening - known >= self._settings.strangers:
            raise HandshakeRejected(
                503, "E_BUSY", "too many connections wait to be authenticated; try again", retry_after=2
            )

    async def _visit(self, visit: ControlConnection) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._deadline, visit)
            await self._stay(visit)
            nursery.cancel_scope.cancel()

    async def _stay(self, visit: ControlConnection) -> None:
        """Run the connection to its end, however it ends."""
        self._visits[visit.client_id] = visit
        self._event(visit, "connected", clientId=visit.client_id)
        try:
            await visit.socket.run(lambda opcode, data: self._receive(visit, opcode, data))
        finally:
            del self._visits[visit.client_id]
            if not tell_if_alive(visit.client, Hangup()):
                await self._take_back(visit)

    async def _take_back(self, visit: ControlConnection) -> None:
        """End an actor whose client hung up while it was being started: else it would never end."""
        supervisor = whereis(self._deps.clients)
        with trio.move_on_after(TAKE_BACK_SECONDS, shield=True):
            if supervisor is not None:
                with suppress(ChildError, ActorDeadError):
                    await Supervisor.terminate_child(supervisor, f"control:{visit.client_id}")

    async def _deadline(self, visit: ControlConnection) -> None:
        await trio.sleep(self._settings.authenticate)
        if visit.client is None:
            visit.socket.close(CloseCode.POLICY, f"no good token came within {self._settings.authenticate:g} s")

    # --- messages ---------------------------------------------------------------------------------

    async def _receive(self, visit: ControlConnection, opcode: int, data: bytes) -> None:
        try:
            said = parse(opcode, data)
            if visit.client is not None:
                await visit.client.send(ClientMessage(said))
            else:
                await self._first_words(visit, said)
        except ComeBack as passing:
            self._error(visit, Trouble("UNAVAILABLE", passing.reason))
            visit.socket.close(CloseCode.TRY_AGAIN, passing.reason)
        except Trouble as trouble:
            self._error(visit, trouble)
        except ActorDeadError:
            visit.socket.close(CloseCode.GOING_AWAY, "the service let this connection go; come back")

    async def _first_words(self, visit: ControlConnection, said: Any) -> None:
        match said:
            case Authenticate():
                await self._authenticate(visit, said)
            case Ping():
                visit.socket.send(encode(Pong(timestamp=self._now())))
            case _:
                raise Trouble("NOT_AUTHENTICATED", "authenticate first: {type: authenticate, token}")

    async def _authenticate(self, visit: ControlConnection, said: Authenticate) -> None:
        """Raises `Trouble`."""
        subject = await self._subject(said)
        visit.user_id = subject.user_id
        visit.client = await self._start(visit, subject)

    async def _subject(self, said: Authenticate) -> Principal:
        try:
            with trio.fail_after(self._settings.handshake):
                subject = await self._deps.authenticate(said.token)
        except ValueError:
            raise Trouble("AUTH_FAILED", "the token is not valid") from None
        except trio.TooSlowError:
            raise ComeBack("the token could not be checked in time; come back") from None
        except Exception as error:
            log.warning("control_not_authenticated", reason=repr(error)[:300])
            raise ComeBack("the token cannot be checked now; come back") from None
        if subject.user_id is None:
            raise Trouble("AUTH_FAILED", "a token of a person is needed")
        if said.user_id is not None and said.user_id != subject.user_id:
            raise Trouble("AUTH_FAILED", "userId is not the one of the token")
        return subject

    async def _start(self, visit: ControlConnection, subject: Principal) -> Ref:
        """The actor takes its place among the person's connections, or there is none."""
        args = (
            self._deps.context,
            self._deps.access,
            visit.socket,
            visit.client_id,
            subject,
            self._settings.subscriptions,
            self._feed,
            visit.origin,
        )
        keys = {"user": subject.user_id or ""}
        spec = ChildSpec(
            id=f"control:{visit.client_id}", actor=ControlClient, args=args, restart="temporary", keys=keys
        )
        supervisor = whereis(self._deps.clients)
        try:
            if supervisor is None:
                raise ActorDeadError("the service is starting or stopping; connect again in a moment")
            return await Supervisor.start_child(supervisor, spec)
        except LimitReached as refused:
            self._deps.context.measure("limit", {"limit": refused.limit})
            when = "close another one first" if refused.retry_after is None else f"in {refused.retry_after:.3g} s"
            text = f"limit {refused.limit}: {refused.current:g} of {refused.allowed:g} connections; try again: {when}"
            raise Trouble("CONNECTION_LIMIT", text) from None
        except (ChildError, MailboxFull, trio.TooSlowError) as error:
            log.warning("control_client_not_started", reason=repr(error)[:300])
            raise ComeBack("the service cannot take this connection now; come back") from None

    # --- out --------------------------------------------------------------------------------------

    def _event(self, visit: ControlConnection, event: Any, **data: str) -> None:
        visit.socket.send(encode(EventMessage(event=event, data=data, timestamp=self._now())))

    def _error(self, visit: ControlConnection, trouble: Trouble) -> None:
        error = ControlError(code=trouble.code, message=trouble.message, timestamp=self._now())
        visit.socket.send(encode(error))

    def _now(self) -> str:
        return iso(self._deps.context.clock.now_ms())
