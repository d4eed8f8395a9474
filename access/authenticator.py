"""From a token to a subject: the one door for REST, Socket.IO, the control WebSocket and runners."""

import re
import time
from collections.abc import Callable, Sequence

import structlog
from sqlalchemy import Connection

from access import secrets
from access.jwt import Claims, IssuerTokens, OwnTokens, peek
from access.subject import ALL_SCOPES, ANONYMOUS, InvalidToken, Subject
from store import runners, tokens, users
from store.database import Database
from store.tokens import ApiToken, RunnerToken

MAX_CHARS = 8192
_log = structlog.get_logger("access")


def wall_clock_ms() -> int:
    """Now, epoch milliseconds."""
    return int(time.time() * 1000)


class Authenticator:
    """Checks tokens of every kind. `issuers`: others whose access tokens are believed, for people linked to them."""

    def __init__(
        self,
        database: Database,
        own: OwnTokens,
        issuers: Sequence[IssuerTokens] = (),
        now_ms: Callable[[], int] = wall_clock_ms,
    ) -> None:
        self._database = database
        self._own = own
        self._issuers = {issuer.issuer: issuer for issuer in issuers}
        self._now_ms = now_ms

    async def authenticate(self, token: str | None) -> Subject:
        """Who has this token; `ANONYMOUS` for None. Raises `InvalidToken` for everything that is no good."""
        if token is None:
            return ANONYMOUS
        try:
            return await self._subject(token)
        except InvalidToken as error:
            _log.info("token_refused", why=str(error))
            raise

    async def runner(self, token: str | None) -> Subject:
        """As `authenticate`, for /runner: nothing but a runner's token will do."""
        subject = await self.authenticate(token)
        if subject.kind != "runner":
            raise InvalidToken("is no runner's token")
        return subject

    async def certified_runner(self, names: Sequence[str]) -> Subject:
        """The runner that one of these names of a checked certificate means: the id itself, or the last part of a URI.

        The CA's word is that it is this runner; that there is such a runner is ours. Raises `InvalidToken`."""
        for name in names:
            runner_id = re.split(r"[:/]", name)[-1] if ":" in name else name
            runner = await self._database.read(runners.get, runner_id[:200]) if runner_id.isprintable() else None
            if runner is not None:
                return Subject(kind="runner", runner_id=runner.runner_id, name=runner.name)
        _log.info("certificate_refused", names=[name[:200] for name in names[:5]])
        raise InvalidToken("names no runner that is known here")

    async def _subject(self, token: str) -> Subject:
        if not token or len(token) > MAX_CHARS or not token.isascii() or not token.isprintable():
            raise InvalidToken("is empty, too long or no ASCII text")
        if token.startswith(secrets.API_TOKEN):
            return await self._by_hash(_api_subject, token)
        if token.startswith(secrets.RUNNER_TOKEN):
            return await self._by_hash(_runner_subject, token)
        claims = await self._claims(token)
        return await self._database.read(_person, claims, claims.issuer in self._issuers)

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


def _person(connection: Connection, claims: Claims, linked: bool) -> Subject:
    """The person a JWT speaks of, as the database knows them now."""
    if linked:
        user = users.by_identity(connection, claims.issuer, claims.subject)
    else:
        user = users.get(connection, claims.subject)
    if user is None:
        raise InvalidToken("nobody here has that identity")
    if not linked and claims.token_id is not None and tokens.access_token_ended(connection, claims.token_id):
        raise InvalidToken("was signed out")
    if user.disabled:
        raise InvalidToken("the person is locked out")
    if claims.issued_ms < user.tokens_from_ms:
        raise InvalidToken("was issued before the person signed out everywhere")
    # A scope claim of another issuer is in its own language: it limits only where it names one of ours.
    limited = None if claims.scopes is None or (linked and not claims.scopes & ALL_SCOPES) else claims.scopes
    return Subject(
        kind="user",
        user_id=user.user_id,
        name=user.name,
        scopes=ALL_SCOPES if limited is None else ALL_SCOPES & limited,
        admin=user.admin,
        token_id=claims.token_id,
        expires_ms=claims.expires_ms,
    )


def _api_subject(connection: Connection, digest: str, now_ms: int) -> tuple[Subject, ApiToken]:
    token = tokens.api_token_by_hash(connection, digest)
    if token is None:
        raise InvalidToken("is unknown")
    _demand_alive(token, now_ms)
    user = users.get(connection, token.user_id)
    if user is None or user.disabled:
        raise InvalidToken("its person is gone or locked out")
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
        raise InvalidToken("is unknown")
    _demand_alive(token, now_ms)
    runner = runners.get(connection, token.runner_id)
    if runner is None:
        raise InvalidToken("its runner is gone")
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
        raise InvalidToken("is revoked")
    if token.expires_ms is not None and token.expires_ms <= now_ms:
        raise InvalidToken("is over")
