"""People, and how other issuers call them."""

import attrs
from sqlalchemy import Connection, bindparam, func, select, update

from townwatch.store.rows import insert_new, new_id, to_attrs
from townwatch.store.tables import identities, users

_BY_ID = select(users).where(users.c.user_id == bindparam("id"))
"""Built once, because it runs for every connection: building it takes longer than running it."""


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
    """Return the person with this id, or None."""
    row = connection.execute(_BY_ID, {"id": user_id}).first()
    return to_attrs(User, row) if row else None


def by_email(connection: Connection, email: str) -> User | None:
    """Return the person with this e-mail address (case does not matter), or None."""
    wanted = _email(email)
    if wanted is None:  # it would be those who have none
        return None
    row = connection.execute(select(users).where(users.c.email == wanted)).first()
    return to_attrs(User, row) if row else None


def by_identity(connection: Connection, issuer: str, subject: str) -> User | None:
    """Return the person whom another issuer calls `subject`, or None."""
    query = select(users).join(identities, identities.c.user_id == users.c.user_id)
    row = connection.execute(query.where(identities.c.issuer == issuer, identities.c.subject == subject)).first()
    return to_attrs(User, row) if row else None


def has_identity(connection: Connection, user_id: str, issuer: str) -> bool:
    """Return True if an identity of this issuer is linked to this person."""
    query = select(identities.c.subject).where(identities.c.user_id == user_id, identities.c.issuer == issuer)
    return connection.execute(query.limit(1)).first() is not None


def link_identity(connection: Connection, user_id: str, issuer: str, subject: str, now_ms: int) -> bool:
    """Link `subject` of `issuer` to this person; return False if it is linked already."""
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


def disabled(connection: Connection) -> frozenset[str]:
    """Ids of those who are locked out."""
    return frozenset(connection.execute(select(users.c.user_id).where(users.c.disabled)).scalars())


def everyone(connection: Connection) -> list[User]:
    """All people, by name."""
    return [to_attrs(User, row) for row in connection.execute(select(users).order_by(users.c.name, users.c.user_id))]


def administrators(connection: Connection, *, lock: bool = False) -> list[User]:
    """Those who may run the service and are not locked out. `lock`: their rows stay locked until the
    transaction ends.
    """
    query = select(users).where(users.c.admin, ~users.c.disabled).order_by(users.c.user_id)
    return [to_attrs(User, row) for row in connection.execute(query.with_for_update() if lock else query)]


def void_tokens(connection: Connection, user_id: str, now_ms: int) -> None:
    """Sign out everywhere: access tokens issued until now are worth nothing."""
    connection.execute(update(users).where(users.c.user_id == user_id).values(tokens_from_ms=now_ms))


def count(connection: Connection) -> int:
    """Return the number of people."""
    return connection.execute(select(func.count()).select_from(users)).scalar_one()


def _email(email: str | None) -> str | None:
    return (email or "").strip().lower() or None
