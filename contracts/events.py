"""The 13 events a runner sends (CONTRACT section 1): attrs classes, their types on the wire, the states of a session.

The envelope is flat beside the payload. Numbers are milliseconds unless the name says otherwise.
"""

from typing import Annotated, Any, ClassVar, Literal

import attrs
import msgspec

from contracts.codec import ContractError, Decoder, decode_json

NonNegative = Annotated[int, msgspec.Meta(ge=0)]
NonNegativeNumber = Annotated[float, msgspec.Meta(ge=0)] | Annotated[int, msgspec.Meta(ge=0)]
EpochMs = (
    Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799_999)]
    | Annotated[float, msgspec.Meta(ge=0, le=253_402_300_799_999)]
)
"""Epoch milliseconds, up to the year 9999 (what a date can say)."""
Id = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]

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
LIVE_STATES: frozenset[str] = frozenset(State.__args__) - FINAL_STATES  # type: ignore[attr-defined]

Stream = Literal["stdout", "stderr"]
Decision = Literal["allow", "deny"]
Category = Literal["merge", "deps_add", "secrets", "deploy", "shell", "network"]
Risk = Literal["low", "med", "high"]
Severity = Literal["info", "warn", "error", "critical"]

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
    """Whether the state machine of CONTRACT section 1 has this arrow."""
    return new in TRANSITIONS.get(previous, frozenset())


@attrs.frozen(kw_only=True)
class RepoRef:
    """Where the code lives. A local one has a path, the others owner and name."""

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


@attrs.frozen(kw_only=True)
class UsageMetrics:
    """What a session has used; every figure ≥ 0."""

    agent_seconds: NonNegativeNumber
    terminal_kb: NonNegativeNumber
    files_touched: NonNegative
    commands_run: NonNegative
    approvals_requested: NonNegative
    input_tokens: NonNegative | None = None
    output_tokens: NonNegative | None = None
    cost_usd: NonNegativeNumber | None = None

    @classmethod
    def zero(cls) -> "UsageMetrics":
        """Nothing used yet."""
        return cls(agent_seconds=0, terminal_kb=0, files_touched=0, commands_run=0, approvals_requested=0)

    def plus(self, other: "UsageMetrics") -> "UsageMetrics":
        """Both together; an optional figure stays absent where neither has it."""
        sums: dict[str, Any] = {}
        for name in attrs.fields_dict(UsageMetrics):
            mine, theirs = getattr(self, name), getattr(other, name)
            sums[name] = None if mine is None and theirs is None else (mine or 0) + (theirs or 0)
        return UsageMetrics(**sums)


@attrs.frozen(kw_only=True)
class ApprovalRequest:
    """What an agent asks a human for. A missing answer is not a yes: `timeout_at` means deny."""

    approval_id: Id
    session_id: Id
    category: Category
    summary: Annotated[str, msgspec.Meta(max_length=4000)]
    risk: Risk
    requested_at: EpochMs
    context: Any = None
    timeout_at: EpochMs | None = None
    resolved_at: EpochMs | None = None
    decision: Decision | None = None
    resolved_by: str | None = None
    note: str | None = None


@attrs.frozen(kw_only=True)
class DiffFile:
    """One line of a diff's summary."""

    path: str
    status: Literal["added", "modified", "deleted", "renamed"]
    additions: NonNegative
    deletions: NonNegative


@attrs.frozen(kw_only=True)
class RunnerEvent:
    """The envelope. `seq` counts from 1 within a session, is given once by the runner and never used again."""

    TYPE: ClassVar[str]
    session_id: Id
    org_id: Id
    ts: EpochMs
    seq: Annotated[int, msgspec.Meta(ge=1, le=2**53 - 1)]
    repo_ref: RepoRef | None = None


@attrs.frozen(kw_only=True)
class SessionStarted(RunnerEvent):
    TYPE = "SESSION_STARTED"
    provider_id: Id
    provider_version: str
    workspace_path: str
    room_path: str | None = None
    agent_id: Id | None = None
    agent_name: str | None = None


@attrs.frozen(kw_only=True)
class SessionStateChanged(RunnerEvent):
    TYPE = "SESSION_STATE_CHANGED"
    previous_state: State
    new_state: State
    reason: str | None = None


