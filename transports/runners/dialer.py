"""For runners that listen: the service dials out, and the roles of the messages stay the same.

    for spec in dial_specs(deps, targets):
        await supervisor.proxy().start_child(spec)

A dialer whose runner is not there fails and is started again by its supervisor, later each time; the first connection
is no different from a lost one.
"""

import ssl
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import Any, cast
from urllib.parse import urlsplit

import attrs
import structlog
import trio
from trio_websocket import ConnectionClosed, HandshakeError, wrap_client_stream

from actors.runtime import Reason, System, TrioActor
from contracts.link import PROTOCOL
from supervision import Backoff, ChildSpec
from transports.runners.arrival import Admission, hear_hello, start_link
from transports.runners.frames import V1
from transports.runners.link import Arrival
from transports.runners.ports import LinkDeps, RunnerIdentity
from transports.ws_socket import GuardedStream, MessageSocket

log = structlog.get_logger("dialer")

DIAL_SECONDS = 10.0
BACKOFF = Backoff(base=1.0, cap=30.0, jitter=0.5, reset_after=60.0)
_PORTS = {"ws": 80, "wss": 443}


class DialFailed(Exception):
    """The runner could not be reached, or its connection was lost. The supervisor dials again."""


@attrs.frozen(kw_only=True)
class DialTarget:
    """url: ws:// or wss:// with the path. token: what the runner asks of us, as Bearer. runner_id: who must answer;
    None: whoever does. villages: as of a `RunnerIdentity`. tls: for wss; None: the system's certificates.
    """

    url: str
    token: str = attrs.field(default="", repr=False)
    runner_id: str | None = None
    villages: frozenset[str] | None = None
    tls: ssl.SSLContext | None = attrs.field(default=None, repr=False)

    def __attrs_post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ValueError(f"runners.dial: {self.url!r} is no WebSocket URL: write ws://HOST:PORT/PATH or wss://…")

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

    async def _surround(self, live: Callable[[], Awaitable[Reason]]) -> Reason:  # pyright: ignore
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._call)
            try:
                return await live()
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
        except* (
            ConnectionClosed,
            HandshakeError,
            trio.BrokenResourceError,
            trio.ClosedResourceError,
            OSError,
        ) as group:
            reason = type(_first(group)).__name__
        except* Exception as group:
            reason = repr(_first(group))[:300]
        self.actor_ref.tell(CallEnded(reason))

    async def _talk(self) -> str:
        """One connection, from the first packet to the last. Why it ended."""
        async with trio.open_nursery() as nursery:
            socket = None
            with trio.move_on_after(DIAL_SECONDS):  # around everything: the library's own deadline can hang
                socket = await self._connect(nursery)
            reason = f"no answer within {DIAL_SECONDS:g} s"
            if socket is not None:
                reason = await self._serve(socket)
            nursery.cancel_scope.cancel()
        return reason

    async def _connect(self, nursery: trio.Nursery) -> MessageSocket:
        target = self._target
        stream: trio.abc.Stream = await trio.open_tcp_stream(target.host, target.port)
        if target.secure:
            context = target.tls or ssl.create_default_context()
            stream = trio.SSLStream(stream, context, server_hostname=target.host, https_compatible=True)
        limits = self._deps.settings.socket
        guarded = GuardedStream(stream, limits.frames)
        headers = [(b"Authorization", f"Bearer {target.token}".encode())] if target.token else []
        try:
            ws = await wrap_client_stream(
                nursery,
                cast(Any, guarded),  # any stream will do
                f"{target.host}:{target.port}",
                target.resource,
                subprotocols=[PROTOCOL],
                extra_headers=headers,
                max_message_size=2 * limits.message_bytes,
                message_queue_size=1,
            )
        except BaseException:
            await trio.aclose_forcefully(guarded)
            raise
        return MessageSocket(ws, guarded, limits)

    async def _serve(self, socket: MessageSocket) -> str:
        target = self._target
        try:
            wanted = RunnerIdentity(runner_id=target.runner_id or "", villages=target.villages)
            hello = await hear_hello(socket, Admission(wanted, V1()), self._deps.settings)
            if hello is None:
                return "it said no proper hello"
            identity = attrs.evolve(wanted, runner_id=hello.runner_id)
            arrival = Arrival(socket=socket, dialect=V1(), identity=identity, hello=hello)
            if await start_link(self._deps, arrival) is None:
                return "the link could not be started"
            await socket.over.wait()
            return "lost" if socket.ending is None else socket.ending.reason
        finally:
            socket.abort()
            await socket.discard()


def _first(group: BaseExceptionGroup[Any]) -> BaseException:
    first: Any = group
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    return first  # pyright: ignore[reportUnknownVariableType]


def _without_query(url: str) -> str:
    return url.partition("?")[0]
