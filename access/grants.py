"""Making tokens for programs and runners. The secret is returned once, here, and kept nowhere.

All functions take the connection first: call them through `Database.call`.
"""

import attrs
from sqlalchemy import Connection

from townwatch.access import secrets
from townwatch.access.subject import ALL_SCOPES, WrongSecret
from townwatch.store import members, runner_grants, runners, tokens, users
from townwatch.store.rows import new_id
from townwatch.store.runners import RunnerRow
from townwatch.store.tokens import ApiToken, Code, CodeWay, RunnerToken

ENROLMENT_LIFETIME_MS = 60 * 60_000
ROTATION_OVERLAP_MS = 5 * 60_000
"""How long a runner's old token stays valid after a rotation, so that a crash in between locks no runner out."""
DEFAULT_API_LIFETIME_MS = 90 * 86_400_000
SESSION_SCOPES: frozenset[str] = frozenset()
"""A session's own token has none: it opens nothing of the service's."""


@attrs.frozen(kw_only=True)
class Granted:
    """A new secret, to be shown once. `expires_ms` None: it lasts until it is revoked."""

    token_id: str
    token: str = attrs.field(repr=False)
    expires_ms: int | None


@attrs.frozen(kw_only=True)
class Enrolled:
    """A runner that was taken in, with its token. `village_id`: key of the village it serves; None: none yet."""

    runner_id: str
    village_id: str | None
    token: str = attrs.field(repr=False)


def grant_api_token(
    connection: Connection,
    user_id: str,
    name: str,
    scopes: frozenset[str],
    now_ms: int,
    lifetime_ms: int | None = DEFAULT_API_LIFETIME_MS,
    session_id: str | None = None,
) -> Granted:
    """A token for a person's program. Raises ValueError for an unknown scope, an empty name, a lifetime below 1; a
    blank name is replaced by "token".

    With `session_id` it is the agent's own: it has no scope, whatever the person may do.
    """
    if unknown := scopes - ALL_SCOPES:
        raise ValueError(f"scopes: {', '.join(sorted(unknown))} unknown, use {', '.join(sorted(ALL_SCOPES))}")
    if not scopes or not name or len(name) > 200 or (lifetime_ms is not None and lifetime_ms < 1):
        raise ValueError("a token needs a name of up to 200 characters, a scope and, if any, a lifetime above 0")
    secret = secrets.make(secrets.API_TOKEN)
    granted = scopes & SESSION_SCOPES if session_id else scopes
    row = ApiToken(
        token_id=new_id("tok"),
        user_id=user_id,
        name=name.strip() or "token",
        hash=secrets.digest(secret),
        scopes=" ".join(sorted(granted)),
        session_id=session_id,
        created_ms=now_ms,
        expires_ms=None if lifetime_ms is None else now_ms + lifetime_ms,
    )
    tokens.add_api_token(connection, row)
    return Granted(token_id=row.token_id, token=secret, expires_ms=row.expires_ms)


def grant_runner_token(connection: Connection, runner_id: str, now_ms: int, overlap_ms: int = 0) -> Granted:
    """The runner's token from now on. What it had before ends after `overlap_ms`."""
    secret = secrets.make(secrets.RUNNER_TOKEN)
    row = RunnerToken(token_id=new_id("rtok"), runner_id=runner_id, hash=secrets.digest(secret), created_ms=now_ms)
    tokens.set_runner_token(connection, row, overlap_ms)
    return Granted(token_id=row.token_id, token=secret, expires_ms=None)


def issue_enrolment_code(
    connection: Connection,
    by_user_id: str,
    now_ms: int,
    *,
    village_id: str | None = None,
    name: str | None = None,
    way: CodeWay | None = None,
) -> str:
    """A code that takes one runner in, within an hour, for this village. None: it serves none until it is granted. It
    is good as long as its person may make one; `way` machine: made by who has the service's machine, good anyway.
    """
    code = secrets.make(secrets.ENROLMENT_CODE)
    row = Code(
        hash=secrets.digest(code),
        kind="enrolment",
        user_id=by_user_id,
        village_id=village_id,
        name=name,
        created_ms=now_ms,
        expires_ms=now_ms + ENROLMENT_LIFETIME_MS,
        way=way,
    )
    tokens.add_code(connection, row)
    return code


def _may_enrol(connection: Connection, code: Code) -> bool:
    """Return whether who made the code may still make one: their rights may have been taken meanwhile."""
    if code.way == "machine":
        return True
    person = None if code.user_id is None else users.get(connection, code.user_id)
    if person is None or person.disabled:
        return False
    village = code.village_id
    return person.admin or (village is not None and members.role_of(connection, village, person.user_id) == "owner")


def enrol(connection: Connection, code: str, name: str, now_ms: int, hostname: str | None = None) -> Enrolled:
    """Take a runner in for a code, which is used up. Raises `WrongSecret`."""
    found = tokens.use_code(connection, "enrolment", secrets.digest(code[:200]), now_ms)
    if found is None or not _may_enrol(connection, found):
        raise WrongSecret("the code is unknown, used or expired; get a new one")
    runner = RunnerRow(
        runner_id=new_id("runner"),
        name=(found.name or name).strip()[:200] or "runner",
        hostname=hostname,
        created_ms=now_ms,
    )
    runners.put(connection, runner)
    if found.village_id is not None:
        runner_grants.grant(connection, runner.runner_id, found.village_id, found.user_id, now_ms)
    granted = grant_runner_token(connection, runner.runner_id, now_ms)
    return Enrolled(runner_id=runner.runner_id, village_id=found.village_id, token=granted.token)
