"""Base of the server: python-socketio's constructor, statistics, and small rules that handlers follow."""

import inspect
from collections.abc import Sequence
from typing import Any, cast

import attrs

NO_ACK = object()
"""A handler returns this to leave the client's acknowledgement unanswered."""


class Postponed(Exception):
    """Raised by a connect handler for a passing reason: the transport is closed, and the client tries again by itself.

    A CONNECT_ERROR would end an official client for good (`socket.active` is false after it). `recoverable`: whether it
    may still come back as the connection that it was.
    """

    def __init__(self, reason: str, *, recoverable: bool = True) -> None:
        super().__init__(reason)
        self.recoverable = recoverable


@attrs.frozen(kw_only=True)
class Stats:
    """Counters of the server. `cut`: clients that were too slow. recovery_bytes: kept for clients that may return."""

    polling_connections: int
    websocket_connections: int
    sockets: int
    cut: int
    recovery_bytes: int


def as_list(answer: Any) -> list[Any]:
    """A handler's result as the acknowledgement's arguments: a tuple is several, None is none."""
    if answer is None:
        return []
    return list(cast(tuple[Any, ...], answer)) if isinstance(answer, tuple) else [answer]


def fitting(handler: Any, arguments: Sequence[Any]) -> Sequence[Any]:
    """Return the arguments that a handler takes: connect may leave out auth, disconnect the reason."""
    try:
        inspect.signature(handler).bind(*arguments)
    except TypeError:
        return arguments[:-1]
    return arguments


class NoEngine:
    """Placeholder that the base class creates instead of python-engineio's server."""

    async_mode = "trio"

    def __init__(self, **_options: Any) -> None:
        """Nothing: the engine is made by `TrioServer`."""

    def on(self, event: str, handler: Any = None) -> None:
        """Engine.IO's events come by callbacks of our engine."""
