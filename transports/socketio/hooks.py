"""Settings of the engine that an application makes, and the hooks that are asked at each request."""

import inspect
from collections.abc import Callable
from typing import Any

import attrs

from townwatch.transports.edge.http import Headers, Request

ERRORS = {
    0: "Transport unknown",
    1: "Session ID unknown",
    2: "Bad handshake method",
    3: "Bad request",
    4: "Forbidden",
    5: "Unsupported protocol version",
}


@attrs.frozen(kw_only=True)
class EngineSettings:
    """Times in seconds, sizes in bytes. `origins`: allowed beside the service's own; "*": all."""

    ping_interval: float = 25.0
    ping_timeout: float = 60.0
    max_payload: int = 1_000_000
    upgrade_timeout: float = 10.0
    transports: tuple[str, ...] = ("polling", "websocket")
    origins: tuple[str, ...] = ()
    backlog: int = 1 << 20
    """Bytes that may wait for a slow client before it is cut (recoverably)."""
    deflate: bool = True
    """permessage-deflate for clients that offer it: messages of 1024 bytes and more, each compressed once for all."""
    upgrades: bool = True
    """Whether a client that polls may go on over a WebSocket."""
    credentials: bool = True
    """Whether pages of other origins may send cookies."""
    payload_packets: int = 16
    """Packets in the answer to a poll: python-engineio's clients take no more, others poll again at once."""


Allow = Callable[[Request], Any]
"""Hook: may this client connect? True or None: yes; False or a text: no, and why. May be async."""
HeaderHook = Callable[[dict[str, Any], Request], None]
"""Hook: changes the headers of an answer, name → value; a list is several headers of the name, as for cookies."""


class EngineRefusal(Exception):
    """A request that the protocol does not allow; `code` is one of `ERRORS`."""

    def __init__(self, code: int, message: str | None = None) -> None:
        super().__init__(message or ERRORS[code])
        self.code = code


@attrs.define
class EngineHooks:
    """Functions of the application; None: none."""

    allow_request: Allow | None = None
    """Asked about each client that wants to connect."""
    initial_headers: HeaderHook | None = None
    """For the first answer to a client."""
    headers: HeaderHook | None = None
    """For each answer."""

    def headers_of(self, request: Request) -> Headers:
        """The headers that the application adds to the answer."""
        found: dict[str, str | list[str]] = {}
        if self.initial_headers is not None and request.argument("sid") is None:
            self.initial_headers(found, request)
        if self.headers is not None:
            self.headers(found, request)
        several = ((name, [value] if isinstance(value, str) else value) for name, value in found.items())
        return [(name, value) for name, values in several for value in values]

    async def ask(self, request: Request) -> None:
        """Raises `EngineRefusal` where the application does not want this client."""
        if self.allow_request is None:
            return
        answer = self.allow_request(request)
        if inspect.isawaitable(answer):
            answer = await answer
        if answer is not None and answer is not True:
            raise EngineRefusal(4, answer if isinstance(answer, str) else None)
