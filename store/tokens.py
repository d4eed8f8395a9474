"""API tokens, runner tokens and one-time codes, as the tables keep them: by hash, never the secret itself.

Making the secrets is `townwatch.access.secrets`' business; nothing here can tell what they were.
"""

from typing import Literal

import attrs
from sqlalchemy import Connection, bindparam, delete, select, update

from townwatch.store import sign_ins
from townwatch.store.rows import insert_new, to_attrs
from townwatch.store.tables import api_tokens, codes, ended_tokens, runner_tokens

_ENDED = select(ended_tokens.c.token_id).where(ended_tokens.c.token_id == bindparam("id"))

USED_EVERY_MS = 60_000
"""`used_ms` is written at most this often: a token in use is not a write per request."""

CodeKind = Literal["sign_in", "enrolment"]
CodeWay = Literal["link", "oidc", "machine"]
"""By which way a person is signed in with it (see `townwatch.store.sign_ins.Way`)."""


@attrs.frozen(kw_only=True)
class ApiToken:
    """A person's token for programs. `session_id`: it was given to the agent of that session."""

    token_id: str
    user_id: str
    name: str
    hash: str = attrs.field(repr=False)
    scopes: str
    session_id: str | None = None
    created_ms: int
    expires_ms: int | None = None
    used_ms: int | None = None
    revoked_ms: int | None = None


@attrs.frozen(kw_only=True)
class RunnerToken:
    """A runner's token. At most one lasts; the one before it lives on for a short time after a rotation."""

    token_id: str
    runner_id: str
    hash: str = attrs.field(repr=False)
    created_ms: int
    expires_ms: int | None = None
    used_ms: int | None = None
    revoked_ms: int | None = None


@attrs.frozen(kw_only=True)
class Code:
    """A code that is good once. `user_id`: who signs in with it, or who invited the runner. `way`: of a sign-in."""

    hash: str = attrs.field(repr=False)
    kind: CodeKind
    user_id: str | None
    village_id: str | None = None
    name: str | None = None
    created_ms: int
    expires_ms: int
    used_ms: int | None = None
    way: CodeWay | None = None


# --- API tokens ------------------------------------------------------------------------------------------------------


def add_api_token(connection: Connection, token: ApiToken) -> None:
    """Keep a new token."""
    connection.execute(api_tokens.insert().values(**attrs.asdict(token)))


def api_token_by_hash(connection: Connection, digest: str) -> ApiToken | None:
    """Return the token that has this hash, expired and revoked ones included."""
    row = connection.execute(select(api_tokens).where(api_tokens.c.hash == digest)).first()
    return to_attrs(ApiToken, row) if row else None


def api_tokens_of(connection: Connection, user_id: str) -> list[ApiToken]:
    """Return a person's tokens, newest first, the revoked ones too."""
    query = select(api_tokens).where(api_tokens.c.user_id == user_id)
    rows = connection.execute(query.order_by(api_tokens.c.created_ms.desc(), api_tokens.c.token_id))
    return [to_attrs(ApiToken, row) for row in rows]


def revoke_api_token(connection: Connection, user_id: str, token_id: str, now_ms: int) -> bool:
    """End a person's token; False where they have no such token that still lives."""
    mine = (api_tokens.c.token_id == token_id) & (api_tokens.c.user_id == user_id) & api_tokens.c.revoked_ms.is_(None)
    revoked = connection.execute(update(api_tokens).where(mine).values(revoked_ms=now_ms)).rowcount > 0
    if revoked:
        sign_ins.token_ended(connection, token_id, now_ms)
    return revoked


def api_token_used(connection: Connection, token_id: str, now_ms: int) -> None:
    """Note that it was used just now."""
    connection.execute(update(api_tokens).where(api_tokens.c.token_id == token_id).values(used_ms=now_ms))


# --- access tokens ---------------------------------------------------------------------------------------------------


def end_access_token(connection: Connection, token_id: str, expires_ms: int, now_ms: int) -> bool:
    """End an access token before its time; return False if it was ended before. Deletes the rows of expired ones."""
    connection.execute(delete(ended_tokens).where(ended_tokens.c.expires_ms < now_ms))
    sign_ins.token_ended(connection, token_id, now_ms)
    return insert_new(connection, ended_tokens, {"token_id": token_id, "expires_ms": expires_ms})


def access_token_ended(connection: Connection, token_id: str) -> bool:
    """Return True if this access token was ended by a sign-out."""
    return connection.execute(_ENDED, {"id": token_id}).first() is not None


# --- runner tokens ---------------------------------------------------------------------------------------------------


def has_runner_token(connection: Connection, runner_id: str, now_ms: int) -> bool:
    """Return whether the runner has a token that opens the door."""
    t = runner_tokens.c
    alive = (t.runner_id == runner_id) & t.revoked_ms.is_(None) & (t.expires_ms.is_(None) | (t.expires_ms > now_ms))
    return connection.execute(select(t.token_id).where(alive).limit(1)).first() is not None


def set_runner_token(connection: Connection, token: RunnerToken, overlap_ms: int = 0) -> None:
    """Make this the runner's token; earlier ones end `overlap_ms` after this one began."""
    end = token.created_ms + overlap_ms
    others = (runner_tokens.c.runner_id == token.runner_id) & (
        runner_tokens.c.expires_ms.is_(None) | (runner_tokens.c.expires_ms > end)
    )
    connection.execute(update(runner_tokens).where(others).values(expires_ms=end))
    connection.execute(runner_tokens.insert().values(**attrs.asdict(token)))


def runner_token_by_hash(connection: Connection, digest: str) -> RunnerToken | None:
    """Return the token that has this hash, expired and revoked ones included."""
    row = connection.execute(select(runner_tokens).where(runner_tokens.c.hash == digest)).first()
    return to_attrs(RunnerToken, row) if row else None


def revoke_runner_tokens(connection: Connection, runner_id: str, now_ms: int) -> int:
    """End all of a runner's tokens; returns how many lived."""
    alive = (runner_tokens.c.runner_id == runner_id) & runner_tokens.c.revoked_ms.is_(None)
    return connection.execute(update(runner_tokens).where(alive).values(revoked_ms=now_ms)).rowcount


def runner_token_used(connection: Connection, token_id: str, now_ms: int) -> None:
    """Note that it was used just now."""
    connection.execute(update(runner_tokens).where(runner_tokens.c.token_id == token_id).values(used_ms=now_ms))


# --- one-time codes --------------------------------------------------------------------------------------------------


def add_code(connection: Connection, code: Code) -> None:
    """Keep a new code; forget those that ended a day before it began."""
    connection.execute(delete(codes).where(codes.c.expires_ms < code.created_ms - 86_400_000))
    connection.execute(codes.insert().values(**attrs.asdict(code)))


def use_up_codes(connection: Connection, user_id: str, now_ms: int) -> None:
    """End all codes of a person, whatever they are for."""
    fresh = (codes.c.user_id == user_id) & codes.c.used_ms.is_(None)
    connection.execute(update(codes).where(fresh).values(used_ms=now_ms))


def use_code(connection: Connection, kind: CodeKind, digest: str, now_ms: int) -> Code | None:
    """Use a code up; None where it is unknown, used or expired. One statement: of two at once, one gets it."""
    fresh = (
        (codes.c.hash == digest) & (codes.c.kind == kind) & codes.c.used_ms.is_(None) & (codes.c.expires_ms > now_ms)
    )
    row = connection.execute(update(codes).where(fresh).values(used_ms=now_ms).returning(codes)).first()
    return to_attrs(Code, row) if row else None
