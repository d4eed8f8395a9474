"""Live connections of people, over Socket.IO and the control WebSocket."""

from typing import Annotated, Any, Literal

import attrs
import msgspec

from townwatch.contracts.codec import ContractError
from townwatch.contracts.control import OWN_EVENTS
from townwatch.contracts.events import Id
from townwatch.contracts.rest.shared import Cursor, Limit


@attrs.frozen(kw_only=True)
class ConnectionView:
    """`rooms`: what it follows. `userAgent`: what the program called itself. `userId` null: the anonymous."""

    connection_id: str
    kind: Literal["socketio", "control"]
    user_id: str | None
    address: str
    user_agent: str
    since: float
    rooms: list[str]


@attrs.frozen(kw_only=True)
class ConnectionList:
    items: list[ConnectionView]
    next: str | None


@attrs.frozen(kw_only=True)
class ConnectionQuery:
    """`userId`: of this person only."""

    user_id: Id | None = None
    cursor: Cursor | None = None
    limit: Limit = 100


@attrs.frozen(kw_only=True)
class NewBroadcast:
    """An event for the clients of the control WebSocket. `userId`: to this person's alone."""

    event: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_.:-]{0,63}$")]
    data: dict[str, Any] = attrs.field(factory=dict[str, Any])
    user_id: Id | None = None

    def check(self) -> None:
        """Raise `ContractError` for an event that the service says itself."""
        if self.event in OWN_EVENTS:
            raise ContractError("event", f"{self.event} is the service's own; take another name")


@attrs.frozen(kw_only=True)
class BroadcastSent:
    """`clients`: how many authenticated connections it was sent to."""

    clients: int
