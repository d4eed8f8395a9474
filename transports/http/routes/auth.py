"""Signing in, who one is, and tokens for one's programs."""

from typing import Any

import trio

from access.grants import grant_api_token
from access.oidc_wire import BadProvider
from access.passwords import WeakPassword
from access.sign_in import CODE_LIFETIME_MS
from access.sign_in import SignedIn as SignedInPerson
from access.subject import Subject
from contracts import rest
from store import tokens, users, villages
from transports.http import views
from transports.http.oidc_door import START
from transports.http.operation import Call, Routes
from transports.http.paging import cut
from transports.http.problems import ProblemError, not_found

routes = Routes("Sign-in")
DAY_MS = 86_400_000


@routes.post(
    "/api/auth/exchange",
    rest.SignedIn,
    who="anybody",
    body=rest.ExchangeCode,
    secret=True,
    sign_in=True,
    fails=(401,),
    audit="auth.sign_in",
)
async def exchange_code(call: Call[rest.ExchangeCode, None]) -> rest.SignedIn:
    """Sign in with the one-time code of a link."""
    return _welcome(call, "link", await call.api.sign_in.exchange(call.body.code))


@routes.post(
    "/api/auth/password",
    rest.SignedIn,
    who="anybody",
    body=rest.PasswordSignIn,
    secret=True,
    sign_in=True,
    fails=(401,),
    audit="auth.sign_in",
)
async def sign_in_with_password(call: Call[rest.PasswordSignIn, None]) -> rest.SignedIn:
    """Sign in with address and password.

    Attempts are counted by address and by account, whether there is such an account or not."""
    call.api.passwords.take(call.body.email.strip().lower(), trio.current_time())
    found = await call.api.sign_in.with_password(call.body.email, call.body.password)
    return _welcome(call, "password", found)


@routes.put("/api/me/password", rest.SignedIn, body=rest.SetPassword, secret=True, fails=(429,), audit="auth.password")
async def set_password(call: Call[rest.SetPassword, None]) -> rest.SignedIn:
    """Set or change one's password. Every sign-in so far ends, connections too; the answer is a new one.

    Only who signed in themselves may: a program's token may not."""
    if call.subject.kind != "user":
        raise ProblemError(403, "a program's token cannot set a password")
    sign_in, user_id = call.api.sign_in, call.user_id
    call.api.passwords.take(user_id, trio.current_time())
    if not await sign_in.is_password(user_id, call.body.current):
        raise ProblemError(403, "current: is not the password so far")
    try:
        await sign_in.set_password(user_id, call.body.password)
    except WeakPassword as error:
        raise ProblemError(400, str(error)) from None
    await call.api.person_signed_out(user_id)
    return _signed_in(await sign_in.again(user_id))


@routes.get("/api/auth/methods", rest.SignInMethods, who="anybody")
async def get_sign_in_methods(call: Call[None, None]) -> rest.SignInMethods:
    """How one can sign in here."""
    oidc = call.api.oidc
    provider = None if oidc is None else rest.SignInProvider(label=oidc.label, start=START)
    return rest.SignInMethods(password=True, provider=provider)


@routes.post("/api/auth/logout", rest.SignedOut, secret=True, audit="auth.logout")
async def sign_out(call: Call[None, None]) -> rest.SignedOut:
    """End the access token that this is asked with, and the connections that came in with it.

    A program's token is revoked, not signed out."""
    if call.subject.kind != "user":
        raise ProblemError(403, "a program's token does not sign out; revoke it: DELETE /api/tokens/{tokenId}")
    await call.api.sign_in.sign_out(call.subject)
    if call.subject.token_id is not None:
        await call.api.token_ended(call.subject.token_id)
    return rest.SignedOut(provider_url=await _provider_sign_out(call))


