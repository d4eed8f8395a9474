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

from townwatch.actors import messages as m
from townwatch.actors.client import ClientActor
from townwatch.actors.context import Context
from townwatch.actors.directory import Origin
from townwatch.actors.people.seen import owner_of, same_owner
from townwatch.actors.ports import Access, ClientGone, Principal, Replay, Tag
from townwatch.contracts.joins import PAYLOADS, Refusal
from townwatch.contracts.networks import network_of
from townwatch.runtime import ActorDeadError, MailboxFull, whereis
from townwatch.supervision import ChildError, ChildSpec, LimitReached, Supervisor
from townwatch.transports.socketio import Postponed, TrioServer
from townwatch.transports.socketio.kept.keeper import Returned
from townwatch.transports.socketio.server import RECOVERED

log = structlog.get_logger("people")

INVALID_TOKEN = "unauthorized: invalid token"
SERVER_PING = "server_ping"
ANSWER_SECONDS = 20.0
LEAVE_SECONDS = 5.0
SHOW_SECONDS = 30.0

Authenticate = Callable[[str | None], Awaitable[Principal]]
"""Who a token belongs to; None is the anonymous. Raises `ValueError` for a token that is not good."""


class SocketIoOutlet:
    """The cast's way out: `townwatch.actors.ports.Outlet` on the Socket.IO server."""

    def __init__(self, server: TrioServer) -> None:
        self._server = server

    def publish(
        self, event: str, payload: bytes, rooms: Sequence[str], tag: Tag | None = None, *, without: str | None = None
    ) -> None:
        self._server.publish(event, payload, rooms, tag, without=without)

    def listens(self, rooms: Sequence[str]) -> bool:
        return self._server.has_audience(rooms)

    def send(self, client_id: str, event: str, payload: bytes) -> None:
        self._server.publish(event, payload, (client_id,))

    def enter(self, client_id: str, room: str) -> None:
        try:
            self._server.enter_room_nowait(client_id, room)
        except KeyError:
            raise ClientGone from None

    def leave(self, client_id: str, room: str) -> None:
        self._server.leave_room_nowait(client_id, room)

    @asynccontextmanager
    async def catch_up(self, client_id: str) -> AsyncGenerator[Replay, None]:
        if not self._server.has_client(client_id):
            raise ClientGone
        refused: Refusal | None = None
        async with self._server.catch_up(client_id) as replay:
            try:
                yield replay
            except Refusal as refusal:  # no failure: nothing was promised
                refused = refusal
        if refused is not None:
            raise refused

    async def round_trip(self, client_id: str, timeout: float) -> float | None:
        begun = trio.current_time()
        try:
            await self._server.call(SERVER_PING, to=client_id, timeout=timeout)
        except Exception as error:  # gone, or too slow: either way there is no round trip to tell
            log.debug("no_round_trip", client=client_id, reason=type(error).__name__)
            return None
        return trio.current_time() - begun

    async def keep(self, client_id: str, owner: str) -> None:
        await self._server.keep(client_id, owner)

    def disconnect(self, client_id: str) -> None:
        self._server.close_transport_nowait(client_id)

    async def dismiss(self, client_id: str) -> None:
        await self._server.disconnect(client_id)


class ClientHandlers:
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
        keys = {"user": user} if user is not None else {"address": network_of(origin.address)}
        args = (self._context, sid, subject, self._access, origin)
        spec = ChildSpec(id=f"client:{sid}", actor=ClientActor, args=args, restart="temporary", keys=keys)
        supervisor = whereis(self._clients)
        if supervisor is None:
            raise Postponed("the service is starting or stopping; connect again in a moment")
        owner = owner_of(user, origin.address)
        state = await self._server.get_session(sid)
        returned = self._server.returned(sid)
        if environ.get(RECOVERED):
            was = state.get("owner", owner) if returned is None else returned.kept.owner
            if not same_owner(was, owner):
                raise Postponed("this connection was another person's; connect and join again", recoverable=False)
            await self._replace(sid)
        state["owner"] = owner
        try:
            client = await Supervisor.start_child(supervisor, spec)
            if environ.get(RECOVERED) and not await self._may_go_on(sid, client):
                raise Postponed("your rights changed since you were here; connect and join again", recoverable=False)
        except LimitReached as refused:
            self._context.measure("limit", {"limit": refused.limit})
            if refused.retry_after is not None:
                raise Postponed(str(refused)) from None
            data = {"code": "CONNECTION_LIMIT", "retry": False}
            raise ConnectionRefusedError(str(refused), data) from None

    async def _may_go_on(self, sid: str, client: Any) -> bool:
        """Return True if a returning client may still be in all of its rooms; otherwise end its actor."""
        returned = self._server.returned(sid)
        rooms = [room for room in self._server.rooms(sid) if room != sid]
        if returned is not None:
            rooms = [one.room for one in returned.kept.rooms]
        allowed = False
        try:
            allowed = await client.call(m.RoomsRecovered(rooms), timeout=ANSWER_SECONDS)
        finally:  # also where it failed: an actor without a connection would keep its place for ever
            if not allowed:
                with trio.move_on_after(LEAVE_SECONDS, shield=True):
                    await self._end(sid)
        return allowed

    async def show_missed(self, sid: str, returned: Returned) -> None:
        """Show a client of another process what it missed: `KeepingApi.on_return`."""
        client = self._context.directory.clients.get(sid)
        if client is not None:  # else it is gone again
            await client.call(m.CameBack(returned.missed), timeout=SHOW_SECONDS)

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
        """End their actor; return when it has ended."""
        supervisor = whereis(self._clients)
        if supervisor is not None:
            with suppress(ChildError, ActorDeadError):  # its actor may have ended before its connection did
                await Supervisor.terminate_child(supervisor, f"client:{sid}")

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
            except Exception as error:  # gone, late, or it failed: the client is owed an answer
                if self._server.has_client(sid):
                    log.error("client_did_not_answer", request=event, reason=repr(error))
            return Refusal("E_INTERNAL", "the service could not do this now; try again", retry_after=1.0).as_ack()

        return handle


def _token(environ: dict[str, Any], auth: Any) -> str | None:
    """Return the token from `auth.token`, else from the query string; None without either."""
    if isinstance(auth, dict) and auth.get("token") not in (None, ""):  # pyright: ignore[reportUnknownMemberType]
        return str(auth["token"])  # pyright: ignore[reportUnknownArgumentType]
    found = parse_qs(str(environ.get("QUERY_STRING", ""))).get("token")
    return found[0] if found else None
