"""Villages, their houses and agents."""

from secrets import token_hex
from typing import Any

from sqlalchemy import Connection

from townwatch.access.policy import Action, administers
from townwatch.actors import messages as m
from townwatch.actors.rendering.shown import roof
from townwatch.actors.session.state import SessionState
from townwatch.contracts import rest
from townwatch.contracts.village_ids import name_of
from townwatch.store import members, villages
from townwatch.store.showing import house_names
from townwatch.transports.http import lookups, runner_views, views
from townwatch.transports.http.operation import Call, Routes
from townwatch.transports.http.paging import cut
from townwatch.transports.http.problems import ProblemError, not_found

routes = Routes("Villages")
VILLAGE_SECONDS = 5.0
LONGEST_STEM = 55
"""Characters of a villageId that are kept before a random ending: together at most 64."""


def may_create_villages(call: Call[Any, Any]) -> bool:
    """Return whether the caller may make villages: by [people] may_create_villages and by their token."""
    subject = call.subject
    can = subject.kind != "session" and Action.MANAGE in subject.scopes
    return can and (administers(subject) or call.api.everyone_makes_villages)


def _only_makers(call: Call[Any, Any]) -> None:
    if not may_create_villages(call):
        who = "everyone with the scope manage" if call.api.everyone_makes_villages else "administrators"
        raise ProblemError(403, f"you may not make villages with this token: that is for {who} here")


@routes.get("/api/villages", rest.VillageList, who="visitor", may=Action.READ, on="list", query=rest.PageQuery)
async def list_villages(call: Call[None, rest.PageQuery]) -> rest.VillageList:
    """List the villages you may see: your own and public ones; all for administrators."""
    found = await lookups.villages_seen(call)
    page, following = cut(found, lambda village: (village.village_id,), call.query.cursor, call.query.limit)
    return rest.VillageList(items=[views.village_view(village) for village in page], next=following)


@routes.post(
    "/api/villages",
    rest.MyVillage,
    status=201,
    may=Action.MANAGE,
    on="self",
    guard=_only_makers,
    body=rest.NewVillage,
    fails=(409,),
    audit="village.create",
)
async def create_village(call: Call[rest.NewVillage, None]) -> rest.MyVillage:
    """Create a village with you as its owner.

    Administrators get the villageId they ask for, or 409: they see all villages. Where everyone may make villages
    ([people] may_create_villages), everyone else gets it with a random ending, whether it is taken or not, so that
    the answer tells nothing about villages that they may not see: use the villageId of the answer.
    """
    subject, new = call.subject, call.body
    public_id = new.village_id if administers(subject) else f"{new.village_id[:LONGEST_STEM]}-{token_hex(4)}"
    key = await call.api.database.call(_found, new, public_id, call.user_id, call.now_ms)
    if key is None:
        raise ProblemError(409, f"villageId: {public_id} is taken; choose another")
    call.village_id = key
    _leave_out(call, key, new.leave_out_texts)
    return rest.MyVillage(
        village_id=public_id, name=new.name, public=new.public, role="owner", leave_out_texts=new.leave_out_texts
    )


@routes.get("/api/villages/{villageId}", rest.MyVillage, who="visitor", on="village", may=Action.READ)
async def get_village(call: Call[None, None]) -> rest.MyVillage:
    """Return one village and your role in it."""
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
    """Rename a village, make it public or private, or say whether what is said in its sessions is kept."""
    change = call.body
    village_id = call.path["villageId"]
    call.notes = {"name": change.name, "public": change.public, "leaveOutTexts": change.leave_out_texts}
    if change.leave_out_texts:  # before it is on record: nothing more is stored once it is
        _leave_out(call, village_id, True)
    await call.api.database.call(
        villages.change,
        village_id,
        name=change.name,
        public=change.public,
        leave_out_texts=change.leave_out_texts,
    )
    if change.leave_out_texts is False:
        _leave_out(call, village_id, False)
    await call.api.membership_changed(village_id)
    return await _village(call)


@routes.delete("/api/villages/{villageId}", rest.Done, on="village", may=Action.MANAGE, audit="village.delete")
async def delete_village(call: Call[None, None]) -> rest.Done:
    """Delete a village and everything in it, permanently.

    That is its members, its sessions (live ones are stopped) with their events and approvals, its tokens, runner
    grants and enrolment codes. The villageId is then free: a new village of the same name is empty.
    """
    village_id = call.path["villageId"]
    call.notes = {"sessions": len(call.api.context.board.of_village(village_id))}
    await call.api.database.call(villages.remove, village_id)
    await call.api.village_deleted(village_id)
    return rest.Done()


