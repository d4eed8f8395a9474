"""State of a session, as a pure fold over its events: the same events always give the same state."""

from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from townwatch.actors.session import signs
from townwatch.actors.session.signs import Received
from townwatch.actors.session.state import AgentState, LandedAt, OpenAlert, QueuedPrompt, SessionState, TestRun
from townwatch.contracts import agent_events as a, events as e
from townwatch.contracts.lists import SessionDiff

RUNS_KEPT = 16
"""Test runs beside each other that a session remembers."""
WAITING_KEPT = 1000
"""Approvals of a session that can wait at once. An agent asks a few; a runner that asks more in one session breaks the
rules: what is beyond this is in the log, and nowhere to be decided."""
RESOLVED_KEPT = 64
"""Resolved approvals a session remembers, so that a late or repeated decision can be answered."""
ALERTS_KEPT = 100
"""Open alerts a session remembers: the latest."""


UNDECIDED = ("session end", "the session ended before a decision")
"""resolved_by and note of approvals denied because the session ended."""
QUIET = frozenset({e.TerminalChunk, e.FileTouched, e.ProviderEventForwarded})
"""Events that change nothing of a session but how far it is; of provider events, those that are not of `TELLING`."""
TELLING = frozenset({a.Status.TYPE, a.CliSession.TYPE, a.Prompt.TYPE, a.Worktree.TYPE, a.Landed.TYPE, SessionDiff.TYPE})
LANDED_KEPT = 20
"""Commits, pushes and merges that a session remembers."""
PROMPTS_KEPT = 100


def fold(state: SessionState, event: e.RunnerEvent, received: float | None = None) -> SessionState:
    """The state after one more event. `received`: when the service took it."""
    after = _changed(_further(state, (event,), received), event)
    return after if received is None else _stamped(state, after, int(received))


def _stamped(before: SessionState, after: SessionState, at: int) -> SessionState:
    """The service's own times of what changed."""
    known, changes = after.signs, dict[str, Any]()
    if after.state != before.state or known.state_at is None:
        changes["state_at"] = at
    if after.started_at is not None and before.started_at is None:
        changes["started_at"] = at
    if after.ended and not before.ended:
        changes["ended_at"] = at
    if changes:
        after = attrs.evolve(after, signs=attrs.evolve(known, **changes))
    if after.last_test is not before.last_test and after.last_test is not None:
        tested = attrs.evolve(after.last_test, at=at)
        finished = tested if after.finished_test is after.last_test else after.finished_test
        after = attrs.evolve(after, last_test=tested, finished_test=finished)
    return after


def _changed(state: SessionState, event: e.RunnerEvent) -> SessionState:
    match event:
        case e.SessionStarted():
            return _started(state, event)
        case e.SessionStateChanged():
            return _moved(state, event)
        case e.SessionEnded():
            return _ended(state, event)
        case e.ApprovalRequested(approval=approval):
            if len(state.pending) >= WAITING_KEPT and approval.approval_id not in state.pending:
                return attrs.evolve(state, violations=state.violations + 1)
            return attrs.evolve(state, pending={**state.pending, approval.approval_id: approval})
        case e.ApprovalResolved():
            return _resolved(state, event)
        case e.AlertRaised():
            return attrs.evolve(state, alerts=_alerted(state.alerts, event))
        case e.UsageTick(units=units):
            return attrs.evolve(state, usage=state.usage.plus(units))
        case e.TestRunStarted(command=command):
            run = TestRun(command=command, started_at=event.ts, run_id=event.run_id)
            testing = dict([*state.testing.items(), (event.run_id or "", run)][-RUNS_KEPT:])
            return attrs.evolve(state, last_test=run, testing=testing)
        case e.TestRunFinished():
            return _tested(state, event)
        case e.DiffSummary():
            summary = {
                "filesChanged": event.files_changed,
                "linesAdded": event.lines_added,
                "linesRemoved": event.lines_removed,
            }
            more = {"filesTotal": event.files_total, "truncated": event.truncated, "sharedTree": event.shared_tree}
            summary |= {name: value for name, value in more.items() if value is not None}
            return attrs.evolve(state, diff=summary, changed=[one.path for one in event.files])
        case e.ProviderEventForwarded(provider_event={"type": SessionDiff.TYPE}):
            return attrs.evolve(state, diff_seq=event.seq)
        case e.ProviderEventForwarded(provider_event=inner):
            told = a.from_provider_event(inner)
            if isinstance(told, a.Worktree):
                return attrs.evolve(state, worktree=told)
            if isinstance(told, a.Landed):
                return attrs.evolve(state, landed=[*state.landed, LandedAt(outcome=told, at=event.ts)][-LANDED_KEPT:])
            return attrs.evolve(state, agent=_told(state.agent, told, event.ts))
        case _:
            return state


