"""Decisions about the approvals of a session: the first one wins, and what the runner says of it settles it."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, cast

import attrs

from townwatch.actors import commands, messages as m
from townwatch.actors.context import Context
from townwatch.actors.directory import tell_if_alive
from townwatch.actors.people import holds
from townwatch.actors.ports import Deciding, Decision
from townwatch.actors.session.ending import SESSION_END
from townwatch.actors.session.fold import undecided
from townwatch.actors.session.keeping import leaves_out
from townwatch.actors.session.state import SessionState
from townwatch.contracts import events as e, ui
from townwatch.contracts.answers import AnswerRefused
from townwatch.contracts.link import Command

REFUSING_KEYS = frozenset(("\x1b", "\x03"))
"""Esc and Ctrl-C: they never allow."""
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
        decision, by, note = message.decision, message.by, message.note
        entry, stop, terms = message.entry, message.stop, None
        if request.timeout_at is not None and now >= request.timeout_at:
            decision, by, entry, stop = "deny", "timeout", None, False  # no answer in time is a no
        elif decision == "allow":
            ruling = await self._context.rulings.of(state, request)
            if ruling.denied is not None:  # its runner asked by older rules
                (rule, note), decision, entry = ruling.denied, "deny", None
                by = f"policy:{rule}"
            elif ruling.terms is not None:
                terms = ruling.terms
                _check_terms(request, message)
        asked_as = _asked_as(request)
        command = commands.decision(state.session_id, approval_id, decision, by, note, asked_as=asked_as, stop=stop)
        if decision == message.decision:
            command = attrs.evolve(
                command,
                option_id=message.option_id,
                answers=message.answers,
                updated_input=message.updated_input,
                traceparent=message.traceparent,
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
            terms=terms,
            person=message.person,
            leave_out=leaves_out(self._context, state),
        )
        standing = await self._context.decisions.record(
            approval_id, state.session_id, decision, by, note, now, deciding
        )
        if standing.counted is not None:
            self._show(state, approval_id, standing)
            return standing
        self._context.decided[state.session_id, approval_id] = standing
        if standing.won:
            self._show(state, approval_id, standing)
        if standing.release_ms is not None:
            tell_if_alive(self._context.releases, m.HoldsChanged())
        elif standing.won:
            await self._tell(attrs.evolve(command, resolved_by=standing.resolved_by))
        elif not standing.confirmed:  # who made it may have crashed between its row and its telling
            tell_if_alive(self._context.directory.runners.get(state.runner_id), m.LookAgain())
        return standing

    async def judge(self, state: SessionState) -> None:
        """Deny what waits and the rules deny by now, before a person is asked for it. Raises `TablesUnavailable`."""
        for asked in self._context.undecided(state):
            with suppress(AnswerRefused):  # it could not be evaluated: people are asked, and their allow is compared
                ruling = await self._context.rulings.of(state, asked)
                if ruling.denied is not None:
                    rule, why = ruling.denied
                    await self.decide(state, m.Decide(asked.approval_id, "deny", f"policy:{rule}", why))

    async def compare(self, state: SessionState, events: Sequence[e.RunnerEvent]) -> None:
        """Put on record what runners allowed by rules that are not the village's any more."""
        for event in events:
            if isinstance(event, e.ApprovalResolved) and event.decision == "allow":
                asked = state.resolved.get(event.approval_id)
                if asked is not None and (event.resolved_by or "").startswith("policy:"):
                    with suppress(AnswerRefused):
                        ruling = await self._context.rulings.of(state, asked)
                        if ruling.denied is not None:
                            await self._context.rulings.outdated(state, asked, event.resolved_by, ruling)

    async def check_keys(self, state: SessionState, data: str) -> None:
        """Refuse keys while a question waits of which a rule says who may allow it: a key could be that allow. Raises
        `AgentWaits`.
        """
        if data in REFUSING_KEYS:
            return
        for asked in state.pending.values():
            try:
                ruling = await self._context.rulings.of(state, asked)
            except AnswerRefused as error:
                raise m.AgentWaits(str(error)) from None
            if ruling.terms is not None:
                raise m.AgentWaits(
                    f"a rule says who may answer {asked.summary[:200]!r}: answer it as an approval, not with keys "
                    "(Esc and Ctrl-C pass)"
                )

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

    def with_known_questions(self, state: SessionState, told: Sequence[e.ApprovalRequest]) -> SessionState:
        """Return the state with what its questions ask, where the memory of that was lost. People are told."""
        known: dict[str, e.ApprovalRequest] = {}
        for asked in told:
            lost = state.pending.get(asked.approval_id)
            if lost is not None and lost.left_out:
                times = {"requested_at": lost.requested_at, "timeout_at": lost.timeout_at}
                known[asked.approval_id] = attrs.evolve(asked, **times, session_id=state.session_id, left_out=None)
        village = self._context.directory.villages.get(state.village_id)
        for asked in known.values():
            shown = ui.approval_message(asked, state.agent_id, self._context.clock.now_ms())
            tell_if_alive(village, m.Announce("approval_requested", shown, state.agent_id))
        return attrs.evolve(state, pending={**state.pending, **known})

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
            asked, leave_out = state.resolved.get(done.approval_id), leaves_out(self._context, state)
            deciding = Deciding(village_id=state.village_id, asked=asked, leave_out=leave_out)
            now, by = self._context.clock.now_ms(), done.resolved_by
            await self._context.decisions.confirm(
                state.session_id, done.approval_id, done.decision, by, done.note, now, deciding
            )
            self._context.decided.pop((state.session_id, done.approval_id), None)


def _check_terms(request: e.ApprovalRequest, message: m.Decide) -> None:
    """An option that allows for always would answer later questions, without those who are to be asked. Runners of
    earlier releases call it `always` where their agent is Codex or OpenCode.
    """
    for option in _dicts(_mapping(request.context).get("options")):
        if option.get("id") == message.option_id and str(option.get("kind", "")).endswith("always"):
            raise AnswerRefused("a rule says who may allow this each time: it cannot be allowed for always")


def _mapping(value: Any) -> dict[str, Any]:
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [_mapping(one) for one in cast(list[Any], value)] if isinstance(value, list) else []


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
