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
    set aside), one line each. `cluster`: where several processes share a database, what this one does: "leads", or
    "relays to NAME, which leads since …"; absent elsewhere.
    """

    ready: bool
    warnings: list[str] = attrs.field(factory=list[str])
    cluster: str | None = None


@attrs.frozen(kw_only=True)
class ServiceStatus:
    """The service's version and start."""

    version: str
    uptime_ms: float
    started_at: float


@attrs.frozen(kw_only=True)
class ReplicaView:
    """A process among those that share the database. `role`: the one that leads does the work, followers hand
    connections on to it. `lagMs`: age of its last sign of life; `relayed`: connections that it hands on now; `linkMs`:
    how long the leader took to answer it, null of the leader or where it did not. `since`: null where it has not said
    so yet. `address`: where the others reach it; null for people who do not run the service.
    """

    name: str
    role: Literal["leader", "follower"]
    version: str
    since: float | None
    lag_ms: float
    relayed: int
    link_ms: float | None
    address: str | None


@attrs.frozen(kw_only=True)
class ReplicaList:
    """Empty where one process has the database for itself."""

    items: list[ReplicaView]


@attrs.frozen(kw_only=True)
class LimitView:
    """A limit and how much of it is in use. `whose`: yours, or of the whole service. `perSecond`: of a rate, so many
    come free each second; null: of places, which come free when their holder goes. `name`: the setting in [limits].
    """

    name: str
    whose: Literal["you", "service"]
    used: float
    allowed: float
    per_second: float | None = None


@attrs.frozen(kw_only=True)
class LimitList:
    items: list[LimitView]


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
    """An actor or a supervisor; its children are such nodes too. `more`: children left out. Times are seconds. `note`:
    what it says of itself, null where it says nothing, and for people who do not run the service.
    """

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
    note: str | None


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
