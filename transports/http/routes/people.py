"""The people of the service: who there is, locking out, letting in again. For administrators."""

from townwatch.access.lockout import LastAdministrator, let_in, lock_out
from townwatch.access.policy import Action
from townwatch.contracts import rest
from townwatch.store import users
from townwatch.store.users import User
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


def _user_id(call: Call[None, None]) -> str:
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