async def _provider_sign_out(call: Call[None, None]) -> str | None:
    """For a person who is known at the provider; the provider being away keeps nobody signed in here."""
    oidc = call.api.oidc
    if oidc is None or not await call.api.database.read(users.has_identity, call.user_id, oidc.client.issuer):
        return None
    try:
        return await oidc.sign_out_url(call.api.public_url)
    except BadProvider:
        return None


def _welcome(call: Call[Any, None], how: str, found: SignedInPerson) -> rest.SignedIn:
    """From here on it is known who asks: the audit log names them."""
    call.subject = Subject(kind="user", user_id=found.user.user_id, name=found.user.name)
    call.notes = {"by": how}
    return _signed_in(found)


def _signed_in(found: SignedInPerson) -> rest.SignedIn:
    user = rest.UserView(user_id=found.user.user_id, name=found.user.name)
    return rest.SignedIn(token=found.token, expires_at=found.expires_ms, user=user)


@routes.post("/api/auth/link", rest.SignInLink, status=201, secret=True, audit="auth.link")
async def make_link(call: Call[None, None]) -> rest.SignInLink:
    """A new one-time link that signs oneself in, on another device.

    Only who signed in themselves may make one: a program's token may not."""
    if call.subject.kind != "user":
        raise ProblemError(403, "a program's token cannot sign people in")
    expires = call.now_ms + CODE_LIFETIME_MS
    code = await call.api.sign_in.issue_code(call.user_id)
    return rest.SignInLink(code=code, path=f"/?code={code}", expires_at=expires)


@routes.get("/api/me", rest.Me)
async def get_me(call: Call[None, None]) -> rest.Me:
    """Who one is, and which villages one is in."""
    found = await call.api.database.read(villages.of_user, call.user_id)
    subject = call.subject
    return rest.Me(
        user_id=call.user_id,
        name=subject.name,
        admin=subject.admin,
        chaos=call.api.chaos and subject.admin,
        scopes=sorted(subject.scopes),
        villages=[views.village_view(village) for village in found],
    )


@routes.get("/api/tokens", rest.TokenList, query=rest.PageQuery)
async def list_tokens(call: Call[None, rest.PageQuery]) -> rest.TokenList:
    """One's API tokens, newest first, the revoked ones too."""
    found = await call.api.database.read(tokens.api_tokens_of, call.user_id)
    page, following = cut(found, lambda one: (-one.created_ms, one.token_id), call.query.cursor, call.query.limit)
    return rest.TokenList(items=[views.token_view(one) for one in page], next=following)


@routes.post("/api/tokens", rest.GrantedToken, status=201, body=rest.NewToken, secret=True, audit="token.create")
async def make_token(call: Call[rest.NewToken, None]) -> rest.GrantedToken:
    """A token for a program. The answer shows it, once.

    It may do at most what its scopes and its maker allow."""
    if call.subject.kind != "user":
        raise ProblemError(403, "a program's token cannot make others")
    wanted = frozenset(call.body.scopes)
    if excess := wanted - call.subject.scopes:
        raise ProblemError(403, f"scopes: {', '.join(sorted(excess))} is more than you may do yourself")
    lifetime = call.body.lifetime_days * DAY_MS
    granted = await call.api.database.call(grant_api_token, call.user_id, call.body.name, wanted, call.now_ms, lifetime)
    call.target = granted.token_id
    return rest.GrantedToken(token_id=granted.token_id, token=granted.token, expires_at=granted.expires_ms)


@routes.delete("/api/tokens/{tokenId}", rest.Done, audit="token.revoke")
async def revoke_token(call: Call[None, None]) -> rest.Done:
    """Revoke one of one's tokens."""
    token_id = call.target = call.path["tokenId"][:200]
    if not token_id.isprintable() or not await call.api.database.call(
        tokens.revoke_api_token, call.user_id, token_id, call.now_ms
    ):
        raise not_found(f"token {token_id!r}")
    await call.api.token_ended(token_id)
    return rest.Done()
