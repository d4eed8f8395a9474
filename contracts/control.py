"""The typed control-plane WebSocket (CONTRACT section 4): plain JSON messages both ways."""

from typing import Any, ClassVar, Literal

import attrs

from contracts.codec import Decoder

ControlCode = Literal[
    "UNKNOWN_MESSAGE_TYPE",
    "INVALID_MESSAGE",
    "AUTH_FAILED",
    "NOT_AUTHENTICATED",
    "NOT_SUBSCRIBED",
    "CONNECTION_LIMIT",
    "FORBIDDEN",
    "UNAVAILABLE",
    "RATE_LIMIT",
]


@attrs.frozen(kw_only=True)
class Authenticate:
    """The token decides; a `user_id` that is not the token's fails."""

    TYPE: ClassVar[str] = "authenticate"
    token: str
    user_id: str | None = None


@attrs.frozen(kw_only=True)
class Subscribe:
    TYPE: ClassVar[str] = "subscribe"
    session_id: str | None = None
    runner_id: str | None = None


@attrs.frozen(kw_only=True)
class Unsubscribe:
    TYPE: ClassVar[str] = "unsubscribe"
    session_id: str | None = None
    runner_id: str | None = None


@attrs.frozen(kw_only=True)
class Terminal:
    """input: `data` is the text typed. resize: `data` is {cols, rows}."""

    TYPE: ClassVar[str] = "terminal"
    session_id: str
    action: Literal["input", "resize"]
    data: Any


@attrs.frozen(kw_only=True)
class Ping:
    TYPE: ClassVar[str] = "ping"


CONTROL_TYPES = frozenset(cls.TYPE for cls in (Authenticate, Subscribe, Unsubscribe, Terminal, Ping))
decode_control: Decoder[Any] = Decoder(Authenticate, Subscribe, Unsubscribe, Terminal, Ping)


@attrs.frozen(kw_only=True)
class SessionMessage:
    TYPE: ClassVar[str] = "session"
    session_id: str
    action: Literal["output", "state_change", "approval_request", "completed"]
    data: dict[str, Any]
    timestamp: str


@attrs.frozen(kw_only=True)
class TerminalMessage:
    TYPE: ClassVar[str] = "terminal"
    session_id: str
    action: Literal["output"]
    data: str
    timestamp: str


@attrs.frozen(kw_only=True)
class EventMessage:
    TYPE: ClassVar[str] = "event"
    event: Literal["connected", "authenticated", "subscribed", "unsubscribed", "runner_status"]
    data: dict[str, Any]
    timestamp: str


@attrs.frozen(kw_only=True)
class Pong:
    TYPE: ClassVar[str] = "pong"
    timestamp: str


@attrs.frozen(kw_only=True)
class ControlError:
    TYPE: ClassVar[str] = "error"
    code: ControlCode
    message: str
    timestamp: str
