"""Decisions about the approvals of a session: the first one wins, and what the runner says of it settles it."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Any

import attrs

from townwatch.actors import commands, messages as m
from townwatch.actors.context import Context
from townwatch.actors.directory import tell_if_alive
from townwatch.actors.people import holds
from townwatch.actors.ports import Deciding, Decision
from townwatch.actors.session.ending import SESSION_END
from townwatch.actors.session.fold import undecided
from townwatch.actors.session.state import SessionState
from townwatch.contracts import events as e
from townwatch.contracts.link import Command

Resolution = e.ApprovalResolved | e.ApprovalRequest
"""Both say which approval, and how, by whom and why it was decided."""


class SessionApprovals:
    """Used by the session's actor, which has the state."""

    def __init__(self, context: Context, tell: Callable[[Command], Awaitable[Any]]) -> None:
        """`tell`: gives a promised command to the runner."""
        self._context = context
        self._tell = tell

    async def decide(self, state: SessionState, message: m.Decide) -> Decision:
        """The first decision wins; the answer is the decision on record, no matter whose it is."""
        approval_id = message.approval_id
        request = state.pending.get(approval_id)
        if request is None:
            return _already_decided(state, approval_id)
        now = self._context.clock.now_ms()
        decision, by, entry, stop = message.decision, message.by, message.entry, message.stop
        if request.timeout_at is not None and now >= request.timeout_at:
            decision, by, entry, stop = "deny", "timeout", None, False  # no answer in time is a no
        asked_as = _asked_as(request)
        command = commands.decision(
            state.session_id, approval_id, decision, by, message.note, asked_as=asked_as, stop=stop
        )
        if decision == message.decision:
            command = attrs.evolve(
                command,
                option_id=message.option_id,
                answers=message.answers,
                updated_input=message.updated_input,
            )
        held = message.hold_ms if decision == "allow" and message.hold_ms > 0 else None
        deciding = Deciding(
            village_id=state.village_id,
            asked=request,
            runner_id=state.runner_id,
            command=command,
            entry=entry,
            hold_ms=held,
            release_ms=None if held is None else holds.release_at(request, held, now),
        )
        standing = await self._context.decisions.record(
            approval_id, state.session_id, decision, by, message.note, now, deciding
        )
        self._context.decided[state.session_id, approval_id] = standing
        if standing.won:
            self._show(state, approval_id, standing)
        if standing.release_ms is not None:
            tell_if_alive(self._context.releases, m.HoldsChanged())
        elif standing.won:
            await self._tell(command)
        elif not standing.confirmed:  # who made it may have crashed between its row and its telling
            tell_if_alive(self._context.directory.runners.get(state.runner_id), m.LookAgain())
        return standing

    async def take_back(self, state: SessionState, message: m.TakeBack) -> None:
        """Undo a held allow: the approval waits again."""
        approval_id = message.approval_id
        if approval_id not in state.pending:
            _already_decided(state, approval_id)  # raises where it was never asked, or its session is over
            raise m.Released(f"approval {approval_id} is settled, and its runner has the decision")
        if not await self._context.decisions.take_back(state.session_id, approval_id, message.entry):
            raise m.Released(f"approval {approval_id} is not held: nothing to take back")
        self._context.decided.pop((state.session_id, approval_id), None)
        self._show(state, approval_id, None)

    def _show(self, state: SessionState, approval_id: str, decision: Decision | None) -> None:
        said = holds.decided(state, approval_id, decision, self._context.clock.now_ms())
        told = m.Announce("approval_decided", said, state.agent_id)
        tell_if_alive(self._context.directory.villages.get(state.village_id), told)

    async def settle(self, state: SessionState) -> None:
        """Put on record what a crash kept from being confirmed. Raises `TablesUnavailable`."""
        waiting = await self._context.decisions.unconfirmed(state.session_id)
        await self.confirm(
            state, [state.resolved[one.approval_id] for one in waiting if one.approval_id in state.resolved]
        )

    async def confirm(self, state: SessionState, resolved: Iterable[Resolution]) -> None:
        """Record what the runner told as the outcome, also where a person decided while its session was ending. Raises
        `TablesUnavailable`.
        """
        for done in resolved:
            if done.decision is None:
                continue
            deciding = Deciding(village_id=state.village_id, asked=state.resolved.get(done.approval_id))
            now, by = self._context.clock.now_ms(), done.resolved_by
            await self._context.decisions.confirm(
                state.session_id, done.approval_id, done.decision, by, done.note, now, deciding
            )
            self._context.decided.pop((state.session_id, done.approval_id), None)


def _already_decided(state: SessionState, approval_id: str) -> Decision:
    """Return the decision that the runner has confirmed. Raises `UnknownApproval` or `SessionOver`."""
    done = state.resolved.get(approval_id)
    if done is None or done.decision is None:
        raise m.UnknownApproval(f"no approval {approval_id} is waiting in this session")
    if state.ended and done.resolved_by == SESSION_END:
        why = f"the session has ended ({state.state})"
        raise m.SessionOver(f"{why}: the decision is too late, approval {approval_id} was denied with its end")
    return Decision(
        approval_id=approval_id,
        decision=done.decision,
        resolved_by=done.resolved_by,
        note=done.note,
        confirmed=True,
    )


def _asked_as(request: e.ApprovalRequest) -> str:
    """Return the id under which the runner knows an approval: it may be one that cannot be addressed."""
    return request.approval_id if request.asked_as is None else request.asked_as


def resolutions(after: SessionState, events: Sequence[e.RunnerEvent]) -> Iterator[Resolution]:
    """Yield the resolutions of approvals in these events."""
    for event in events:
        match event:
            case e.ApprovalResolved():
                yield event
            case e.SessionEnded():
                yield from undecided(after, event)
            case _:
                pass
