"""Locking a person out of the service, letting them in again, and administrator rights.

All functions take the connection first: call them through `Database.call`.
"""

from sqlalchemy import Connection

from townwatch.store import tokens, users
from townwatch.store.users import User


class LastAdministrator(Exception):
    """This person is the last administrator who can sign in; make another one first."""

    def __init__(self, user: User) -> None:
        super().__init__(f"{user.name} is the last administrator who can sign in; make another one first")


def lock_out(connection: Connection, user_id: str, now_ms: int) -> User | None:
    """Refuse all that this person has to come in with; None where there is no such person. Raises `LastAdministrator`.

    Sign-ins so far end for good, one-time codes that they asked for are used up (sign-ins and enrolments of runners),
    API tokens do nothing until the person is let in again. Runners and sessions go on.
    """
    others = {user.user_id for user in users.administrators(connection, lock=True)} - {user_id}
    user = users.get(connection, user_id)
    if user is None:
        return None
    if user.admin and not user.disabled and not others:
        raise LastAdministrator(user)
    users.set_disabled(connection, user_id, True)
    users.void_tokens(connection, user_id, now_ms)
    tokens.use_up_codes(connection, user_id, now_ms)
    return user


def let_in(connection: Connection, user_id: str) -> User | None:
    """Let a person in again, who signs in anew; None where there is no such person."""
    user = users.get(connection, user_id)
    if user is not None:
        users.set_disabled(connection, user_id, False)
    return user


def set_administrator(connection: Connection, user_id: str, admin: bool) -> User | None:
    """Give administrator rights, or take them; None where there is no such person. Raises `LastAdministrator`."""
    others = {user.user_id for user in users.administrators(connection, lock=True)} - {user_id}
    user = users.get(connection, user_id)
    if user is None:
        return None
    if user.admin and not admin and not user.disabled and not others:
        raise LastAdministrator(user)
    users.set_admin(connection, user_id, admin)
    return user
