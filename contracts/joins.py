"""Messages from UI clients over Socket.IO (CONTRACT section 3): payloads, and the codes of a refusal."""

from functools import cache
from typing import Annotated, Any, Literal

import attrs
import msgspec

from townwatch.contracts.codec import ContractError, Decoder
from townwatch.contracts.events import Id, NonNegative
from townwatch.contracts.scopes import TokenScope as Scope

ErrorCode = Literal[
    "E_UNAUTH",
    "E_BAD_PAYLOAD",
    "E_FORBIDDEN",
    "E_RATE_LIMIT",
    "E_INTERNAL",
    "E_CONFLICT",
    "E_OFFLINE",
    "E_UNSUPPORTED",
    "WAITING",
]
Since = dict[str, NonNegative]
"""session → the last seq the client has seen."""
MOST_ROOMS = 100
"""Agents, and repositories, that one `join` may name."""


@attrs.frozen(kw_only=True)
class JoinVillage:
    """`output` none leaves out the work stream's terminal output."""

    village_id: Id
    output: Literal["full", "none"] = "full"
    since: Since | None = None


@attrs.frozen(kw_only=True)
class JoinAgent:
    """`village_id`: in which village, where a person may see several that have an agent of this id."""

    agent_id: Id
    village_id: Id | None = None
    terminal: bool = False
    since: Since | None = None


@attrs.frozen(kw_only=True)
class JoinRepo:
    """`village_id`: as in `JoinAgent`."""

    repo_id: Id
    village_id: Id | None = None
    since: Since | None = None


@attrs.frozen(kw_only=True)
class JoinRooms:
    """A village, agents and repositories of it: many rooms in one call, counted as one join."""

    village_id: Id
    agents: Annotated[tuple[Id, ...], msgspec.Meta(max_length=MOST_ROOMS)] = ()
    repos: Annotated[tuple[Id, ...], msgspec.Meta(max_length=MOST_ROOMS)] = ()
    output: Literal["full", "none"] = "full"
    since: Since | None = None


@attrs.frozen(kw_only=True)
class TerminalInput:
    session_id: Id
    data: Annotated[str, msgspec.Meta(max_length=64 * 1024)]


@attrs.frozen(kw_only=True)
class TerminalResize:
    session_id: Id
    cols: Annotated[int, msgspec.Meta(ge=1, le=1000)]
    rows: Annotated[int, msgspec.Meta(ge=1, le=1000)]


@attrs.frozen(kw_only=True)
class KeyboardAction:
    """take: hold the keyboard (`over`: also where another person does). release: let go of it. offer: hand it over to
    the user `to`. ask: tell its holder that one wants it.
    """

    session_id: Id
    action: Literal["take", "release", "offer", "ask"]
    to: Id | None = None
    over: bool = False

    def check(self) -> None:
        """Raises `ContractError`."""
        if (self.action == "offer") != (self.to is not None):
            raise ContractError("to", "is the user to whom the keyboard is handed over: with offer, and only there")


@attrs.frozen
class ClientEvent:
    """An event that a client may send: its payload's class, and the scope that the connection's token needs.

    `about`: the payload's field that names the thing concerned; None: it concerns only the client itself.
    """

    payload: type[Any]
    scope: Scope
    about: Literal["village_id", "agent_id", "repo_id", "session_id"] | None

    def convert(self, data: Any) -> Any:
        """Return the payload as its class. Raises `ContractError`."""
        return _decoder(self.payload).convert(data)


@cache
def _decoder(payload: type[Any]) -> Decoder[Any]:
    return Decoder(payload)


PAYLOADS: dict[str, ClientEvent] = {
    "join_village": ClientEvent(JoinVillage, "read", "village_id"),
    "join_agent": ClientEvent(JoinAgent, "read", "agent_id"),
    "join_repo": ClientEvent(JoinRepo, "read", "repo_id"),
    "join": ClientEvent(JoinRooms, "read", "village_id"),
    "leave_village": ClientEvent(JoinVillage, "read", None),
    "leave_agent": ClientEvent(JoinAgent, "read", None),
    "leave_repo": ClientEvent(JoinRepo, "read", None),
    "terminal_input": ClientEvent(TerminalInput, "drive", "session_id"),
    "terminal_resize": ClientEvent(TerminalResize, "drive", "session_id"),
    "keyboard": ClientEvent(KeyboardAction, "drive", "session_id"),
}


@attrs.frozen(kw_only=True)
class RefusalError:
    """`retryAfter`: seconds after which to try again; left out where trying again does not help."""

    code: ErrorCode
    message: str
    retry_after: float | None = None


@attrs.frozen(kw_only=True)
class RefusalMessage:
    """A request that was refused: the acknowledgement, and the payload of ws_error."""

    ok: bool
    error: RefusalError


@attrs.frozen
class Refusal(Exception):
    """A refused request: the code for programs, the message for people."""

    code: ErrorCode
    message: str
    retry_after: float | None = None
    """Seconds after which to try again; None where trying again does not help."""

    def as_ack(self) -> dict[str, Any]:
        """Return {ok: false, error}: the ack, and the payload of `ws_error`."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.retry_after is not None:
            error["retryAfter"] = round(self.retry_after, 3)
        return {"ok": False, "error": error}
