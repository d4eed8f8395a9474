"""The client's side of a JSON-RPC 2.0 conversation with an agent CLI: matches answers with requests, checks messages.

How messages travel (lines, WebSocket frames) is the caller's: it gives a function that sends one message, and feeds
what comes in to `take`. Answers are handled in the order in which they arrive among the other messages, because what a
turn
said comes before the answer that ends it.
"""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import trio

from townwatch.contracts.codec import ContractError, decode_json
from townwatch.runner.agents import shape
from townwatch.runner.agents.adapter import AdapterOff
from townwatch.runner.agents.shape import Json, ShapeError

METHOD_NOT_FOUND, AUTH_REQUIRED, INTERNAL_ERROR = -32601, -32000, -32603
MESSAGE_BYTES = 64 << 20
RequestId = str | int


class RpcError(Exception):
    """The other side answered a request with an error."""

    def __init__(self, method: str, code: int, message: str, details: str = "") -> None:
        self.code = code
        self.message = message
        self.said = message if details in ("", message) else f"{message}: {details}"
        """The message with what `data` says of it: some agents name every error "Internal error"."""
        super().__init__(f"{method}: {self.said} ({code})")


@attrs.frozen(kw_only=True)
class RpcRequest:
    """The other side asks; `id` None: a notification."""

    method: str
    params: Json
    id: RequestId | None = None

    @property
    def key(self) -> str:
        """A text that is one request's only: 1 and "1" are two."""
        return json.dumps(self.id)


@attrs.define
class _Waiting:
    method: str
    done: trio.Event = attrs.field(factory=trio.Event)
    result: Any = None
    error: RpcError | None = None
    then: "Callable[[Any, RpcError | None], Awaitable[None]] | None" = None


class Rpc:
    """One conversation. `envelope`: members of every message, as {"jsonrpc": "2.0"}."""

    def __init__(self, send: Callable[[bytes], Awaitable[None]], envelope: Json) -> None:
        self._send = send
        self._envelope = envelope
        self._waiting: dict[int, _Waiting] = {}
        self._next = 1
        self._closed: str | None = None

    async def call(self, method: str, params: Json, seconds: float) -> Json:
        """Ask and return the answer, an object. Raises `RpcError`, `AdapterOff` for no answer within the time."""
        number, waiting = self._enter(method)
        try:
            await self._say({"id": number, "method": method, "params": params})
            with trio.move_on_after(seconds) as limit:
                await waiting.done.wait()
            if limit.cancelled_caught:
                raise AdapterOff(f"{method} was not answered within {seconds:.0f} s")
        finally:
            self._waiting.pop(number, None)
        if waiting.error is not None:
            raise waiting.error
        return shape.mapping(waiting.result if waiting.result is not None else {}, f"the answer to {method}")

    async def begin(self, method: str, params: Json, then: Callable[[Any, RpcError | None], Awaitable[None]]) -> int:
        """Ask what may take as long as it likes, and return the request's id; `then` is called by `take` with the
        answer or the error.
        """
        number, waiting = self._enter(method)
        waiting.then = then
        await self._say({"id": number, "method": method, "params": params})
        return number

    async def notify(self, method: str, params: Json | None = None) -> None:
        """Tell without an answer."""
        await self._say({"method": method, **({} if params is None else {"params": params})})

    async def answer(self, request: RequestId, result: Json) -> None:
        """Answer a request of the other side."""
        await self._say({"id": request, "result": result})

    async def refuse(self, request: RequestId, code: int, message: str) -> None:
        """Answer a request of the other side with an error."""
        await self._say({"id": request, "error": {"code": code, "message": message}})

    async def take(self, data: bytes | str) -> RpcRequest | None:
        """Read one message. An answer goes to who waits for it; a request or notification is returned.

        Raises `ShapeError` for what is no message.
        """
        try:
            value = decode_json(data, max_bytes=MESSAGE_BYTES)
        except ContractError as error:
            raise ShapeError(f"no JSON: {error}") from None
        message = shape.mapping(value, "message")
        if "method" in message:
            number = message.get("id")
            if number is not None and (isinstance(number, bool) or not isinstance(number, str | int)):
                raise ShapeError("id: a number or a text is expected")
            return RpcRequest(
                method=shape.text(message, "method"), params=shape.optional_member(message, "params"), id=number
            )
        await self._answered(message)
        return None

    def close(self, reason: str) -> None:
        """Nothing more comes: who waits for an answer hears that."""
        self._closed = reason
        for waiting in self._waiting.values():
            waiting.error = RpcError(waiting.method, INTERNAL_ERROR, reason)
            waiting.done.set()

    def _enter(self, method: str) -> tuple[int, _Waiting]:
        if self._closed is not None:
            raise AdapterOff(self._closed)
        number, self._next = self._next, self._next + 1
        waiting = self._waiting[number] = _Waiting(method)
        return number, waiting

    async def _answered(self, message: Json) -> None:
        number = message.get("id")
        waiting = self._waiting.pop(number, None) if isinstance(number, int) else None
        if waiting is None:
            return  # an answer that came too late, or to nothing
        if message.get("error") is not None:
            error = shape.member(message, "error")
            told = shape.optional_text(error, "message") or "an error without a text"
            code = shape.whole(error, "code", INTERNAL_ERROR)
            waiting.error = RpcError(waiting.method, code, told, _details(error.get("data")))
        waiting.result = message.get("result")
        waiting.done.set()
        if waiting.then is not None:
            await waiting.then(waiting.result, waiting.error)

    async def _say(self, message: Json) -> None:
        await self._send(json.dumps({**self._envelope, **message}).encode())


def _details(data: Any) -> str:
    """Return the text in an error's `data`, which has no agreed shape; "" where there is none."""
    inner = shape.maybe(data)
    known = [data, *(inner.get(name) for name in ("details", "message", "reason", "error"))]
    return next((text for text in known if isinstance(text, str)), "")
