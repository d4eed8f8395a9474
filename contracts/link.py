"""The runner WebSocket, protocol ``townwatch.runner.v1`` (CONTRACT section 5): every message is one JSON text frame."""

from typing import Annotated, Any, ClassVar, Literal

import attrs
import msgspec

from townwatch.contracts.budgets import SessionAllowances
from townwatch.contracts.codec import ContractError, Decoder
from townwatch.contracts.events import ApprovalRequest, Decision, EpochMs, Id, NonNegative, NonNegativeNumber
from townwatch.contracts.landing import LandOrder
from townwatch.contracts.policy import SignedPolicies, VillagePolicy
from townwatch.contracts.tasks import SessionConfig

PROTOCOL = "townwatch.runner.v1"
DEFAULT_HEARTBEAT_MS = 30_000
DEFAULT_WINDOW = 1024
"""Events in flight: sent by the runner and not yet acknowledged."""


@attrs.frozen(kw_only=True)
class AgentInfo:
    """An agent CLI on the runner's machine.

    `version`: "" where it is not known. `tested`: the oldest and the newest version that the adapter is tested with,
    empty without an adapter. `signed_in`: None where that cannot be told.
    """

    provider_id: Id
    version: str = ""
    tested: list[str] = attrs.field(factory=list)
    signed_in: bool | None = None


SIGNED_POLICIES = "signed_policies"
"""The feature of a runner that takes its rules signed, and keeps to the key that signed the first ones."""
POLICY_ENFORCEMENT = "policy_enforcement"
"""The feature of a runner that obeys the rules of its villages: the others are sent none."""
CONVERSATIONS = "conversations"
"""The feature of a runner that lists the conversations of its machine's agents, and goes on with one by its name."""
SHARED_BUDGETS = "shared_budgets"
"""The feature of a runner that holds its sessions to allowances: the others are sent none."""


@attrs.frozen(kw_only=True)
class Capabilities:
    providers: list[str] = attrs.field(factory=list)
    max_concurrent_sessions: Annotated[int, msgspec.Meta(ge=0)] = 8
    features: list[str] = attrs.field(factory=list)
    agents: list[AgentInfo] = attrs.field(factory=list[AgentInfo])


@attrs.frozen(kw_only=True)
class HeldSession:
    """A session in the runner's spool: the range of events it still has, and the session's state."""

    session_id: Id
    first_seq: NonNegative
    last_seq: NonNegative
    state: str


@attrs.frozen(kw_only=True)
class Load:
    cpu_percent: NonNegativeNumber = 0
    memory_percent: NonNegativeNumber = 0
    disk_percent: NonNegativeNumber = 0


@attrs.frozen(kw_only=True)
class SpoolSize:
    events: NonNegative = 0
    bytes: NonNegative = 0


@attrs.frozen(kw_only=True)
class ErrorBody:
    code: str
    message: str
    details: Any = None


# --- runner → service ---------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Hello:
    """The runner's first message."""

    TYPE: ClassVar[str] = "hello"
    runner_id: Id
    name: str
    version: str
    mode: Literal["hosted", "customer_hosted"] = "customer_hosted"
    capabilities: Capabilities = attrs.field(factory=Capabilities)
    labels: dict[str, str] = attrs.field(factory=dict)
    clock: EpochMs | None = None
    """What its clock says now."""
    provider_versions: dict[str, str] = attrs.field(factory=dict)
    sessions: list[HeldSession] = attrs.field(factory=list)


@attrs.frozen(kw_only=True)
class Events:
    """Events in order within a session, each as raw JSON: the journal keeps the very bytes."""

    TYPE: ClassVar[str] = "events"
    events: list[msgspec.Raw]


@attrs.frozen(kw_only=True)
class Heartbeat:
    TYPE: ClassVar[str] = "heartbeat"
    ts: EpochMs
    active_sessions: list[str] | None = None
    """None: it does not say."""
    active_session_count: NonNegative | None = None
    """Where only the number is told (the ack-less dialect)."""
    load: Load = attrs.field(factory=Load)
    spool: SpoolSize = attrs.field(factory=SpoolSize)


@attrs.frozen(kw_only=True)
class Result:
    """The outcome of a command. Sent again for a command that is sent again."""

    TYPE: ClassVar[str] = "result"
    command_id: Id
    ok: bool
    error: ErrorBody | None = None
    data: Any = None
    """What was asked for: of diff and conversations, see contracts/lists.py; of land and land_status, a `LandReport`
    and a `LandStatus` (contracts/landing)."""


# --- service → runner ---------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class ResumePoint:
    session_id: Id
    resume_from: NonNegative


@attrs.frozen(kw_only=True)
class Welcome:
    """The answer to hello. `lost`: sessions the service believes are on this runner and hello did not name.
    `tell_open`: send `OpenQuestions` of each session in which something waits for a decision.
    """

    TYPE: ClassVar[str] = "welcome"
    runner_id: Id
    heartbeat_ms: int
    window: int
    sessions: list[ResumePoint] = attrs.field(factory=list)
    lost: list[str] = attrs.field(factory=list)
    tell_open: bool | None = None


