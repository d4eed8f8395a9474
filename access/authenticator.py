"""Authentication of tokens for REST, Socket.IO, the control WebSocket and runners: a token in, a subject out."""

import re
from collections.abc import Callable, Sequence

import attrs
import structlog
from sqlalchemy import Connection

from townwatch.access import secrets
from townwatch.access.jwt import Claims, IssuerTokens, OwnTokens, peek
from townwatch.access.subject import ALL_SCOPES, ANONYMOUS, InvalidCredentials, Subject
from townwatch.contracts.clock import epoch_ms
from townwatch.store import runners, tokens, users
from townwatch.store.database import Database
from townwatch.store.tokens import ApiToken, RunnerToken

MAX_CHARS = 8192
_log = structlog.get_logger("access")


class Authenticator:
    """Checks tokens of every kind. `issuers`: others whose access tokens are believed, for people linked to them."""

    def __init__(
        self,
        database: Database,
        own: OwnTokens,
        issuers: Sequence[IssuerTokens] = (),
        now_ms: Callable[[], int] = epoch_ms,
    ) -> None:
        self._database = database
        self._own = own
        self._issuers = {issuer.issuer: issuer for issuer in issuers}
        self._now_ms = now_ms

    async def authenticate(self, token: str | None) -> Subject:
        """Return the subject of this token; `ANONYMOUS` for None. Raises `InvalidCredentials` for any other token."""
        if token is None:
            return ANONYMOUS
        try:
            return await self._subject(token)
        except InvalidCredentials as error:
            _log.info("token_refused", why=str(error))
            raise

    async def runner(self, token: str | None) -> Subject:
        """As `authenticate`, for /runner: nothing but a runner's token will do."""
        subject = await self.authenticate(token)
        if subject.kind != "runner":
            raise InvalidCredentials("is no runner's token")
        return subject

    async def certified_runner(self, names: Sequence[str]) -> Subject:
        """The runner that one of these names of a checked certificate means: the id itself, or the last part of a URI.

        The CA's word is that it is this runner; that there is such a runner is ours. Raises `InvalidCredentials`."""
        for name in names:
            runner_id = re.split(r"[:/]", name)[-1] if ":" in name else name
            runner = await self._database.read(runners.get, runner_id[:200]) if runner_id.isprintable() else None
            if runner is not None:
                return Subject(kind="runner", runner_id=runner.runner_id, name=runner.name)
        _log.info("certificate_refused", names=[name[:200] for name in names[:5]])
        raise InvalidCredentials("names no runner that is known here")

    async def _subject(self, token: str) -> Subject:
        if not token or len(token) > MAX_CHARS or not token.isascii() or not token.isprintable():
            raise InvalidCredentials("is empty, too long or no ASCII text")
        if token.startswith(secrets.API_TOKEN):
            return await self._by_hash(_api_subject, token)
        if token.startswith(secrets.RUNNER_TOKEN):
            return await self._by_hash(_runner_subject, token)
        claims = await self._claims(token)
        other = self._issuers.get(claims.issuer)
        if (
            other is not None
        ):  # its ids are its own: none of them is to be one of ours, and a token without one can be ended too
            name = f"{claims.issuer}\0{claims.token_id or token}"
            claims = attrs.evolve(claims, token_id=f"iss_{secrets.digest(name)}")
        return await self._database.read(_person, claims, other)

    async def _claims(self, token: str) -> Claims:
        issuer = peek(token)[1].get("iss")
        other = self._issuers.get(issuer) if isinstance(issuer, str) else None
        return await other.verify(token) if other is not None else self._own.verify(token)

    async def _by_hash(
        self, find: Callable[[Connection, str, int], tuple[Subject, ApiToken | RunnerToken]], token: str
    ) -> Subject:
        now = self._now_ms()
        subject, row = await self._database.read(find, secrets.digest(token), now)
        if row.used_ms is None or now - row.used_ms >= tokens.USED_EVERY_MS:
            note = tokens.api_token_used if isinstance(row, ApiToken) else tokens.runner_token_used
            await self._database.call(note, row.token_id, now)
        return subject


def _person(connection: Connection, claims: Claims, other: IssuerTokens | None) -> Subject:
    """Return the person a JWT speaks of, as the database knows them now. `other`: its issuer, where that is not us."""
    if other is not None:
        user = users.by_identity(connection, claims.issuer, claims.subject)
    else:
        user = users.get(connection, claims.subject)
    if user is None:
        raise InvalidCredentials("no account here has that identity")
    if claims.token_id is not None and tokens.access_token_ended(connection, claims.token_id):
        raise InvalidCredentials("was signed out")
    if user.disabled:
        raise InvalidCredentials("the person is locked out")
    if claims.issued_ms < user.tokens_from_ms:
        raise InvalidCredentials("was issued before the person signed out everywhere")
    return Subject(
        kind="user",
        user_id=user.user_id,
        name=user.name,
        scopes=_scopes(claims, other),
        admin=user.admin,
        token_id=claims.token_id,
        expires_ms=claims.expires_ms,
        signed_in_here=other is None,
    )


def _scopes(claims: Claims, other: IssuerTokens | None) -> frozenset[str]:
    if other is None:
        return ALL_SCOPES if claims.scopes is None else ALL_SCOPES & claims.scopes
    # A scope claim of another issuer is in its own language: often it names none of ours.
    return ALL_SCOPES & (claims.scopes or frozenset()) or ALL_SCOPES & other.unnamed_scopes


def _api_subject(connection: Connection, digest: str, now_ms: int) -> tuple[Subject, ApiToken]:
    token = tokens.api_token_by_hash(connection, digest)
    if token is None:
        raise InvalidCredentials("is unknown")
    _demand_alive(token, now_ms)
    user = users.get(connection, token.user_id)
    if user is None or user.disabled:
        raise InvalidCredentials("the token's person was removed or locked out; ask an administrator")
    subject = Subject(
        kind="session" if token.session_id else "api_token",
        user_id=user.user_id,
        name=user.name,
        scopes=ALL_SCOPES & frozenset(token.scopes.split()),
        admin=user.admin,
        token_id=token.token_id,
        expires_ms=token.expires_ms,
        session_id=token.session_id,
    )
    return subject, token


def _runner_subject(connection: Connection, digest: str, now_ms: int) -> tuple[Subject, RunnerToken]:
    token = tokens.runner_token_by_hash(connection, digest)
    if token is None:
        raise InvalidCredentials("is unknown")
    _demand_alive(token, now_ms)
    runner = runners.get(connection, token.runner_id)
    if runner is None:
        raise InvalidCredentials("the token's runner was removed; enrol it anew with townwatch runner join")
    subject = Subject(
        kind="runner",
        runner_id=runner.runner_id,
        name=runner.name,
        token_id=token.token_id,
        expires_ms=token.expires_ms,
    )
    return subject, token


def _demand_alive(token: ApiToken | RunnerToken, now_ms: int) -> None:
    if token.revoked_ms is not None:
        raise InvalidCredentials("is revoked")
    if token.expires_ms is not None and token.expires_ms <= now_ms:
        raise InvalidCredentials("has expired")
