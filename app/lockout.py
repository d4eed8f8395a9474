"""People who are locked out: their live connections end, whichever process locked them out; the command line for it."""

from contextlib import suppress

import trio
from sqlalchemy import Connection

from townwatch.access.lockout import LastAdministrator, let_in, lock_out
from townwatch.actors.context import Context
from townwatch.actors.directory import tell_if_alive
from townwatch.actors.messages import Dismiss
from townwatch.app.identity import open_database
from townwatch.config.settings import Settings
from townwatch.contracts.clock import epoch_ms
from townwatch.contracts.faults import TablesUnavailable
from townwatch.runner import identity
from townwatch.runtime.tasks import TaskOwner
from townwatch.store import audit, users
from townwatch.store.audit import Entry
from townwatch.store.database import Database
from townwatch.store.users import User

ROUND_SECONDS = 0.4
"""Locked out by another process (the command line, a replica), a person is gone within a second."""
WHY = "an administrator locked you out"


async def locked_out(context: Context, user_id: str) -> None:
    """End the live connections of a person."""
    for connection in context.directory.of_user(user_id):
        tell_if_alive(connection.ref, Dismiss(WHY))


class LockOutWatch(TaskOwner):
    """Ends the connections of people whom the database says are locked out.

    A connection whose token was checked just before, and one whose actor is busy with a request, end here too.
    """

    def __init__(self, context: Context, database: Database) -> None:
        super().__init__()
        self._context = context
        self._database = database
        self._told: set[str] = set()

    def on_start(self) -> None:
        self.tasks.start_soon(self._rounds)

    async def _rounds(self) -> None:
        while True:
            await trio.sleep(ROUND_SECONDS)
            with suppress(TablesUnavailable):  # the next round comes
                await self.look()

    async def look(self) -> None:
        """Tell those who are still here; cut off those who were told a round ago."""
        if not self._context.directory.connections:
            return
        disabled = await self._database.read(users.disabled)
        still = [one for one in self._context.directory.connections.values() if one.user_id in disabled]
        for connection in still:
            tell_if_alive(connection.ref, Dismiss(WHY))
            if connection.kind == "socketio" and connection.connection_id in self._told:
                self._context.outlet.disconnect(connection.connection_id)
        self._told = {one.connection_id for one in still}


class CannotLock(Exception):
    """The person cannot be locked out or let in; one line says why."""


async def set_locked(settings: Settings, person: str, *, out: bool) -> str:
    """Lock out (or let in) the person with this e-mail address or id, and return their name. Raises `CannotLock`."""
    database = await _database(settings)
    try:
        return await database.call(_set_locked, person, out, epoch_ms())
    finally:
        database.close()


async def people(settings: Settings) -> list[User]:
    """Return all people of the service of this state directory. Raises `CannotLock`."""
    database = await _database(settings)
    try:
        return await database.read(users.everyone)
    finally:
        database.close()


async def _database(settings: Settings) -> Database:
    """Open what the service made. Raises `CannotLock` where there never was one."""
    try:
        identity.load(settings.state)
    except identity.NotEnrolled:
        raise CannotLock(f"{settings.state} has no service yet: start it once with townwatch serve") from None
    return await trio.to_thread.run_sync(open_database, settings)


def _set_locked(connection: Connection, person: str, out: bool, now_ms: int) -> str:
    user = users.by_email(connection, person) or users.get(connection, person)
    if user is None:
        raise CannotLock(f"there is no person {person!r}: townwatch user list shows who there is")
    try:
        _ = lock_out(connection, user.user_id, now_ms) if out else let_in(connection, user.user_id)
    except LastAdministrator as error:
        raise CannotLock(str(error)) from None
    action = "user.disable" if out else "user.enable"
    audit.add(connection, Entry(at_ms=now_ms, kind="user", action=action, target=user.user_id))
    return user.name
