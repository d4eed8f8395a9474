"""The opening of a WebSocket from the client's side: for runners that listen, which the service dials."""

import base64
import os

import h11

from townwatch.transports.edge.connection import Connection
from townwatch.transports.websocket.frames import accept_key

KEY_BYTES = 16


class DialRejected(Exception):
    """The other side did not answer with a 101 that is meant for this request."""


async def open_websocket(
    connection: Connection, host: str, target: str, headers: list[tuple[str, str]], subprotocol: str
) -> tuple[bytes, str | None]:
    """Ask for a WebSocket. Returns what came behind the 101, and the subprotocol that was taken.

    Raises `DialRejected`. The caller sets the deadline.
    """
    key = base64.b64encode(os.urandom(KEY_BYTES)).decode()
    http = h11.Connection(h11.CLIENT)
    request = [
        ("Host", host),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", key),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Protocol", subprotocol),
        *headers,
    ]
    connection.write(http.send(h11.Request(method="GET", target=target, headers=request)) or b"")
    connection.write(http.send(h11.EndOfMessage()) or b"")
    try:
        answer = await _answer(http, connection)
    except h11.RemoteProtocolError as error:
        raise DialRejected(f"it does not answer in HTTP: {error}") from None
    if answer.status_code != 101:
        raise DialRejected(f"it answered HTTP {answer.status_code}")
    found = {bytes(name).lower(): bytes(value).decode("latin-1") for name, value in answer.headers}
    if found.get(b"upgrade", "").lower() != "websocket" or found.get(b"sec-websocket-accept") != accept_key(key):
        raise DialRejected("its 101 is not the answer to this request")
    if found.get(b"sec-websocket-extensions"):
        raise DialRejected("it took an extension that was not offered")
    taken = found.get(b"sec-websocket-protocol")
    if taken is not None and taken != subprotocol:
        raise DialRejected(f"it took the subprotocol {taken[:60]!r}, which was not offered")
    return http.trailing_data[0], taken


async def _answer(http: h11.Connection, connection: Connection) -> h11.Response | h11.InformationalResponse:
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(await connection.recv())
        elif isinstance(event, h11.Response | h11.InformationalResponse):
            if event.status_code >= 101:
                return event
        else:
            raise DialRejected("it hung up during the handshake")