def fold_all(state: SessionState, events: Iterable[e.RunnerEvent], received: Received = None) -> SessionState:
    """`fold` over many. Nearly all are quiet ones, and those that follow each other cost as much as one."""
    events = list(events)
    begin = 0
    for number, event in enumerate(events):
        if type(event) not in QUIET or _tells(event):
            state = _further(state, events[begin:number], _part(received, begin, number))
            state, begin = fold(state, event, _one(received, number)), number + 1
    return _further(state, events[begin:], _part(received, begin, len(events)))


def _tells(event: e.RunnerEvent) -> bool:
    return isinstance(event, e.ProviderEventForwarded) and event.provider_event.get("type") in TELLING


def _told(agent: AgentState | None, event: a.AgentEvent | None, ts: float) -> AgentState | None:
    known = agent or AgentState()
    match event:
        case a.Status(status=status, for_=reason, since=since):
            return attrs.evolve(known, status=status, status_for=reason, since=since or ts)
        case a.CliSession():
            names = ("cli_session_id", "model", "mode", "version", "resume", "resume_of")
            return attrs.evolve(known, **{name: getattr(event, name) or getattr(known, name) for name in names})
        case a.Prompt(id=str() as prompt_id, queued=queued):
            prompts = {key: one for key, one in known.prompts.items() if key != prompt_id}
            if queued and len(prompts) < PROMPTS_KEPT:
                prompts[prompt_id] = QueuedPrompt(prompt_id=prompt_id, text=event.text, by=event.by, queued_at=ts)
            return attrs.evolve(known, prompts=prompts)
        case _:
            return agent


def _part(received: Received, begin: int, end: int) -> Received:
    return received if received is None or isinstance(received, int | float) else received[begin:end]


def _one(received: Received, number: int) -> float | None:
    return received if received is None or isinstance(received, int | float) else received[number]


def active(state: SessionState, at: int) -> SessionState:
    """Return the state after a sign of work that is no event: input."""
    return attrs.evolve(state, signs=signs.after_work(state.signs, at))


def _further(state: SessionState, events: Sequence[e.RunnerEvent], received: Received) -> SessionState:
    """Apply what every event changes, whatever its type: seq, holes, times."""
    if not events:
        return state
    seq, holes, repo_ref = state.seq, state.holes, state.repo_ref
    for event in events:
        holes += event.seq > seq + 1
        seq, repo_ref = event.seq, event.repo_ref or repo_ref
    return attrs.evolve(
        state,
        seq=seq,
        last_event_at=events[-1].ts,
        created_at=state.created_at or events[0].ts,
        repo_ref=repo_ref,
        holes=holes,
        signs=signs.after_events(state.signs, events, received),
    )


def _started(state: SessionState, event: e.SessionStarted) -> SessionState:
    return attrs.evolve(
        state,
        provider_id=event.provider_id,
        workspace_path=event.workspace_path,
        started_at=state.started_at or event.ts,
        agent_name=event.agent_name or state.agent_name,
        traceparent=event.traceparent or state.traceparent,
    )


