"""Endpoint of runners: who is it, in which dialect, and is there room. All that comes before the link's actor.

    door = RunnerEndpoint(deps)
    edge.websocket("/runner", door.serve)

Nothing that a stranger sends gets further than the nursery of its own connection.
"""

import math
from collections.abc import Awaitable, Callable
from typing import TypeVar
from urllib.parse import parse_qs

import attrs
import structlog
import trio

from townwatch.contracts.faults import TablesUnavailable
from townwatch.contracts.link import PROTOCOL
from townwatch.transports.edge.connection import Connection
from townwatch.transports.edge.http import Request
from townwatch.transports.runners.frames import V1, AcklessDialect, too_large
from townwatch.transports.runners.link import AcceptedRunner
from townwatch.transports.runners.link_handshake import Admission, hear_hello, start_link
from townwatch.transports.runners.ports import InvalidToken, LinkDeps, RunnerIdentity
from townwatch.transports.websocket.close_codes import CloseCode
from townwatch.transports.websocket.handshake import (
    HandshakeRejected,
    accept,
    check_handshake,
    offers_subprotocol,
    reject,
)
from townwatch.transports.websocket.socket import MessageSocket

log = structlog.get_logger("runner_door")

T = TypeVar("T", str, tuple[str, ...])
ENDED = ("is revoked", "has expired", "names no runner that is known here")
"""Reasons for a refused token that its holder is told."""


class RunnerEndpoint:
    """The WebSocket endpoint of the runners."""

    def __init__(self, deps: LinkDeps) -> None:
        self._deps = deps
        self._settings = deps.settings
        self._knocking = 0
        self._sockets: dict[str, set[MessageSocket]] = {}

    def cut(self, runner_id: str, reason: str) -> int:
        """Close every connection of a runner, whose token was revoked for instance. How many there were."""
        open_now = [socket for socket in self._sockets.get(runner_id, ()) if not socket.closing]
        for socket in open_now:
            socket.close(CloseCode.POLICY, reason)
        return len(open_now)

    async def serve(self, request: Request, connection: Connection, leftover: bytes) -> None:
        """Serve a request to upgrade and its connection, from before the 101 to the end; called by the edge."""
        try:
            check_handshake(request)
            admission = await self._admit(request, connection.certificate)
        except HandshakeRejected as rejection:
            log.info("runner_rejected", status=rejection.status, reason=rejection.message, address=request.client)
            self._deps.context.measure("runner_rejected", {"status": rejection.status})
            await reject(connection, rejection)
            return
        subprotocol = PROTOCOL if offers_subprotocol(request, PROTOCOL) else None
        accept(request, connection, subprotocol=subprotocol)
        socket = MessageSocket(connection, leftover, self._settings.socket, subprotocol=subprotocol)
        socket.explain = too_large
        await self._let_in(admission, socket)

    # --- before the 101 ---------------------------------------------------------------------------

    async def _admit(self, request: Request, certificate: tuple[str, ...]) -> Admission:
        """Raises `HandshakeRejected`."""
        if request.only("origin") is not None:
            raise HandshakeRejected(403, "E_ORIGIN", "browsers may not connect here: a runner sends no Origin header")
        if self._knocking >= self._settings.handshakes:
            raise HandshakeRejected(503, "E_BUSY", "too many connections are being opened; try again", retry_after=2)
        authorization = request.only("authorization")
        query = parse_qs(request.query)
        if authorization is None and "token" in query:
            return await self._admit_ackless(query)
        if authorization is None and certificate:
            return Admission(await self._identify(certificate, self._deps.recognize), V1(self._count_unknown))
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise HandshakeRejected(401, "E_UNAUTH", "a runner token is needed: Authorization: Bearer <token>")
        return Admission(await self._identify(token.strip(), self._deps.authenticate), V1(self._count_unknown))

    async def _admit_ackless(self, query: dict[str, list[str]]) -> Admission:
        if not self._settings.ackless:
            text = "a token in the URL is not taken here: send it as Authorization: Bearer <token>"
            raise HandshakeRejected(401, "E_UNAUTH", text)
        identity = await self._identify(query["token"][0], self._deps.authenticate)
        named = query.get("runner", [""])[0]
        if named != identity.runner_id:
            raise HandshakeRejected(403, "E_FORBIDDEN", "the query's runner is not the one of the token")
        return Admission(identity, AcklessDialect(identity.runner_id))

    async def _identify(self, shown: T, how: Callable[[T], Awaitable[RunnerIdentity]]) -> RunnerIdentity:
        try:
            with trio.fail_after(self._settings.handshake):
                return await how(shown)
        except InvalidToken as error:
            ended = str(error) if str(error) in ENDED else "is not valid"
            what = "token" if isinstance(shown, str) else "certificate"
            raise HandshakeRejected(401, "E_UNAUTH", f"the runner {what} {ended}") from None
        except trio.TooSlowError:
            raise HandshakeRejected(
                503, "E_BUSY", "the token could not be checked in time; try again", retry_after=2
            ) from None
        except Exception as error:  # the database is away, or worse: whatever it is, the runner is not to blame
            log.warning("runner_not_identified", reason=repr(error)[:300])
            after = math.ceil(error.retry_after) if isinstance(error, TablesUnavailable) else 2
            text = "the token cannot be checked now; come back"
            raise HandshakeRejected(503, "E_UNAVAILABLE", text, retry_after=after) from None

    # --- after it ---------------------------------------------------------------------------------

    async def _let_in(self, admission: Admission, socket: MessageSocket) -> None:
        self._knocking += 1
        try:
            hello = await hear_hello(socket, admission, self._settings)
        finally:
            self._knocking -= 1
        if hello is not None:
            identity = attrs.evolve(admission.identity, runner_id=hello.runner_id)
            await self._stay(AcceptedRunner(socket=socket, dialect=admission.dialect, identity=identity, hello=hello))

    def _count_unknown(self, fields: int) -> None:
        self._deps.context.measure("unknown_field", {"count": fields})

    async def _stay(self, arrival: AcceptedRunner) -> None:
        """Run the connection to its end. It can be cut from before its actor starts, which welcomes the runner."""
        sockets = self._sockets.setdefault(arrival.identity.runner_id, set())
        sockets.add(arrival.socket)
        try:
            if await start_link(self._deps, arrival) is not None:
                await arrival.socket.over.wait()
        finally:
            sockets.discard(arrival.socket)
            if not sockets:
                self._sockets.pop(arrival.identity.runner_id, None)
