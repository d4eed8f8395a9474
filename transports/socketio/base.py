"""What python-socketio's constructor wants, the measure of a server, and small rules that its handlers follow."""

import inspect
from collections.abc import Sequence
from typing import Any, cast

import attrs

NO_ACK = object()
"""A handler returns this to leave the client's acknowledgement unanswered."""


@attrs.frozen(kw_only=True)
class Stats:
    """What the server counts. `cut`: clients that were too slow. recovery_bytes: kept for those who may come back."""

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
    """connect may leave out auth, disconnect the reason."""
    try:
        inspect.signature(handler).bind(*arguments)
    except TypeError:
        return arguments[:-1]
    return arguments


class NoManager:
    """python-socketio's manager scans all rooms at each disconnect; ours are in `Namespace`."""

    def set_server(self, server: Any) -> None:
        """Called by the base class."""


class NoEngine:
    """What the base class makes instead of python-engineio's server."""

    async_mode = "trio"

    def __init__(self, **_options: Any) -> None:
        """Nothing: the engine is made by `TrioServer`."""

    def on(self, event: str, handler: Any = None) -> None:
        """Engine.IO's events come by callbacks of our engine."""