@attrs.frozen(kw_only=True)
class Ack:
    """Everything of the session up to and with `seq` is durable. `window`, if there, replaces the one of welcome."""

    TYPE: ClassVar[str] = "ack"
    session_id: str
    seq: int
    window: int | None = None


@attrs.frozen(kw_only=True)
class Nack:
    """This event is malformed and will never be accepted: the runner drops it and goes on."""

    TYPE: ClassVar[str] = "nack"
    session_id: str
    seq: int
    code: str
    message: str


@attrs.frozen(kw_only=True)
class LinkError:
    """The reason why the service is about to close this connection, or the message that it ignored."""

    TYPE: ClassVar[str] = "error"
    code: str
    message: str


CommandName = Literal[
    "start",
    "input",
    "resize",
    "stop",
    "pause",
    "resume",
    "approve",
    "drain",
    "prompt",
    "withdraw_prompt",
    "clean_worktree",
    "diff",
    "land",
    "land_status",
    "conversations",
]


@attrs.frozen(kw_only=True)
class Command:
    """An order to the runner; idempotent by `command_id`, sent again after a reconnect until a result came."""

    TYPE: ClassVar[str] = "command"
    command_id: Id
    command: CommandName
    config: SessionConfig | None = None
    session_id: str | None = None
    data: str | None = None
    mode: Literal["raw", "line", "send", "queue", "interrupt"] | None = None
    """Of an input: raw or line. Of a prompt: the other three."""
    cols: int | None = None
    rows: int | None = None
    graceful: bool | None = None
    approval_id: str | None = None
    decision: Decision | None = None
    note: str | None = None
    resolved_by: str | None = None
    stop: bool | None = None
    """Of an approve that denies: whether the session is to stop, too."""
    option_id: str | None = None
    answers: dict[str, Any] | None = None
    updated_input: Any = None
    prompt_id: str | None = None
    by: str | None = None
    """Of a prompt: the person whose it is."""
    path: str | None = None
    """Of a diff: the one file that is asked for."""
    discard: bool | None = None
    """Of a clean_worktree: whether what only the tree has may be lost."""
    land: LandOrder | None = None
    """Of a land: what is to be done with the session's changes."""
    traceparent: str | None = None
    """Place in a trace (W3C Trace Context). Of a start: the session's processes have it as TRACEPARENT."""
    in_memory: str | None = None
    """Of a stored command, never on the wire: its texts are in the service's memory alone, under this key."""


@attrs.frozen(kw_only=True)
class Policies:
    """Rules of the villages that the runner serves: behind welcome, and whenever they change. All of them each time."""

    TYPE: ClassVar[str] = "policies"
    policies: list[VillagePolicy] = attrs.field(factory=list[VillagePolicy])
    signed: SignedPolicies | None = None
    """The rules, signed, for a runner that checks that; `policies` is empty then."""


@attrs.frozen(kw_only=True)
class Allowances:
    """Amounts that each of the runner's live sessions may still use of budgets that it shares with others. Sent behind
    the policies, and whenever that changes. All of them each time. Answered with AllowancesHeld; until then the
    service counts on the larger of the old and the new.
    """

    TYPE: ClassVar[str] = "allowances"
    version: NonNegative
    sessions: list[SessionAllowances] = attrs.field(factory=list[SessionAllowances])


@attrs.frozen(kw_only=True)
class AllowancesHeld:
    """From the runner: these allowances hold now, and no earlier ones. `counted`: session → the number of its event by
    which all that it used before is told: until the service has that one, more may be used than it knows of.
    """

    TYPE: ClassVar[str] = "allowances_held"
    version: NonNegative
    counted: dict[Id, NonNegative] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class OpenQuestions:
    """From the runner, where welcome's `tellOpen` asked for it: what waits for a decision in a session, whole. The
    service has lost what of it its village's setting kept out of the log.
    """

    TYPE: ClassVar[str] = "open_questions"
    session_id: Id
    approvals: Annotated[list[ApprovalRequest], msgspec.Meta(max_length=1000)]


FromService = Welcome | Ack | Nack | Command | Policies | Allowances | LinkError

decode_from_runner: Decoder[Any] = Decoder(
    Hello, Events, Heartbeat, Result, AllowancesHeld, OpenQuestions, max_bytes=4 << 20
)
"""At most 4 MiB a frame: a window's worth of events may come in one."""
decode_from_service: Decoder[Any] = Decoder(Welcome, Ack, Nack, Command, Policies, Allowances, LinkError)


@attrs.frozen(kw_only=True)
class _AnyCommand:
    """Fields that every command has, whatever version its service is of."""

    TYPE: ClassVar[str] = "command"
    command_id: Id


_decode_any_command: Decoder[_AnyCommand] = Decoder(_AnyCommand)


def command_id_of(data: bytes | str) -> str | None:
    """Return the id of a command, also of one that this version cannot read; None for other messages."""
    try:
        return _decode_any_command.decode(data).command_id
    except ContractError:
        return None
