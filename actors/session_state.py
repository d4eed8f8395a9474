"""What is known of a session, as a pure fold over its events: the same events give the same state, always."""

from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from contracts import events as e
from contracts import ui
from contracts.codec import Decoder, encode
from contracts.translate import Origin

SNAPSHOT_VERSION = 1


@attrs.frozen(kw_only=True)
class TestRun:
    """The last test run: counts are None while it runs."""

    __test__ = False
    command: str
    started_at: float
    exit_code: int | None = None
    passed: int | None = None
    failed: int | None = None
    skipped: int | None = None
    duration: float | None = None


@attrs.frozen(kw_only=True)
class SessionState:
    """A session after its event number `seq`. Times are epoch milliseconds."""

    session_id: str
    village_id: str
    agent_id: str
    runner_id: str
    seq: int = 0
    agent_name: str | None = None
    provider_id: str | None = None
    workspace_path: str | None = None
    repo_ref: e.RepoRef | None = None
    state: e.State = "CREATED"
    reason: str | None = None
    created_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    last_event_at: float | None = None
    exit_code: int | None = None
    usage: e.UsageMetrics = attrs.field(factory=e.UsageMetrics.zero)
    final_usage: e.UsageMetrics | None = None
    pending: dict[str, e.ApprovalRequest] = attrs.field(factory=dict)
    resolved: dict[str, e.ApprovalRequest] = attrs.field(factory=dict)
    violations: int = 0
    holes: int = 0
    last_test: TestRun | None = None
    diff: dict[str, Any] | None = None

    @property
    def ended(self) -> bool:
        return self.state in e.FINAL_STATES

    @property
    def repo_path(self) -> str:
        """Where the agent works: the repository, else the directory it was started in."""
        if self.repo_ref is not None:
            return self.repo_ref.repo_path
        return self.workspace_path or ""

    @property
    def repo_id(self) -> str:
        return ui.repo_id(self.village_id, self.repo_path)

    @property
    def origin(self) -> Origin:
        return Origin(
            village_id=self.village_id,
            agent_id=self.agent_id,
            agent_name=self.agent_name or self.agent_id,
            repo_path=self.repo_path,
        )

    @property
    def total_usage(self) -> e.UsageMetrics:
        """The sum of the ticks; the runner's own total once the session ended."""
        return self.final_usage or self.usage


RESOLVED_KEPT = 64
"""Resolved approvals a session remembers, so that a late or repeated decision can be answered."""


UNDECIDED = ("session end", "the session ended before anybody decided")
"""By whom, and the note, of the no that an end is to whoever still asks."""
QUIET = frozenset({e.TerminalChunk, e.FileTouched, e.AlertRaised, e.ProviderEventForwarded})
"""Events that change nothing of a session but how far it is."""


def fold(state: SessionState, event: e.RunnerEvent) -> SessionState:
    """The state after one more event."""
    state = _further(state, (event,))
    match event:
        case e.SessionStarted():
            return _started(state, event)
        case e.SessionStateChanged():
            return _moved(state, event)
        case e.SessionEnded():
            return _ended(state, event)
        case e.ApprovalRequested(approval=approval):
            return attrs.evolve(state, pending={**state.pending, approval.approval_id: approval})
        case e.ApprovalResolved():
            return _resolved(state, event)
        case e.UsageTick(units=units):
            return attrs.evolve(state, usage=state.usage.plus(units))
        case e.TestRunStarted(command=command):
            return attrs.evolve(state, last_test=TestRun(command=command, started_at=event.ts))
        case e.TestRunFinished():
            return _tested(state, event)
        case e.DiffSummary():
            summary = {
                "filesChanged": event.files_changed,
                "linesAdded": event.lines_added,
                "linesRemoved": event.lines_removed,
            }
            return attrs.evolve(state, diff=summary)
        case _:
            return state


def fold_all(state: SessionState, events: Iterable[e.RunnerEvent]) -> SessionState:
    """`fold` over many. Nearly all are quiet ones, and those that follow each other cost as much as one."""
    quiet: list[e.RunnerEvent] = []
    for event in events:
        if type(event) in QUIET:
            quiet.append(event)
        else:
            state, quiet = fold(_further(state, quiet), event), []
    return _further(state, quiet)


def _further(state: SessionState, events: Sequence[e.RunnerEvent]) -> SessionState:
    """What every event changes."""
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
    )


def _started(state: SessionState, event: e.SessionStarted) -> SessionState:
    return attrs.evolve(
        state,
        provider_id=event.provider_id,
        workspace_path=event.workspace_path,
        started_at=state.started_at or event.ts,
        agent_name=event.agent_name or state.agent_name,
    )


def _moved(state: SessionState, event: e.SessionStateChanged) -> SessionState:
    """What the runner says stands, even where the state machine has no such arrow: that is counted, not hidden."""
    legal = e.is_transition(state.state, event.new_state) and event.previous_state == state.state
    return attrs.evolve(
        state,
        state=event.new_state,
        reason=event.reason,
        violations=state.violations + (not legal),
        ended_at=event.ts if event.new_state in e.FINAL_STATES else state.ended_at,
    )


def _ended(state: SessionState, event: e.SessionEnded) -> SessionState:
    return attrs.evolve(
        state,
        state=event.final_state,
        reason=event.reason or state.reason,
        exit_code=event.exit_code,
        ended_at=event.ts,
        final_usage=event.total_usage,
        pending={},
        resolved=_kept(state.resolved, [_denied(request, event.ts) for request in state.pending.values()]),
    )


def _denied(request: e.ApprovalRequest, at: float) -> e.ApprovalRequest:
    by, note = UNDECIDED
    return attrs.evolve(request, resolved_at=at, decision="deny", resolved_by=by, note=note)


def undecided(state: SessionState, ended: e.SessionEnded) -> list[e.ApprovalRequest]:
    """What this end denied, because the runner itself had not. `state`: after it."""
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
        request, resolved_at=event.ts, decision=event.decision, resolved_by=event.resolved_by, note=event.note
    )
    pending = {k: v for k, v in state.pending.items() if k != event.approval_id}
    return attrs.evolve(state, pending=pending, resolved=_kept(state.resolved, [decided]))


def _tested(state: SessionState, event: e.TestRunFinished) -> SessionState:
    running = state.last_test or TestRun(command="", started_at=event.ts - event.duration)
    done = attrs.evolve(
        running,
        exit_code=event.exit_code,
        passed=event.passed,
        failed=event.failed,
        skipped=event.skipped,
        duration=event.duration,
    )
    return attrs.evolve(state, last_test=done)


_decoder: Decoder[SessionState] = Decoder(SessionState, max_bytes=16 << 20)


def dump(state: SessionState) -> bytes:
    """The state as a snapshot."""
    return encode(state)


def load(body: bytes) -> SessionState:
    """The state from a snapshot. Raises `ContractError` for one that this version does not understand."""
    return _decoder.decode(body)
