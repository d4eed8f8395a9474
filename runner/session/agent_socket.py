"""Socket at which agents and scripts talk to their own runner: approvals, alerts, usage.

A loopback port and a token a session (in the session's environment, never on the wire to the service): other users of
the machine can reach the port, but not say anything. One JSON line in, one JSON line out; an approval's answer comes
when a person decided, or when its time is over. The other side is `cli/quick.py`.
"""

import hmac
import json
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, cast

import structlog
import trio

from townwatch.contracts.codec import ContractError, decode_json

log = structlog.get_logger("asks")

ADDRESS_VARIABLE, SESSION_VARIABLE, TOKEN_VARIABLE = "TOWNWATCH_ASK", "TOWNWATCH_SESSION", "TOWNWATCH_ASK_TOKEN"
LINE_BYTES = 64 * 1024
FIRST_LINE_SECONDS = 5
MAX_STRANGERS = 128
"""Connections that have not shown a token: each is a file of the runner's, and other users can make them. For one
more, the one that has waited longest is closed.
"""
MAX_WAITING = 256
"""Requests of one session that wait for their answers."""

Handler = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]
"""(session id, request) → answer. Raises `ContractError` for a request that is wrong."""


class AskServer:
    """Serves the sessions of one runner process."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._tokens: dict[str, str] = {}
        self._strangers: dict[trio.CancelScope, None] = {}
        self._waiting: Counter[str] = Counter()
        self._address = ""

    def environment(self, session_id: str) -> dict[str, str]:
        """Return the variables that a session's processes need to talk to us."""
        token = self._tokens.setdefault(session_id, secrets.token_urlsafe(24))
        return {ADDRESS_VARIABLE: self._address, SESSION_VARIABLE: session_id, TOKEN_VARIABLE: token}

    def forget(self, session_id: str) -> None:
        self._tokens.pop(session_id, None)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled."""
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self._address = f"127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        task_status.started()
        async with trio.open_nursery() as nursery:
            await trio.serve_listeners(self._serve, listeners, handler_nursery=nursery)

    async def _serve(self, stream: trio.SocketStream) -> None:
        """One request. The answer may take as long as a person does."""
        try:
            await _say(stream, await self._answer(stream))
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError) as error:
            log.debug("asker_gone", reason=type(error).__name__)  # a decision that comes still reaches the log
        finally:
            await trio.aclose_forcefully(stream)

    async def _answer(self, stream: trio.SocketStream) -> dict[str, Any]:
        try:
            request = await self._first_line(stream)
            return await self._handle(request.pop("session"), request)
        except ContractError as error:
            return {"ok": False, "error": str(error)}
        except (OSError, trio.TooSlowError, trio.BrokenResourceError, trio.ClosedResourceError):
            raise
        except Exception as error:  # one asker's trouble must not end every session of this runner
            log.error("request_failed", reason=f"{type(error).__name__}: {error}")
            return {"ok": False, "error": "the runner could not do this; its log says why"}

    async def _first_line(self, stream: trio.SocketStream) -> dict[str, Any]:
        """Return the request. Raises `ContractError`, and trio.TooSlowError also where it had to make room."""
        with trio.fail_after(FIRST_LINE_SECONDS) as scope:
            self._strangers[scope] = None
            if len(self._strangers) > MAX_STRANGERS:
                longest = next(iter(self._strangers))
                del self._strangers[longest]
                longest.cancel()
            try:
                return self._check(await _read_line(stream))
            finally:
                self._strangers.pop(scope, None)

    async def _handle(self, session_id: str, request: dict[str, Any]) -> dict[str, Any]:
        if self._waiting[session_id] >= MAX_WAITING:
            raise ContractError(
                "", f"{MAX_WAITING} requests of this session wait for their answers: no more until one has"
            )
        self._waiting[session_id] += 1
        try:
            return await self._handler(session_id, request)
        finally:
            self._waiting[session_id] -= 1
            if not self._waiting[session_id]:
                del self._waiting[session_id]

    def _check(self, line: bytes) -> dict[str, Any]:
        """The request, if its token is its session's. Raises `ContractError`."""
        value = decode_json(line, max_bytes=LINE_BYTES)
        if not isinstance(value, dict):
            raise ContractError("", "a JSON object is expected")
        request = cast(dict[str, Any], value)
        known = self._tokens.get(str(request.get("session")), "")
        if not known or not hmac.compare_digest(known.encode(), str(request.pop("token", "")).encode()):
            raise ContractError("token", "is not this session's")
        return request


async def _read_line(stream: trio.SocketStream) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        piece = await stream.receive_some(4096)
        if not piece:
            raise ContractError("", "the request ended before its end of line")
        line += piece
        if len(line) > LINE_BYTES:
            raise ContractError("", f"the request is longer than {LINE_BYTES} bytes")
    return line


async def _say(stream: trio.SocketStream, answer: dict[str, Any]) -> None:
    await stream.send_all(json.dumps(answer).encode() + b"\n")
