"""Signing in, who one is, and tokens for one's programs."""

from typing import Any

import trio

from townwatch.access.grants import grant_api_token
from townwatch.access.oidc_wire import BadProvider
from townwatch.access.passwords import WeakPassword
from townwatch.access.policy import Action, Oneself, Open
from townwatch.access.sign_in import CODE_LIFETIME_MS, SignInResult as SignedInPerson, account_of
from townwatch.access.subject import Subject
from townwatch.contracts import rest
from townwatch.contracts.networks import network_of
from townwatch.store import tokens, users, villages
from townwatch.transports.http import views
from townwatch.transports.http.oidc_endpoint import START
from townwatch.transports.http.operation import Call, Routes
from townwatch.transports.http.paging import cut
from townwatch.transports.http.problems import ProblemError, not_found
from townwatch.transports.http.routes.villages import may_create_villages

routes = Routes("Sign-in")
DAY_MS = 86_400_000


@routes.post(
    "/api/auth/exchange",
    rest.SignedIn,
    who="any",
    may=Open.OPEN,
    on="public",
    body=rest.ExchangeCode,
    secret=True,
    sign_in=True,
    fails=(401,),
    audit="auth.sign_in",
)
async def exchange_code(call: Call[rest.ExchangeCode, None]) -> rest.SignedIn:
    """Sign in with the one-time code of a link."""
    return _welcome(call, await call.api.sign_in.exchange(call.body.code, call.place))


@routes.post(
    "/api/auth/password",
    rest.SignedIn,
    who="any",
    may=Open.OPEN,
    on="public",
    body=rest.PasswordSignIn,
    secret=True,
    sign_in=True,
    fails=(401,),
    audit="auth.sign_in",
)
async def sign_in_with_password(call: Call[rest.PasswordSignIn, None]) -> rest.SignedIn:
    """Sign in with an e-mail address and a password.

    Attempts are counted for each account and place, whether the account exists or not. A place is a device that
    signed in before (it sends the `device` that it was given), or else a network. All devices that never signed in
    share one more limit.
    """
    body, guard, network = call.body, call.api.passwords, network_of(call.address)
    account = account_of(body.email)
    guard.take(account, network, call.api.sign_in.known_device(account, body.device), trio.current_time())
    found = await call.api.sign_in.with_password(body.email, body.password, call.place)
    guard.succeeded(account, network)
    return _welcome(call, found)


@routes.put(
    "/api/me/password",
    rest.SignedIn,
    may=Oneself.SIGN_IN,
    on="self",
    body=rest.SetPassword,
    secret=True,
    fails=(429,),
    audit="auth.password",
)
async def set_password(call: Call[rest.SetPassword, None]) -> rest.SignedIn:
    """Set or change your password. Ends all your sign-ins, one-time codes and connections; the answer is a new sign-in.

    Needs a token of a sign-in; an API token may not do it.
    """
    sign_in, user_id = call.api.sign_in, call.user_id
    call.api.passwords.take(user_id, network_of(call.address), user_id, trio.current_time())
    if not await sign_in.is_password(user_id, call.body.current):
        raise ProblemError(403, "current: is not your current password")
    try:
        await sign_in.set_password(user_id, call.body.password)
    except WeakPassword as error:
        raise ProblemError(400, str(error)) from None
    await call.api.person_signed_out(user_id)
    return _signed_in(await sign_in.reissue(user_id, call.place))


@routes.get("/api/auth/methods", rest.SignInMethods, who="any", may=Open.OPEN, on="public")
async def get_sign_in_methods(call: Call[None, None]) -> rest.SignInMethods:
    """List the ways to sign in here."""
    oidc = call.api.oidc
    provider = None if oidc is None else rest.SignInProvider(label=oidc.label, start=f"{call.api.path}{START}")
    return rest.SignInMethods(password=True, provider=provider)


@routes.post("/api/auth/logout", rest.SignedOut, may=Oneself.END, on="self", secret=True, audit="auth.logout")
async def sign_out(call: Call[None, None]) -> rest.SignedOut:
    """End the token of this request and the connections that use it.

    A sign-in ends, an API token is revoked. A token can end itself and no other.
    """
    subject = call.subject
    if subject.kind == "api_token" and subject.token_id is not None:
        await call.api.database.call(tokens.revoke_api_token, call.user_id, subject.token_id, call.now_ms)
    else:
        await call.api.sign_in.sign_out(subject)
    if subject.token_id is not None:
        await call.api.token_ended(subject.token_id)
    return rest.SignedOut(provider_url=await _provider_sign_out(call))


