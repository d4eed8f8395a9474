"""The 13 events a runner sends (CONTRACT section 1): attrs classes, their types on the wire, the states of a session.

The envelope is flat beside the payload. Numbers are milliseconds unless the name says otherwise.
"""

from typing import Annotated, Any, ClassVar, Literal

import attrs
import msgspec

from townwatch.contracts.codec import ContractError

NonNegative = Annotated[int, msgspec.Meta(ge=0)]
NonNegativeNumber = Annotated[float, msgspec.Meta(ge=0)] | Annotated[int, msgspec.Meta(ge=0)]
EpochMs = (
    Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799_999)]
    | Annotated[float, msgspec.Meta(ge=0, le=253_402_300_799_999)]
)
"""Epoch milliseconds, up to the year 9999 (what a date can say)."""
Id = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
ItemId = Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]
"""The id of an approval or an alert: a runner is told a decision under the very id that it chose."""

State = Literal[
    "CREATED",
    "PREPARING_WORKSPACE",
    "STARTING_PROVIDER",
    "RUNNING",
    "WAITING_FOR_APPROVAL",
    "PAUSED_BY_HUMAN",
    "STOPPING",
    "COMPLETED",
    "FAILED",
]
FINAL_STATES: frozenset[str] = frozenset({"COMPLETED", "FAILED"})

Stream = Literal["stdout", "stderr"]
Decision = Literal["allow", "deny"]
FinalDecision = Literal["allow", "deny", "withdrawn"]
"""How an approval ended. Withdrawn: it was answered or cancelled where it was asked, not by a decision of ours."""
Category = Literal[
    "merge", "deps_add", "secrets", "deploy", "shell", "network", "edit", "question", "plan", "budget", "other"
]
Risk = Literal["low", "med", "high"]
Verdict = Literal["passed", "failed", "unknown"]
Severity = Literal["info", "warn", "error", "critical"]
BUG_BOT_SEVERITIES: frozenset[str] = frozenset({"error", "critical"})
"""An open alert of these severities is a bug bot."""

TRANSITIONS: dict[str, frozenset[str]] = {
    "CREATED": frozenset({"PREPARING_WORKSPACE", "STOPPING"}),
    "PREPARING_WORKSPACE": frozenset({"STARTING_PROVIDER", "STOPPING", "FAILED"}),
    "STARTING_PROVIDER": frozenset({"RUNNING", "STOPPING", "FAILED"}),
    "RUNNING": frozenset({"WAITING_FOR_APPROVAL", "PAUSED_BY_HUMAN", "STOPPING", "COMPLETED", "FAILED"}),
    "WAITING_FOR_APPROVAL": frozenset({"RUNNING", "STOPPING", "PAUSED_BY_HUMAN", "FAILED"}),
    "PAUSED_BY_HUMAN": frozenset({"RUNNING", "STOPPING", "FAILED"}),
    "STOPPING": frozenset({"COMPLETED", "FAILED"}),
    "COMPLETED": frozenset(),
    "FAILED": frozenset(),
}
"""The pairs a validator accepts; anything else is stored, shown and counted as a protocol violation."""


def is_transition(previous: str, new: str) -> bool:
    """Return True if the state machine of CONTRACT section 1 has this transition."""
    return new in TRANSITIONS.get(previous, frozenset())


def default_agent_id(session_id: str) -> str:
    """The agent of a session that was not started with one."""
    return f"runner_{session_id[:8]}"


@attrs.frozen(kw_only=True)
class RepoRef:
    """Reference to a repository. A local one has a path, the others owner and name."""

    provider: Literal["github", "gitlab", "bitbucket", "local"]
    owner: str | None = None
    name: str | None = None
    path: str | None = None
    default_branch: str | None = None

    @property
    def repo_path(self) -> str:
        """The path for a local repo, else ``provider:owner/name``."""
        return (
            (self.path or self.name or "") if self.provider == "local" else f"{self.provider}:{self.owner}/{self.name}"
        )


def check_repo_ref(ref: RepoRef, field: str) -> None:
    """A local repository has a path; one of a forge has owner and name. Raises `ContractError`."""
    if ref.provider == "local":
        if not ref.path:
            raise ContractError(f"{field}.path", "is required for a local repository")
    elif not (ref.owner and ref.name):
        raise ContractError(
            f"{field}.{'name' if ref.owner else 'owner'}", f"is required for a {ref.provider} repository"
        )


