"""Routes of the members of a village."""

from townwatch.access.policy import Action, administers
from townwatch.contracts import rest
from townwatch.store import members, users
from townwatch.transports.http import views
from townwatch.transports.http.operation import Call, Routes
from townwatch.transports.http.paging import cut
from townwatch.transports.http.problems import not_found

routes = Routes("Members")


@routes.get("/api/villages/{villageId}/members", rest.MemberList, on="village", may=Action.READ, query=rest.PageQuery)
async def list_members(call: Call[None, rest.PageQuery]) -> rest.MemberList:
    """List the members of a village by name.

    For members only; visitors of a public village do not see its members. E-mail addresses are shown to owners
    only.
    """
    found = await call.api.database.read(members.of_village, call.path["villageId"])
    role = next((one.role for one in found if one.user_id == call.user_id), None)
    if role is None and not administers(call.subject):
        raise not_found("list of members that you may see")
    page, following = cut(found, lambda one: (one.name, one.user_id), call.query.cursor, call.query.limit)
    return rest.MemberList(items=[views.member_view(one, emails=role == "owner") for one in page], next=following)


@routes.put(
    "/api/villages/{villageId}/members/{userId}",
    rest.Done,
    on="village",
    may=Action.MANAGE,
    body=rest.MemberRole,
    fails=(409,),
    audit="member.put",
)
async def put_member(call: Call[rest.MemberRole, None]) -> rest.Done:
    """Add a member or change their role. A village keeps at least one owner."""
    village_id, user_id = call.path["villageId"], _user_id(call)
    if await call.api.database.read(users.get, user_id) is None:
        raise not_found(f"person {user_id!r}")
    call.target, call.notes = user_id, {"role": call.body.role}
    await call.api.database.call(members.put, village_id, user_id, call.body.role, call.now_ms)
    await call.api.membership_changed(village_id)
    return rest.Done()


@routes.delete(
    "/api/villages/{villageId}/members/{userId}",
    rest.Done,
    on="village",
    may=Action.MANAGE,
    fails=(409,),
    audit="member.remove",
)
async def remove_member(call: Call[None, None]) -> rest.Done:
    """Remove a member. A village keeps at least one owner."""
    village_id, user_id = call.path["villageId"], _user_id(call)
    call.target = user_id
    if not await call.api.database.call(members.remove, village_id, user_id):
        raise not_found(f"member {user_id!r} of this village")
    await call.api.membership_changed(village_id)
    return rest.Done()


def _user_id(call: Call[rest.MemberRole, None] | Call[None, None]) -> str:
    user_id = call.path["userId"]
    if len(user_id) > 200 or not user_id.isprintable() or not user_id.isascii():
        raise not_found(f"person {user_id[:200]!r}")
    return user_id
