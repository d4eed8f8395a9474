"""Token issuers, the OpenID Connect client and enrolment codes for runners, built from the settings."""

from functools import partial
from pathlib import Path
from typing import cast

import attrs
import trio
from sqlalchemy import Connection

from townwatch.access.bootstrap import OWNER_ID, token_secret
from townwatch.access.grants import issue_enrolment_code
from townwatch.access.jwt import IssuerTokens, OwnTokens, SharedSecretTokens
from townwatch.access.keys import FetchedKeys, FixedKeys
from townwatch.access.newcomers import CannotAdd, Newcomer, add_person
from townwatch.access.oidc import Oidc
from townwatch.access.oidc_wire import OidcClient
from townwatch.access.provisioning import Grant, ProvisioningRules
from townwatch.access.sign_in import CODE_LIFETIME_MS, ClientPlace, SignIn, SignInResult
from townwatch.access.subject import ALL_SCOPES, Subject
from townwatch.actors.context import Context
from townwatch.actors.directory import tell_if_alive
from townwatch.actors.messages import Dismiss, RightsChanged, TokenEnded
from townwatch.actors.ports import Principal
from townwatch.config.settings import ConfigError, IssuerSettings, Settings
from townwatch.contracts.clock import epoch_ms
from townwatch.runner import identity
from townwatch.store import audit, users, villages
from townwatch.store.audit import Entry
from townwatch.store.database import Database
from townwatch.store.engine.fence import Term
from townwatch.store.members import Role
from townwatch.store.tokens import CodeWay
from townwatch.transports.edge.server import Edge
from townwatch.transports.http.deps import Api
from townwatch.transports.http.oidc_endpoint import PREFIX, OidcEndpoint


def known_issuers(settings: Settings) -> list[IssuerTokens]:
    """Return the issuers whose access tokens are believed. Blocks for their key files. Raises `ConfigError`."""
    return [_issuer(issuer) for issuer in settings.identity.issuers]


def _issuer(set_: IssuerSettings) -> IssuerTokens:
    if [bool(set_.jwks_url), bool(set_.key_file), bool(set_.secret)].count(True) != 1:
        raise ConfigError(f"[identity] issuers: {set_.issuer} needs jwks_url, key_file or secret, one of them")
    unnamed = frozenset(set_.scopes)
    if unknown := unnamed - ALL_SCOPES:
        known = ", ".join(sorted(ALL_SCOPES))
        raise ConfigError(
            f"[identity] issuers: {set_.issuer}: scopes: {', '.join(sorted(unknown))}: use some of {known}"
        )
    try:
        if set_.secret:
            return SharedSecretTokens(set_.issuer, set_.audience, set_.secret.encode(), unnamed)
        keys = FetchedKeys(set_.jwks_url) if set_.jwks_url else FixedKeys.from_file(Path(set_.key_file))
        return IssuerTokens(set_.issuer, set_.audience, frozenset(set_.algorithms), keys, unnamed)
    except (OSError, ValueError) as error:
        raise ConfigError(f"[identity] issuers: {error}") from None


def provider_of(settings: Settings) -> Oidc | None:
    """Return the configured OpenID Connect sign-in, or None. Raises `ConfigError`."""
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


def welcome_rules(settings: Settings) -> ProvisioningRules:
    """Return the provisioning rules for people who sign in at the provider."""
    set_ = settings.oidc
    return ProvisioningRules(
        domains=frozenset(domain.lower().removeprefix("@") for domain in set_.allowed_domains),
        grants=[Grant(village=grant.village, role=grant.role, group=grant.group) for grant in set_.grants],
        admin_group=set_.admin_group,
        newcomers=set_.newcomers,
    )


def open_provider_endpoint(edge: Edge, api: Api, settings: Settings) -> None:
    """Mount the endpoint that redirects browsers to the provider and receives them back."""
    if api.oidc is not None:
        edge.http(PREFIX, OidcEndpoint(api, api.oidc, welcome_rules(settings), settings.server.public_address))


async def new_person(
    settings: Settings, name: str, *, email: str | None, village: str | None, role: Role, admin: bool
) -> str:
    """Add a person and return a sign-in link, for the service of this state directory. Raises `CannotAdd`."""
    try:
        url = _address(settings)
    except identity.NotEnrolled:
        raise CannotAdd(f"{settings.state} has no service yet: start it once with townwatch serve") from None
    database = await trio.to_thread.run_sync(open_database, settings)
    try:
        new = Newcomer(name=name, email=email, admin=admin, role=role)
        code = await database.call(_add_person, new, village, epoch_ms())
    finally:
        database.close()
    return f"{settings.server.public_address or url + settings.server.path}/?code={code}"