@attrs.frozen(kw_only=True)
class UsageMetrics:
    """Resources that a session has used; every figure ≥ 0."""

    agent_seconds: NonNegativeNumber
    terminal_kb: NonNegativeNumber
    files_touched: NonNegative
    commands_run: NonNegative
    approvals_requested: NonNegative
    input_tokens: NonNegative | None = None
    output_tokens: NonNegative | None = None
    cost_usd: NonNegativeNumber | None = None
    cache_read_tokens: NonNegative | None = None
    model: str | None = None
    source: Literal["agent", "price_table", "none"] | None = None
    """Who said what it cost: the agent's CLI itself, or a table of prices. none: its tokens have no price."""
    listed_usd: NonNegativeNumber | None = None
    """The part of `cost_usd` that is from a table of prices."""
    unpriced_tokens: NonNegative | None = None
    """Tokens whose cost is not known."""
    prices_as_of: str | None = None
    """The day of the table of prices, ``2026-11-10``."""

    @classmethod
    def zero(cls) -> "UsageMetrics":
        """Return figures of which nothing is used yet."""
        return cls(agent_seconds=0, terminal_kb=0, files_touched=0, commands_run=0, approvals_requested=0)

    def plus(self, other: "UsageMetrics") -> "UsageMetrics":
        """Add two figures; an optional one stays absent where neither has it. Of words, the later ones."""
        sums: dict[str, Any] = {}
        for name in attrs.fields_dict(UsageMetrics):
            mine, theirs = getattr(self, name), getattr(other, name)
            if name in ("model", "source", "prices_as_of"):
                sums[name] = theirs or mine
            else:
                sums[name] = None if mine is None and theirs is None else (mine or 0) + (theirs or 0)
        return UsageMetrics(**sums)


@attrs.frozen(kw_only=True)
class ApprovalRequest:
    """An agent's request to a person. Without an answer before `timeout_at`, it is denied.

    `truncated`: something of it was too long or odd, and is shown shortened or replaced. `asked_as`: the id under which
    the runner knows it, where that is not `approval_id`. `left_out`: what it asks is not kept (secrets/left_out.py).
    """

    approval_id: ItemId
    session_id: Id
    category: Category
    summary: str
    risk: Risk
    requested_at: EpochMs
    context: Any = None
    timeout_at: EpochMs | None = None
    resolved_at: EpochMs | None = None
    decision: FinalDecision | None = None
    resolved_by: str | None = None
    note: str | None = None
    answers: Any = None
    option_id: str | None = None
    truncated: bool | None = None
    asked_as: Annotated[str, msgspec.Meta(max_length=4096)] | None = None
    left_out: bool | None = None


@attrs.frozen(kw_only=True)
class DiffFile:
    """One line of a diff's summary."""

    path: str
    status: Literal["added", "modified", "deleted", "renamed"]
    additions: NonNegative
    deletions: NonNegative


GREATEST_OF_RUNNERS = 2**53 - 1 - 2**20
"""The greatest seq that a runner may use: behind it the service itself can say that the session has ended."""


@attrs.frozen(kw_only=True)
class RunnerEvent:
    """The envelope. `seq` counts from 1 within a session, is given once by the runner and never used again.
    `truncated`: some value was too long or odd, and is shown shortened or replaced. `reported_ts`: what the runner's
    clock said, where the service has set `ts` right. `left_out`: texts of it were not kept, by the village's setting.
    `more`: fields that are not known here, as of a newer runner.
    """

    TYPE: ClassVar[str]
    session_id: Id
    org_id: Id
    ts: EpochMs
    seq: Annotated[int, msgspec.Meta(ge=1, le=2**53 - 1)]
    repo_ref: RepoRef | None = None
    truncated: bool | None = None
    reported_ts: EpochMs | None = None
    left_out: bool | None = None
    more: dict[str, Any] | None = None

    @property
    def said_at(self) -> float:
        """Return when it was made, by the runner's own clock."""
        return self.ts if self.reported_ts is None else self.reported_ts


@attrs.frozen(kw_only=True)
class SessionStarted(RunnerEvent):
    TYPE = "SESSION_STARTED"
    provider_id: Id
    provider_version: str
    workspace_path: str
    room_path: str | None = None
    agent_id: Id | None = None
    agent_name: str | None = None
    traceparent: str | None = None
    """Its place in the trace of what started it (W3C Trace Context)."""


@attrs.frozen(kw_only=True)
class SessionStateChanged(RunnerEvent):
    TYPE = "SESSION_STATE_CHANGED"
    previous_state: State
    new_state: State
    reason: str | None = None
    provider_id: Id | None = None
    """In a session's first event: its agent can be shown before SESSION_STARTED says the rest."""


@attrs.frozen(kw_only=True)
class SessionEnded(RunnerEvent):
    TYPE = "SESSION_ENDED"
    final_state: State
    total_duration_ms: NonNegativeNumber
    total_usage: UsageMetrics
    exit_code: int | None = None
    reason: str | None = None
    ended_by: str | None = None
    """Written by the service alone: who or which rule ended a session that its runner never would."""


