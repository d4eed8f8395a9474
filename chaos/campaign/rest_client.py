"""The service's REST API, from outside: one connection a request, each with a deadline."""

import json
from typing import Any

import attrs
import trio

from townwatch.net.http_client import NotAnswered, exchange

SECONDS = 10.0
MAX_BYTES = 256 << 20
TRIES_SECONDS = 60.0
"""How long `must` goes on asking a service that is away."""


class ServiceAway(Exception):
    """The service did not answer: it is unknown whether it did what was asked."""


class RequestRefused(Exception):
    """The service said no; the message is what it said."""

    def __init__(self, status: int, message: str, details: Any = None) -> None:
        super().__init__(message)
        self.status, self.details = status, details


@attrs.frozen
class RestReply:
    """`body` as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the decoded body. Raises `ServiceAway` where it is no JSON: another server answered."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise ServiceAway("the answer is no JSON") from None


@attrs.frozen
class Rest:
    """`base`: http(s)://host:port. `token`: an administrator's; empty: none."""

    base: str
    token: str

    async def ask(self, method: str, path: str, body: Any = None, *, seconds: float = SECONDS) -> RestReply:
        """Return the answer, of whatever status. Raises `ServiceAway`."""
        headers = {"authorization": f"Bearer {self.token}"} if self.token else dict[str, str]()
        content = None
        if body is not None:
            content, headers["content-type"] = json.dumps(body).encode(), "application/json"
        try:
            reply = await exchange(
                method, self.base + path, body=content, headers=headers, seconds=seconds, max_bytes=MAX_BYTES
            )
        except NotAnswered as error:
            raise ServiceAway(f"{method} {path}: {error}") from None
        return RestReply(reply.status, dict(reply.headers), reply.body)

    async def get(self, path: str, *, seconds: float = SECONDS) -> Any:
        """The answer's JSON. Raises `ServiceAway`, `RequestRefused`."""
        return _good(await self.ask("GET", path, seconds=seconds)).json()

    async def post(self, path: str, body: Any, *, seconds: float = SECONDS) -> Any:
        """The answer's JSON. Raises `ServiceAway`, `RequestRefused`."""
        return _good(await self.ask("POST", path, body, seconds=seconds)).json()

    async def ask_until_answered(
        self, method: str, path: str, body: Any = None, *, within: float = TRIES_SECONDS
    ) -> RestReply:
        """Ask again while the service is away or not ready (5xx, 429). Raises `ServiceAway`, `RequestRefused`."""
        deadline = trio.current_time() + within
        while True:
            try:
                answer = await self.ask(method, path, body)
                if (answer.status < 500 and answer.status != 429) or trio.current_time() > deadline:
                    return _good(answer)
            except ServiceAway:
                if trio.current_time() > deadline:
                    raise
            await trio.sleep(0.2)

    async def every(self, path: str) -> list[Any]:
        """Return all items of a list, however long the service is away. Raises `ServiceAway`, `RequestRefused`."""
        found: list[Any] = []
        cursor = ""
        mark = "&" if "?" in path else "?"
        while True:
            page = (await self.ask_until_answered("GET", f"{path}{mark}limit=100{cursor}")).json()
            found += page["items"]
            if page.get("next") is None:
                return found
            cursor = f"&cursor={page['next']}"


def _good(answer: RestReply) -> RestReply:
    if answer.status < 400:
        return answer
    try:
        problem: Any = json.loads(answer.body)["error"]
        raise RequestRefused(answer.status, str(problem["message"]), problem.get("details"))
    except (ValueError, KeyError, TypeError):
        raise RequestRefused(answer.status, f"HTTP {answer.status}") from None
