"""The runner's loopback port for agent CLIs that call by HTTP: hooks, telemetry.

Each session has its paths, ``/agents/SESSION/…``, and its token, which other users of the machine do not have: as a
header, or in the path (``/agents/SESSION/as/TOKEN/…``) for programs that are given an address alone. A
request may be held open for as long as a person takes to answer; that its client has gone is noticed at once.
"""

import hmac
from collections.abc import Awaitable, Callable

import attrs
import h11
import structlog
import trio

from townwatch.runner.agents.adapter import HttpAnswer, HttpHandler, HttpRequest

log = structlog.get_logger("agents")

BODY_BYTES = 32 << 20
READ_SECONDS = 30.0
"""How long a request may take to arrive, and a connection be idle between two."""
MAX_CONNECTIONS = 512
KEY_PATH = "as/"


class _Refused(Exception):
    """The request is answered with this status."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@attrs.define
class _Place:
    token: str
    handler: HttpHandler


class AgentHttp:
    """Serves the sessions of one runner process."""

    def __init__(self) -> None:
        self._places: dict[str, _Place] = {}
        self._address = ""
        self._connections = trio.CapacityLimiter(MAX_CONNECTIONS)

    def base_url(self, session_id: str) -> str:
        """Return where a session's CLI reaches us."""
        return f"http://{self._address}/agents/{session_id}"

    def serve(self, session_id: str, token: str, handler: HttpHandler) -> None:
        """Handle the session's requests from now on."""
        self._places[session_id] = _Place(token, handler)

    def forget(self, session_id: str) -> None:
        """Refuse the session's requests from now on."""
        self._places.pop(session_id, None)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen until cancelled."""
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self._address = f"127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        task_status.started()
        async with trio.open_nursery() as nursery:
            await trio.serve_listeners(self._serve, listeners, handler_nursery=nursery)

    async def _serve(self, stream: trio.SocketStream) -> None:
        try:
            self._connections.acquire_nowait()
        except trio.WouldBlock:
            await trio.aclose_forcefully(stream)
            return
        try:
            await _Connection(stream, self._answer).run()
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError, h11.ProtocolError):
            pass  # the client has gone, or speaks no HTTP
        except Exception as error:  # one connection's trouble must not end every session of this runner
            log.error("agent_request_failed", reason=f"{type(error).__name__}: {error}")
        finally:
            self._connections.release()
            await trio.aclose_forcefully(stream)

    async def _answer(self, head: h11.Request, body: bytes, gone: Callable[[], Awaitable[None]]) -> HttpAnswer:
        """Raises `_Refused`."""
        headers = dict(head.headers)
        if b"origin" in headers:
            raise _Refused(403, "web pages have no business here")
        path = head.target.decode("ascii", "replace").partition("?")[0]
        root, _, rest = path.removeprefix("/").partition("/")
        session_id, _, below = rest.partition("/")
        place = self._places.get(session_id) if root == "agents" else None
        given = headers.get(b"authorization", b"").removeprefix(b"Bearer ")
        if below.startswith(KEY_PATH):
            key, _, below = below.removeprefix(KEY_PATH).partition("/")
            given = key.encode()
        if place is None or not hmac.compare_digest(place.token.encode(), given):
            raise _Refused(401, "no such session, or not its token")
        return await place.handler(
            HttpRequest(
                method=head.method.decode(),
                path=f"/{below}",
                body=body,
                gone=gone,
                content_type=headers.get(b"content-type", b"").decode("ascii", "replace"),
            )
        )


class _Connection:
    """One client's connection: requests one after the other."""

    def __init__(
        self,
        stream: trio.SocketStream,
        answer: Callable[[h11.Request, bytes, Callable[[], Awaitable[None]]], Awaitable[HttpAnswer]],
    ) -> None:
        self._stream = stream
        self._answer = answer
        self._state = h11.Connection(h11.SERVER, max_incomplete_event_size=64 * 1024)
        self._gone = trio.Event()
        self._ahead = b""

    async def run(self) -> None:
        """Raises `OSError`, trio's errors of a broken stream, `h11.ProtocolError`."""
        while True:
            with trio.fail_after(READ_SECONDS):
                head = await self._next()
                if not isinstance(head, h11.Request):
                    return
                body = await self._body()
            await self._one(head, body)
            if self._state.our_state is not h11.DONE or self._state.their_state is not h11.DONE:
                return
            self._state.start_next_cycle()

    async def _next(self) -> object:
        while True:
            event = self._state.next_event()
            if event is not h11.NEED_DATA:
                return event
            if self._state.they_are_waiting_for_100_continue:
                go_on = self._state.send(h11.InformationalResponse(status_code=100, headers=[]))
                await self._stream.send_all(go_on or b"")
            data, self._ahead = self._ahead, b""
            self._state.receive_data(data or await self._stream.receive_some(65536))

    async def _body(self) -> bytes:
        parts, size = [b""], 0
        while isinstance(event := await self._next(), h11.Data):
            size += len(event.data)
            if size > BODY_BYTES:
                raise h11.RemoteProtocolError("the body is too large", error_status_hint=413)
            parts.append(bytes(event.data))
        return b"".join(parts)

    async def _one(self, head: h11.Request, body: bytes) -> None:
        """Answer one request, watching meanwhile whether the client is still there."""
        answer: HttpAnswer | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch)
            try:
                answer = await self._answer(head, body, self._gone.wait)
            except _Refused as refused:
                answer = HttpAnswer(status=refused.status, body=b'{"error":"' + str(refused).encode() + b'"}')
            nursery.cancel_scope.cancel()
        assert answer is not None
        taken = False
        try:
            if not self._gone.is_set():
                await self._write(answer)
                taken = True
        finally:
            if answer.taken is not None:
                answer.taken(taken)

    async def _watch(self) -> None:
        """Wait for the client's end of the connection; what it sends ahead is kept."""
        try:
            self._ahead = await self._stream.receive_some(65536)
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            self._ahead = b""
        if not self._ahead:
            self._gone.set()

    async def _write(self, answer: HttpAnswer) -> None:
        head = h11.Response(
            status_code=answer.status,
            headers=[("content-type", "application/json"), ("content-length", str(len(answer.body)))],
        )
        data = self._state.send(head) or b""
        data += self._state.send(h11.Data(data=answer.body)) or b""
        data += self._state.send(h11.EndOfMessage()) or b""
        with trio.fail_after(READ_SECONDS):
            await self._stream.send_all(data)
