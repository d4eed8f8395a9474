"""The runner's loopback port for agent CLIs that call by HTTP: hooks, telemetry.

Each session has its paths, ``/agents/SESSION/…``, and its token, which other users of the machine do not have: as a
header, or in the path (``/agents/SESSION/as/TOKEN/…``) for programs that are given an address alone. A
request may be held open for as long as a person takes to answer; that its client has gone is noticed at once.
"""

import hmac

import attrs
import h11
import structlog
import trio

from townwatch.runner.agents.adapter import HttpAnswer, HttpHandler, HttpRequest

log = structlog.get_logger("agents")

BODY_BYTES = 32 << 20
ALL_BODIES_BYTES = 128 << 20
"""Of all requests that are under way together."""
HEAD_SECONDS = 5.0
"""How long a connection may take to show whose it is."""
READ_SECONDS = 30.0
"""How long a request may take to arrive, and a connection be idle between two."""
FAREWELL_SECONDS = 1.0
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
        self._under_way = 0

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
            await _Connection(stream, self).run()
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError, h11.ProtocolError):
            pass  # the client has gone, or speaks no HTTP
        except Exception as error:  # one connection's trouble must not end every session of this runner
            log.error("agent_request_failed", reason=f"{type(error).__name__}: {error}")
        finally:
            self._connections.release()
            await trio.aclose_forcefully(stream)

    def take(self, size: int) -> bool:
        """Reserve memory for a part of a body; False where there is none."""
        if self._under_way + size > ALL_BODIES_BYTES:
            return False
        self._under_way += size
        return True

    def give_back(self, size: int) -> None:
        self._under_way -= size

    def place(self, head: h11.Request) -> tuple[_Place, HttpRequest]:
        """Return whose a request is, and the request without its body: nothing of a stranger's body is read. Raises
        `_Refused`.
        """
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
        kind = headers.get(b"content-type", b"").decode("ascii", "replace")
        method = head.method.decode()
        return place, HttpRequest(method=method, path=f"/{below}", body=b"", gone=_never, content_type=kind)


async def _never() -> None:
    await trio.sleep_forever()


class _Connection:
    """One client's connection: requests one after the other."""

    def __init__(self, stream: trio.SocketStream, port: AgentHttp) -> None:
        self._stream = stream
        self._port = port
        self._state = h11.Connection(h11.SERVER, max_incomplete_event_size=64 * 1024)
        self._gone = trio.Event()
        self._ahead = b""
        self._held = 0
        """Bytes of the body at hand."""
        self._known = False
        """Whether it has shown a token."""

    async def run(self) -> None:
        """Raises `OSError`, trio's errors of a broken stream, `h11.ProtocolError`."""
        try:
            while await self._request():
                self._let_go()
        finally:
            self._let_go()

    async def _request(self) -> bool:
        """Answer the next request; whether another may follow."""
        with trio.fail_after(READ_SECONDS if self._known else HEAD_SECONDS):
            head = await self._next()
        if not isinstance(head, h11.Request):
            return False
        try:
            place, request = self._port.place(head)
            self._known = True
            with trio.fail_after(READ_SECONDS):
                body = await self._body()
        except _Refused as refused:
            await self._refuse(refused)
            return False
        await self._one(place, attrs.evolve(request, body=body, gone=self._gone.wait))
        if self._state.our_state is not h11.DONE or self._state.their_state is not h11.DONE:
            return False
        self._state.start_next_cycle()
        return True

    def _let_go(self) -> None:
        self._port.give_back(self._held)
        self._held = 0

    async def _refuse(self, refused: _Refused) -> None:
        """Say so, and let the client read it: closing with its body unread would reset the connection."""
        await self._write(HttpAnswer(status=refused.status, body=b'{"error":"' + str(refused).encode() + b'"}'))
        await self._stream.send_eof()
        with trio.move_on_after(FAREWELL_SECONDS):
            while await self._stream.receive_some(65536):
                pass

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
        """Raises `_Refused`."""
        parts = [b""]
        while isinstance(event := await self._next(), h11.Data):
            size = len(event.data)
            if self._held + size > BODY_BYTES:
                raise _Refused(413, f"a body may have {BODY_BYTES} bytes")
            if not self._port.take(size):
                raise _Refused(503, "too many large requests are under way; try again")
            self._held += size
            parts.append(bytes(event.data))
        return b"".join(parts)

    async def _one(self, place: _Place, request: HttpRequest) -> None:
        """Answer one request, watching meanwhile whether the client is still there."""
        answer: HttpAnswer | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch)
            answer = await place.handler(request)
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
