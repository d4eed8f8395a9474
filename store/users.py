"""People, and how other issuers call them."""

import attrs
from sqlalchemy import Connection, bindparam, func, select, update

from store.rows import insert_new, new_id, to_attrs
from store.tables import identities, users

_BY_ID = select(users).where(users.c.user_id == bindparam("id"))
"""Made once, because it is asked for everybody who connects: making it takes longer than answering it."""


@attrs.frozen(kw_only=True)
class User:
    """A person. `admin`: may run the service itself. `tokens_from_ms`: access tokens issued before are void."""

    user_id: str
    name: str
    email: str | None
    password_hash: str | None = attrs.field(repr=False)
    admin: bool
    disabled: bool
    tokens_from_ms: int
    created_ms: int


def create(
    connection: Connection,
    name: str,
    now_ms: int,
    *,
    email: str | None = None,
    password_hash: str | None = None,
    admin: bool = False,
    user_id: str | None = None,
) -> User:
    """A new person. Raises `sqlalchemy.exc.IntegrityError` where the e-mail address is taken."""
    user = User(
        user_id=user_id or new_id("user"),
        name=name,
        email=_email(email),
        password_hash=password_hash,
        admin=admin,
        disabled=False,
        tokens_from_ms=0,
        created_ms=now_ms,
    )
    connection.execute(users.insert().values(**attrs.asdict(user)))
    return user


def get(connection: Connection, user_id: str) -> User | None:
    """By id."""
    row = connection.execute(_BY_ID, {"id": user_id}).first()
    return to_attrs(User, row) if row else None


def by_email(connection: Connection, email: str) -> User | None:
    """By e-mail address, upper and lower case alike."""
    row = connection.execute(select(users).where(users.c.email == _email(email))).first()
    return to_attrs(User, row) if row else None


def by_identity(connection: Connection, issuer: str, subject: str) -> User | None:
    """Whom another issuer calls `subject`."""
    query = select(users).join(identities, identities.c.user_id == users.c.user_id)
    row = connection.execute(query.where(identities.c.issuer == issuer, identities.c.subject == subject)).first()
    return to_attrs(User, row) if row else None


def has_identity(connection: Connection, user_id: str, issuer: str) -> bool:
    """Whether another issuer knows this person."""
    query = select(identities.c.subject).where(identities.c.user_id == user_id, identities.c.issuer == issuer)
    return connection.execute(query.limit(1)).first() is not None


def link_identity(connection: Connection, user_id: str, issuer: str, subject: str, now_ms: int) -> bool:
    """From now on `subject` of `issuer` is this person; False where it is taken already."""
    values = {"issuer": issuer, "subject": subject, "user_id": user_id, "created_ms": now_ms}
    return insert_new(connection, identities, values)


def set_password_hash(connection: Connection, user_id: str, password_hash: str) -> None:
    """Replace the password's hash."""
    connection.execute(update(users).where(users.c.user_id == user_id).values(password_hash=password_hash))


def set_disabled(connection: Connection, user_id: str, disabled: bool) -> None:
    """Lock a person out, or let them in again."""
    connection.execute(update(users).where(users.c.user_id == user_id).values(disabled=disabled))


def set_admin(connection: Connection, user_id: str, admin: bool) -> None:
    """Let a person run the service itself, or no more."""
    connection.execute(update(users).where(users.c.user_id == user_id).values(admin=admin))


def void_tokens(connection: Connection, user_id: str, now_ms: int) -> None:
    """Sign out everywhere: access tokens issued until now are worth nothing."""
    connection.execute(update(users).where(users.c.user_id == user_id).values(tokens_from_ms=now_ms))


def count(connection: Connection) -> int:
    """How many people there are."""
    return connection.execute(select(func.count()).select_from(users)).scalar_one()


def _email(email: str | None) -> str | None:
    return email.strip().lower() if email else None
