"""Connections to runners that listen: the service dials out, and the roles of the messages stay the same.

    for spec in dial_specs(deps, targets):
        await Supervisor.start_child(supervisor, spec)

A dialer whose runner is not there fails and is started again by its supervisor, later each time; the first connection
is no different from a lost one.
"""

import socket
import ssl
from collections.abc import AsyncGenerator, Iterable
from functools import partial
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import attrs
import structlog
import trio

from townwatch.contracts.link import PROTOCOL
from townwatch.runtime import System, TrioActor
from townwatch.supervision import Backoff, ChildSpec
from townwatch.transports.edge.connection import Connection
from townwatch.transports.edge.tls import plain_pair, relay, start_tls
from townwatch.transports.runners.frames import V1, too_large
from townwatch.transports.runners.link import AcceptedRunner
from townwatch.transports.runners.link_handshake import Admission, hear_hello, start_link
from townwatch.transports.runners.ports import LinkDeps, RunnerIdentity
from townwatch.transports.websocket.dial import DialRejected, open_websocket
from townwatch.transports.websocket.socket import MessageSocket

log = structlog.get_logger("dialer")

DIAL_SECONDS = 10.0
BACKOFF = Backoff(base=1.0, cap=30.0, jitter=0.5, reset_after=60.0)
_PORTS = {"ws": 80, "wss": 443}


class DialFailed(Exception):
    """The runner could not be reached, or its connection was lost. The supervisor dials again."""


@attrs.frozen(kw_only=True)
class DialTarget:
    """url: ws:// or wss:// with the path. runner_id: who must answer. token: what the runner asks of us, as Bearer.
    tls: for wss; None: the system's certificates.
    """

    url: str
    runner_id: str
    token: str = attrs.field(default="", repr=False)
    tls: ssl.SSLContext | None = attrs.field(default=None, repr=False)

    def __attrs_post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ValueError(f"runners.dial: {self.url!r} is no WebSocket URL: write ws://HOST:PORT/PATH or wss://…")

        if not self.runner_id:
            raise ValueError(f"runners.dial: {self.url!r} has no runner_id: name the runner that must answer there")

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        parts = urlsplit(self.url)
        return parts.port or _PORTS[parts.scheme]

    @property
    def resource(self) -> str:
        parts = urlsplit(self.url)
        return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")

    @property
    def secure(self) -> bool:
        return urlsplit(self.url).scheme == "wss"


def dial_specs(deps: LinkDeps, targets: Iterable[DialTarget]) -> list[ChildSpec]:
    """A child for each target: transient, with backoff."""
    return [
        ChildSpec(
            id=f"dial:{target.host}:{target.port}{target.resource}",
            actor=Dialer,
            args=(deps, target),
            restart="transient",
            backoff=BACKOFF,
            mailbox="clear",
        )
        for target in targets
    ]


class CallEnded(System):
    """To oneself: the call is over, and why."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


class Dialer(TrioActor):
    """One call to one runner. Fails when the call ends, so that its supervisor makes the next one."""

    def __init__(self, deps: LinkDeps, target: DialTarget) -> None:
        super().__init__()
        self._deps = deps
        self._target = target

    async def lifespan(self) -> AsyncGenerator[None, None]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._call)
            try:
                yield
            finally:
                nursery.cancel_scope.cancel()

    def on_receive(self, message: Any) -> None:
        if isinstance(message, CallEnded):
            raise DialFailed(message.reason)

    def _handle_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """A runner that is away is daily life: a line, not a traceback."""
        if isinstance(exception_value, DialFailed):
            log.info("runner_not_reached", url=_without_query(self._target.url), reason=str(exception_value))
        else:
            super()._handle_failure(exception_type, exception_value, traceback)

    async def _call(self) -> None:
        try:
            reason = await self._talk()
        except* DialRejected as group:
            reason = str(_first(group))
        except* (trio.BrokenResourceError, trio.ClosedResourceError, OSError) as group:
            reason = type(_first(group)).__name__
        except* Exception as group:
            reason = repr(_first(group))[:300]
        self.actor_ref.tell(CallEnded(reason))

    async def _talk(self) -> str:
        """Serve one connection, from the first packet to the last; return why it ended."""
        async with trio.open_nursery() as nursery:
            link = None
            with trio.move_on_after(DIAL_SECONDS):
                link = await self._connect(nursery)
            reason = f"no answer within {DIAL_SECONDS:g} s"
            if link is not None:
                reason = await self._serve(link)
            nursery.cancel_scope.cancel()
        return reason

    async def _connect(self, nursery: trio.Nursery) -> MessageSocket:
        target, limits = self._target, self._deps.settings.socket
        dialled = await trio.open_tcp_stream(target.host, target.port)
        wire = Connection(_plain_socket(dialled), nursery)
        connection = wire
        try:
            if target.secure:
                context = target.tls or ssl.create_default_context()
                secure = await start_tls(context, wire, limits.send, target.host)
                ours, theirs = plain_pair()
                nursery.start_soon(relay, secure, wire, theirs, limits.send)
                connection = Connection(ours, nursery)
                connection.wire = wire.sock
            headers = [("Authorization", f"Bearer {target.token}")] if target.token else []
            host = f"{target.host}:{target.port}"
            leftover, subprotocol = await open_websocket(connection, host, target.resource, headers, PROTOCOL)
        except BaseException:
            connection.abort()
            wire.abort()
            raise
        link = MessageSocket(connection, leftover, limits, subprotocol=subprotocol, client=True)
        link.explain = too_large
        return link

    def _count_unknown(self, fields: int) -> None:
        self._deps.context.measure("unknown_field", {"count": fields})

    async def _serve(self, link: MessageSocket) -> str:
        target = self._target
        try:
            granted = partial(self._deps.grants, target.runner_id)
            wanted = RunnerIdentity(runner_id=target.runner_id, villages=granted)
            hello = await hear_hello(link, Admission(wanted, V1(self._count_unknown)), self._deps.settings)
            if hello is None:
                return "it said no proper hello"
            identity = attrs.evolve(wanted, runner_id=hello.runner_id)
            arrival = AcceptedRunner(socket=link, dialect=V1(self._count_unknown), identity=identity, hello=hello)
            if await start_link(self._deps, arrival) is None:
                return "the link could not be started"
            await link.over.wait()
            return "lost" if link.ending is None else link.ending.reason
        finally:
            link.abort()


def _plain_socket(dialled: trio.SocketStream) -> socket.socket:
    """The socket of a stream that is not used any more, as the edge's connections want it."""
    plain = socket.socket(fileno=dialled.socket.detach())
    plain.setblocking(False)
    return plain


def _first(group: BaseExceptionGroup[Any]) -> BaseException:
    first: Any = group
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    return first  # pyright: ignore[reportUnknownVariableType]


def _without_query(url: str) -> str:
    return url.partition("?")[0]
