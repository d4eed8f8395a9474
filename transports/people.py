"""The people watching: Socket.IO's connections in front of client actors.

A connection is admitted by the supervisor of the clients, which keeps the limits; its events go to its actor and the
actor's answer is the ack. What is published to rooms goes straight to the Socket.IO server, which owns the connections.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, cast
from urllib.parse import parse_qs

import structlog
import trio
from socketio.exceptions import ConnectionRefusedError

from actors import messages as m
from actors.client import ClientActor
from actors.context import Context
from actors.directory import Origin
from actors.ports import Access, ClientGone, Replay, Subject, Tag
from actors.runtime import ActorDeadError, MailboxFull, whereis
from contracts.joins import PAYLOADS, Refusal
from supervision import ChildError, ChildSpec, Refused
from transports.socketio import TrioServer
from transports.socketio.server import RECOVERED

log = structlog.get_logger("people")

INVALID_TOKEN = "unauthorized: invalid token"
SERVER_PING = "server_ping"
ANSWER_SECONDS = 20.0
LEAVE_SECONDS = 5.0

Authenticate = Callable[[str | None], Awaitable[Subject]]
"""Who a token belongs to; None is the anonymous. Raises `ValueError` for a token that is not good."""


class SocketIoOutlet:
    """The cast's way out: `actors.ports.Outlet` on the Socket.IO server."""

    def __init__(self, server: TrioServer) -> None:
        self._server = server

    def publish(self, event: str, payload: bytes, rooms: Sequence[str], tag: Tag | None = None) -> None:
        self._server.publish(event, payload, rooms, tag)

    def listens(self, rooms: Sequence[str]) -> bool:
        return self._server.has_audience(rooms)

    def send(self, client_id: str, event: str, payload: bytes) -> None:
        self._server.publish(event, payload, (client_id,))

    def enter(self, client_id: str, room: str) -> None:
        self._server.enter_room_nowait(client_id, room)

    def leave(self, client_id: str, room: str) -> None:
        self._server.leave_room_nowait(client_id, room)

    @asynccontextmanager
    async def catch_up(self, client_id: str) -> AsyncGenerator[Replay, None]:
        if not self._server.has_client(client_id):
            raise ClientGone
        async with self._server.catch_up(client_id) as replay:
            yield replay

    async def round_trip(self, client_id: str, timeout: float) -> float | None:
        begun = trio.current_time()
        try:
            await self._server.call(SERVER_PING, to=client_id, timeout=timeout)
        except Exception as error:  # gone, or too slow: either way there is no round trip to tell
            log.debug("no_round_trip", client=client_id, reason=type(error).__name__)
            return None
        return trio.current_time() - begun

    def disconnect(self, client_id: str) -> None:
        self._server.close_transport_nowait(client_id)

    async def dismiss(self, client_id: str) -> None:
        await self._server.disconnect(client_id)


class People:
    """Binds the product's events to the server."""

    def __init__(
        self, server: TrioServer, context: Context, authenticate: Authenticate, access: Access, clients: str
    ) -> None:
        """`clients`: path of the supervisor that admits connections and keeps their actors."""
        self._server = server
        self._context = context
        self._authenticate = authenticate
        self._access = access
        self._clients = clients
        bind = cast(Any, server).on  # python-socketio's own signature has no types
        bind("connect", self._connect)
        bind("disconnect", self._gone)
        bind("ping", self._ping)
        for event in PAYLOADS:
            bind(event, self._handler(event))

    async def _connect(self, sid: str, environ: dict[str, Any], auth: Any = None) -> None:
        try:
            subject = await self._authenticate(_token(environ, auth))
        except ValueError:
            raise ConnectionRefusedError(INVALID_TOKEN, {"code": "WS_INVALID_TOKEN"}) from None
        user = subject.user_id
        origin = Origin(str(environ.get("REMOTE_ADDR", "")), str(environ.get("HTTP_USER_AGENT", "")))
        keys = {"user": user} if user is not None else {"address": origin.address}
        args = (self._context, sid, subject, self._access, origin)
        spec = ChildSpec(id=f"client:{sid}", actor=ClientActor, args=args, restart="temporary", keys=keys)
        supervisor = whereis(self._clients)
        if supervisor is None:
            raise ConnectionRefusedError("the service is starting or stopping; try again", {"retry": True})
        if environ.get(RECOVERED):
            await self._replace(sid)
        try:
            client = await supervisor.proxy().start_child(spec)
            if environ.get(RECOVERED) and not await self._may_go_on(sid, client):
                raise ConnectionRefusedError("you may not be everywhere any more where you were", {"retry": True})
        except Refused as refused:
            self._context.measure("limit", {"limit": refused.limit})
            data = {"code": "CONNECTION_LIMIT", "retry": refused.retry_after is not None}
            raise ConnectionRefusedError(str(refused), data) from None

    async def _may_go_on(self, sid: str, client: Any) -> bool:
        """Whether who came back may still be in all of their rooms; else their actor is gone again."""
        rooms = [room for room in self._server.rooms(sid) if room != sid]
        allowed = False
        try:
            allowed = await client.call(m.Recovered(rooms), timeout=ANSWER_SECONDS)
        finally:  # also where it failed: an actor without a connection would keep its place for ever
            if not allowed:
                with trio.move_on_after(LEAVE_SECONDS, shield=True):
                    await self._end(sid)
        return allowed

    async def _replace(self, sid: str) -> None:
        """The actor of the connection before this one may not be over yet. It ends, and leaves the new one alone."""
        directory = self._context.directory
        old = directory.clients.get(sid)
        if old is not None:
            directory.disconnected(sid, old)
        await self._end(sid)

    async def _gone(self, sid: str, reason: str | None = None) -> None:
        if not self._server.has_client(sid):
            await self._end(sid)
        # Else they are back already, by another connection: that one's actor is none of this one's business.

    async def _end(self, sid: str) -> None:
        """Returns when their actor has ended."""
        supervisor = whereis(self._clients)
        if supervisor is not None:
            with suppress(ChildError, ActorDeadError):  # its actor may have ended before its connection did
                await supervisor.proxy().terminate_child(f"client:{sid}")

    async def _ping(self, sid: str, *_data: Any) -> tuple[()]:
        return ()

    def _handler(self, event: str) -> Callable[..., Awaitable[dict[str, Any]]]:
        async def handle(sid: str, data: Any = None, *_more: Any) -> dict[str, Any]:
            client = self._context.directory.clients.get(sid)
            try:
                if client is not None:
                    return await client.call(m.FromClient(event, data), timeout=ANSWER_SECONDS)
            except MailboxFull:
                return Refusal("E_RATE_LIMIT", "too many requests at once", retry_after=1.0).as_ack()
            except Exception as error:  # gone, late, or it failed: whoever asked is owed an answer
                if self._server.has_client(sid):
                    log.error("client_did_not_answer", request=event, reason=repr(error))
            return Refusal("E_INTERNAL", "the service could not do this now; try again", retry_after=1.0).as_ack()

        return handle


def _token(environ: dict[str, Any], auth: Any) -> str | None:
    """From `auth.token`, else from the query string; None where there is neither."""
    if isinstance(auth, dict) and auth.get("token") not in (None, ""):  # pyright: ignore[reportUnknownMemberType]
        return str(auth["token"])  # pyright: ignore[reportUnknownArgumentType]
    found = parse_qs(str(environ.get("QUERY_STRING", ""))).get("token")
    return found[0] if found else None
