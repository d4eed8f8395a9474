"""Adding a person, who signs in the first time with a one-time code.

All functions take the connection first: call them through `Database.call`.
"""

import attrs
from sqlalchemy import Connection

from townwatch.access.address import is_email_address
from townwatch.access.sign_in import issue_sign_in_code
from townwatch.store import members, users
from townwatch.store.members import Role

INVITATION_LIFETIME_MS = 3 * 86_400_000
"""The newcomer may be asleep, or away over the weekend."""


class CannotAdd(Exception):
    """A person cannot be added so; one line says why."""


@attrs.frozen(kw_only=True)
class Newcomer:
    """A person to add. `village`: key of the one where they get `role` at once; None: none yet."""

    name: str
    email: str | None = None
    admin: bool = False
    village: str | None = None
    role: Role = "viewer"


@attrs.frozen(kw_only=True)
class Invitation:
    """`code` signs the new person in, once."""

    user_id: str
    code: str = attrs.field(repr=False)
    expires_ms: int


def add_person(connection: Connection, new: Newcomer, now_ms: int, lifetime_ms: int) -> Invitation:
    """Add a person. Raises `CannotAdd`."""
    name, email = new.name.strip(), new.email
    if not name or len(name) > 200 or not name.isprintable():
        raise CannotAdd("a name has 1 to 200 printable characters")
    if email is not None and not is_email_address(email):
        raise CannotAdd(f"{email[:320]} is no e-mail address")
    if email is not None and users.by_email(connection, email) is not None:
        raise CannotAdd(f"{email} belongs to another account; use another address")
    user = users.create(connection, name, now_ms, email=email, admin=new.admin)
    if new.village is not None:
        members.put(connection, new.village, user.user_id, new.role, now_ms)
    code = issue_sign_in_code(connection, user.user_id, now_ms, lifetime_ms)
    return Invitation(user_id=user.user_id, code=code, expires_ms=now_ms + lifetime_ms)
