"""From the edge to an ASGI application and back: one request, one scope, one collected answer."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import structlog
import trio

from transports.edge import Request, Response

log = structlog.get_logger("http")

Message = MutableMapping[str, Any]
AsgiApp = Callable[[Any, Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]]
ASGI = {"version": "3.0", "spec_version": "2.4"}
SHUTDOWN_SECONDS = 2.0


class Incomplete(Exception):
    """The application ended before its answer did."""


class AsgiBridge:
    """An edge handler that runs an ASGI application. Bodies are small here: they come and go as a whole."""

    def __init__(self, app: AsgiApp) -> None:
        self._app = app

    async def __call__(self, request: Request) -> Response:
        """One request. HEAD is asked as GET; the edge leaves the body out. Raises what the application raises."""
        exchange = _Exchange(request.body)
        await self._app(scope_of(request), exchange.receive, exchange.send)
        return exchange.response()

    async def lifespan(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """The application's startup, and (when cancelled) its shutdown. Run it as a task: ``nursery.start``."""
        to_app, from_edge = trio.open_memory_channel[Message](1)
        to_app.send_nowait({"type": "lifespan.startup"})

        async def send(message: Message) -> None:
            match message["type"]:
                case "lifespan.startup.complete":
                    task_status.started()
                case "lifespan.startup.failed" | "lifespan.shutdown.failed":
                    log.error("application_lifespan", stage=message["type"], reason=str(message.get("message", "")))
                case _:
                    pass

        async with trio.open_nursery() as nursery:
            scope = {"type": "lifespan", "asgi": ASGI, "state": {}}
            # shielded, so that the application can be told of the end before it is cancelled
            nursery.start_soon(_shielded, self._app, scope, from_edge.receive, send)
            try:
                await trio.sleep_forever()
            finally:
                with trio.move_on_after(SHUTDOWN_SECONDS) as grace:
                    grace.shield = True
                    await to_app.send({"type": "lifespan.shutdown"})


async def _shielded(
    app: AsgiApp,
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    with trio.CancelScope(shield=True):
        await app(scope, receive, send)


def scope_of(request: Request) -> dict[str, Any]:
    """The ASGI HTTP scope of a request."""
    return {
        "type": "http",
        "asgi": ASGI,
        "http_version": "1.1",
        "method": "GET" if request.method == "HEAD" else request.method,
        "scheme": request.scheme,
        "path": request.path,
        "raw_path": request.raw_path.encode("latin-1", "replace"),
        "query_string": request.query.encode("latin-1", "replace"),
        "root_path": "",
        "headers": [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in request.headers],
        "client": (request.client, 0),
        "server": None,
        "state": {},
    }


class _Exchange:
    """What the application asks for and says."""

    def __init__(self, body: bytes) -> None:
        self._body: bytes | None = body
        self._status = 0
        self._headers: list[tuple[str, str]] = []
        self._parts: list[bytes] = []
        self._complete = False

    async def receive(self) -> Message:
        """The whole body at once; then nothing more until the peer hangs up, and then we are cancelled."""
        if self._body is None:
            await trio.sleep_forever()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: Message) -> None:
        match message["type"]:
            case "http.response.start":
                self._status = message["status"]
                self._headers = [
                    (bytes(name).decode("latin-1"), bytes(value).decode("latin-1"))
                    for name, value in message.get("headers", ())
                    if bytes(name).lower() != b"content-length"  # the edge says it
                ]
            case "http.response.body":
                self._parts.append(bytes(message.get("body", b"")))
                self._complete = not message.get("more_body", False)
            case _:
                pass

    def response(self) -> Response:
        """What was sent, as the edge wants it."""
        if not self._status or not self._complete:
            raise Incomplete("the application ended before its answer did")
        return Response(self._status, b"".join(self._parts), self._headers)
