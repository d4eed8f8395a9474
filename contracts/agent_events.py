"""The agent events of CONTRACT section 1: one vocabulary for what coding agents do, inside PROVIDER_EVENT_FORWARDED.

An adapter turns the raw shapes of its CLI into these; nothing behind it knows which CLI it was.
"""

from typing import Annotated, Any, ClassVar, Literal

import attrs
import msgspec

from townwatch.contracts.codec import ContractError, Decoder, to_json_values

Count = Annotated[int, msgspec.Meta(ge=0)]
AgentStatus = Literal["idle", "busy", "waiting", "starting", "unknown"]
ToolStatus = Literal["running", "ok", "failed", "denied"]
TurnResult = Literal["completed", "interrupted", "failed"]
WorktreeStatus = Literal["made", "kept", "removed"]
LandingAct = Literal["commit", "branch", "push", "pull_request", "merge"]


@attrs.frozen(kw_only=True)
class AgentEvent:
    """Base of the vocabulary. `TYPE` is its `type` on the wire."""

    TYPE: ClassVar[str] = ""


@attrs.frozen(kw_only=True)
class CliSession(AgentEvent):
    """The CLI's own session. `resume`: the argument vector that continues it."""

    TYPE = "agent.session"
    cli_session_id: str | None = None
    model: str | None = None
    mode: str | None = None
    version: str | None = None
    resume: list[str] | None = None
    resume_of: str | None = None
    """The session of ours that this one continues."""


@attrs.frozen(kw_only=True)
class Status(AgentEvent):
    """The agent's activity, and since when (epoch ms). `for_`: what it waits for, why its status is not known, or, of
    an idle one, that its turn failed.
    """

    TYPE = "agent.status"
    status: AgentStatus
    since: Count = 0
    for_: str | None = None


@attrs.frozen(kw_only=True)
class Prompt(AgentEvent):
    """A task that the agent was given. `by`: a user, or ``terminal``. `queued`: it is kept until the agent is idle."""

    TYPE = "agent.prompt"
    text: str
    by: str | None = None
    queued: bool | None = None
    id: str | None = None
    withdrawn: bool | None = None
    """A queued one that was taken back."""


@attrs.frozen(kw_only=True)
class AgentMessage(AgentEvent):
    """A piece of what the agent says: `text` continues the earlier pieces of the same `id`; `final` ends it."""

    TYPE = "agent.message"
    id: str
    text: str
    role: str = "assistant"
    final: bool = True


@attrs.frozen(kw_only=True)
class Tool(AgentEvent):
    """A tool call: said when it starts, and again when it ended. `output` is cut."""

    TYPE = "agent.tool"
    id: str
    name: str
    status: ToolStatus
    title: str | None = None
    input: Any = None
    ms: Count | None = None
    output: str | None = None
    parent: str | None = None
    """The subagent that called it."""


@attrs.frozen(kw_only=True)
class PlanItem:
    text: str
    status: str = "pending"


@attrs.frozen(kw_only=True)
class AgentPlan(AgentEvent):
    """The agent's to-do list, whole."""

    TYPE = "agent.plan"
    items: list[PlanItem]


@attrs.frozen(kw_only=True)
class Subagent(AgentEvent):
    TYPE = "agent.subagent"
    id: str
    name: str
    status: str
    parent: str | None = None


@attrs.frozen(kw_only=True)
class Turn(AgentEvent):
    """The end of what one prompt began. `reason`: of one that failed, why, in the words of the CLI or its model."""

    TYPE = "agent.turn"
    id: str
    result: TurnResult
    ms: Count | None = None
    reason: str | None = None


@attrs.frozen(kw_only=True)
class ContextUsage(AgentEvent):
    """Tokens of the model's context that are in use."""

    TYPE = "agent.context"
    used: Count
    size: Count | None = None


@attrs.frozen(kw_only=True)
class ModelRetry(AgentEvent):
    """The CLI tries a request to its model again. `of`: how often it would; `status`: what the model answered."""

    TYPE = "agent.retry"
    attempt: Count
    of: Count | None = None
    delay_ms: Count | None = None
    status: int | str | None = None


@attrs.frozen(kw_only=True)
class Worktree(AgentEvent):
    """The working tree that the runner made for the session. At its end the tree is removed, with a branch that was
    made for it, where all of it is merged; else it is kept, and `reason` says what only it has.
    """

    TYPE = "agent.worktree"
    branch: str
    path: str
    status: WorktreeStatus
    base: str | None = None
    reason: str | None = None


