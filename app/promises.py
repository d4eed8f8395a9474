"""Promised decisions and commands, behind the ports of `actors`: they are rows before they are answered."""

from collections.abc import Callable, Sequence
from typing import Any

import attrs
from sqlalchemy import Connection

from townwatch.actors.context import Context
from townwatch.actors.ports import Clock, Deciding, Decision, Promise, TooManyPromises
from townwatch.actors.session.state import SessionState
from townwatch.app.budgets.raising import budget_asked, raise_budget
from townwatch.app.held.commands import HeldCommands
from townwatch.contracts.answers import AnswerRefused, Counted
from townwatch.contracts.codec import to_json_values
from townwatch.contracts.link import Command
from townwatch.contracts.lists import SeenBy
from townwatch.contracts.scopes import AlertKey
from townwatch.contracts.secrets import left_out
from townwatch.store import alerts, audit, commands, failures, sessions, villages
from townwatch.store.audit import Entry
from townwatch.store.budgets import rows
from townwatch.store.commands import PromisedCommand, TooManyOpen
from townwatch.store.database import Database
from townwatch.store.deciding import answers, approvals, holds
from townwatch.store.deciding.approvals import Approval, Decided
from townwatch.store.showing import house_names


class StoredDecisions:
    """`townwatch.actors.ports.Decisions` in the database: one conditional update, the first decision wins."""

    def __init__(self, database: Database, budget_raised: Callable[[], None], held: HeldCommands) -> None:
        """`budget_raised`: called when a decision added to a budget, or was taken back."""
        self._database = database
        self._budget_raised = budget_raised
        self._held = held

    async def record(
        self,
        approval_id: str,
        session_id: str,
        decision: str,
        resolved_by: str,
        note: str | None,
        at_ms: int,
        deciding: Deciding | None = None,
    ) -> Decision:
        if deciding is not None and deciding.leave_out:
            stored = None if deciding.command is None else self._held.stored(deciding.command)
            deciding, note = attrs.evolve(deciding, command=stored), left_out.note(resolved_by, note)
        made = await self._database.call(_record, session_id, approval_id, decision, resolved_by, note, at_ms, deciding)
        if isinstance(made, Counted):
            return Decision(approval_id=approval_id, decision="", resolved_by=None, note=None, counted=made)
        if made.won and deciding is not None and budget_asked(deciding.asked) is not None:
            self._budget_raised()
        return standing_of(made.standing, won=made.won)

    async def take_back(self, session_id: str, approval_id: str, entry: Any = None) -> bool:
        done = await self._database.call(_take_back, session_id, approval_id, entry)
        self._budget_raised()
        return done

    async def unconfirmed(self, session_id: str) -> Sequence[Decision]:
        return [standing_of(one) for one in await self._database.read(approvals.unconfirmed, session_id)]

    async def confirm(
        self,
        session_id: str,
        approval_id: str,
        decision: str,
        resolved_by: str | None,
        note: str | None,
        at_ms: int,
        deciding: Deciding | None = None,
    ) -> None:
        village_id, asked = _where(deciding)
        if deciding is not None and deciding.leave_out:
            note = left_out.note(resolved_by, note)
        await self._database.call(
            approvals.confirm,
            session_id,
            approval_id,
            decision,
            resolved_by,
            note,
            at_ms,
            village_id=village_id,
            asked=asked,
        )


def _record(
    connection: Connection,
    session_id: str,
    approval_id: str,
    decision: str,
    by: str,
    note: str | None,
    now_ms: int,
    deciding: Deciding | None,
) -> Decided | Counted:
    """The decision, the command that brings it to the runner and the audit entry: all of them or none. With terms an
    allow is counted first: one that is not enough is kept, and decides nothing.
    """
    village_id, asked = _where(deciding)
    if decision == "allow" and deciding is not None and deciding.terms is not None:
        if deciding.person is None:
            raise AnswerRefused("a rule wants people to answer this")
        approvals.note(connection, session_id, approval_id, now_ms, village_id=village_id, asked=asked)
        known = approvals.get(connection, session_id, approval_id)
        if known is None or known.decision is None:
            where = (deciding.village_id, session_id, approval_id)
            counted = answers.count(connection, *where, deciding.terms, deciding.person, now_ms)
            if not counted.enough:
                if deciding.entry is not None:
                    audit.add(connection, _counting(deciding.entry, counted))
                return counted
            by = ", ".join(counted.names)
            if deciding.command is not None:
                deciding = attrs.evolve(deciding, command=attrs.evolve(deciding.command, resolved_by=by))
    decided = approvals.record(
        connection, session_id, approval_id, decision, by, note, now_ms, village_id=village_id, asked=asked
    )
    if decided.won and deciding is not None:
        if deciding.command is not None:
            held = deciding.release_ms is not None
            commands.promise(connection, deciding.runner_id, deciding.command, now_ms, session_id=session_id, held=held)
            if deciding.release_ms is not None:
                holds.begin(connection, session_id, approval_id, deciding.hold_ms or 0, deciding.release_ms)
                decided = attrs.evolve(decided, standing=approvals.get(connection, session_id, approval_id))
        if deciding.entry is not None:
            audit.add(connection, deciding.entry)
        if decision == "allow":
            raise_budget(connection, session_id, approval_id, by, now_ms, deciding)
    return decided


def _counting(entry: Entry, counted: Counted) -> Entry:
    details: dict[str, Any] = entry.details or {}
    return attrs.evolve(entry, details={**details, "counted": str(counted)})