def _moved(state: SessionState, event: e.SessionStateChanged) -> SessionState:
    """Apply a state change as the runner reports it, and count it as a violation if the state machine forbids it."""
    legal = e.is_transition(state.state, event.new_state) and event.previous_state == state.state
    return attrs.evolve(
        state,
        state=event.new_state,
        reason=event.reason,
        provider_id=state.provider_id or event.provider_id,
        violations=state.violations + (not legal),
        ended_at=event.ts if event.new_state in e.FINAL_STATES else state.ended_at,
    )


def _ended(state: SessionState, event: e.SessionEnded) -> SessionState:
    before = None if state.state == "WAITING_FOR_APPROVAL" else state.reason  # what it waited for ended nothing
    return attrs.evolve(
        state,
        state=event.final_state,
        reason=event.reason or before,
        exit_code=event.exit_code,
        ended_by=event.ended_by,
        ended_at=event.ts,
        final_usage=event.total_usage,
        pending={},
        resolved=_kept(state.resolved, [_denied(request, event.ts) for request in state.pending.values()]),
    )


def _denied(request: e.ApprovalRequest, at: float) -> e.ApprovalRequest:
    by, note = UNDECIDED
    return attrs.evolve(request, resolved_at=at, decision="deny", resolved_by=by, note=note)


def undecided(state: SessionState, ended: e.SessionEnded) -> list[e.ApprovalRequest]:
    """Return the approvals that this end denied, because the runner had not. `state`: after the end."""
    known = state.resolved.values()
    return [one for one in known if (one.resolved_by, one.note) == UNDECIDED and one.resolved_at == ended.ts]


def _kept(resolved: dict[str, e.ApprovalRequest], more: Iterable[e.ApprovalRequest]) -> dict[str, e.ApprovalRequest]:
    """The latest of them."""
    both = {**resolved, **{one.approval_id: one for one in more}}
    return dict(list(both.items())[-RESOLVED_KEPT:])


def _resolved(state: SessionState, event: e.ApprovalResolved) -> SessionState:
    request = state.pending.get(event.approval_id)
    if request is None:
        return state
    decided = attrs.evolve(
        request,
        resolved_at=event.ts,
        decision=event.decision,
        resolved_by=event.resolved_by,
        note=event.note,
        answers=event.answers,
        option_id=event.option_id,
    )
    pending = {k: v for k, v in state.pending.items() if k != event.approval_id}
    return attrs.evolve(state, pending=pending, resolved=_kept(state.resolved, [decided]))


def _alerted(alerts: dict[str, OpenAlert], event: e.AlertRaised) -> dict[str, OpenAlert]:
    """Note an alert; one that is raised as info or warn is over."""
    others = {key: alert for key, alert in alerts.items() if key != event.alert_id}
    if event.severity not in e.BUG_BOT_SEVERITIES:
        return others if len(others) < len(alerts) else alerts
    raised = OpenAlert(
        alert_id=event.alert_id,
        severity=event.severity,
        category=event.category,
        title=event.title,
        description=event.description,
        raised_at=event.ts,
        seq=event.seq,
    )
    return dict([*others.items(), (event.alert_id, raised)][-ALERTS_KEPT:])


def _tested(state: SessionState, event: e.TestRunFinished) -> SessionState:
    """The run that ended is the last one, but for one beside it that failed: a failure is not hidden by a success."""
    begun = TestRun(command="", started_at=event.ts - event.duration, run_id=event.run_id)
    done = attrs.evolve(
        state.testing.get(event.run_id or "") or begun,
        exit_code=event.exit_code,
        passed=event.passed,
        failed=event.failed,
        skipped=event.skipped,
        duration=event.duration,
        verdict=event.judged,
        reason=event.reason,
    )
    testing = {run_id: run for run_id, run in state.testing.items() if run_id != (event.run_id or "")}
    last = state.last_test
    beside = last is not None and last.duration is not None and last.started_at + last.duration > done.started_at
    if beside and last is not None and last.verdict == "failed" and done.verdict != "failed":
        done = last
    return attrs.evolve(state, last_test=done, finished_test=done, testing=testing)