@routes.get(
    "/api/villages/{villageId}/houses",
    rest.HouseList,
    who="visitor",
    on="village",
    may=Action.READ,
    query=rest.PageQuery,
)
async def list_houses(call: Call[None, rest.PageQuery]) -> rest.HouseList:
    """List the houses (repositories) of a village with their activity."""
    village = await call.api.context.router_call(m.EnsureVillage(call.path["villageId"]))
    found = await village.call(m.Houses(), timeout=VILLAGE_SECONDS)
    page, following = cut(found, lambda house: (house.name, house.repo_id), call.query.cursor, call.query.limit)
    board = call.api.context.board
    inside: dict[str, list[SessionState]] = {house.repo_id: [] for house in page}
    for state in board.of_village(call.path["villageId"]):
        if state.repo_id in inside:
            inside[state.repo_id].append(state)
    items = [views.house_view(house, roof(inside[house.repo_id]), call.now_ms) for house in page]
    return rest.HouseList(items=items, next=following)


@routes.patch(
    "/api/villages/{villageId}/houses/{repoId}",
    rest.HouseView,
    on="village",
    may=Action.MANAGE,
    body=rest.HouseChange,
    audit="house.rename",
)
async def rename_house(call: Call[rest.HouseChange, None]) -> rest.HouseView:
    """Give a house a name, or with null take it away. Its id and its repository stay as they are."""
    key, repo_id, name = call.path["villageId"], call.path["repoId"], call.body.name
    context, board = call.api.context, call.api.context.board
    inside = board.of_house(key, repo_id)
    if not inside:
        raise not_found(f"house {repo_id[:200]!r}")
    call.target, call.notes = repo_id, {"name": name}
    await call.api.database.call(house_names.put, key, repo_id, name, call.user_id, call.now_ms)
    if name is None:
        context.house_names.pop((key, repo_id), None)
    else:
        context.house_names[key, repo_id] = name
    village = await context.router_call(m.EnsureVillage(key))
    house = await village.call(m.HouseRenamed(repo_id), timeout=VILLAGE_SECONDS)
    if house is None:
        raise not_found(f"house {repo_id[:200]!r}")
    return views.house_view(house, roof(inside), call.now_ms)


@routes.get(
    "/api/villages/{villageId}/agents",
    rest.AgentList,
    who="visitor",
    on="village",
    may=Action.READ,
    query=rest.PageQuery,
)
async def list_agents(call: Call[None, rest.PageQuery]) -> rest.AgentList:
    """List the agents of a village, each in its latest session, newest first."""
    latest: dict[str, SessionState] = {}
    for state in call.api.context.board.of_village(call.path["villageId"]):
        latest[state.agent_id] = state
    page, following = cut(
        latest.values(), lambda state: (-(state.created_at or 0), state.agent_id), call.query.cursor, call.query.limit
    )
    statuses = await runner_views.statuses(call.api, {state.runner_id for state in page})
    items = [
        views.agent_view(
            state, call.api.context.undecided(state), lookups.listed(call, state), statuses[state.runner_id]
        )
        for state in page
    ]
    return rest.AgentList(items=items, next=following)


def _leave_out(call: Call[Any, Any], village_id: str, wanted: bool) -> None:
    """Let the setting hold for the events that come from now on."""
    leaving = call.api.context.leaves_out
    if wanted:
        leaving.add(village_id)
    else:
        leaving.discard(village_id)


async def _village(call: Call[rest.VillageChange, None] | Call[None, None]) -> rest.MyVillage:
    village_id = call.path["villageId"]
    seen = await lookups.villages_seen(call)
    found = next((village for village in seen if village.village_id == village_id), None)
    if found is None:
        raise not_found(f"village {name_of(village_id)!r}")
    return views.village_view(found)


def _found(connection: Connection, new: rest.NewVillage, public_id: str, owner_id: str, now_ms: int) -> str | None:
    """Make a village and its first owner in one transaction; None where the name is taken."""
    key = villages.create(connection, public_id, new.name, now_ms, public=new.public)
    if key is not None:
        villages.change(connection, key, leave_out_texts=new.leave_out_texts)
        members.put(connection, key, owner_id, "owner", now_ms)
    return key