@attrs.frozen(kw_only=True)
class SessionEnded(RunnerEvent):
    TYPE = "SESSION_ENDED"
    final_state: State
    total_duration_ms: NonNegativeNumber
    total_usage: UsageMetrics
    exit_code: int | None = None
    reason: str | None = None


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


@attrs.frozen(kw_only=True)
class TestRunStarted(RunnerEvent):
    __test__ = False  # not a test class, whatever pytest thinks of its name
    TYPE = "TEST_RUN_STARTED"
    command: str
    test_files: list[str] | None = None


@attrs.frozen(kw_only=True)
class TestRunFinished(RunnerEvent):
    __test__ = False
    TYPE = "TEST_RUN_FINISHED"
    exit_code: int
    passed: NonNegative
    failed: NonNegative
    skipped: NonNegative
    duration: NonNegativeNumber


@attrs.frozen(kw_only=True)
class ApprovalRequested(RunnerEvent):
    TYPE = "APPROVAL_REQUESTED"
    approval: ApprovalRequest


@attrs.frozen(kw_only=True)
class ApprovalResolved(RunnerEvent):
    TYPE = "APPROVAL_RESOLVED"
    approval_id: Id
    decision: Decision
    resolved_by: str | None = None
    note: str | None = None


@attrs.frozen(kw_only=True)
class AlertRaised(RunnerEvent):
    TYPE = "ALERT_RAISED"
    alert_id: Id
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

_decoder: Decoder[RunnerEvent] = Decoder(*EVENT_CLASSES)
_PROVIDER_EVENT_FIELDS = ("type", "providerId", "timestamp")


def decode_event(data: bytes | str | msgspec.Raw) -> RunnerEvent:
    """One runner event, flat as on the wire. Raises `ContractError` that names the field."""
    event = _decoder.decode(data)
    _check_beyond_types(event)
    return event


def decode_known_event(data: msgspec.Raw) -> RunnerEvent | None:
    """An event that has no fields but those that we know; None for any other, which `decode_event` looks at closer."""
    event = _decoder.decode_exact(data)
    if event is not None:
        _check_beyond_types(event)
    return event


def _check_beyond_types(event: RunnerEvent) -> None:
    """What the shape alone does not say."""
    match event:
        case SessionEnded(final_state=state) if state not in FINAL_STATES:
            raise ContractError("finalState", f"must be one of {', '.join(sorted(FINAL_STATES))}, not {state}")
        case ProviderEventForwarded(provider_event=inner):
            for name in _PROVIDER_EVENT_FIELDS:
                if name not in inner:
                    raise ContractError(f"providerEvent.{name}", "is required")
        case ApprovalRequested(approval=approval) if approval.session_id != event.session_id:
            raise ContractError("approval.sessionId", "is not the session of the event")
        case _:
            pass
    if event.repo_ref is not None:
        check_repo_ref(event.repo_ref, "repoRef")


def check_repo_ref(ref: RepoRef, field: str) -> None:
    """A local repository has a path; one of a forge has owner and name. Raises `ContractError`."""
    if ref.provider == "local":
        if not ref.path:
            raise ContractError(f"{field}.path", "is required for a local repository")
    elif not (ref.owner and ref.name):
        raise ContractError(
            f"{field}.{'name' if ref.owner else 'owner'}", f"is required for a {ref.provider} repository"
        )


@attrs.frozen
class Address:
    """Where a malformed event claims to belong, as far as it can be read: for the nack."""

    session_id: str
    seq: int


def peek_address(data: bytes | str | msgspec.Raw) -> Address:
    """The session and number in a message that did not decode; "" and 0 where they cannot be read. Never raises."""
    try:
        value = decode_json(bytes(data) if isinstance(data, msgspec.Raw) else data)
    except ContractError:
        value = None
    fields: dict[str, Any] = value if isinstance(value, dict) else {}  # pyright: ignore[reportUnknownVariableType]
    session_id, seq = fields.get("sessionId"), fields.get("seq")
    return Address(
        session_id if isinstance(session_id, str) else "",
        seq if isinstance(seq, int) and not isinstance(seq, bool) else 0,
    )
