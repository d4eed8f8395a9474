"""The people of the service: who there is, locking out, letting in again. For administrators."""

from typing import Any

from townwatch.access.lockout import LastAdministrator, let_in, lock_out, set_administrator
from townwatch.access.newcomers import INVITATION_LIFETIME_MS, CannotAdd, Newcomer, add_person
from townwatch.access.policy import Action, Oneself, token_allows, why_token_refused
from townwatch.contracts import rest
from townwatch.store import users
from townwatch.store.users import User
from townwatch.transports.http import lookups
from townwatch.transports.http.operation import Call, Routes
from townwatch.transports.http.paging import cut
from townwatch.transports.http.problems import ProblemError, not_found

routes = Routes("People")


@routes.get("/api/users", rest.PersonList, on="service", may=Action.ADMIN, query=rest.PageQuery)
async def list_users(call: Call[None, rest.PageQuery]) -> rest.PersonList:
    """List all accounts by name. For administrators."""
    found = await call.api.database.read(users.everyone)
    page, following = cut(found, lambda one: (one.name, one.user_id), call.query.cursor, call.query.limit)
    return rest.PersonList(items=[_view(one) for one in page], next=following)


def _signed_in(call: Call[Any, Any]) -> None:
    if not token_allows(call.subject, Oneself.SIGN_IN):
        raise ProblemError(403, why_token_refused(call.subject, Oneself.SIGN_IN))


@routes.post(
    "/api/users",
    rest.InvitedPerson,
    status=201,
    on="service",
    may=Action.ADMIN,
    guard=_signed_in,
    body=rest.NewPerson,
    secret=True,
    fails=(404, 409),
    audit="user.add",
)
async def invite_person(call: Call[rest.NewPerson, None]) -> rest.InvitedPerson:
    """Add a person; the answer has a code that signs them in, once, within three days. Give it to them alone.

    For administrators who have signed in: a program's token makes no new ways in.
    """
    body = call.body
    key = None if body.village_id is None else await lookups.village(call, Action.MANAGE, body.village_id)
    new = Newcomer(name=body.name, email=body.email, admin=body.admin, village=key, role=body.role)
    try:
        made = await call.api.database.call(add_person, new, call.now_ms, INVITATION_LIFETIME_MS)
    except CannotAdd as error:
        raise ProblemError(409, str(error)) from None
    call.target, call.village_id = made.user_id, key
    call.notes = {"admin": body.admin, "role": body.role if key is not None else None}
    if key is not None:
        await call.api.membership_changed(key)
    return rest.InvitedPerson(
        user_id=made.user_id, code=made.code, path=f"{call.api.path}/?code={made.code}", expires_at=made.expires_ms
    )


@routes.post(
    "/api/users/{userId}/disable", rest.Done, on="service", may=Action.ADMIN, fails=(404, 409), audit="user.disable"
)
async def disable_user(call: Call[None, None]) -> rest.Done:
    """Lock a person out: end their sign-ins, disable their tokens, close their connections within a second.

    409 for yourself and for the last administrator. Sessions that they started continue; stop them where needed.
    """
    user_id = _user_id(call)
    if user_id == call.user_id:
        raise ProblemError(409, "you cannot lock yourself out; another administrator can")
    try:
        found = await call.api.database.call(lock_out, user_id, call.now_ms)
    except LastAdministrator as error:
        raise ProblemError(409, str(error)) from None
    if found is None:
        raise not_found(f"person {user_id!r}")
    await call.api.person_locked_out(user_id)
    return rest.Done()


@routes.post("/api/users/{userId}/enable", rest.Done, on="service", may=Action.ADMIN, fails=(404,), audit="user.enable")
async def enable_user(call: Call[None, None]) -> rest.Done:
    """Let a locked-out person in again. They sign in anew; their API tokens work as before."""
    user_id = _user_id(call)
    if await call.api.database.call(let_in, user_id) is None:
        raise not_found(f"person {user_id!r}")
    return rest.Done()


@routes.post(
    "/api/users/{userId}/sign-out", rest.Done, on="service", may=Action.ADMIN, fails=(404,), audit="user.sign_out"
)
async def sign_person_out(call: Call[None, None]) -> rest.Done:
    """End all sign-ins, one-time links and connections of a person, who may sign in again. API tokens stay."""
    user_id = _user_id(call)
    if not await call.api.sign_in.sign_out_everywhere(user_id):
        raise not_found(f"person {user_id!r}")
    await call.api.person_signed_out(user_id)
    return rest.Done()


@routes.put(
    "/api/users/{userId}/administrator",
    rest.Done,
    on="service",
    may=Action.ADMIN,
    guard=_signed_in,
    body=rest.AdministratorRights,
    fails=(404, 409),
    audit="user.administrator",
)
async def set_administrator_rights(call: Call[rest.AdministratorRights, None]) -> rest.Done:
    """Give a person administrator rights, or take them. Their live connections follow at once.

    409 for the last administrator who can sign in. For administrators who have signed in: a program's token makes none.
    """
    user_id = _user_id(call)
    try:
        found = await call.api.database.call(set_administrator, user_id, call.body.admin)
    except LastAdministrator as error:
        raise ProblemError(409, str(error)) from None
    if found is None:
        raise not_found(f"person {user_id!r}")
    call.notes = {"admin": call.body.admin}
    await call.api.administrator_changed(user_id, call.body.admin)
    return rest.Done()


def _user_id(call: Call[Any, None]) -> str:
    user_id = call.target = call.path["userId"][:200]
    if not user_id.isprintable() or not user_id.isascii():
        raise not_found(f"person {user_id!r}")
    return user_id


def _view(user: User) -> rest.PersonView:
    return rest.PersonView(
        user_id=user.user_id,
        name=user.name,
        email=user.email,
        admin=user.admin,
        disabled=user.disabled,
        created_at=user.created_ms,
    )