@attrs.frozen(kw_only=True)
class Landed(AgentEvent):
    """A commit, branch, push, pull request or merge that a person asked for, and what became of it.

    `id`: of the command. `says`: git's own words, without secrets; where it failed, why. `files`: of a commit, the
    first of `files_total`. `approved_by`: who allowed it, where a rule asked. `unknown`: it is not known whether it was
    done, for it was interrupted; `ok` is false then.
    """

    TYPE = "agent.landed"
    id: str
    act: LandingAct
    ok: bool
    by: str
    branch: str | None = None
    commit: str | None = None
    subject: str | None = None
    files: list[str] | None = None
    files_total: Count | None = None
    remote: str | None = None
    base: str | None = None
    url: str | None = None
    says: str | None = None
    approved_by: str | None = None
    unknown: bool | None = None


AGENT_EVENTS: tuple[type[AgentEvent], ...] = (
    CliSession,
    Status,
    Prompt,
    AgentMessage,
    Tool,
    AgentPlan,
    Subagent,
    Turn,
    ContextUsage,
    ModelRetry,
    Worktree,
    Landed,
)
_DECODERS: dict[str, Decoder[Any]] = {kind.TYPE: Decoder(kind) for kind in AGENT_EVENTS}
TYPES = frozenset(_DECODERS)
ENVELOPE = frozenset({"type", "providerId", "timestamp"})


def to_provider_event(event: AgentEvent, provider_id: str, now_ms: int) -> dict[str, Any]:
    """Return the event as the object in PROVIDER_EVENT_FORWARDED; fields that are None are left out."""
    fields = {name: value for name, value in to_json_values(event).items() if value is not None}
    return {"type": event.TYPE, "providerId": provider_id, "timestamp": now_ms, **fields}


def from_provider_event(value: dict[str, Any]) -> AgentEvent | None:
    """Return the agent event in a provider event; None for another type, or where its fields are not as agreed."""
    decoder = _DECODERS.get(str(value.get("type")))
    if decoder is None:
        return None
    try:
        return decoder.convert({name: field for name, field in value.items() if name not in ENVELOPE})
    except ContractError:
        return None


def readable(value: dict[str, Any]) -> str | None:
    """Return a provider event as one line for a person; None for those that would drown the rest."""
    told = from_provider_event(value)
    match told:
        case None:
            return f"provider event {value.get('type')}"
        case Prompt(text=text, queued=queued, withdrawn=withdrawn):
            how = "withdrawn" if withdrawn else "queued" if queued else "prompt"
            return f"{how}: {text[:200]}"
        case Tool(status="running", name=name, title=title):
            return f"{name}: {title}" if title else name
        case Tool(status="failed" | "denied" as how, name=name):
            return f"{name}: {how}"
        case Turn(result=result, reason=reason):
            return f"turn {result}" + (f": {reason}" if reason else "")
        case Subagent(name=name, status=status):
            return f"subagent {name}: {status}"
        case ModelRetry(attempt=attempt, status=status):
            return f"the model does not answer ({status}), try {attempt}"
        case Worktree(branch=branch, status=how, reason=reason):
            return f"worktree of {branch} {how}" + (f": {reason}" if reason else "")
        case Landed():
            return landed_line(told)
        case Status(status=status, for_=reason):
            return f"agent {status}" + (f": {reason}" if reason else "")
        case _:
            return None


def landed_line(told: Landed) -> str:
    """Return what a person did with a session's changes as one line."""
    branch, commit = told.branch or "a detached commit", (told.commit or "")[:8]
    done = {
        "commit": f"{told.by} committed {commit} on {branch}: {told.subject or ''}",
        "branch": f"{told.by} switched to the branch {branch}",
        "push": f"{told.by} pushed {branch} ({commit}) to {told.remote}",
        "pull_request": f"{told.by} opened a pull request of {branch}: {told.url or 'its address is not known'}",
        "merge": f"{told.by} merged {branch} into {told.base} ({commit})",
    }
    what, says = f"{told.by}: {told.act.replace('_', ' ')} of {branch}", (told.says or "")[:300]
    if told.unknown:
        return f"{what}, {says or 'it is not known whether it was done'}"
    failed = f"{what} failed: {says or 'it is not known why'}"
    return done[told.act] if told.ok else failed
