"""Ports of the control plane, filled by the composition root."""

from collections.abc import Awaitable, Callable

import attrs

from townwatch.actors.context import Context
from townwatch.actors.ports import Access, Principal
from townwatch.transports.websocket.pace import MessageLimits
from townwatch.transports.websocket.socket import SocketLimits

Authenticate = Callable[[str | None], Awaitable[Principal]]
"""Who a token belongs to. Raises `ValueError` for a token that is not good."""

AllowOrigin = Callable[[str | None, str | None], bool]
"""Whether a page of this Origin may connect, given the request's Host; None: the header is missing."""


def no_page(origin: str | None, _host: str | None) -> bool:
    """Allow programs only, which send no Origin."""
    return origin is None


def _limits() -> SocketLimits:
    return SocketLimits(
        incoming=MessageLimits(message_bytes=1 << 20, data_frames=200, control_frames=20, bytes=8 << 20),
        ping=30.0,
        silent=60.0,
        outbox_bytes=1 << 20,
        outbox_messages=4096,
    )


@attrs.frozen(kw_only=True)
class ControlSettings:
    """handshake, authenticate: seconds to the 101 and to a good token. strangers: connections without one at a time.
    subscriptions: of one connection.
    """

    handshake: float = 5.0
    authenticate: float = 10.0
    strangers: int = 512
    subscriptions: int = 1000
    socket: SocketLimits = attrs.field(factory=_limits)


@attrs.frozen(kw_only=True)
class ControlDeps:
    """`clients`: the path of the supervisor that admits people's connections and keeps their limits."""

    context: Context
    clients: str
    authenticate: Authenticate
    access: Access
    allow_origin: AllowOrigin = no_page
    settings: ControlSettings = attrs.field(factory=ControlSettings)