@attrs.frozen(kw_only=True)
class Gap:
    """Terminal output that a full spool had to drop: `bytes` of it, between two seqs."""

    from_seq: int
    to_seq: int
    bytes: NonNegative


@attrs.frozen(kw_only=True)
class TerminalChunk(RunnerEvent):
    TYPE = "TERMINAL_CHUNK"
    data: str
    stream: Stream
    gap: Gap | None = None


@attrs.frozen(kw_only=True)
class FileTouched(RunnerEvent):
    TYPE = "FILE_TOUCHED"
    path: str
    reason: Literal["read", "write", "delete", "diff"]
    room_path: str | None = None


@attrs.frozen(kw_only=True)
class DiffSummary(RunnerEvent):
    TYPE = "DIFF_SUMMARY"
    files_changed: NonNegative
    lines_added: NonNegative
    lines_removed: NonNegative
    files: list[DiffFile]
    files_total: NonNegative | None = None
    truncated: bool | None = None
    """`files` are the first of `files_total`."""
    shared_tree: NonNegative | None = None
    """How many other sessions work in the same tree: their changes cannot be told apart from this one's."""


@attrs.frozen(kw_only=True)
class TestRunStarted(RunnerEvent):
    __test__ = False  # not a test class, whatever pytest thinks of its name
    TYPE = "TEST_RUN_STARTED"
    command: str
    test_files: list[str] | None = None
    run_id: str | None = None
    where: str | None = None


@attrs.frozen(kw_only=True)
class TestRunFinished(RunnerEvent):
    __test__ = False
    TYPE = "TEST_RUN_FINISHED"
    duration: NonNegativeNumber
    exit_code: int | None = None
    passed: NonNegative | None = None
    failed: NonNegative | None = None
    skipped: NonNegative | None = None
    verdict: Verdict | None = None
    reason: str | None = None
    run_id: str | None = None
    where: str | None = None
    failure_text: str | None = None
    """Of a failed run, what it printed about its failures, or its JUnit file says of them; absent: not known."""
    failure_cut: bool | None = None
    """Whether there is more of that text."""

    @property
    def judged(self) -> Verdict:
        """The verdict; a runner that says none has an exit code. What is not known is neither passed nor failed."""
        if self.verdict is not None:
            return self.verdict
        if self.failed or self.exit_code:
            return "failed"
        return "passed" if self.exit_code == 0 else "unknown"

    @property
    def summary(self) -> str:
        """The counts, as far as they are known; else the verdict, with its reason."""
        numbers = {"passed": self.passed, "failed": self.failed, "skipped": self.skipped}
        known = ", ".join(f"{number} {name}" for name, number in numbers.items() if number is not None)
        if known and self.judged != "unknown":
            return known
        verdict = "result unknown" if self.judged == "unknown" else self.judged
        return ", ".join(part for part in (verdict, self.reason, known) if part)


@attrs.frozen(kw_only=True)
class ApprovalRequested(RunnerEvent):
    TYPE = "APPROVAL_REQUESTED"
    approval: ApprovalRequest


@attrs.frozen(kw_only=True)
class ApprovalResolved(RunnerEvent):
    TYPE = "APPROVAL_RESOLVED"
    approval_id: ItemId
    decision: FinalDecision
    resolved_by: str | None = None
    note: str | None = None
    answers: Any = None
    option_id: str | None = None


@attrs.frozen(kw_only=True)
class AlertRaised(RunnerEvent):
    TYPE = "ALERT_RAISED"
    alert_id: ItemId
    severity: Severity
    category: Literal["security", "performance", "build", "test", "dependency", "policy"]
    title: str
    description: str
    context: Any = None


@attrs.frozen(kw_only=True)
class UsageTick(RunnerEvent):
    TYPE = "USAGE_TICK"
    provider_id: Id
    units: UsageMetrics
    interval_ms: NonNegativeNumber = 30_000


@attrs.frozen(kw_only=True)
class ProviderEventForwarded(RunnerEvent):
    TYPE = "PROVIDER_EVENT_FORWARDED"
    provider_event: dict[str, Any]


EVENT_CLASSES: tuple[type[RunnerEvent], ...] = (
    SessionStarted,
    SessionStateChanged,
    SessionEnded,
    TerminalChunk,
    FileTouched,
    DiffSummary,
    TestRunStarted,
    TestRunFinished,
    ApprovalRequested,
    ApprovalResolved,
    AlertRaised,
    UsageTick,
    ProviderEventForwarded,
)
