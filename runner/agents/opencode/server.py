"""Talk to OpenCode's HTTP server on the loopback: short requests, and the stream of its events."""

import base64
import json
from collections.abc import AsyncGenerator
from typing import Any

import attrs
import h11
import trio

from townwatch.runner.agents.adapter import AdapterOff
from townwatch.runner.agents.shape import Json, ShapeError, mapping

ANSWER_SECONDS = 30.0
SILENCE_SECONDS = 60.0
"""The server says at least a heartbeat in this time."""
ANSWER_BYTES, EVENT_BYTES = 16 << 20, 16 << 20
USER = "opencode"


@attrs.define
class Lines:
    """Splits a stream of server-sent events into their data. Pure."""

    _held: bytearray = attrs.field(factory=bytearray)
    _data: list[str] = attrs.field(factory=list[str])

    def feed(self, piece: bytes) -> list[str]:
        """Return the data of each event that has become whole. Raises `ShapeError` for one that is too long."""
        self._held += piece
        found: list[str] = []
        while (end := self._held.find(b"\n")) >= 0:
            line = bytes(self._held[:end]).rstrip(b"\r")
            del self._held[: end + 1]
            if line.startswith(b"data:"):
                self._data.append(line[5:].removeprefix(b" ").decode(errors="replace"))
            elif not line and self._data:
                found.append("\n".join(self._data))
                self._data.clear()
        if len(self._held) > EVENT_BYTES:
            raise ShapeError(f"an event of more than {EVENT_BYTES >> 20} MiB")
        return found


@attrs.frozen
class Server:
    """One OpenCode server: its port, and the password that it was started with."""

    port: int
    password: str

    async def get(self, path: str) -> Any:
        """Return the JSON at a path. Raises `AdapterOff`."""
        status, value = await self.request("GET", path)
        if status != 200:
            raise AdapterOff(f"OpenCode answered {status} to GET {path}")
        return value

    async def post(self, path: str, body: Json) -> tuple[int, Any]:
        """Return (status, JSON or None). Raises `AdapterOff` where there is no answer."""
        return await self.request("POST", path, body)

    async def request(self, method: str, path: str, body: Json | None = None) -> tuple[int, Any]:
        """Return (status, JSON or None). Raises `AdapterOff`, also for a page instead of JSON: an unknown path."""
        content = b"" if body is None else json.dumps(body).encode()
        try:
            with trio.fail_after(ANSWER_SECONDS):
                stream = await trio.open_tcp_stream("127.0.0.1", self.port)
                async with stream:
                    http = await self._ask(stream, method, path, content, "application/json")
                    return await _answer(http, stream, path)
        except trio.TooSlowError:
            raise AdapterOff(f"OpenCode did not answer {method} {path} within {ANSWER_SECONDS:.0f} s") from None
        except (OSError, trio.BrokenResourceError, h11.RemoteProtocolError) as error:
            raise AdapterOff(f"OpenCode's server is not there: {error}") from None

    async def events(self, stream: trio.SocketStream) -> AsyncGenerator[Json]:
        """The events, from now until the server ends. Raises `AdapterOff`, `ShapeError`."""
        lines = Lines()
        try:
            http = await self._ask(stream, "GET", "/event", b"", "text/event-stream")
            while True:
                with trio.fail_after(SILENCE_SECONDS):
                    event = await _next(http, stream)
                if isinstance(event, h11.Response):
                    _check(event, "text/event-stream", "/event")
                elif isinstance(event, h11.Data):
                    for data in lines.feed(bytes(event.data)):
                        yield _object(data)
                else:
                    raise AdapterOff("OpenCode's server has ended its events")
        except trio.TooSlowError:
            raise AdapterOff(f"OpenCode's server has said nothing for {SILENCE_SECONDS:.0f} s") from None
        except (OSError, trio.BrokenResourceError, h11.RemoteProtocolError):
            raise AdapterOff("OpenCode's server has closed the connection") from None

    async def _ask(
        self, stream: trio.SocketStream, method: str, path: str, content: bytes, accept: str
    ) -> h11.Connection:
        secret = base64.b64encode(f"{USER}:{self.password}".encode()).decode()
        headers = [
            ("Host", f"127.0.0.1:{self.port}"),
            ("Authorization", f"Basic {secret}"),
            ("Accept", accept),
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(content))),
        ]
        http = h11.Connection(h11.CLIENT)
        head = http.send(h11.Request(method=method, target=path, headers=headers)) or b""
        await stream.send_all(head + (http.send(h11.Data(data=content)) or b""))
        http.send(h11.EndOfMessage())
        return http


def _object(data: str) -> Json:
    try:
        return mapping(json.loads(data), "event")
    except ValueError:
        raise ShapeError("event: JSON is expected") from None


async def _next(http: h11.Connection, stream: trio.SocketStream) -> Any:
    while True:
        event = http.next_event()
        if event is not h11.NEED_DATA:
            return event
        http.receive_data(bytes(await stream.receive_some(64 * 1024)))


def _check(response: h11.Response, kind: str, path: str) -> None:
    found = next((value.decode() for name, value in response.headers if name == b"content-type"), "")
    if response.status_code in (401, 403):
        raise AdapterOff("OpenCode's server does not take its password")
    if response.status_code == 200 and not found.startswith(kind):
        raise AdapterOff(f"OpenCode has no {path}: it answered {found or 'nothing'}")


async def _answer(http: h11.Connection, stream: trio.SocketStream, path: str) -> tuple[int, Any]:
    status, content = 0, b""
    while True:
        event = await _next(http, stream)
        match event:
            case h11.Response():
                status = event.status_code
                _check(event, "application/json", path)
            case h11.Data():
                content += bytes(event.data)
                if len(content) > ANSWER_BYTES:
                    raise AdapterOff(f"OpenCode's answer to {path} is longer than {ANSWER_BYTES >> 20} MiB")
            case _:
                break
    try:
        return status, json.loads(content) if content else None
    except ValueError:
        raise AdapterOff(f"OpenCode's answer to {path} is no JSON") from None