def _add_person(connection: Connection, new: Newcomer, village: str | None, now_ms: int) -> str:
    key = None if village is None else villages.key_of(connection, village)
    if village is not None and key is None:
        raise CannotAdd(f"there is no village {village!r}")
    made = add_person(connection, attrs.evolve(new, village=key), now_ms, CODE_LIFETIME_MS)
    audit.add(connection, Entry(at_ms=now_ms, kind="user", action="user.add", village_id=key, target=made.user_id))
    return made.code


class NoEnrolment(Exception):
    """There is no code for a runner like that; one line says why."""


async def new_enrolment(settings: Settings, *, village: str | None, name: str | None) -> str:
    """A code for a runner of the service of this state directory, which may be running. Raises `NoEnrolment`."""
    database = await trio.to_thread.run_sync(open_database, settings)
    try:
        return await database.call(_issue, village, name, epoch_ms())
    finally:
        database.close()


def _issue(connection: Connection, village: str | None, name: str | None, now_ms: int) -> str:
    key = None if village is None else villages.key_of(connection, village)
    if village is not None and key is None:
        raise NoEnrolment(f"there is no village {village!r}")
    if name is not None and not (name.strip() and len(name) <= 200 and name.isprintable()):
        raise NoEnrolment("a name has 1 to 200 printable characters")
    return issue_enrolment_code(connection, OWNER_ID, now_ms, village_id=key, name=name, way="machine")


async def new_link(settings: Settings) -> str:
    """A sign-in link for the service of this state directory, which may be running."""
    url, code = await _owner_code(settings)
    return f"{settings.server.public_address or url + settings.server.path}/?code={code}"


async def local_access(settings: Settings) -> tuple[str, str]:
    """The address of the service of this state directory, and a token of its owner."""
    return _address(settings), (await owner_sign_in(settings)).token


async def owner_sign_in(settings: Settings) -> SignInResult:
    """Sign the owner in at the service of this state directory, which may be running."""
    _, code = await _owner_code(settings, "machine")
    database = await trio.to_thread.run_sync(open_database, settings)
    here = ClientPlace(user_agent="townwatch, on the service's machine")
    try:
        return await _sign_in(database, settings).exchange(code, here)
    finally:
        database.close()


def _sign_in(database: Database, settings: Settings) -> SignIn:
    return SignIn(database, OwnTokens(token_secret(settings.state)), kept_days=settings.people.sign_ins_kept_days)


class OwnerLockedOut(Exception):
    """No link and no sign-in of the owner is good for anything; one line says what to do."""


async def _owner_code(settings: Settings, way: CodeWay = "link") -> tuple[str, str]:
    database = await trio.to_thread.run_sync(open_database, settings)
    try:
        if OWNER_ID in await database.read(users.disabled):
            raise OwnerLockedOut(f"the owner is locked out: townwatch user enable {OWNER_ID} lets them in again")
        code = await _sign_in(database, settings).issue_code(OWNER_ID, way=way)
    finally:
        database.close()
    return _address(settings), code


def _address(settings: Settings) -> str:
    """Return where the service of this state directory listens. Raises `NotEnrolled`."""
    return identity.load(settings.state).url.replace("ws", "http", 1).removesuffix("/runner")


def open_database(settings: Settings, term: Term | None = None) -> Database:
    """The configured one, else SQLite in the state directory. Blocks. `term`: of a service that shares it."""
    return Database.open(settings.database.url or settings.state / "townwatch.db", term)


async def token_ended(context: Context, token_id: str) -> None:
    """Close the connections that were authenticated with this token."""
    for client in list(context.directory.clients.values()):
        tell_if_alive(client, TokenEnded(token_id))


async def person_signed_out(context: Context, user_id: str) -> None:
    """Close all of a person's live connections: everyone who used their sign-in must sign in again."""
    for connection in context.directory.of_user(user_id):
        tell_if_alive(connection.ref, Dismiss("all your sign-ins were ended: sign in again"))


async def administrator_changed(context: Context, user_id: str, admin: bool) -> None:
    """Let a person's live connections have the rights that the person has now."""
    for connection in context.directory.of_user(user_id):
        tell_if_alive(connection.ref, RightsChanged(partial(_with_rights, admin=admin)))


def _with_rights(subject: Principal, admin: bool) -> Principal:
    return cast("Principal", attrs.evolve(cast("Subject", subject), admin=admin))
