"""Villages, and the houses (repositories) in them."""

import hashlib

import attrs
from sqlalchemy import Connection, bindparam, delete, or_, select, update

from store.rows import insert_new, to_attrs
from store.tables import houses, members, villages

_BY_ID = select(villages).where(villages.c.village_id == bindparam("id"))


@attrs.frozen(kw_only=True)
class Village:
    """A place for agents and the people who watch them. A public one may be read by anyone."""

    village_id: str
    name: str
    public: bool
    created_ms: int


@attrs.frozen(kw_only=True)
class VillageOf:
    """A village as one person sees it. `role` is None for a public village of others."""

    village_id: str
    name: str
    public: bool
    role: str | None


@attrs.frozen(kw_only=True)
class House:
    """A repository. Its id says the same as its village and path."""

    house_id: str
    village_id: str
    name: str
    repo_path: str
    created_ms: int


def house_id_of(village_id: str, repo_path: str) -> str:
    """``house_`` and 12 hex digits of a hash over village and path."""
    return "house_" + hashlib.sha256(f"{village_id}\n{repo_path}".encode()).hexdigest()[:12]


def create(connection: Connection, village_id: str, name: str, now_ms: int, *, public: bool = False) -> bool:
    """A new village; False where the id is taken."""
    values = {"village_id": village_id, "name": name, "public": public, "created_ms": now_ms}
    return insert_new(connection, villages, values)


def get(connection: Connection, village_id: str) -> Village | None:
    """By id, whoever may see it."""
    row = connection.execute(_BY_ID, {"id": village_id}).first()
    return to_attrs(Village, row) if row else None


def change(connection: Connection, village_id: str, *, name: str | None = None, public: bool | None = None) -> bool:
    """Set what is not None; False where there is no such village."""
    values = {key: value for key, value in (("name", name), ("public", public)) if value is not None}
    if not values:
        return get(connection, village_id) is not None
    statement = update(villages).where(villages.c.village_id == village_id).values(**values)
    return connection.execute(statement).rowcount > 0


def remove(connection: Connection, village_id: str) -> bool:
    """Delete a village with all that is in it (members, houses, agents, sessions)."""
    return connection.execute(delete(villages).where(villages.c.village_id == village_id)).rowcount > 0


def of_user(connection: Connection, user_id: str | None, *, public_too: bool = True) -> list[VillageOf]:
    """The villages somebody may see, by id. None is anybody."""
    joined = villages.outerjoin(
        members, (members.c.village_id == villages.c.village_id) & (members.c.user_id == (user_id or ""))
    )
    visible = members.c.role.is_not(None)
    if public_too:
        visible = or_(visible, villages.c.public)
    query = select(villages.c.village_id, villages.c.name, villages.c.public, members.c.role).select_from(joined)
    rows = connection.execute(query.where(visible).order_by(villages.c.village_id))
    return [to_attrs(VillageOf, row) for row in rows]


def add_house(
    connection: Connection, village_id: str, repo_path: str, now_ms: int, *, name: str | None = None
) -> House:
    """The house of a repository; made if it was not there."""
    shown = name or repo_path.rstrip("/").rsplit("/", 1)[-1] or repo_path
    house = House(
        house_id=house_id_of(village_id, repo_path),
        village_id=village_id,
        name=shown,
        repo_path=repo_path,
        created_ms=now_ms,
    )
    insert_new(connection, houses, attrs.asdict(house))
    return get_house(connection, house.house_id) or house


def get_house(connection: Connection, house_id: str) -> House | None:
    """By id."""
    row = connection.execute(select(houses).where(houses.c.house_id == house_id)).first()
    return to_attrs(House, row) if row else None


def houses_of(connection: Connection, village_id: str) -> list[House]:
    """All houses of a village, by name."""
    query = select(houses).where(houses.c.village_id == village_id).order_by(houses.c.name, houses.c.house_id)
    return [to_attrs(House, row) for row in connection.execute(query)]


def remove_house(connection: Connection, house_id: str) -> bool:
    """Take a house down; its sessions stay in the log."""
    return connection.execute(delete(houses).where(houses.c.house_id == house_id)).rowcount > 0
