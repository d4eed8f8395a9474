"""The fleet: which runners there are, and what people want of them. Who is online is the service's to see, not ours."""

from collections.abc import Iterable
from typing import Any, Literal

import attrs
from sqlalchemy import Connection, Row, delete, select, update

from townwatch.store.rows import from_json, to_json, upsert
from townwatch.store.tables import runner_villages, runners

State = Literal["active", "draining", "maintenance"]
_JSON = ("capabilities", "labels", "details")


def _empty() -> dict[str, Any]:
    return {}


@attrs.frozen(kw_only=True)
class RunnerRow:
    """A machine that runs sessions. `last_seen_ms` None: never heard of. Which villages it serves: `runner_grants`."""

    runner_id: str
    name: str
    created_ms: int
    hostname: str | None = None
    version: str | None = None
    mode: str = "customer_hosted"
    state: State = "active"
    capabilities: dict[str, Any] = attrs.field(factory=_empty)
    labels: dict[str, str] = attrs.field(factory=_empty)
    details: dict[str, Any] = attrs.field(factory=_empty)
    last_seen_ms: int | None = None


def put(connection: Connection, runner: RunnerRow) -> None:
    """Add it, or change what it says of itself. Its state and its beginning stay."""
    values = _columns(attrs.asdict(runner, recurse=False))
    upsert(connection, runners, values, keep=["state", "created_ms"])


def ensure(connection: Connection, runner_ids: Iterable[str], now_ms: int) -> None:
    """Make a row for each of these runners that has none: only one that has a row can be granted a village."""
    for runner_id in runner_ids:
        if get(connection, runner_id) is None:
            put(connection, RunnerRow(runner_id=runner_id, name=runner_id, created_ms=now_ms))


def seen(connection: Connection, runner_id: str, now_ms: int) -> None:
    """Note that the runner was heard of."""
    connection.execute(update(runners).where(runners.c.runner_id == runner_id).values(last_seen_ms=now_ms))


def set_state(connection: Connection, runner_id: str, state: State) -> bool:
    """Set the state that an administrator wants; return False if there is no such runner."""
    if state not in ("active", "draining", "maintenance"):
        raise ValueError(f"state: must be active, draining or maintenance, not {state!r}")
    return connection.execute(update(runners).where(runners.c.runner_id == runner_id).values(state=state)).rowcount > 0


def get(connection: Connection, runner_id: str) -> RunnerRow | None:
    """Return the runner with this id, or None."""
    row = connection.execute(select(runners).where(runners.c.runner_id == runner_id)).first()
    return _runner(row) if row else None


def everyone(connection: Connection, village_id: str | None) -> list[RunnerRow]:
    """Return all runners, or those that were granted a village, by name."""
    query = select(runners).order_by(runners.c.name, runners.c.runner_id)
    if village_id is not None:
        granted = select(runner_villages.c.runner_id).where(runner_villages.c.village_id == village_id)
        query = query.where(runners.c.runner_id.in_(granted))
    return [_runner(row) for row in connection.execute(query)]


def remove(connection: Connection, runner_id: str) -> bool:
    """Remove it and its tokens."""
    return connection.execute(delete(runners).where(runners.c.runner_id == runner_id)).rowcount > 0


def _columns(values: dict[str, Any]) -> dict[str, Any]:
    return {k: to_json(v) if k in _JSON else v for k, v in values.items()}


def _runner(row: Row[*tuple[Any, ...]]) -> RunnerRow:
    values = dict(row._mapping)  # pyright: ignore[reportPrivateUsage] - SQLAlchemy's documented name
    return RunnerRow(**{**values, **{name: from_json(values[name]) for name in _JSON}})
