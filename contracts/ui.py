"""What goes to UI clients over Socket.IO (CONTRACT section 2): message classes, rooms, time.

A `UiMessage` is one event ready to be sent: its payload is encoded once, for every client in its rooms.
"""

import hashlib
from datetime import UTC, datetime
from enum import Flag, auto
from functools import lru_cache
from typing import Any, Literal

import attrs

from contracts.events import ApprovalRequest, Severity, UsageMetrics

AgentType = Literal["claude", "codex", "custom"]


class Scope(Flag):
    """Which rooms of an event's agent a message goes to."""

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


def village_room(village_id: str) -> str:
    return f"village:{village_id}"


def agent_room(agent_id: str) -> str:
    return f"agent:{agent_id}"


def terminal_room(agent_id: str) -> str:
    """Our own: the members of an agent's room who asked for `terminal_output`."""
    return f"terminal:{agent_id}"


def repo_room(repo_id: str) -> str:
    return f"repo:{repo_id}"


@lru_cache(maxsize=4096)
def repo_id(village_id: str, repo_path: str) -> str:
    """The id of a house: the same for the same repository of the same village, on every machine."""
    return "house_" + hashlib.sha256(f"{village_id}\n{repo_path}".encode()).hexdigest()[:12]


def default_agent_id(session_id: str) -> str:
    """The agent of a session that was not started with one."""
    return f"runner_{session_id[:8]}"


def agent_type(provider_id: str) -> AgentType:
    """codex → codex, claude_code → claude, everything else → custom."""
    match provider_id:
        case "codex":
            return "codex"
        case "claude_code":
            return "claude"
        case _:
            return "custom"


@lru_cache(maxsize=256)
def iso(epoch_ms: float) -> str:
    """ISO-8601 UTC with milliseconds: ``2026-11-23T07:12:00.250Z``."""
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


@attrs.frozen(kw_only=True)
class AgentUpdate:
    agent_id: str
    status: str
    ts: float
    reason: str | None = None


@attrs.frozen(kw_only=True)
class BugBot:
    id: str


@attrs.frozen(kw_only=True)
class BugBotProgress:
    id: str
    progress: float


@attrs.frozen(kw_only=True)
class WorkStreamLine:
    """One readable line for simple clients."""

    agent_id: str
    message: str
    ts: float


@attrs.frozen(kw_only=True)
class TerminalOutput:
    """`snapshot`: what follows replaces the screen (the first message to a late viewer), which has this size."""

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
class GapMessage:
    """What this client missed and cannot be replayed: everything of `room` after `from_`, up to `to`."""

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


@attrs.frozen(kw_only=True)
class Indicators:
    lights: Indicator
    banner: Indicator
    smoke: Indicator


@attrs.frozen(kw_only=True)
class HouseActivity:
    """The snapshot of a house. `version` counts its changes."""

    repo_id: str
    village_id: str
    version: int
    indicators: Indicators
    house_id: str | None = None
