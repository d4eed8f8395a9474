"""Messages to UI clients over Socket.IO (CONTRACT section 2): classes, rooms, time.

A `UiMessage` is one event ready to be sent: its payload is encoded once, for every client in its rooms.
"""

import hashlib
from datetime import UTC, datetime
from enum import Flag, auto
from functools import lru_cache
from typing import Any, Literal

import attrs

from townwatch.contracts.events import (
    ApprovalRequest,
    Severity,
    UsageMetrics,
    default_agent_id as default_agent_id,
)

AgentType = Literal["claude", "codex", "custom"]


class Scope(Flag):
    """Rooms of an event's agent that a message goes to."""

    VILLAGE = auto()
    AGENT = auto()
    TERMINAL = auto()
    """The clients of the agent room that asked for terminal output."""


VILLAGE_AND_AGENT = Scope.VILLAGE | Scope.AGENT


@attrs.frozen
class UiMessage:
    """One Socket.IO event with its one argument, and where it goes."""

    event: str
    payload: Any
    scope: Scope


@lru_cache(maxsize=4096)
def repo_id(village_id: str, repo_path: str) -> str:
    """The id of a house: the same for the same repository of the same village, on every machine."""
    return "house_" + hashlib.sha256(f"{village_id}\n{repo_path}".encode()).hexdigest()[:12]


def agent_type(provider_id: str) -> AgentType:
    """Return the wire's kind of agent: codex → codex, claude_code → claude, everything else → custom."""
    match provider_id:
        case "codex":
            return "codex"
        case "claude_code":
            return "claude"
        case _:
            return "custom"


@lru_cache(maxsize=256)
def iso(epoch_ms: float) -> str:
    """Return a time in ISO-8601, UTC with milliseconds: ``2026-11-23T07:12:00.250Z``."""
    second, rest = divmod(epoch_ms, 1000)
    return f"{_second(int(second))}.{int(rest):03d}Z"


@lru_cache(maxsize=256)
def _second(epoch_s: int) -> str:
    return f"{datetime.fromtimestamp(epoch_s, UTC):%Y-%m-%dT%H:%M:%S}"


# --- messages ------------------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class AgentSpawn:
    agent_id: str
    session_id: str
    agent_type: AgentType
    agent_name: str
    repo_path: str
    timestamp: str


@attrs.frozen(kw_only=True)
class AgentDisconnect:
    agent_id: str
    session_id: str
    timestamp: str


@attrs.frozen(kw_only=True)
class WorkStreamEvent:
    agent_id: str
    session_id: str
    type: str
    payload: dict[str, Any]
    timestamp: str
    seq: int


@attrs.frozen(kw_only=True)
class AlertMessage:
    alert_id: str
    severity: Severity
    category: str
    title: str
    description: str
    timestamp: str
    agent_id: str | None = None
    session_id: str | None = None
    context: Any = None
    truncated: bool | None = None


@attrs.frozen(kw_only=True)
class AgentUpdate:
    agent_id: str
    status: str
    ts: float
    reason: str | None = None
    since: float | None = None


@attrs.frozen(kw_only=True)
class BugBot:
    """An open alert. `id`: its alertId, which is unique in `session_id` only."""

    id: str
    session_id: str | None = None


@attrs.frozen(kw_only=True)
class BugBotProgress:
    id: str
    progress: float
    session_id: str | None = None


@attrs.frozen(kw_only=True)
class WorkStreamLine:
    """One readable line for simple clients."""

    agent_id: str
    message: str
    ts: float


@attrs.frozen(kw_only=True)
class TerminalOutput:
    """`snapshot`: `data` makes the whole terminal, in a fresh one of this size (the first message to a late viewer).
    Without it, cols and rows are the terminal's new size, from here in the stream on.
    """

    agent_id: str
    session_id: str
    data: str
    stream: str
    seq: int
    snapshot: bool | None = None
    cols: int | None = None
    rows: int | None = None


