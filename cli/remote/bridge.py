"""MCP over standard input and output, for editors and agents that start their servers themselves.

It is a bridge to the service's POST /mcp, one request a line: there is one implementation, and one set of rights.
"""

import json
import sys
from base64 import b64encode
from typing import Any, cast

import attrs
import trio

from townwatch.cli.remote.client import ServiceClient, tls_of
from townwatch.net.http_client import NotAnswered, Reply, exchange

MAX_LINE, MAX_ANSWER = 1_000_000, 64 << 20
SECONDS = 100.0
AT_ONCE = 16
NOT_REACHED, REFUSED, TOO_LONG = -32000, -32001, -32600
Json = dict[str, Any]
VERSION_KEY = "io.modelcontextprotocol/protocolVersion"


@attrs.define(eq=False)
class Bridge:
    """One client on standard input and output, and the service."""

    client: ServiceClient
    version: str | None = None
    """Version that a legacy client's `initialize` ended with."""
    under_way: dict[Any, trio.CancelScope] = attrs.field(factory=dict[Any, trio.CancelScope])
    limiter: trio.CapacityLimiter = attrs.field(factory=lambda: trio.CapacityLimiter(AT_ONCE))
    writing: trio.Lock = attrs.field(factory=trio.Lock)

    async def run(self) -> None:
        """Serve until standard input ends; what is under way then is answered still, for a while."""
        async with trio.open_nursery() as nursery:
            while line := await trio.to_thread.run_sync(
                sys.stdin.buffer.readline, MAX_LINE + 1, abandon_on_cancel=True
            ):
                if not line.strip():
                    continue
                message = _read(line)
                if message is not None and "id" not in message:
                    self._notified(message)
                elif _named(message) == "initialize":  # what follows depends on its answer
                    await self._serve(line, message)
                else:
                    nursery.start_soon(self._serve, line, message)
            nursery.cancel_scope.deadline = trio.current_time() + SECONDS

    def _notified(self, message: dict[str, Any]) -> None:
        if message.get("method") == "notifications/cancelled":
            scope = self.under_way.get(_object(message.get("params")).get("requestId"))
            if scope is not None:
                scope.cancel()

    async def _serve(self, line: bytes, message: Json | None) -> None:
        id_ = _object(message).get("id")
        scope = trio.CancelScope()
        if isinstance(id_, str | int):
            self.under_way[id_] = scope
        try:
            with scope:
                async with self.limiter:
                    answer = await self._ask(line, message, id_)
                await self._write(answer)
        finally:
            self.under_way.pop(id_, None)

    async def _ask(self, line: bytes, message: Json | None, id_: Any) -> Json:
        if len(line) > MAX_LINE:
            return _error(id_, TOO_LONG, f"a message has at most {MAX_LINE} bytes")
        client = self.client
        headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
        headers |= {"authorization": f"Bearer {client.token}", **self._headers(message)}
        try:
            tls = await tls_of(client.url, client.ca)
            reply = await exchange(
                "POST",
                f"{client.url}/mcp",
                body=line,
                headers=headers,
                seconds=SECONDS,
                max_bytes=MAX_ANSWER,
                tls=tls,
                proxies=True,
            )
        except (OSError, NotAnswered) as error:
            return _error(id_, NOT_REACHED, f"{client.url}: {error}; is the service running?")
        found = _answer(reply, id_)
        if _named(message) == "initialize":
            self.version = _object(found.get("result")).get("protocolVersion")
        return found

    def _headers(self, message: Json | None) -> dict[str, str]:
        """Return the headers that repeat what a message says; over a pipe there are none."""
        params = _object(_object(message).get("params"))
        version = _object(params.get("_meta")).get(VERSION_KEY) or self.version
        named = {"mcp-protocol-version": version, "mcp-method": _named(message), "mcp-name": params.get("name")}
        return {name: _plain(value) for name, value in named.items() if isinstance(value, str)}

    async def _write(self, answer: Json) -> None:
        data = json.dumps(answer, separators=(",", ":")).encode() + b"\n"

        def write() -> None:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()

        async with self.writing:
            with trio.CancelScope(shield=True):  # half a line would break every later one
                await trio.to_thread.run_sync(write)


def _read(line: bytes) -> Json | None:
    """Return the message; what is none is the service's to refuse."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return cast(Json, found) if isinstance(found, dict) else None


def _object(value: Any) -> Json:
    """Return a value that is an object, else an empty one."""
    return cast(Json, value) if isinstance(value, dict) else {}


def _named(message: Json | None) -> Any:
    return _object(message).get("method")


def _plain(value: str) -> str:
    """Return a value as a header may have it."""
    fits = value.isascii() and value.isprintable() and value == value.strip() and not value.startswith("=?base64?")
    return value if fits else f"=?base64?{b64encode(value.encode('utf-8', 'replace')).decode()}?="


def _answer(reply: Reply, id_: Any) -> Json:
    """Return the response in an answer; the service's own refusals (sign in, too many) become one."""
    found = _read(reply.body)
    if found is not None and "jsonrpc" in found:
        return found
    told = _object(_object(found).get("error")).get("message")
    return _error(id_, REFUSED, str(told or f"the service answered HTTP {reply.status}, and no MCP"))


def _error(id_: Any, code: int, message: str) -> Json:
    return {"jsonrpc": "2.0", "id": id_, "error": {"code": code, "message": message}}
