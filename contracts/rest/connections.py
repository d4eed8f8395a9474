"""Live connections of people, over Socket.IO and the control WebSocket."""

from typing import Literal

import attrs

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