@attrs.frozen(kw_only=True)
class UsageTickMessage:
    agent_id: str
    session_id: str
    provider_id: str
    units: UsageMetrics
    interval_ms: float
    timestamp: str


@attrs.frozen(kw_only=True)
class ApprovalMessage(ApprovalRequest):
    """approval_requested and approval_resolved: the ApprovalRequest, with where it belongs."""

    agent_id: str
    timestamp: str


def approval_message(approval: ApprovalRequest, agent_id: str, ts: float) -> ApprovalMessage:
    """The request as it is shown; `ts`: when this was said, epoch ms."""
    return ApprovalMessage(**attrs.asdict(approval, recurse=False), agent_id=agent_id, timestamp=iso(ts))


@attrs.frozen(kw_only=True)
class ApprovalDecided:
    """A decision at once, before its runner has it. `release_at`: until then it can be taken back; without a
    `decision` it was, and the approval waits again; or, with `allowed_by`, more people are needed: `needed` of them.
    """

    agent_id: str
    session_id: str
    approval_id: str
    timestamp: str
    decision: str | None = None
    resolved_by: str | None = None
    note: str | None = None
    release_at: int | None = None
    allowed_by: list[str] | None = None
    needed: int | None = None


@attrs.frozen(kw_only=True)
class KeyboardPerson:
    user_id: str
    name: str


@attrs.frozen(kw_only=True)
class KeyboardMessage:
    """The person who holds a session's keyboard, since when; None: it is free. `free_at`: the holder's connection is
    gone, and it is free from then on. `asking`: the people who have asked for it. `turn`: how often it was taken; a
    connection holds it as long as this is what its own take was answered with.
    """

    agent_id: str
    session_id: str
    holder: KeyboardPerson | None
    since: int | None
    asking: list[KeyboardPerson]
    turn: int
    free_at: int | None = None
    cols: int | None = None
    rows: int | None = None


@attrs.frozen(kw_only=True)
class PresentPerson:
    """A person who looks on. `drives`: the session whose keyboard they hold."""

    user_id: str
    name: str
    role: str | None = None
    drives: str | None = None


@attrs.frozen(kw_only=True)
class PresenceMessage:
    """The people who are in a room, by name; `visitors`: how many look on without having signed in."""

    room: str
    people: list[PresentPerson]
    visitors: int


@attrs.frozen(kw_only=True)
class GapMessage:
    """Events that this client missed and that cannot be replayed: those of `room` after `from_`, up to `to`."""

    room: str
    from_: int
    to: int
    session_id: str | None = None
    bytes: int | None = None


@attrs.frozen(kw_only=True)
class Indicator:
    """One of a house's lights, banner or smoke."""

    active: bool = False
    source: str | None = None
    context_ids: list[str] | None = None
    started_at: float | None = None
    min_visible_until: float | None = None
    expires_at: float | None = None
    pr_number: int | None = None
    build_status: Literal["in_progress", "failed", "passed"] | None = None
    status: Literal["in_progress", "failed", "passed"] | None = None
    """Of smoke, as the original's pages read it: the same as `build_status`."""
    min_remaining_ms: float | None = None
    """How much longer it must be seen at least; of a snapshot that is sent."""

    def at(self, now: float) -> "Indicator":
        """Return the indicator as it is sent at this time."""
        left = max(0, (self.min_visible_until or 0) - now) if self.active else 0
        return attrs.evolve(self, status=self.build_status, min_remaining_ms=left)


@attrs.frozen(kw_only=True)
class Indicators:
    lights: Indicator
    banner: Indicator
    smoke: Indicator


@attrs.frozen(kw_only=True)
class HouseActivity:
    """The snapshot of a house. `version` counts its changes. `type` and `ts` are what the original's pages read."""

    type: Literal["house.activity"] = "house.activity"
    ts: float
    repo_id: str
    village_id: str
    version: int
    indicators: Indicators
    house_id: str | None = None
    name: str | None = None
    """The name that a person gave it; absent: as its repository's folder is called."""
