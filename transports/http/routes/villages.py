"""Villages, their houses and agents."""

from sqlalchemy import Connection

from access.policy import Action
from actors import messages as m
from actors.session_state import SessionState
from contracts import rest
from store import members, villages
from transports.http import fleet, views
from transports.http.operation import Call, Routes
from transports.http.paging import cut
from transports.http.problems import ProblemError, not_found

routes = Routes("Villages")
VILLAGE_SECONDS = 5.0


@routes.get("/api/villages", rest.VillageList, who="visitor", query=rest.PageQuery)
async def list_villages(call: Call[None, rest.PageQuery]) -> rest.VillageList:
    """The villages one may see: one's own, and the public ones."""
    found = await call.api.database.read(villages.of_user, call.subject.user_id)
    page, following = cut(found, lambda village: (village.village_id,), call.query.cursor, call.query.limit)
    return rest.VillageList(items=[views.village_view(village) for village in page], next=following)


@routes.post("/api/villages", rest.MyVillage, status=201, body=rest.NewVillage, fails=(409,), audit="village.create")
async def create_village(call: Call[rest.NewVillage, None]) -> rest.MyVillage:
    """A new village, with oneself as its owner."""
    if call.subject.kind == "session" or "manage" not in call.subject.scopes:
        raise ProblemError(403, "this token may not make villages")
    new = call.body
    call.village_id = new.village_id
    if not await call.api.database.call(_found, new, call.user_id, call.now_ms):
        raise ProblemError(409, f"villageId: {new.village_id} is taken")
    return rest.MyVillage(village_id=new.village_id, name=new.name, public=new.public, role="owner")


@routes.get("/api/villages/{villageId}", rest.MyVillage, who="visitor", on="village")
async def get_village(call: Call[None, None]) -> rest.MyVillage:
    """One village, and one's role in it."""
    return await _village(call)


@routes.patch(
    "/api/villages/{villageId}",
    rest.MyVillage,
    on="village",
    may=Action.MANAGE,
    body=rest.VillageChange,
    audit="village.change",
)
async def change_village(call: Call[rest.VillageChange, None]) -> rest.MyVillage:
    """Rename a village, open it to the public, or close it."""
    change = call.body
    village_id = call.path["villageId"]
    call.notes = {"name": change.name, "public": change.public}
    await call.api.database.call(villages.change, village_id, name=change.name, public=change.public)
    await call.api.membership_changed(village_id)
    return await _village(call)


@routes.delete(
    "/api/villages/{villageId}", rest.Done, on="village", may=Action.MANAGE, fails=(409,), audit="village.delete"
)
async def delete_village(call: Call[None, None]) -> rest.Done:
    """Delete a village in which nobody works.

    Its events stay in the log until their time is over."""
    village_id = call.path["villageId"]
    working = sum(not state.ended for state in call.api.context.board.of_village(village_id))
    if working:
        raise ProblemError(409, f"{working} sessions live in this village; stop them first")
    await call.api.database.call(villages.remove, village_id)
    await call.api.membership_changed(village_id)
    return rest.Done()


@routes.get("/api/villages/{villageId}/houses", rest.HouseList, who="visitor", on="village", query=rest.PageQuery)
async def list_houses(call: Call[None, rest.PageQuery]) -> rest.HouseList:
    """The houses (repositories) of a village, and what goes on in them."""
    village = await call.api.context.router_call(m.EnsureVillage(call.path["villageId"]))
    found = await village.call(m.Houses(), timeout=VILLAGE_SECONDS)
    page, following = cut(found, lambda house: (house.name, house.repo_id), call.query.cursor, call.query.limit)
    return rest.HouseList(items=[views.house_view(house) for house in page], next=following)


@routes.get("/api/villages/{villageId}/agents", rest.AgentList, who="visitor", on="village", query=rest.PageQuery)
async def list_agents(call: Call[None, rest.PageQuery]) -> rest.AgentList:
    """The agents of a village, each in its latest session, the newest first."""
    latest: dict[str, SessionState] = {}
    for state in call.api.context.board.of_village(call.path["villageId"]):
        latest[state.agent_id] = state
    page, following = cut(
        latest.values(), lambda state: (-(state.created_at or 0), state.agent_id), call.query.cursor, call.query.limit
    )
    statuses = await fleet.statuses(call.api, {state.runner_id for state in page})
    items = [views.agent_view(state, statuses[state.runner_id]) for state in page]
    return rest.AgentList(items=items, next=following)


@routes.post(
    "/api/villages/{villageId}/alerts/{alertId}/resolve",
    rest.Done,
    on="village",
    may=Action.DRIVE,
    audit="alert.resolve",
)
async def resolve_alert(call: Call[None, None]) -> rest.Done:
    """An alert is done with: its bug bot goes home."""
    call.target = call.path["alertId"][:200]
    village = await call.api.context.router_call(m.EnsureVillage(call.path["villageId"]))
    await village.send(m.ResolveAlert(call.target))
    return rest.Done()


async def _village(call: Call[rest.VillageChange, None] | Call[None, None]) -> rest.MyVillage:
    village_id = call.path["villageId"]
    seen = await call.api.database.read(villages.of_user, call.subject.user_id)
    found = next((village for village in seen if village.village_id == village_id), None)
    if found is None:
        raise not_found(f"village {village_id!r}")
    return views.village_view(found)


def _found(connection: Connection, new: rest.NewVillage, owner_id: str, now_ms: int) -> bool:
    """Village and first owner in one transaction; False where the id is taken."""
    if not villages.create(connection, new.village_id, new.name, now_ms, public=new.public):
        return False
    members.put(connection, new.village_id, owner_id, "owner", now_ms)
    return True
