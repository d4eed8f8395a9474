"""The fleet: which runners there are, and what people want of them. Who is online is the service's to see, not ours."""

from typing import Any, Literal

import attrs
from sqlalchemy import Connection, Row, delete, or_, select, update

from store.rows import from_json, to_json, upsert
from store.tables import runners

State = Literal["active", "draining", "maintenance"]
_JSON = ("capabilities", "labels", "details")


def _empty() -> dict[str, Any]:
    return {}


@attrs.frozen(kw_only=True)
class Runner:
    """A machine that runs sessions. `village_id` None: for every village. `last_seen_ms` None: never heard of."""

    runner_id: str
    name: str
    created_ms: int
    village_id: str | None = None
    hostname: str | None = None
    version: str | None = None
    mode: str = "customer_hosted"
    state: State = "active"
    capabilities: dict[str, Any] = attrs.field(factory=_empty)
    labels: dict[str, str] = attrs.field(factory=_empty)
    details: dict[str, Any] = attrs.field(factory=_empty)
    last_seen_ms: int | None = None


def put(connection: Connection, runner: Runner) -> None:
    """Add it, or change what it says of itself. Its village, its state and its beginning stay."""
    values = _columns(attrs.asdict(runner, recurse=False))
    upsert(connection, runners, values, keep=["village_id", "state", "created_ms"])


def seen(connection: Connection, runner_id: str, now_ms: int) -> None:
    """It was heard of."""
    connection.execute(update(runners).where(runners.c.runner_id == runner_id).values(last_seen_ms=now_ms))


def set_state(connection: Connection, runner_id: str, state: State) -> bool:
    """What people want of it; False where there is no such runner."""
    if state not in ("active", "draining", "maintenance"):
        raise ValueError(f"state: must be active, draining or maintenance, not {state!r}")
    return connection.execute(update(runners).where(runners.c.runner_id == runner_id).values(state=state)).rowcount > 0


def get(connection: Connection, runner_id: str) -> Runner | None:
    """By id."""
    row = connection.execute(select(runners).where(runners.c.runner_id == runner_id)).first()
    return _runner(row) if row else None


def everyone(connection: Connection, village_id: str | None = None) -> list[Runner]:
    """All, or those that may serve a village, by name."""
    query = select(runners).order_by(runners.c.name, runners.c.runner_id)
    if village_id is not None:
        query = query.where(or_(runners.c.village_id == village_id, runners.c.village_id.is_(None)))
    return [_runner(row) for row in connection.execute(query)]


def remove(connection: Connection, runner_id: str) -> bool:
    """Remove it and its tokens."""
    return connection.execute(delete(runners).where(runners.c.runner_id == runner_id)).rowcount > 0


def _columns(values: dict[str, Any]) -> dict[str, Any]:
    return {k: to_json(v) if k in _JSON else v for k, v in values.items()}


def _runner(row: Row[*tuple[Any, ...]]) -> Runner:
    values = dict(row._mapping)  # pyright: ignore[reportPrivateUsage] - SQLAlchemy's documented name
    return Runner(**{**values, **{name: from_json(values[name]) for name in _JSON}})
