"""Classes of database errors (temporary, lasting, of one statement), and the state of an outage.

SQLite: locked, read-only, full, input/output errors. PostgreSQL: stopped, starting, out of connections, a lock that is
not given in time. Errors of one statement (a broken constraint, a wrong type) are neither, and pass as they are.
"""

import sqlite3
from typing import Any

import attrs
import structlog
from sqlalchemy.exc import DBAPIError, SQLAlchemyError, TimeoutError as PoolTimeout

from townwatch.contracts.faults import FilesDamaged, TablesFenced, TablesRefused, TablesUnavailable
from townwatch.store.engine.fence import FENCED

log = structlog.get_logger("tables")

_LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_AWAY = {
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened",
    sqlite3.SQLITE_IOERR: "the disk answers with an input/output error",
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_READONLY: "the file or its file system is read-only",
    sqlite3.SQLITE_PERM: "the file may not be opened",
    sqlite3.SQLITE_PROTOCOL: "its locks do not work here",
    sqlite3.SQLITE_NOMEM: "there is no memory left",
    sqlite3.SQLITE_AUTH: "the file may not be opened",
}
_PASSING_STATES = ("08", "53", "57", "58", "25006", "55P03", "55006", "40")
_REFUSING_STATES = ("28", "3D000", "3F000", "42501")
_REFUSING_TEXTS = (
    "password authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "peer authentication failed",
    "ident authentication failed",
    "invalid connection option",
    "invalid uri",
    "invalid port",
    "certificate verify failed",
    "does not support ssl",
)
"""What PostgreSQL's client says without an SQLSTATE when it could not connect."""


@attrs.define(eq=False)
class Outage:
    """The operations that fail at the moment, and why. `watched`: a probe runs, which ends the outage; only then are
    calls refused at once instead of each waiting for its own timeout.
    """

    watched: bool = False
    reading: str | None = None
    writing: str | None = None
    lasting: str | None = None
    """An outage that only a restart ends: the file underneath was replaced."""

    def begin(self, reason: str, *, reads_too: bool) -> None:
        """Note that writing (and reading) failed for this reason."""
        if self.writing is None:
            log.error("tables_unavailable", reason=reason)
        self.writing = reason
        if reads_too:
            self.reading = reason

    def end(self) -> None:
        """The probe succeeded."""
        if self.writing is not None or self.reading is not None:
            log.info("tables_available_again")
        self.reading = self.writing = None

    def reason(self) -> str | None:
        """Reason why the tables cannot be used in full; None if they can."""
        return self.lasting or self.reading or self.writing

    def check(self, *, writes: bool) -> None:
        """Raise `TablesUnavailable` at once where it is known that the call would fail."""
        reason = self.lasting
        if reason is None and self.watched:
            reason = self.writing if writes else self.reading
        if reason is not None:
            raise TablesUnavailable(reason)


def translate(error: SQLAlchemyError | sqlite3.Error, name: str) -> OSError | None:
    """The fault that a database error stands for; None for an error of the statement itself. `name`: for people."""
    if isinstance(error, PoolTimeout):
        return TablesUnavailable(f"{name} is busy: all connections to it are in use; try again")
    if isinstance(error, sqlite3.Error):
        return _sqlite(error, name)
    if not isinstance(error, DBAPIError) or error.orig is None:
        return None
    if isinstance(error.orig, sqlite3.Error):
        return _sqlite(error.orig, name)
    return postgres_fault(error.orig, name, cut=error.connection_invalidated)


def stops_reading(error: BaseException) -> bool:
    """Return False if SQLite refused only writing, because another connection writes or the disk is full."""
    original = getattr(error, "orig", error)
    code = getattr(original, "sqlite_errorcode", 0) & 0xFF
    return not (isinstance(original, sqlite3.Error) and (code in _LOCKED or code == sqlite3.SQLITE_FULL))


def is_locked(error: BaseException) -> bool:
    """Return True if SQLite waited in vain for another connection, of this process or another one."""
    original = getattr(error, "orig", error)
    return isinstance(original, sqlite3.Error) and (getattr(original, "sqlite_errorcode", 0) & 0xFF) in _LOCKED


def is_undecodable(error: BaseException) -> bool:
    """Return True if a stored text is not UTF-8: one row is unreadable, not the database."""
    original = getattr(error, "orig", error)
    return isinstance(original, sqlite3.OperationalError) and "Could not decode to UTF-8" in str(original)


def _sqlite(error: sqlite3.Error, name: str) -> OSError | None:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _LOCKED:
        return TablesUnavailable(f"{name} is locked by another program: end that program, or wait until it is done")
    if code in _DAMAGED:
        return damaged(name, str(error))
    if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_IOERR_SHMSIZE:  # no room for the WAL's index
        code = sqlite3.SQLITE_FULL
    if code in _AWAY:
        return TablesUnavailable(f"{name} cannot be used: {_AWAY[code]}; retrying")
    return None


def damaged(name: str, finding: str) -> FilesDamaged:
    """The fault for a file whose content is not what it should be."""
    return FilesDamaged(
        f"{name} is damaged ({finding}): stop the service and run `townwatch doctor --repair`, or restore a backup"
    )


def postgres_fault(original: BaseException, name: str, *, cut: bool = False) -> OSError | None:
    """The fault that an error of psycopg stands for; None for one of the statement. `cut`: it cost the connection."""
    state = str(getattr(original, "sqlstate", None) or "")
    text = _one_line(original)
    if state == FENCED:
        return TablesFenced(text)
    if state.startswith("XX"):
        return FilesDamaged(f"{name} reports damage ({text}): see the log of PostgreSQL and restore a backup")
    if _refuses(state, text):
        return TablesRefused(f"{name} refuses this service ({text}): check [database] url, the user and the password")
    passing = cut or state.startswith(_PASSING_STATES)
    kind = type(original).__name__
    if passing or (not state and kind in ("OperationalError", "InterfaceError", "ConnectionTimeout")):
        if "timeout" in text.lower() and not state:  # it took the connection, or none of it came back
            return TablesUnavailable(f"{name} does not answer ({text}); retrying")
        return TablesUnavailable(f"{name} cannot be reached ({text}); retrying")
    return None


def _refuses(state: str, text: str) -> bool:
    if state:
        return state.startswith(_REFUSING_STATES)
    lower = text.lower()
    unknown = "does not exist" in lower and ("database" in lower or "role" in lower)
    return unknown or any(one in lower for one in _REFUSING_TEXTS)


def _one_line(error: Any) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else "the connection was lost")[:300]
