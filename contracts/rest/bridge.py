"""Sessions that a bridge reports: the bodies and answers of the original's bridge (docs/original.md)."""

from typing import Annotated, Any, Literal

import attrs
import msgspec

from townwatch.contracts.decoding.patterns import NO_CONTROLS
from townwatch.contracts.events import Id

BridgeId = Annotated[str, msgspec.Meta(min_length=1, max_length=100, pattern=r"^[\x21-\x7e]+$")]
Kind = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z_]{0,39}$")]


@attrs.frozen(kw_only=True)
class BridgeSession:
    """A session that runs beside a bridge. `repoPath`: the directory on its machine."""

    session_id: BridgeId
    agent_id: BridgeId
    agent_type: Literal["claude", "aider", "codex", "cursor", "custom"]
    agent_name: Annotated[str, msgspec.Meta(max_length=200, pattern=NO_CONTROLS)] | None = None
    repo_path: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
    village_id: Id


@attrs.frozen(kw_only=True)
class BridgeAgentView:
    id: str
    name: str
    status: str


@attrs.frozen(kw_only=True)
class BridgeSessionView:
    """`startedAt`, `endedAt`: ISO-8601."""

    id: str
    agent_id: str
    started_at: str
    ended_at: str | None = None


@attrs.frozen(kw_only=True)
class BridgeRegistered:
    agent: BridgeAgentView
    session: BridgeSessionView


@attrs.frozen(kw_only=True)
class BridgeEvent:
    """Something that a bridge saw. `type`: session_start, session_end, thinking, file_read, file_edit, file_create,
    file_delete, command, tool_use, search, output, error, completed, status_change; others are kept and shown, too.
    """

    agent_id: BridgeId
    session_id: BridgeId
    type: Kind
    payload: dict[str, Any] = attrs.field(factory=dict[str, Any])
    timestamp: Annotated[str, msgspec.Meta(max_length=40)] | None = None


@attrs.frozen(kw_only=True)
class BridgeEvents:
    events: Annotated[list[BridgeEvent], msgspec.Meta(max_length=100)]


@attrs.frozen(kw_only=True)
class BridgeTaken:
    """`ids`: of what was stored, `sessionId:seq`. `count`: how many events were taken."""

    ids: list[str]
    count: int


@attrs.frozen(kw_only=True)
class BridgeTakenOne:
    """`id`: of what was stored, `sessionId:seq`."""

    id: str


@attrs.frozen(kw_only=True)
class ActiveSession:
    """A live session, as the original lists it. `agentStatus`: offline while its runner or bridge is away. `agentType`:
    claude, codex, aider, cursor or custom. `repoPath`: where it works, on its machine. `startedAt`: ISO-8601.
    """

    id: str
    agent_id: str
    agent_name: str
    agent_status: Literal["connected", "offline"]
    agent_type: str
    repo_path: str | None = None
    village_id: str
    started_at: str


@attrs.frozen(kw_only=True)
class BridgeEnded:
    session: BridgeSessionView
