"""Sign-ins of people in the past, and places where their programs' tokens were used.

A row says how a person came in and from where. Whether the access token still opens anything is not kept here: it is
computed from what decides that (the person, the token's end), so that the two cannot differ.
"""

from typing import Literal

import attrs
from sqlalchemy import Connection, case, delete, func, select, update

from townwatch.store.rows import insert_new
from townwatch.store.tables import api_tokens, sign_ins, users

Way = Literal["link", "password", "oidc", "machine", "renewed", "token", "issuer"]
"""link: a one-time link. oidc: the provider. machine: a command on the service's own machine. renewed: the answer to a
new password, or to ending all other sign-ins. token: an API token. issuer: an access token of another issuer."""

MOST = 500
"""Rows of one person. Beyond them those go first that are over, then the oldest."""
DAY_MS = 86_400_000


@attrs.frozen(kw_only=True)
class SignInRow:
    """One sign-in. `expires_ms` None: it does not end by itself. `ended_ms`: it was ended before that."""

    sign_in_id: str
    user_id: str
    token_id: str
    way: Way
    address: str | None
    user_agent: str | None
    created_ms: int
    expires_ms: int | None
    ended_ms: int | None = None


@attrs.frozen(kw_only=True)
class ListedSignIn:
    """A row as it stands now. `valid`: its token still opens the service. `token_name`: of an API token."""

    row: SignInRow
    valid: bool
    ended_ms: int | None
    token_name: str | None


def add(connection: Connection, row: SignInRow, keep_ms: int) -> bool:
    """Keep a row; False where it is there already. Forgets what was over `keep_ms` ago, and a person's surplus."""
    if not insert_new(connection, sign_ins, attrs.asdict(row)):
        return False
    s = sign_ins.c
    now = row.created_ms
    connection.execute(delete(sign_ins).where(func.coalesce(s.ended_ms, s.expires_ms) < now - keep_ms))
    over = case((s.ended_ms.is_not(None), 1), (s.expires_ms <= now, 1), else_=0)
    mine = select(s.sign_in_id).where(s.user_id == row.user_id).order_by(over, s.created_ms.desc(), s.sign_in_id)
    surplus = list(connection.execute(mine.offset(MOST)).scalars())
    if surplus:
        connection.execute(delete(sign_ins).where(s.sign_in_id.in_(surplus)))
    return True


def of_user(connection: Connection, user_id: str, now_ms: int, keep_ms: int) -> list[ListedSignIn]:
    """Return a person's, newest first. What was over `keep_ms` ago is not shown, whether it is deleted yet or not."""
    s = sign_ins.c
    query = (
        select(sign_ins, users.c.disabled, users.c.tokens_from_ms, api_tokens.c.name, api_tokens.c.revoked_ms)
        .join(users, users.c.user_id == s.user_id)
        .outerjoin(api_tokens, api_tokens.c.token_id == s.token_id)
        .where(s.user_id == user_id)
        .order_by(s.created_ms.desc(), s.sign_in_id)
    )
    found: list[ListedSignIn] = []
    for *values, disabled, from_ms, name, revoked_ms in connection.execute(query):
        row = SignInRow(**dict(zip(_FIELDS, values, strict=True)))
        ended = _first(row.ended_ms, revoked_ms, from_ms if row.way != "token" and row.created_ms < from_ms else None)
        over = _first(ended, row.expires_ms)
        if over is None or over >= now_ms - keep_ms:
            valid = not disabled and (over is None or over > now_ms)
            found.append(ListedSignIn(row=row, valid=valid, ended_ms=ended, token_name=name))
    return found


def get(connection: Connection, user_id: str, sign_in_id: str) -> SignInRow | None:
    """Return one of a person's, or None."""
    s = sign_ins.c
    row = connection.execute(select(sign_ins).where(s.user_id == user_id, s.sign_in_id == sign_in_id)).first()
    return None if row is None else SignInRow(**dict(zip(_FIELDS, row, strict=True)))


def token_ended(connection: Connection, token_id: str, now_ms: int) -> None:
    """Note that the token of these rows was ended."""
    s = sign_ins.c
    connection.execute(update(sign_ins).where(s.token_id == token_id, s.ended_ms.is_(None)).values(ended_ms=now_ms))


_FIELDS = tuple(attrs.fields_dict(SignInRow))
assert tuple(column.name for column in sign_ins.columns) == _FIELDS


def _first(*times: int | None) -> int | None:
    known = [one for one in times if one is not None]
    return min(known) if known else None
