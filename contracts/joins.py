"""What UI clients say over Socket.IO (CONTRACT section 3): payloads, and the codes of a refusal."""

from typing import Annotated, Any, Literal

import attrs
import msgspec

from contracts.codec import Decoder
from contracts.events import Id, NonNegative

ErrorCode = Literal["E_UNAUTH", "E_BAD_PAYLOAD", "E_FORBIDDEN", "E_RATE_LIMIT", "E_INTERNAL", "E_CONFLICT", "E_OFFLINE"]
Since = dict[str, NonNegative]
"""session → the last seq the client has seen."""


@attrs.frozen(kw_only=True)
class JoinVillage:
    village_id: Id
    since: Since | None = None


@attrs.frozen(kw_only=True)
class JoinAgent:
    agent_id: Id
    terminal: bool = False
    since: Since | None = None


@attrs.frozen(kw_only=True)
class JoinRepo:
    repo_id: Id
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


PAYLOADS: dict[str, Decoder[Any]] = {
    "join_village": Decoder(JoinVillage),
    "join_agent": Decoder(JoinAgent),
    "join_repo": Decoder(JoinRepo),
    "leave_village": Decoder(JoinVillage),
    "leave_agent": Decoder(JoinAgent),
    "leave_repo": Decoder(JoinRepo),
    "terminal_input": Decoder(TerminalInput),
    "terminal_resize": Decoder(TerminalResize),
}


@attrs.frozen
class Refusal(Exception):
    """Why not: the code for programs, the message for people."""

    code: ErrorCode
    message: str
    retry_after: float | None = None
    """Seconds after which to try again; None where trying again does not help."""

    def as_ack(self) -> dict[str, Any]:
        """{ok: false, error}: the ack, and the payload of `ws_error`."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.retry_after is not None:
            error["retryAfter"] = round(self.retry_after, 3)
        return {"ok": False, "error": error}
