"""State of a session: what is known of it after its last durable event, and its snapshot. `fold` makes it."""

from typing import Any

import attrs

from townwatch.actors.session.signs import Signs
from townwatch.contracts import agent_events as a, events as e, ui
from townwatch.contracts.codec import Decoder, encode
from townwatch.contracts.lists import Verdict
from townwatch.contracts.secrets import left_out
from townwatch.contracts.translate import EventSource


@attrs.frozen(kw_only=True)
class TestRun:
    """The last test run. Verdict and counts are None while it runs; counts and exit code also where not known."""

    __test__ = False
    command: str
    started_at: float
    run_id: str | None = None
    verdict: e.Verdict | None = None
    reason: str | None = None
    exit_code: int | None = None
    passed: int | None = None
    failed: int | None = None
    skipped: int | None = None
    duration: float | None = None
    at: int | None = attrs.field(default=None, eq=False)
    """When the service heard last of it, by its own clock."""

    @property
    def outcome(self) -> Verdict:
        """The verdict; running where there is none yet. Snapshots of before have an exit code and no verdict."""
        if self.verdict is not None:
            return self.verdict
        if self.exit_code is None:
            return "running"
        return "failed" if self.exit_code != 0 or self.failed else "passed"


@attrs.frozen(kw_only=True)
class OpenAlert:
    """An alert that its session has not taken back. `seq`: the event that raised it last."""

    alert_id: str
    severity: e.Severity
    category: str
    title: str
    description: str
    raised_at: float
    seq: int


@attrs.frozen(kw_only=True)
class QueuedPrompt:
    """A prompt that waits on the runner until the agent is idle."""

    prompt_id: str
    text: str
    by: str | None
    queued_at: float


@attrs.frozen(kw_only=True)
class AgentState:
    """State of an agent's CLI, as its adapter tells it. `status_for`: what it waits for, or why it is not known."""

    status: a.AgentStatus = "starting"
    status_for: str | None = None
    since: float | None = None
    cli_session_id: str | None = None
    model: str | None = None
    mode: str | None = None
    version: str | None = None
    prompts: dict[str, QueuedPrompt] = attrs.field(factory=dict)
    resume: list[str] | None = None
    resume_of: str | None = None


@attrs.frozen(kw_only=True)
class LandedAt:
    """An act of a person on the session's changes, and when (the event's time)."""

    outcome: a.Landed
    at: float


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
    ended_by: str | None = None
    """Who or which rule ended it where it was not its runner: nothing more of it is accepted then."""
    usage: e.UsageMetrics = attrs.field(factory=e.UsageMetrics.zero)
    final_usage: e.UsageMetrics | None = None
    pending: dict[str, e.ApprovalRequest] = attrs.field(factory=dict)
    resolved: dict[str, e.ApprovalRequest] = attrs.field(factory=dict)
    violations: int = 0
    holes: int = 0
    last_test: TestRun | None = None
    testing: dict[str, TestRun] = attrs.field(factory=dict)
    finished_test: TestRun | None = None
    """The last one that has a result: it stays while another runs."""
    signs: Signs = attrs.field(factory=Signs, eq=False)
    """Times of the service's clock: not of the events, and so no part of what makes two states the same."""
    diff: dict[str, Any] | None = None
    changed: list[str] | None = None
    """Paths of the files in the latest summary of its changes; None where none is kept."""
    diff_seq: int | None = None
    """The event that keeps the text of the changes of a session that has ended."""
    alerts: dict[str, OpenAlert] = attrs.field(factory=dict)
    """alertId → those of error and critical that are open, as far as the session says."""
    agent: AgentState | None = None
    worktree: a.Worktree | None = None
    landed: list[LandedAt] = attrs.field(factory=list[LandedAt])
    """The latest, oldest first."""
    traceparent: str | None = None
    whole_since: int | None = attrs.field(default=None, eq=False)
    """Behind this event and each later one, no control sequence of its output is unfinished; None: not known."""
    texts_left_out: bool = False
    """Its village keeps texts out of the log, or did so once since it began: they are in memory alone."""

    @property
    def ended(self) -> bool:
        return self.state in e.FINAL_STATES

    @property
    def told_end(self) -> bool:
        """Return True once SESSION_ENDED is known: a final state comes some events before it."""
        return self.final_usage is not None

    @property
    def repo_path(self) -> str:
        """Path that the agent works in: the repository, else the directory it was started in."""
        if self.repo_ref is not None:
            return self.repo_ref.repo_path
        return self.workspace_path or ""

    @property
    def repo_id(self) -> str:
        return ui.repo_id(self.village_id, self.repo_path)

    @property
    def origin(self) -> EventSource:
        return EventSource(
            village_id=self.village_id,
            agent_id=self.agent_id,
            agent_name=self.agent_name or self.agent_id,
            repo_path=self.repo_path,
            provider_id=self.provider_id,
            started=self.started_at is not None,
        )

    @property
    def total_usage(self) -> e.UsageMetrics:
        """The sum of the ticks; the runner's own total once the session ended."""
        return self.final_usage or self.usage


_decoder: Decoder[SessionState] = Decoder(SessionState, max_bytes=16 << 20)


def dump(state: SessionState) -> bytes:
    """The state as a snapshot."""
    return encode(_without_texts(state) if state.texts_left_out else state)


def _without_texts(state: SessionState) -> SessionState:
    """The state as it may be stored where texts are left out."""

    def untold(run: TestRun | None) -> TestRun | None:
        return None if run is None else attrs.evolve(run, command=left_out.text(run.command))

    agent = state.agent
    if agent is not None:
        prompts = {key: attrs.evolve(one, text=left_out.LEFT_OUT) for key, one in agent.prompts.items()}
        waits_for = left_out.text(agent.status_for) if agent.status == "waiting" else agent.status_for
        agent = attrs.evolve(agent, prompts=prompts, status_for=waits_for)
    return attrs.evolve(
        state,
        pending={key: left_out.request(one) for key, one in state.pending.items()},
        resolved={key: left_out.request(one) for key, one in state.resolved.items()},
        last_test=untold(state.last_test),
        finished_test=untold(state.finished_test),
        testing={key: attrs.evolve(run, command=left_out.LEFT_OUT) for key, run in state.testing.items()},
        reason=left_out.text(state.reason) if state.state == "WAITING_FOR_APPROVAL" else state.reason,
        signs=attrs.evolve(state.signs, line="", tail=""),
        agent=agent,
        landed=[attrs.evolve(one, outcome=left_out.landed(one.outcome)) for one in state.landed],
    )


def load(body: bytes) -> SessionState:
    """The state from a snapshot. Raises `ContractError` for one that this version does not understand."""
    return _decoder.decode(body)
