"""The opening of a WebSocket (RFC 6455, section 4.2), alike for Socket.IO, `/runner` and `/ws`.

The checks, the 101, and the plain HTTP answer to a request that gets none.
"""

import base64
import binascii
from http import HTTPStatus

import attrs
import structlog

from townwatch.contracts.codec import encode
from townwatch.transports.edge.connection import Connection
from townwatch.transports.edge.http import Headers, Request
from townwatch.transports.websocket.frames import accept_key

log = structlog.get_logger("websocket")

VERSION = "13"
KEY_BYTES = 16
_UPGRADE = (("Upgrade", "websocket"), ("Sec-WebSocket-Version", VERSION))
REJECT_SECONDS = 2.0


@attrs.frozen
class HandshakeRejected(Exception):
    """A request that gets no WebSocket. `retry_after`: seconds. `headers`: more of the answer's."""

    status: int
    code: str
    message: str
    retry_after: int | None = None
    headers: tuple[tuple[str, str], ...] = ()


def check_handshake(request: Request) -> None:
    """Raise `HandshakeRejected` for a request that RFC 6455 does not allow, or that carries a body."""
    if request.method != "GET":
        raise _bad(f"a WebSocket is opened with GET, not {request.method[:20]}", status=405, allow="GET")
    if request.version != "1.1":
        raise _bad(f"a WebSocket is opened with HTTP/1.1, not HTTP/{request.version}")
    if request.header("content-length", "0") != "0" or request.header("transfer-encoding"):
        raise _bad("the request of a WebSocket has no body")
    if request.only("sec-websocket-version") != VERSION:
        raise HandshakeRejected(426, "E_UPGRADE", "Sec-WebSocket-Version must be 13", headers=_UPGRADE)
    key = request.only("sec-websocket-key")
    if not key:
        raise _bad("one Sec-WebSocket-Key is needed")
    if not _is_key(key):
        raise _bad(f"Sec-WebSocket-Key must be {KEY_BYTES} bytes in base64")


def _bad(message: str, status: int = 400, **headers: str) -> HandshakeRejected:
    return HandshakeRejected(status, "E_BAD_REQUEST", message, None, tuple(headers.items()))


def _is_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key.encode("latin-1"), validate=True)) == KEY_BYTES
    except (binascii.Error, ValueError):
        return False


def offers_subprotocol(request: Request, name: str) -> bool:
    """Return whether the client offers a subprotocol. Names are compared as they are written."""
    return name in (one.strip() for one in request.header("sec-websocket-protocol").split(","))


def accept(
    request: Request,
    connection: Connection,
    *,
    subprotocol: str | None = None,
    extensions: str | None = None,
    headers: Headers | None = None,
) -> None:
    """Write the 101."""
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {accept_key(request.header('sec-websocket-key'))}",
    ]
    if subprotocol is not None:
        lines.append(f"Sec-WebSocket-Protocol: {subprotocol}")
    if extensions is not None:
        lines.append(f"Sec-WebSocket-Extensions: {extensions}")
    lines += [f"{name}: {value}" for name, value in headers or ()]
    connection.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))


async def reject(connection: Connection, rejection: HandshakeRejected) -> None:
    """Answer with the status and a one-line JSON error, and close."""
    headers = list(rejection.headers)
    if rejection.status == 401:
        headers.append(("WWW-Authenticate", "Bearer"))
    if rejection.retry_after is not None:
        headers.append(("Retry-After", str(rejection.retry_after)))
    body = encode({"error": {"code": rejection.code, "message": rejection.message}}) + b"\n"
    await refuse(connection, rejection.status, body, headers)


async def refuse(connection: Connection, status: int, body: bytes, headers: Headers) -> None:
    """An HTTP answer with JSON in it, in place of the 101."""
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *(f"{name}: {value}" for name, value in headers),
    ]
    connection.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
    await connection.hang_up(REJECT_SECONDS)
