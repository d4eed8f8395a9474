"""Commands to runners: each is a row before it is promised to a person, and is open until its result is known.

A command id is ``<kind>:<sessionId>:<…>``; asking for the same thing again while it is open, or after it was done, is
the same row. After a failure the id gets a number, for a runner answers a known id with the old result.
"""

from typing import Any, Literal

import attrs
from sqlalchemy import Connection, Row, delete, func, select, update

from townwatch.contracts.codec import decode_json, encode
from townwatch.contracts.link import Command, decode_from_service
from townwatch.store.rows import insert_new
from townwatch.store.tables import commands

Outcome = Literal["ok", "failed", "expired", "void"]
OPEN_PER_RUNNER = 1000
"""Open commands a runner may have; more are refused."""
ATTEMPTS = 1000


class TooManyOpen(RuntimeError):
    """The runner has not answered so many commands that it gets no more."""


@attrs.frozen(kw_only=True)
class CommandRow:
    """One row, without its body."""

    command_id: str
    runner_id: str
    kind: str
    created_ms: int
    session_id: str | None = None
    expires_ms: int | None = None
    settled_ms: int | None = None
    outcome: Outcome | None = None
    error: str | None = None
    held: bool = False

    @property
    def open(self) -> bool:
        return self.settled_ms is None


@attrs.frozen(kw_only=True)
class PromisedCommand:
    """`command`: as it is to be sent, with the id it got. `row`: as it is now. `fresh`: made by this call."""

    command: Command
    row: CommandRow
    fresh: bool


def promise(
    connection: Connection,
    runner_id: str,
    command: Command,
    now_ms: int,
    *,
    expires_ms: int | None = None,
    session_id: str | None = None,
    held: bool = False,
) -> PromisedCommand:
    """Make the row, unless the same command is open or was done. Raises `TooManyOpen`.

    `session_id`: the session with whose end the command is void; None for one that outlives every session. `held`: it
    is not sent before `release`, and can be withdrawn until then.
    """
    waiting = select(func.count()).where(commands.c.runner_id == runner_id, commands.c.settled_ms.is_(None))
    for attempt in range(1, ATTEMPTS):
        numbered = command if attempt == 1 else attrs.evolve(command, command_id=f"{command.command_id}:{attempt}")
        known = get(connection, numbered.command_id)
        if known is None:
            if connection.execute(waiting).scalar_one() >= OPEN_PER_RUNNER:
                raise TooManyOpen(f"runner {runner_id} has {OPEN_PER_RUNNER} unanswered commands; it gets no more")
            values = {
                "command_id": numbered.command_id,
                "runner_id": runner_id,
                "session_id": session_id,
                "kind": command.command,
                "body": encode(numbered).decode(),
                "created_ms": now_ms,
                "expires_ms": expires_ms,
                "held": held,
            }
            fresh = insert_new(connection, commands, values)
            known = get(connection, numbered.command_id)
            assert known is not None
            return PromisedCommand(command=numbered, row=known, fresh=fresh)
        if known.open or known.outcome == "ok":
            return PromisedCommand(command=numbered, row=known, fresh=False)
    raise TooManyOpen(f"command {command.command_id} failed {ATTEMPTS} times")


def settle(
    connection: Connection, runner_id: str, command_id: str, outcome: Outcome, error: str | None, now_ms: int
) -> bool:
    """Record a command's outcome, unless one is recorded. The body is deleted: there may be secrets in it.

    False for a command of another runner, whose ids can be guessed, and for one that is held: no runner has seen it.
    """
    its = (commands.c.command_id == command_id) & (commands.c.runner_id == runner_id) & ~commands.c.held
    found = update(commands).where(its, commands.c.settled_ms.is_(None))
    values = {"outcome": outcome, "error": error, "settled_ms": now_ms, "body": ""}
    return connection.execute(found.values(**values)).rowcount > 0


def keep(connection: Connection, runner_id: str, command_id: str, expires_ms: int) -> bool:
    """Let an open command of a runner expire later; False where it is not open."""
    its = (commands.c.command_id == command_id) & (commands.c.runner_id == runner_id) & commands.c.settled_ms.is_(None)
    return connection.execute(update(commands).where(its).values(expires_ms=expires_ms)).rowcount > 0


def release(connection: Connection, command_id: str) -> bool:
    """Let a held command be sent; False where it is held no more."""
    held = (commands.c.command_id == command_id) & commands.c.held & commands.c.settled_ms.is_(None)
    return connection.execute(update(commands).where(held).values(held=False)).rowcount > 0


def withdraw(connection: Connection, command_id: str) -> bool:
    """Delete a held command, which no runner has seen; False where it is held no more."""
    held = (commands.c.command_id == command_id) & commands.c.held & commands.c.settled_ms.is_(None)
    return connection.execute(delete(commands).where(held)).rowcount > 0


def void(
    connection: Connection,
    why: str,
    now_ms: int,
    *,
    session_id: str | None = None,
    runner_id: str | None = None,
    kind: str | None = None,
) -> list[str]:
    """Close what is open and has no meaning any more: of a session that ended, of a runner that was removed, or of one
    kind of a runner. The ids of what was closed.
    """
    if session_id is None and runner_id is None:
        raise ValueError("void: names neither a session nor a runner")
    open_ = update(commands).where(commands.c.settled_ms.is_(None))
    if session_id is not None:
        open_ = open_.where(commands.c.session_id == session_id)
    if runner_id is not None:
        open_ = open_.where(commands.c.runner_id == runner_id)
    if kind is not None:
        open_ = open_.where(commands.c.kind == kind)
    values = {"outcome": "void", "error": why, "settled_ms": now_ms, "body": ""}
    return [str(found) for (found,) in connection.execute(open_.values(**values).returning(commands.c.command_id))]


def expire(connection: Connection, now_ms: int) -> list[str]:
    """Close what was not answered in its time. The ids of what was closed."""
    late = update(commands).where(commands.c.settled_ms.is_(None), commands.c.expires_ms <= now_ms)
    values = {"outcome": "expired", "error": "not answered in time", "settled_ms": now_ms, "body": ""}
    return [str(found) for (found,) in connection.execute(late.values(**values).returning(commands.c.command_id))]


def open_of(connection: Connection, runner_id: str, now_ms: int) -> list[Command]:
    """Return the commands that a runner has not settled, that have not expired and are not held, oldest first."""
    query = select(commands.c.body).where(commands.c.runner_id == runner_id, commands.c.settled_ms.is_(None))
    query = query.where(~commands.c.held)
    query = query.where(commands.c.expires_ms.is_(None) | (commands.c.expires_ms > now_ms))
    rows = connection.execute(query.order_by(commands.c.created_ms, commands.c.command_id))
    return [command_of(body) for (body,) in rows]


def get(connection: Connection, command_id: str) -> CommandRow | None:
    """Return the command with this id, or None."""
    row = connection.execute(select(commands).where(commands.c.command_id == command_id)).first()
    return _row(row) if row else None


def forget(connection: Connection, before_ms: int) -> int:
    """Drop what was settled before that; returns how many."""
    return connection.execute(delete(commands).where(commands.c.settled_ms < before_ms)).rowcount


def command_of(body: str) -> Command:
    """The command in a row."""
    found = decode_from_service.decode(body)
    assert isinstance(found, Command), decode_json(body)
    return found


def _row(row: Row[*tuple[Any, ...]]) -> CommandRow:
    values = dict(row._mapping)  # pyright: ignore[reportPrivateUsage] - SQLAlchemy's documented name
    del values["body"]
    return CommandRow(**values)
