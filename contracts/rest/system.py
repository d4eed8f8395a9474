"""The service itself: health, numbers, supervision."""

from typing import Annotated, Any, Literal

import attrs
import msgspec

from townwatch.contracts.rest.shared import Limit


@attrs.frozen(kw_only=True)
class Alive:
    """The process answers."""

    status: Literal["ok"] = "ok"


@attrs.frozen(kw_only=True)
class Ready:
    """The service takes work. `warnings`: what people should know all the same (events that are missing, rows that were
    set aside), one line each.
    """

    ready: bool
    warnings: list[str] = attrs.field(factory=list[str])


@attrs.frozen(kw_only=True)
class ServiceStatus:
    """The service's version and start."""

    version: str
    uptime_ms: float
    started_at: float


@attrs.frozen(kw_only=True)
class MailboxView:
    """Messages waiting, the most there may be (null: no limit) and the most there ever were."""

    depth: int
    capacity: int | None
    high_water: int
    dropped: int
    policy: str


@attrs.frozen(kw_only=True)
class ExitView:
    """The reason of an actor's last end, and how many seconds ago it was."""

    reason: str
    age: float


@attrs.frozen(kw_only=True)
class SupervisionNode:
    """An actor or a supervisor; its children are such nodes too. `more`: children left out. Times are seconds."""

    id: str
    kind: str
    actor: str
    path: str | None
    state: str
    incarnation: int
    uptime: float
    restarts: int
    in_hand: str | None
    mailbox: MailboxView | None
    last_exit: ExitView | None
    strategy: str | None
    intensity: int | None
    period: float | None
    recent: int | None
    children: list[dict[str, Any]]
    more: int


@attrs.frozen(kw_only=True)
class SupervisionEventQuery:
    """`path`: of a node of the tree; without one, of all of them."""

    path: Annotated[str, msgspec.Meta(max_length=500)] = ""
    limit: Limit = 100


@attrs.frozen(kw_only=True)
class SupervisionEvent:
    """`event`: started, stopped, crashed, restarted, escalated, killed, mailbox_full or dead_letter. `at`: of the last
    of `count` that were alike.
    """

    at: float
    path: str
    event: str
    text: str
    incarnation: int | None
    count: int


@attrs.frozen(kw_only=True)
class SupervisionEventList:
    """Oldest first."""

    items: list[SupervisionEvent]
