"""Whose word counts: the configured issuers, the provider of sign-ins, codes for runners; made from the settings."""

import time
from pathlib import Path

import trio
from sqlalchemy import Connection

from access.bootstrap import OWNER_ID, token_secret
from access.grants import issue_enrolment_code
from access.jwt import IssuerTokens
from access.keys import FetchedKeys, FixedKeys
from access.oidc import Oidc
from access.oidc_wire import OidcClient
from access.sign_in import issue_sign_in_code
from access.welcome import Grant, WelcomeRules
from actors.context import Context
from actors.directory import tell_if_alive
from actors.messages import Dismiss, TokenEnded
from config.settings import ConfigError, Issuer, Settings
from runner import identity
from store import audit, members, users, villages
from store.audit import Entry
from store.database import Database
from store.members import Role
from transports.edge import Edge
from transports.http.deps import Api
from transports.http.oidc_door import PREFIX, OidcDoor


def known_issuers(settings: Settings) -> list[IssuerTokens]:
    """Those whose access tokens are believed. Blocks for their key files. Raises `ConfigError`."""
    return [_issuer(issuer) for issuer in settings.identity.issuers]


def _issuer(set_: Issuer) -> IssuerTokens:
    if bool(set_.jwks_url) == bool(set_.key_file):
        raise ConfigError(f"[identity] issuers: {set_.issuer} needs jwks_url or key_file, one of them")
    try:
        keys = FetchedKeys(set_.jwks_url) if set_.jwks_url else FixedKeys.from_file(Path(set_.key_file))
        return IssuerTokens(set_.issuer, set_.audience, frozenset(set_.algorithms), keys)
    except (OSError, ValueError) as error:
        raise ConfigError(f"[identity] issuers: {error}") from None


def provider_of(settings: Settings) -> Oidc | None:
    """Where people may sign in, beside here. Raises `ConfigError`."""
    set_ = settings.oidc
    if not set_.issuer:
        return None
    if not set_.client_id:
        raise ConfigError("[oidc] client_id: the provider knows this service by it; set it")
    client = OidcClient(
        issuer=set_.issuer,
        client_id=set_.client_id,
        secret=set_.client_secret or None,
        scopes=tuple(set_.scopes),
        algorithms=frozenset(set_.algorithms),
    )
    try:
        return Oidc(client, token_secret(settings.state), label=set_.label, groups_claim=set_.groups_claim)
    except ValueError as error:
        raise ConfigError(f"[oidc] issuer: {error}") from None


def welcome_rules(settings: Settings) -> WelcomeRules:
    """What the provider's people get here."""
    set_ = settings.oidc
    return WelcomeRules(
        domains=frozenset(domain.lower().removeprefix("@") for domain in set_.allowed_domains),
        grants=[Grant(village=grant.village, role=grant.role, group=grant.group) for grant in set_.grants],
        admin_group=set_.admin_group,
        newcomers=set_.newcomers,
    )


def open_provider_door(edge: Edge, api: Api, settings: Settings) -> None:
    """Where browsers leave for the provider and come back."""
    if api.oidc is not None:
        edge.http(PREFIX, OidcDoor(api, api.oidc, welcome_rules(settings), settings.server.public_url))


class CannotAdd(Exception):
    """A person cannot be added so; one line says why."""


async def new_person(
    settings: Settings, name: str, *, email: str | None, village: str | None, role: Role, admin: bool
) -> str:
    """A link that signs somebody new in, for the service of this state directory. Raises `CannotAdd`."""
    try:
        url = identity.load(settings.state).url.replace("ws", "http", 1).removesuffix("/runner")
    except identity.NotEnrolled:
        raise CannotAdd(f"{settings.state} has no service yet: start it once with townwatch serve") from None
    database = await trio.to_thread.run_sync(open_database, settings)
    try:
        code = await database.call(_add_person, name, email, village, role, admin, time.time_ns() // 1_000_000)
    finally:
        database.close()
    return f"{settings.server.public_url.rstrip('/') or url}/?code={code}"


def _add_person(
    connection: Connection,
    name: str,
    email: str | None,
    village: str | None,
    role: Role,
    admin: bool,
    now_ms: int,
) -> str:
    if not name.strip() or len(name) > 200 or not name.isprintable():
        raise CannotAdd("a name has 1 to 200 printable characters")
    if email is not None and ("@" not in email or len(email) > 320):
        raise CannotAdd(f"{email} is no e-mail address")
    if email is not None and users.by_email(connection, email) is not None:
        raise CannotAdd(f"{email} is somebody's already")
    if village is not None and villages.get(connection, village) is None:
        raise CannotAdd(f"there is no village {village!r}")
    user = users.create(connection, name.strip(), now_ms, email=email, admin=admin)
    if village is not None:
        members.put(connection, village, user.user_id, role, now_ms)
    entry = Entry(at_ms=now_ms, kind="user", action="user.add", village_id=village, target=user.user_id)
    audit.add(connection, entry)
    return issue_sign_in_code(connection, user.user_id, now_ms)


class UnknownVillage(Exception):
    """There is no such village."""


async def new_enrolment(settings: Settings, *, village: str | None, name: str | None) -> str:
    """A code for a runner of the service of this state directory, which may be running. Raises `UnknownVillage`."""
    database = await trio.to_thread.run_sync(open_database, settings)
    try:
        return await database.call(_issue, village, name, time.time_ns() // 1_000_000)
    finally:
        database.close()


def _issue(connection: Connection, village: str | None, name: str | None, now_ms: int) -> str:
    if village is not None and villages.get(connection, village) is None:
        raise UnknownVillage(f"there is no village {village!r}")
    return issue_enrolment_code(connection, OWNER_ID, now_ms, village_id=village, name=name)


def open_database(settings: Settings) -> Database:
    """The configured one, else SQLite in the state directory. Blocks."""
    return Database.open(settings.database.url or settings.state / "townwatch.db")


async def token_ended(context: Context, token_id: str) -> None:
    """Whoever came in with this token leaves."""
    for client in list(context.directory.clients.values()):
        tell_if_alive(client, TokenEnded(token_id))


async def person_signed_out(context: Context, user_id: str) -> None:
    """All of somebody's live connections end: whoever else used their sign-in is out, they sign in again."""
    for connection in context.directory.of_user(user_id):
        tell_if_alive(connection.ref, Dismiss("the password was changed: sign in again"))
