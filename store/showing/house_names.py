"""Names that people gave to houses. A house without one is called as its repository's folder."""

from sqlalchemy import Connection, delete, select

from townwatch.store.rows import upsert
from townwatch.store.tables import house_names


def put(
    connection: Connection, village_id: str, repo_id: str, name: str | None, changed_by: str | None, now_ms: int
) -> None:
    """Give a house a name; None takes it away."""
    if name is None:
        mine = (house_names.c.village_id == village_id) & (house_names.c.repo_id == repo_id)
        connection.execute(delete(house_names).where(mine))
        return
    values = {"village_id": village_id, "repo_id": repo_id, "name": name}
    upsert(connection, house_names, {**values, "changed_by": changed_by, "changed_ms": now_ms})


def everything(connection: Connection) -> dict[tuple[str, str], str]:
    """Return (village, house) → its name, of the houses that have one."""
    h = house_names.c
    return {(row[0], row[1]): row[2] for row in connection.execute(select(h.village_id, h.repo_id, h.name))}