@routes.post(
    "/api/auth/logout-everywhere",
    rest.SignedIn,
    may=Oneself.SIGN_IN,
    on="self",
    secret=True,
    audit="auth.logout_everywhere",
)
async def sign_out_everywhere(call: Call[None, None]) -> rest.SignedIn:
    """End all your sign-ins, one-time links and connections; the answer is a new sign-in. API tokens stay.

    Needs a token of a sign-in; an API token may not do it.
    """
    await call.api.sign_in.sign_out_everywhere(call.user_id)
    await call.api.person_signed_out(call.user_id)
    return _signed_in(await call.api.sign_in.reissue(call.user_id, call.place))


async def _provider_sign_out(call: Call[None, None]) -> str | None:
    """Return the provider's sign-out URL for a person who has one. A provider that is away delays no sign-out."""
    oidc = call.api.oidc
    if oidc is None or not call.subject.signed_in_here:
        return None
    if not await call.api.database.read(users.has_identity, call.user_id, oidc.client.issuer):
        return None
    try:
        return await oidc.sign_out_url(call.api.public_url)
    except BadProvider:
        return None


def _welcome(call: Call[Any, None], found: SignedInPerson) -> rest.SignedIn:
    """Make the person who signed in the call's subject, so that the audit log names them."""
    call.subject = Subject(kind="user", user_id=found.user.user_id, name=found.user.name)
    call.notes = {"by": found.way}
    return _signed_in(found)


def _signed_in(found: SignedInPerson) -> rest.SignedIn:
    user = rest.UserView(user_id=found.user.user_id, name=found.user.name)
    return rest.SignedIn(token=found.token, expires_at=found.expires_ms, user=user, device=found.device)


@routes.post(
    "/api/auth/link", rest.SignInLink, status=201, may=Oneself.SIGN_IN, on="self", secret=True, audit="auth.link"
)
async def make_link(call: Call[None, None]) -> rest.SignInLink:
    """Make a one-time link that signs you in on another device.

    Needs a token of a sign-in; an API token may not do it.
    """
    expires = call.now_ms + CODE_LIFETIME_MS
    code = await call.api.sign_in.issue_code(call.user_id)
    return rest.SignInLink(code=code, path=f"{call.api.path}/?code={code}", expires_at=expires)


@routes.get("/api/me", rest.Me, may=Action.READ, on="self")
async def get_me(call: Call[None, None]) -> rest.Me:
    """Return who you are and the villages you belong to."""
    found = await call.api.database.read(villages.of_user, call.user_id)
    subject = call.subject
    return rest.Me(
        user_id=call.user_id,
        name=subject.name,
        admin=subject.admin,
        chaos=call.api.chaos and subject.admin,
        may_create_villages=may_create_villages(call),
        scopes=sorted(subject.scopes),
        villages=[views.village_view(village) for village in found],
    )


@routes.get("/api/tokens", rest.TokenList, may=Oneself.ACCOUNT, on="self", query=rest.PageQuery)
async def list_tokens(call: Call[None, rest.PageQuery]) -> rest.TokenList:
    """List your API tokens, newest first, including revoked ones."""
    found = await call.api.database.read(tokens.api_tokens_of, call.user_id)
    page, following = cut(found, lambda one: (-one.created_ms, one.token_id), call.query.cursor, call.query.limit)
    return rest.TokenList(items=[views.token_view(one) for one in page], next=following)


@routes.post(
    "/api/tokens",
    rest.GrantedToken,
    status=201,
    may=Oneself.SIGN_IN,
    on="self",
    body=rest.NewToken,
    secret=True,
    audit="token.create",
)
async def make_token(call: Call[rest.NewToken, None]) -> rest.GrantedToken:
    """Make an API token for a program. The answer shows it once.

    Its rights are limited by its scopes and by your own rights.
    """
    wanted = frozenset(call.body.scopes)
    lifetime = call.body.lifetime_days * DAY_MS
    granted = await call.api.database.call(grant_api_token, call.user_id, call.body.name, wanted, call.now_ms, lifetime)
    call.target = granted.token_id
    return rest.GrantedToken(token_id=granted.token_id, token=granted.token, expires_at=granted.expires_ms)


@routes.delete("/api/tokens/{tokenId}", rest.Done, may=Oneself.ACCOUNT, on="self", audit="token.revoke")
async def revoke_token(call: Call[None, None]) -> rest.Done:
    """Revoke one of your API tokens."""
    token_id = call.target = call.path["tokenId"][:200]
    if not token_id.isprintable() or not await call.api.database.call(
        tokens.revoke_api_token, call.user_id, token_id, call.now_ms
    ):
        raise not_found(f"token {token_id!r}")
    await call.api.token_ended(token_id)
    return rest.Done()
