"""Where runners come in: who is it, in which dialect, and is there room. Everything before the link's actor lives.

    door = RunnerDoor(deps)
    edge.websocket("/runner", door.serve)

Nothing that a stranger sends gets further than the nursery of its own connection.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar
from urllib.parse import parse_qs

import attrs
import structlog
import trio
from trio_websocket import wrap_server_stream

from actors import messages as m
from actors.directory import tell_if_alive
from actors.ports import Ref
from contracts.link import PROTOCOL, Hello
from transports.edge_connection import Connection
from transports.edge_http import Request
from transports.edge_stream import ReplayStream
from transports.runners.arrival import Admission, hear_hello, start_link
from transports.runners.frames import V1, Ackless
from transports.runners.link import Arrival
from transports.runners.ports import InvalidToken, LinkDeps, RunnerIdentity
from transports.ws_door import Knock, Rejection, contained, reject
from transports.ws_socket import GuardedStream, MessageSocket

log = structlog.get_logger("runner_door")

T = TypeVar("T", str, tuple[str, ...])
ENDED = ("is revoked", "is over", "names no runner that is known here")
"""Of what was refused this much is told to whoever holds it."""


class RunnerDoor:
    """The WebSocket endpoint of the runners."""

    def __init__(self, deps: LinkDeps) -> None:
        self._deps = deps
        self._settings = deps.settings
        self._knocking = 0
        self._links: dict[str, set[Ref]] = {}

    def cut(self, runner_id: str, reason: str) -> int:
        """Close every connection of a runner, whose token was revoked for instance. How many there were."""
        links = self._links.get(runner_id, set())
        return sum(tell_if_alive(link, m.CloseLink(reason, retry=False)) for link in list(links))

    async def serve(self, request: Request, connection: Connection, leftover: bytes) -> None:
        """For the edge: a request to upgrade, and its connection."""
        stream = ReplayStream(request, connection, leftover)
        await self.serve_stream(Knock.of(request), stream, connection.certificate)

    async def serve_stream(self, knock: Knock, stream: trio.abc.Stream, certificate: tuple[str, ...] = ()) -> None:
        """From the request to the end of the connection. Never raises an `Exception`: it is logged."""
        try:
            admission = await self._admit(knock, certificate)
        except Rejection as rejection:
            log.info("runner_rejected", status=rejection.status, reason=rejection.message, address=knock.address)
            self._deps.context.measure("runner_rejected", {"status": rejection.status})
            await reject(stream, rejection)
        else:
            with contained(knock.address, self._deps.context.measure):
                await self._let_in(admission, stream)
        finally:
            await trio.aclose_forcefully(stream)

    # --- before the 101 ---------------------------------------------------------------------------

    async def _admit(self, knock: Knock, certificate: tuple[str, ...]) -> Admission:
        """Raises `Rejection`."""
        knock.check()
        if knock.has("origin"):
            raise Rejection(403, "E_ORIGIN", "browsers may not connect here: a runner sends no Origin header")
        if self._knocking >= self._settings.handshakes:
            raise Rejection(503, "E_BUSY", "too many connections are being opened; try again", retry_after=2)
        authorization = knock.header("authorization")
        query = parse_qs(knock.query)
        if authorization is None and "token" in query:
            return await self._admit_ackless(query)
        if authorization is None and certificate:
            return Admission(await self._identify(certificate, self._deps.recognize), V1())
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Rejection(401, "E_UNAUTH", "a runner token is needed: Authorization: Bearer <token>")
        return Admission(await self._identify(token.strip(), self._deps.authenticate), V1())

    async def _admit_ackless(self, query: dict[str, list[str]]) -> Admission:
        if not self._settings.ackless:
            text = "a token in the URL is not taken here: send it as Authorization: Bearer <token>"
            raise Rejection(401, "E_UNAUTH", text)
        identity = await self._identify(query["token"][0], self._deps.authenticate)
        named = query.get("runner", [""])[0]
        if named != identity.runner_id:
            raise Rejection(403, "E_FORBIDDEN", "the query's runner is not the one of the token")
        return Admission(identity, Ackless(identity.runner_id))

    async def _identify(self, shown: T, how: Callable[[T], Awaitable[RunnerIdentity]]) -> RunnerIdentity:
        try:
            with trio.fail_after(self._settings.handshake):
                return await how(shown)
        except InvalidToken as error:
            ended = str(error) if str(error) in ENDED else "is not valid"
            what = "token" if isinstance(shown, str) else "certificate"
            raise Rejection(401, "E_UNAUTH", f"the runner {what} {ended}") from None
        except trio.TooSlowError:
            raise Rejection(503, "E_BUSY", "the token could not be checked in time; try again", retry_after=2) from None

    # --- after it ---------------------------------------------------------------------------------

    async def _let_in(self, admission: Admission, stream: trio.abc.Stream) -> None:
        guarded = GuardedStream(stream, self._settings.socket.frames)
        async with trio.open_nursery() as nursery:
            greeted = await self._greet(nursery, guarded, admission)
            if greeted is not None:
                socket, hello = greeted
                dialect = admission.dialect
                identity = attrs.evolve(admission.identity, runner_id=hello.runner_id)
                await self._stay(Arrival(socket=socket, dialect=dialect, identity=identity, hello=hello))
            nursery.cancel_scope.cancel()

    async def _greet(
        self, nursery: trio.Nursery, stream: GuardedStream, admission: Admission
    ) -> tuple[MessageSocket, Hello] | None:
        """The handshake and the first message, each within its deadline."""
        self._knocking += 1
        try:
            socket = None
            with trio.move_on_after(self._settings.handshake):
                socket = await self._upgrade(nursery, stream)
            if socket is None:
                return None
            hello = await hear_hello(socket, admission, self._settings)
            return None if hello is None else (socket, hello)
        finally:
            self._knocking -= 1

    async def _upgrade(self, nursery: trio.Nursery, stream: GuardedStream) -> MessageSocket:
        # trio-websocket closes a message that is longer without a word: ours, with a word, comes first
        request = await wrap_server_stream(
            nursery, stream, max_message_size=2 * self._settings.socket.message_bytes, message_queue_size=1
        )
        ws = await request.accept(subprotocol=PROTOCOL if PROTOCOL in request.proposed_subprotocols else None)
        return MessageSocket(ws, stream, self._settings.socket)

    async def _stay(self, arrival: Arrival) -> None:
        """Until the connection is over."""
        link = await start_link(self._deps, arrival)
        if link is None:
            return
        links = self._links.setdefault(arrival.identity.runner_id, set())
        links.add(link)
        try:
            await arrival.socket.over.wait()
        finally:
            links.discard(link)
            if not links:
                self._links.pop(arrival.identity.runner_id, None)
