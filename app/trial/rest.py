"""The service's REST API, from outside: one connection a request, each with a deadline."""

import json
from typing import Any
from urllib.parse import urlsplit

import attrs
import h11
import trio

from runner.tls import Tls, open_stream

SECONDS = 10.0
MAX_BYTES = 256 << 20
TRIES_SECONDS = 60.0
"""How long `must` goes on asking a service that is away."""


class Away(Exception):
    """The service did not answer: nobody knows whether it did what was asked."""


class Refused(Exception):
    """The service said no; the message is what it said."""

    def __init__(self, status: int, message: str, details: Any = None) -> None:
        super().__init__(message)
        self.status, self.details = status, details


@attrs.frozen
class Answer:
    """`body` as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Raises `Away` where that is no JSON: whoever answered is not this service."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise Away("the answer is no JSON") from None


@attrs.frozen
class Rest:
    """`base`: http(s)://host:port. `token`: an administrator's; empty: nobody's."""

    base: str
    token: str

    async def ask(self, method: str, path: str, body: Any = None, *, seconds: float = SECONDS) -> Answer:
        """Whatever the service answers. Raises `Away`."""
        try:
            with trio.fail_after(seconds):
                return await self._exchange(method, path, b"" if body is None else json.dumps(body).encode())
        except trio.TooSlowError:
            raise Away(f"{method} {path}: no answer within {seconds:g} s") from None
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError, h11.ProtocolError) as error:
            raise Away(f"{method} {path}: {error}") from None

    async def get(self, path: str, *, seconds: float = SECONDS) -> Any:
        """The answer's JSON. Raises `Away`, `Refused`."""
        return _good(await self.ask("GET", path, seconds=seconds)).json()

    async def post(self, path: str, body: Any, *, seconds: float = SECONDS) -> Any:
        """The answer's JSON. Raises `Away`, `Refused`."""
        return _good(await self.ask("POST", path, body, seconds=seconds)).json()

    async def must(self, method: str, path: str, body: Any = None, *, within: float = TRIES_SECONDS) -> Answer:
        """Again and again, while the service is away or not ready (5xx, 429). Raises `Away`, `Refused`."""
        deadline = trio.current_time() + within
        while True:
            try:
                answer = await self.ask(method, path, body)
                if (answer.status < 500 and answer.status != 429) or trio.current_time() > deadline:
                    return _good(answer)
            except Away:
                if trio.current_time() > deadline:
                    raise
            await trio.sleep(0.2)

    async def every(self, path: str) -> list[Any]:
        """All items of a list, page by page, however long the service is away. Raises `Away`, `Refused`."""
        found: list[Any] = []
        cursor = ""
        mark = "&" if "?" in path else "?"
        while True:
            page = (await self.must("GET", f"{path}{mark}limit=100{cursor}")).json()
            found += page["items"]
            if page.get("next") is None:
                return found
            cursor = f"&cursor={page['next']}"

    async def _exchange(self, method: str, path: str, body: bytes) -> Answer:
        headers = [
            ("Host", urlsplit(self.base).netloc),
            ("Content-Length", str(len(body))),
            ("Connection", "close"),
        ]
        if self.token:
            headers.append(("Authorization", f"Bearer {self.token}"))
        if body:
            headers.append(("Content-Type", "application/json"))
        stream = await open_stream(self.base, Tls())
        try:
            http = h11.Connection(h11.CLIENT)
            request = h11.Request(method=method, target=path, headers=headers)
            await stream.send_all((http.send(request) or b"") + (http.send(h11.Data(data=body)) or b""))
            http.send(h11.EndOfMessage())
            return await _answer(http, stream)
        finally:
            await trio.aclose_forcefully(stream)


async def _answer(http: h11.Connection, stream: trio.abc.Stream) -> Answer:
    status, headers, content = 0, dict[str, str](), bytearray()
    while True:
        event = http.next_event()
        match event:
            case h11.NEED_DATA:
                http.receive_data(bytes(await stream.receive_some(1 << 16)))
            case h11.Response():
                status = event.status_code
                headers = {name.decode(): value.decode() for name, value in event.headers}
            case h11.Data():
                content += event.data
                if len(content) > MAX_BYTES:
                    raise OSError("the answer is too long")
            case h11.EndOfMessage():
                return Answer(status, headers, bytes(content))
            case _:
                raise OSError("the answer ended before it was whole")


def _good(answer: Answer) -> Answer:
    if answer.status < 400:
        return answer
    try:
        problem: Any = json.loads(answer.body)["error"]
        raise Refused(answer.status, str(problem["message"]), problem.get("details"))
    except (ValueError, KeyError, TypeError):
        raise Refused(answer.status, f"HTTP {answer.status}") from None
