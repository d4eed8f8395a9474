"""Orders to land a session's changes: promised as a row, and their outcome on record.

While a session lives its runner tells the outcome as an event. Of one that has ended the outcome comes with the
command's result: the service writes the event itself, behind the session's last one, and settles the row when that is
durable. So a crash at any point loses none: an open row is told again, and answered as before.
"""

import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from townwatch.actors import commands, messages as m
from townwatch.actors.context import Context
from townwatch.actors.session.keeping import leaves_out
from townwatch.actors.session.state import SessionState
from townwatch.contracts import events as e, scopes
from townwatch.contracts.agent_events import to_provider_event
from townwatch.contracts.landing import ASKED_MS, LAND
from townwatch.contracts.link import Command, Result
from townwatch.contracts.secrets.left_out import LEFT_OUT

log = structlog.get_logger("session")

SEND_SECONDS = 5.0
KEPT_MS = 600_000
"""How long an order is kept for a runner that is away: what it is about may be another thing by then."""


class SessionLanding:
    """Used by the session's actor, which has the state. A row where people are asked is open until its outcome is
    known.
    """

    def __init__(self, context: Context, tell: Callable[[Command], Awaitable[Any]]) -> None:
        """`tell`: gives a promised command to the runner."""
        self._context = context
        self._tell = tell
        self._early: list[Result] = []
        """Outcomes of a session whose end is on its way: they are written behind it."""
        self._written: dict[int, Result] = {}
        """Number of the event that tells it → the result, whose row is not settled yet."""

    async def order(self, state: SessionState, message: m.Land) -> m.Ordered:
        """Promise it, and give it to the runner. Raises `Unsupported`."""
        runner = self._context.directory.alive(self._context.directory.runners, state.runner_id)
        if runner is not None:
            await runner.call(m.CanDo(LAND), timeout=SEND_SECONDS)
        command = Command(
            command_id=scopes.session_command(LAND, state.session_id, message.claim or uuid.uuid4().hex),
            command=LAND,
            session_id=state.session_id,
            land=message.order,
            traceparent=message.traceparent,
        )
        promise = await self._context.promises.promise(
            state.runner_id,
            command,
            expires_ms=self._context.clock.now_ms() + KEPT_MS,
            entry=message.entry,
            leave_out=leaves_out(self._context, state),
        )
        if not promise.open:
            return m.Ordered(promise.command.command_id, done=True)
        return m.Ordered(promise.command.command_id, await self._tell(promise.command))

    async def asked(self, state: SessionState, result: Result) -> None:
        """Keep the row of an order that people are asked about until its outcome comes. Raises `TablesUnavailable`."""
        until = self._context.clock.now_ms() + ASKED_MS + KEPT_MS
        await self._context.promises.keep_until(state.runner_id, result.command_id, until)

    async def done(self, state: SessionState, result: Result, after: int) -> e.RunnerEvent | None:
        """Take a runner's result; return the event that the service is to write, numbered `after` + 1. Without one the
        row is settled. Raises `TablesUnavailable`.
        """
        outcome = commands.untold(result)
        if outcome is None or any(one.outcome.id == outcome.id for one in state.landed):
            await self._settle(state, result)
            return None
        if any(one.command_id == result.command_id for one in self._written.values()):
            return None
        if not state.told_end:  # its runner has numbers left to give
            self._early = [one for one in self._early if one.command_id != result.command_id] + [result]
            return None
        now = self._context.clock.now_ms()
        self._written[after + 1] = result
        return e.ProviderEventForwarded(
            session_id=state.session_id,
            org_id=state.village_id,
            ts=now,
            seq=after + 1,
            provider_event=to_provider_event(outcome, state.provider_id or "command", now),
        )

    def early(self) -> list[Result]:
        """Return the outcomes that waited for the session's end, and forget them."""
        early, self._early = self._early, []
        return early

    async def durable(self, state: SessionState) -> None:
        """Settle the rows whose outcome is on the disk."""
        for number in [one for one in self._written if one <= state.seq]:
            result = self._written.pop(number)
            try:
                await self._settle(state, result)
            except Exception as error:  # the row stays open: it is told again, and known then
                log.warning("landing_not_settled", command=result.command_id, reason=repr(error)[:300])

    async def _settle(self, state: SessionState, result: Result) -> None:
        reason = result.error.message if result.error is not None else None
        report = commands.report_of(result)
        if report is not None and report.outcome is not None and not report.outcome.ok:
            reason = report.outcome.says
        if reason is not None and leaves_out(self._context, state):
            reason = LEFT_OUT
        await self._context.promises.settle(state.runner_id, result.command_id, result.ok, reason)
