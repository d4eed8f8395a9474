"""The moment before a WebSocket: the request that knocks, and the plain HTTP answer to one that may not come in."""

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, Self

import attrs
import structlog
import trio
from trio_websocket import ConnectionClosed, HandshakeError

from contracts.codec import encode
from transports.edge_http import Request

log = structlog.get_logger("websocket")

REJECT_SECONDS = 5.0

WEATHER = (ConnectionClosed, HandshakeError, trio.BrokenResourceError, trio.ClosedResourceError, OSError)
"""What ends a connection every day."""


@attrs.frozen
class Knock:
    """What is looked at before the 101. `headers`: lower-case names. `address`: the client's, trusted proxies aside."""

    headers: tuple[tuple[str, str], ...]
    query: str
    address: str

    @classmethod
    def of(cls, request: Request) -> Self:
        """From the edge's request."""
        return cls(tuple(request.headers), request.query, request.client)

    def header(self, name: str) -> str | None:
        """The header's value; None without it, "" where it is there more than once (so that no one value is picked)."""
        found = [value for key, value in self.headers if key == name]
        return None if not found else found[0] if len(found) == 1 else ""

    def has(self, name: str) -> bool:
        return any(key == name for key, _ in self.headers)

    def check(self) -> None:
        """Raises `Rejection` for headers that wsproto would fall over: it decodes all of them as ASCII."""
        for name, value in self.headers:
            if not (name.isascii() and value.isascii()):
                raise Rejection(400, "E_BAD_REQUEST", f"header {name[:40]!r}: only ASCII is understood here")


@attrs.frozen
class Rejection(Exception):
    """A request that does not get a WebSocket."""

    status: int
    code: str
    message: str
    retry_after: int | None = None


async def reject(stream: trio.abc.Stream, rejection: Rejection) -> None:
    """Answer with the status and a one-line JSON error, and close. Never raises an `Exception`."""
    body = encode({"error": {"code": rejection.code, "message": rejection.message}}) + b"\n"
    lines = [
        f"HTTP/1.1 {rejection.status} {HTTPStatus(rejection.status).phrase}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    if rejection.status == 401:
        lines.append("WWW-Authenticate: Bearer")
    if rejection.retry_after is not None:
        lines.append(f"Retry-After: {rejection.retry_after}")
    head = "\r\n".join(lines).encode() + b"\r\n\r\n"
    try:
        with trio.move_on_after(REJECT_SECONDS):
            await stream.send_all(head + body)
            if isinstance(stream, trio.abc.HalfCloseableStream):
                await stream.send_eof()
    except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
        return  # it did not wait for the answer


@contextmanager
def contained(address: str, measure: Callable[[str, dict[str, Any]], None]) -> Generator[None, None, None]:
    """Whatever one connection does stays with it: network weather is nothing, anything else is logged and counted.

    wsproto raises plain UnicodeDecodeErrors for odd handshakes, so this has to be wide.
    """
    try:
        yield
    except* WEATHER:
        pass
    except* Exception as group:
        kinds = sorted({type(error).__name__ for error in _leaves(group)})
        log.warning("connection_failed", address=address, errors=kinds)
        measure("connection_failed", {"kind": kinds[0]})


def _leaves(group: BaseExceptionGroup[Any]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)  # pyright: ignore[reportUnknownArgumentType]
        else:
            yield error