def _take_back(connection: Connection, session_id: str, approval_id: str, entry: Any) -> bool:
    done = holds.take_back(connection, session_id, approval_id)
    if done:
        answers.forget(connection, session_id, approval_id)
        rows.take_back(connection, session_id, approval_id)
    if done and entry is not None:
        audit.add(connection, entry)
    return done


def _where(deciding: Deciding | None) -> tuple[str | None, Any]:
    if deciding is None:
        return None, None
    asked = deciding.asked
    if asked is not None and deciding.leave_out:
        asked = left_out.request(asked)
    return deciding.village_id, None if asked is None else to_json_values(asked)


def standing_of(approval: Approval, *, won: bool = False) -> Decision:
    """Return the decision on record: the end at its runner once that is known, else what was decided here."""
    ended = approval.outcome is not None
    return Decision(
        approval_id=approval.approval_id,
        decision=(approval.outcome if ended else approval.decision) or "deny",
        resolved_by=approval.outcome_by if ended else approval.resolved_by,
        note=approval.outcome_note if ended else approval.note,
        won=won,
        confirmed=approval.confirmed_ms is not None,
        release_ms=None if ended else approval.release_ms,
    )


class StoredPromises:
    """`townwatch.actors.ports.Promises` in the database."""

    def __init__(self, database: Database, clock: Clock, held: HeldCommands) -> None:
        self._database = database
        self._clock = clock
        self._held = held

    async def promise(
        self,
        runner_id: str,
        command: Command,
        *,
        expires_ms: int | None = None,
        session_id: str | None = None,
        entry: Any = None,
        leave_out: bool = False,
    ) -> Promise:
        now = self._clock.now_ms()
        stored = self._held.stored(command) if leave_out else command
        try:
            made = await self._database.call(_promise, runner_id, stored, now, expires_ms, session_id, entry)
        except TooManyOpen as error:
            raise TooManyPromises(str(error)) from None
        return Promise(command=self._held.whole(made.command) or made.command, open=made.row.open)

    async def settle(self, runner_id: str, command_id: str, ok: bool, error: str | None) -> None:
        now, outcome = self._clock.now_ms(), "ok" if ok else "failed"
        if await self._database.call(commands.settle, runner_id, command_id, outcome, error, now):
            self._held.forget(command_id)

    async def keep_until(self, runner_id: str, command_id: str, expires_ms: int) -> None:
        await self._database.call(commands.keep, runner_id, command_id, expires_ms)

    async def open_of(self, runner_id: str) -> Sequence[Command]:
        found = await self._database.read(commands.open_of, runner_id, self._clock.now_ms())
        return [whole for stored in found if (whole := self._held.whole(stored)) is not None]

    async def void_session(self, session_id: str, why: str) -> None:
        self._held.forget_session(session_id)
        await self._database.call(commands.void, why, self._clock.now_ms(), session_id=session_id)


def _promise(
    connection: Connection,
    runner_id: str,
    command: Command,
    now_ms: int,
    expires_ms: int | None,
    session_id: str | None,
    entry: Any,
) -> PromisedCommand:
    made = commands.promise(connection, runner_id, command, now_ms, expires_ms=expires_ms, session_id=session_id)
    if entry is not None:
        audit.add(connection, entry)
    return made


@attrs.frozen
class StoredMatters:
    """Rows that a start reads into memory."""

    undelivered: Sequence[Approval]
    leaving_out: set[str]
    settled_alerts: dict[AlertKey, int]
    failures: Sequence[failures.SeenFailure]
    house_names: dict[tuple[str, str], str]
    sessions: Sequence[sessions.SessionRow]


def read_back(connection: Connection) -> StoredMatters:
    """Read them."""
    return StoredMatters(
        undelivered=approvals.undelivered(connection),
        leaving_out=villages.leaving_out(connection),
        settled_alerts=alerts.settled(connection),
        failures=failures.all_seen(connection),
        house_names=house_names.everything(connection),
        sessions=sessions.everything(connection),
    )


async def recall(database: Database, context: Context) -> None:
    """Read after a restart which decisions are on their way, which alerts people have done with, which failures they
    have seen, how they call houses, which villages keep texts out of the log, and which sessions were started and have
    not begun. A held allow is held for its full time again.
    """
    found = await database.call(_begin_again, context.clock.now_ms())
    for one in found.undelivered:
        state = context.board.session(one.session_id)
        if state is not None and one.approval_id in state.pending:
            context.decided[one.session_id, one.approval_id] = standing_of(one)
    context.leaves_out.update(found.leaving_out)
    context.settled_alerts.update(found.settled_alerts)
    for seen in found.failures:
        context.seen_failures[seen.session_id] = SeenBy(name=seen.seen_by, at=seen.seen_ms)
    context.house_names.update(found.house_names)
    for row in found.sessions:
        unbegun = row.runner_id and context.board.session(row.session_id) is None
        if unbegun and not context.journal_log.deleted(row.session_id):
            context.board.post(_created(row))


def _begin_again(connection: Connection, now_ms: int) -> StoredMatters:
    holds.begin_again(connection, now_ms)
    return read_back(connection)


def _created(row: sessions.SessionRow) -> SessionState:
    name = (row.config or {}).get("agentName")
    return SessionState(
        session_id=row.session_id,
        village_id=row.village_id,
        agent_id=row.agent_id,
        runner_id=row.runner_id or "",
        agent_name=name if isinstance(name, str) else None,
        created_at=row.created_ms,
    )
