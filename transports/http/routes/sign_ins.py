"""Routes of past sign-ins: one's own, and for administrators those of every person. Each can be ended by itself."""

from typing import Any

from townwatch.access.policy import Action, Oneself
from townwatch.contracts import rest
from townwatch.store import sign_ins, users
from townwatch.store.sign_ins import ListedSignIn
from townwatch.transports.http.operation import Call, Routes
from townwatch.transports.http.paging import cut
from townwatch.transports.http.problems import not_found

routes = Routes("Sign-in")


@routes.get("/api/me/sign-ins", rest.PastSignInList, may=Oneself.ACCOUNT, on="self", query=rest.PageQuery)
async def list_my_sign_ins(call: Call[None, rest.PageQuery]) -> rest.PastSignInList:
    """List how and from where you signed in, newest first, with those that are over.

    A program's token is listed once for each network and program that used it over REST.
    """
    return await _page(call, call.user_id)


@routes.delete("/api/me/sign-ins/{signInId}", rest.Done, may=Oneself.ACCOUNT, on="self", audit="auth.sign_in_end")
async def end_my_sign_in(call: Call[None, None]) -> rest.Done:
    """End one of your sign-ins and its live connections. Of a program's token, the token itself ends."""
    return await _end(call, call.user_id)


@routes.get(
    "/api/users/{userId}/sign-ins",
    rest.PastSignInList,
    may=Action.ADMIN,
    on="service",
    query=rest.PageQuery,
    fails=(404,),
)
async def list_sign_ins_of(call: Call[None, rest.PageQuery]) -> rest.PastSignInList:
    """List how and from where a person signed in, newest first. For administrators."""
    return await _page(call, await _person(call))


@routes.delete(
    "/api/users/{userId}/sign-ins/{signInId}",
    rest.Done,
    may=Action.ADMIN,
    on="service",
    fails=(404,),
    audit="user.sign_in_end",
)
async def end_sign_in_of(call: Call[None, None]) -> rest.Done:
    """End one sign-in of a person and its live connections. For administrators."""
    user_id = await _person(call)
    call.notes = {"of": user_id}
    return await _end(call, user_id)


async def _person(call: Call[None, Any]) -> str:
    user_id = call.path["userId"][:200]
    if not user_id.isprintable() or await call.api.database.read(users.get, user_id) is None:
        raise not_found(f"person {user_id!r}")
    return user_id


async def _end(call: Call[None, None], user_id: str) -> rest.Done:
    sign_in_id = call.target = call.path["signInId"][:200]
    found = await call.api.sign_in.end(user_id, sign_in_id) if sign_in_id.isprintable() else None
    if found is None:
        raise not_found(f"sign-in {sign_in_id!r}")
    call.notes = {**call.notes, "way": found.way}
    await call.api.token_ended(found.token_id)
    return rest.Done()


async def _page(call: Call[None, rest.PageQuery], user_id: str) -> rest.PastSignInList:
    found = await call.api.database.read(sign_ins.of_user, user_id, call.now_ms, call.api.sign_in.keep_ms)
    page, following = cut(
        found, lambda one: (-one.row.created_ms, one.row.sign_in_id), call.query.cursor, call.query.limit
    )
    return rest.PastSignInList(items=[_view(one, call.subject.token_id) for one in page], next=following)


def _view(one: ListedSignIn, asking: str | None) -> rest.PastSignIn:
    row = one.row
    return rest.PastSignIn(
        sign_in_id=row.sign_in_id,
        way=row.way,
        token_name=one.token_name,
        address=row.address,
        user_agent=row.user_agent,
        at=row.created_ms,
        expires_at=row.expires_ms,
        ended_at=one.ended_ms,
        valid=one.valid,
        current=asking is not None and row.token_id == asking,
    )
