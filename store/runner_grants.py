"""Villages that each runner serves: a row for each grant; a runner without a row serves none."""

from collections import defaultdict
from collections.abc import Collection

import attrs
from sqlalchemy import Connection, delete, select

from townwatch.store.rows import insert_new, to_attrs
from townwatch.store.tables import runner_villages, villages


@attrs.frozen(kw_only=True)
class RunnerGrant:
    """One runner may serve one village. `village_id` is the village's key, `public_id` its name."""

    runner_id: str
    village_id: str
    public_id: str


_ALL = (
    select(runner_villages.c.runner_id, runner_villages.c.village_id, villages.c.public_id)
    .join(villages, villages.c.village_id == runner_villages.c.village_id)
    .order_by(runner_villages.c.runner_id, runner_villages.c.granted_ms, runner_villages.c.village_id)
)


def grant(connection: Connection, runner_id: str, village_id: str, by: str | None, now_ms: int) -> bool:
    """Let a runner serve a village; False where it does already."""
    values = {"runner_id": runner_id, "village_id": village_id, "granted_by": by, "granted_ms": now_ms}
    return insert_new(connection, runner_villages, values)


def withdraw(connection: Connection, runner_id: str, village_ids: Collection[str]) -> None:
    """Let a runner serve these villages no more."""
    mine = (runner_villages.c.runner_id == runner_id) & runner_villages.c.village_id.in_(village_ids)
    connection.execute(delete(runner_villages).where(mine))


def of_runner(connection: Connection, runner_id: str) -> list[RunnerGrant]:
    """Return a runner's grants, the first one given first."""
    rows = connection.execute(_ALL.where(runner_villages.c.runner_id == runner_id))
    return [to_attrs(RunnerGrant, row) for row in rows]


def everything(connection: Connection) -> dict[str, list[RunnerGrant]]:
    """Return runner → its grants, the first one given first."""
    found: dict[str, list[RunnerGrant]] = defaultdict(list)
    for row in connection.execute(_ALL):
        one = to_attrs(RunnerGrant, row)
        found[one.runner_id].append(one)
    return dict(found)
