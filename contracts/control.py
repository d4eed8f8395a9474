"""The typed control-plane WebSocket (CONTRACT section 4): plain JSON messages both ways."""

from typing import Any, ClassVar, Literal, Protocol

import attrs

from townwatch.contracts.codec import Decoder
from townwatch.contracts.scopes import TokenScope as Scope

ControlCode = Literal[
    "UNKNOWN_MESSAGE_TYPE",
    "INVALID_MESSAGE",
    "WAITING",
    "KEYBOARD",
    "AUTH_FAILED",
    "NOT_AUTHENTICATED",
    "NOT_SUBSCRIBED",
    "CONNECTION_LIMIT",
    "FORBIDDEN",
    "UNAVAILABLE",
    "RATE_LIMIT",
]


class ControlMessage(Protocol):
    """A message from a client. `SCOPE`: the scope that the connection's token needs; None: it only reads."""

    TYPE: ClassVar[str]
    SCOPE: ClassVar[Scope | None]


@attrs.frozen(kw_only=True)
class Authenticate:
    """The token decides; a `user_id` that is not the token's fails."""

    TYPE: ClassVar[str] = "authenticate"
    SCOPE: ClassVar[Scope | None] = None
    token: str
    user_id: str | None = None


@attrs.frozen(kw_only=True)
class Subscribe:
    TYPE: ClassVar[str] = "subscribe"
    SCOPE: ClassVar[Scope | None] = "read"
    session_id: str | None = None
    runner_id: str | None = None


@attrs.frozen(kw_only=True)
class Unsubscribe:
    TYPE: ClassVar[str] = "unsubscribe"
    SCOPE: ClassVar[Scope | None] = "read"
    session_id: str | None = None
    runner_id: str | None = None


@attrs.frozen(kw_only=True)
class TerminalCommand:
    """input: `data` is the text typed. resize: `data` is {cols, rows}."""

    TYPE: ClassVar[str] = "terminal"
    SCOPE: ClassVar[Scope | None] = "drive"
    session_id: str
    action: Literal["input", "resize"]
    data: Any


@attrs.frozen(kw_only=True)
class Ping:
    TYPE: ClassVar[str] = "ping"
    SCOPE: ClassVar[Scope | None] = None


CONTROL_MESSAGES: tuple[type[ControlMessage], ...] = (Authenticate, Subscribe, Unsubscribe, TerminalCommand, Ping)
CONTROL_TYPES = frozenset(cls.TYPE for cls in CONTROL_MESSAGES)
decode_control: Decoder[Any] = Decoder(*CONTROL_MESSAGES)


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


OWN_EVENTS = frozenset({"connected", "authenticated", "subscribed", "unsubscribed", "runner_status"})
"""Events that the service says itself."""


@attrs.frozen(kw_only=True)
class EventMessage:
    """`event`: connected, authenticated, subscribed, unsubscribed, runner_status; others are an administrator's."""

    TYPE: ClassVar[str] = "event"
    event: str
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
