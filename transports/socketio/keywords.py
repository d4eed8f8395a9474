"""The keywords of python-socketio's AsyncServer: what each becomes here, or in one line what replaces it."""

from collections.abc import Sequence
from typing import Any, cast

import attrs

from townwatch.transports.socketio.engine import EngineSettings

INSTEAD = {
    "async_handlers": "the events of one client are handled one after another; start long work in a background task",
    "always_connect": "CONNECT goes out when the connect handler has let the client in; emit in it comes after that",
    "async_mode": "this server runs on trio, and no other mode; leave it out",
    "client_manager": "rooms are those of this process; leave it out",
    "compression_threshold": "WebSocket messages of 1024 bytes and more are compressed; leave it out",
    "cookie": "no cookie is needed: requests of a client carry its sid; set one with the hook initial_headers",
    "http_compression": "answers to polls are not compressed; leave it out",
    "json": "messages have one encoder, by which NaN and cycles cannot get in; leave it out",
    "logger": "what happens goes to structlog's logger `socketio`; configure structlog, and leave it out",
    "engineio_logger": "what happens goes to structlog's logger `socketio`; configure structlog, and leave it out",
    "monitor_clients": "clients are always watched; leave it out",
}
"""Keyword → why it is not taken. A value that changes nothing is."""
CHANGES_NOTHING: dict[str, tuple[Any, ...]] = {
    "async_handlers": (False,),
    "always_connect": (False,),
    "async_mode": (None, "trio", "asgi"),
    "client_manager": (None,),
    "cookie": (None,),
    "http_compression": (False,),
    "json": (None,),
    "logger": (False, True),
    "engineio_logger": (False, True),
    "monitor_clients": (True,),
}
PARSER_OF = {"default": "json", "msgpack": "msgpack"}
"""The values of `serializer`."""


def settings(engine: EngineSettings | None, keywords: dict[str, Any]) -> EngineSettings:
    """The engine's settings with these keywords. Raises TypeError for one that is not taken, and says why."""
    changes: dict[str, Any] = {}
    for name, value in keywords.items():
        match name:
            case "cors_allowed_origins":
                changes["origins"] = _origins(value)
            case "cors_credentials":
                changes["credentials"] = bool(value)
            case "ping_interval":
                changes["ping_interval"] = float(sum(value)) if isinstance(value, tuple) else float(value)  # pyright: ignore[reportUnknownArgumentType]
            case "ping_timeout":
                changes["ping_timeout"] = float(value)
            case "max_http_buffer_size":
                changes["max_payload"] = int(value)
            case "allow_upgrades":
                changes["upgrades"] = bool(value)
            case "transports":
                changes["transports"] = (value,) if isinstance(value, str) else tuple(value)
            case _ if name not in INSTEAD:
                raise TypeError(f"TrioServer() got an unexpected keyword argument {name!r}")
            case _ if not any(value is one or value == one for one in CHANGES_NOTHING.get(name, ())):
                raise TypeError(f"{name}={value!r}: {INSTEAD[name]}")
            case _:
                pass
    if changes and engine is not None:
        raise TypeError(f"{', '.join(keywords)}: give them in engine=EngineSettings(…), or leave engine out")
    return attrs.evolve(engine or EngineSettings(), **changes)


def parser_of(parser: str, serializer: Any) -> str:
    """The parser's name. Raises TypeError for a serializer of one's own."""
    if serializer is None:
        return parser
    if serializer not in PARSER_OF:
        raise TypeError(f"serializer={serializer!r}: there are 'default' and 'msgpack', and no packet classes")
    return PARSER_OF[serializer]


def _origins(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    if callable(value):
        raise TypeError("cors_allowed_origins: a function is not taken; decide in the hook allow_request")
    found = tuple(cast(Sequence[str], value))
    if not found:
        raise TypeError("cors_allowed_origins=[]: it would let every page connect; name the origins, or say '*'")
    return found
