"""The tools: what each is called, what it takes, the scope that it needs, and the operations that it asks."""

from collections.abc import Awaitable, Callable
from functools import cache
from typing import Annotated, Any, Literal, cast, get_args
from urllib.parse import quote, urlencode

import attrs
import msgspec
import trio

from townwatch.access.policy import Action
from townwatch.contracts.codec import Decoder, schemas_of
from townwatch.contracts.events import EVENT_CLASSES, Id, TerminalChunk
from townwatch.contracts.rest.shared import Note
from townwatch.contracts.tasks import ProviderId
from townwatch.contracts.vt.words import Words

SESSIONS = "/api/runner/sessions"
LOOK_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 50
"""Below the minute after which clients give a request up."""
TEXT_EVENTS, TEXT_CHARACTERS = 2000, 8000
SHOWN = (
    *("sessionId", "agentId", "agentName", "villageId", "repoPath", "providerId", "state", "reason", "detached"),
    *("createdAt", "endedAt", "exitCode", "lastLine", "turnEndedAt", "lastEventSeq"),
)


class ToolFailed(Exception):
    """The tool could not do it; the message is for the model, and says why."""


@attrs.frozen
class OperationAnswer:
    """The answer of an operation."""

    status: int
    value: Any


Ask = Callable[[str, str, Any], Awaitable[OperationAnswer]]
"""(method, path with query, body or None) → the operation's answer to the caller's token."""


def _said(text: str, **meta: Any) -> msgspec.Meta:
    return msgspec.Meta(description=text, **meta)


SessionId = Annotated[str, _said("A session's id.", min_length=1, max_length=200)]


@attrs.frozen(kw_only=True)
class ListArguments:
    village: Annotated[Id, _said("Only those of this village.")] | None = None
    live: Annotated[bool, _said("Only those that have not ended.")] = True
    cursor: Annotated[str, _said("`next` of the page before.", max_length=1000)] | None = None


@attrs.frozen(kw_only=True)
class SessionArguments:
    session_id: SessionId


@attrs.frozen(kw_only=True)
class ReadArguments:
    session_id: SessionId
    what: Annotated[
        Literal["text", "events"], _said("text: the end of what its terminal showed. events: what happened, in order.")
    ] = "text"
    after: Annotated[int, _said("events: only those after this seq.", ge=0)] = 0
    limit: Annotated[int, _said("events: how many at most.", ge=1, le=200)] = 50


@attrs.frozen(kw_only=True)
class StartArguments:
    directory: Annotated[str, _said("Absolute path of the repository on the runner.", min_length=1, max_length=4096)]
    goal: Annotated[str, _said("What the agent is to do.", min_length=1, max_length=4000)]
    agent: Annotated[
        str, _said(f"Which agent: {', '.join(get_args(ProviderId))}; command runs `command`.", max_length=40)
    ] = "claude_code"
    village: Annotated[Id, _said("Where it belongs.")] = "demo"
    title: Annotated[str, _said("A line about it.", max_length=200)] | None = None
    command: Annotated[list[str], _said("For the agent `command`: the command line.", max_length=200)] | None = None
    name: Annotated[str, _said("The agent's name that people see.", max_length=200)] | None = None
    runner_id: Annotated[Id, _said("The runner; left out: the least loaded.")] | None = None


@attrs.frozen(kw_only=True)
class PromptArguments:
    session_id: SessionId
    text: Annotated[str, _said("What the agent is told.", min_length=1, max_length=65_536)]
    mode: Annotated[Literal["send", "queue", "interrupt"], _said("Now, when it is idle, or after ending its turn.")] = (
        "send"
    )


@attrs.frozen(kw_only=True)
class StopArguments:
    session_id: SessionId
    kill: Annotated[bool, _said("Kill it at once, instead of asking it to end.")] = False


@attrs.frozen(kw_only=True)
class WaitArguments:
    session_id: SessionId
    until: Annotated[
        Literal["attention", "ended"],
        _said("attention: it has ended, waits for a decision, is paused, or its agent is idle."),
    ] = "attention"
    turn_ended_after: (
        Annotated[
            int, _said("An idle agent counts only if its turn ended after this time; prompt_session returns it.", ge=0)
        ]
        | None
    ) = None
    seconds: Annotated[int, _said("How long to wait at most.", ge=0, le=LONGEST_WAIT_SECONDS)] = 25


@attrs.frozen(kw_only=True)
class ApprovalsArguments:
    village: Annotated[Id, _said("Only those of this village.")] | None = None


@attrs.frozen(kw_only=True)
class DecideArguments:
    session_id: SessionId
    approval_id: Annotated[str, _said("The approval, within its session.", min_length=1, max_length=4096)]
    decision: Literal["allow", "deny"]
    note: Annotated[Note, _said("What the agent and people read beside it.")] | None = None
    option_id: Annotated[Id, _said("One of context.options.")] | None = None
    answers: Annotated[dict[str, Any], _said("question → answer, for a question.")] | None = None
    stop: Annotated[bool, _said("With deny: end the session, too.")] = False


@attrs.frozen(kw_only=True)
class McpTool:
    """`given`: only for a program's token that was made with the scope, not for a person's sign-in, which has all."""

    name: str
    title: str
    description: str
    arguments: type[Any]
    scope: Action
    run: Callable[[Ask, Any], Awaitable[Any]]
    reads: bool = False
    destroys: bool = False
    given: bool = False

    def described(self) -> dict[str, Any]:
        """Return the definition, as `tools/list` has it."""
        return {
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "inputSchema": _schema(self.arguments),
            "annotations": {"readOnlyHint": self.reads, "destructiveHint": self.destroys, "openWorldHint": False},
        }

    async def call(self, ask: Ask, arguments: dict[str, Any]) -> Any:
        """Do it. Raises `ContractError` for arguments that do not fit, and `ToolFailed`."""
        return await self.run(ask, _decoder(self.arguments).convert(arguments))


@cache
def _decoder(cls: type[Any]) -> Decoder[Any]:
    return Decoder(cls)


@cache
def _schema(cls: type[Any]) -> dict[str, Any]:
    _, components = schemas_of([cls], "#/$defs/{name}")
    schema = components[cls.__name__]
    return {key: value for key, value in schema.items() if key != "title"} | {"additionalProperties": False}


# --- what they do ---------------------------------------------------------------------------------


async def _need(ask: Ask, method: str, path: str, body: Any = None, **query: Any) -> Any:
    """Return the answer of an operation. Raises `ToolFailed` with the operation's own words."""
    given = {name: str(value).lower() if isinstance(value, bool) else value for name, value in query.items()}
    text = urlencode({name: value for name, value in given.items() if value is not None})
    answer = await ask(method, f"{path}?{text}" if text else path, body)
    if 200 <= answer.status < 300:
        return answer.value
    problem: dict[str, Any] = cast("dict[str, Any]", answer.value or {}).get("error", {})
    raise ToolFailed(f"{problem.get('code', answer.status)}: {problem.get('message', 'the service said no')}")


def _one(session_id: str, *more: str) -> str:
    return "/".join([SESSIONS, *(quote(part, safe="") for part in (session_id, *more))])


def _short(session: dict[str, Any]) -> dict[str, Any]:
    shown = {name: session[name] for name in SHOWN if session.get(name) is not None}
    agent = session.get("agent")
    if agent is not None:
        shown["agentStatus"] = agent["status"]
    return {**shown, "approvalsWaiting": len(session["pendingApprovals"])}


async def _list(ask: Ask, given: ListArguments) -> Any:
    page = await _need(ask, "GET", SESSIONS, villageId=given.village, live=given.live, cursor=given.cursor, limit=50)
    return {"sessions": [_short(one) for one in page["items"]], "next": page["next"]}


async def _get(ask: Ask, given: SessionArguments) -> Any:
    return await _need(ask, "GET", _one(given.session_id))


async def _read(ask: Ask, given: ReadArguments) -> Any:
    path = f"{_one(given.session_id)}/events"
    if given.what == "events":
        page = await _need(ask, "GET", path, after=given.after, limit=given.limit, exclude=TerminalChunk.TYPE)
        return {"events": page["items"], "next": page["next"]}
    session = await _need(ask, "GET", _one(given.session_id))
    others = ",".join(cls.TYPE for cls in EVENT_CLASSES if cls is not TerminalChunk)
    after = max(0, session["lastEventSeq"] - TEXT_EVENTS)
    cut, words, text = after > 0, Words(), ""
    while after is not None:
        page = await _need(ask, "GET", path, after=after, limit=1000, exclude=others)
        for event in page["items"]:
            text += words.feed(event["data"])
        if len(text) > TEXT_CHARACTERS:
            text, cut = text[-TEXT_CHARACTERS:], True
        after = page["next"]
    return {"text": text, "beginningIsMissing": cut, "state": session["state"], "lastEventSeq": session["lastEventSeq"]}


async def _start(ask: Ask, given: StartArguments) -> Any:
    body: dict[str, Any] = {
        "villageId": given.village,
        "providerId": given.agent,
        "repoRef": {"provider": "local", "path": given.directory},
        "task": {"title": given.title or given.goal[:200], "goal": given.goal},
    }
    optional = {"command": given.command, "agentName": given.name, "runnerId": given.runner_id}
    return await _need(ask, "POST", SESSIONS, body | {key: one for key, one in optional.items() if one is not None})


async def _prompt(ask: Ask, given: PromptArguments) -> Any:
    session = await _need(ask, "GET", _one(given.session_id))
    made = await _need(ask, "POST", f"{_one(given.session_id)}/prompts", {"text": given.text, "mode": given.mode})
    return {**made, "turnEndedAfter": session["turnEndedAt"] or 0}


async def _stop(ask: Ask, given: StopArguments) -> Any:
    return await _need(ask, "POST", f"{_one(given.session_id)}/stop", {"graceful": not given.kill})


async def _wait(ask: Ask, given: WaitArguments) -> Any:
    end = trio.current_time() + given.seconds
    while True:
        session = await _need(ask, "GET", _one(given.session_id))
        why = _reached(session, given)
        if why is not None or trio.current_time() >= end:
            return {"reached": why is not None, "why": why, "session": _short(session)}
        await trio.sleep(min(LOOK_SECONDS, max(0.0, end - trio.current_time())))


def _reached(session: dict[str, Any], given: WaitArguments) -> str | None:
    """Return why the wait is over; None while it is not."""
    if session["state"] in ("COMPLETED", "FAILED"):
        return "ended"
    if given.until == "ended":
        return None
    if session["pendingApprovals"]:
        return "an approval waits for a decision"
    if session["state"] == "PAUSED_BY_HUMAN":
        return "paused"
    agent: dict[str, Any] = session.get("agent") or {}
    idle = agent.get("status") == "idle"
    fresh = given.turn_ended_after is None or (session["turnEndedAt"] or 0) > given.turn_ended_after
    return "the agent is idle" if idle and fresh else None


async def _approvals(ask: Ask, given: ApprovalsArguments) -> Any:
    page = await _need(ask, "GET", "/api/approvals", villageId=given.village, limit=50)
    return {"approvals": page["items"], "next": page["next"]}


async def _decide(ask: Ask, given: DecideArguments) -> Any:
    optional = {"note": given.note, "optionId": given.option_id, "answers": given.answers, "stop": given.stop or None}
    body = {"decision": given.decision} | {key: one for key, one in optional.items() if one is not None}
    return await _need(ask, "POST", _one(given.session_id, "approvals", given.approval_id), body)


TOOLS: dict[str, McpTool] = {
    tool.name: tool
    for tool in (
        McpTool(
            name="list_sessions",
            title="List sessions",
            description="List the sessions that you may see, newest first.",
            arguments=ListArguments,
            scope=Action.READ,
            run=_list,
            reads=True,
        ),
        McpTool(
            name="get_session",
            title="Look at a session",
            description="Return all that is known of a session: state, tests, diff, alerts, what waits for a decision.",
            arguments=SessionArguments,
            scope=Action.READ,
            run=_get,
            reads=True,
        ),
        McpTool(
            name="read_session",
            title="Read a session",
            description="Return the end of a session's terminal as text, or its events.",
            arguments=ReadArguments,
            scope=Action.READ,
            run=_read,
            reads=True,
        ),
        McpTool(
            name="wait_for_session",
            title="Wait for a session",
            description="Wait until a session needs attention or has ended. `reached` false: the time was over; call"
            " again.",
            arguments=WaitArguments,
            scope=Action.READ,
            run=_wait,
            reads=True,
        ),
        McpTool(
            name="start_session",
            title="Start a session",
            description="Start an agent, or a command, on a runner.",
            arguments=StartArguments,
            scope=Action.DRIVE,
            run=_start,
        ),
        McpTool(
            name="prompt_session",
            title="Prompt a session",
            description="Give a session's agent a prompt. Refused while it waits for a decision, but for `queue`.",
            arguments=PromptArguments,
            scope=Action.DRIVE,
            run=_prompt,
        ),
        McpTool(
            name="stop_session",
            title="Stop a session",
            description="Stop a session.",
            arguments=StopArguments,
            scope=Action.DRIVE,
            run=_stop,
            destroys=True,
        ),
        McpTool(
            name="list_approvals",
            title="List approvals",
            description="List what agents ask for and is not decided, oldest first.",
            arguments=ApprovalsArguments,
            scope=Action.DECIDE,
            run=_approvals,
            reads=True,
            given=True,
        ),
        McpTool(
            name="decide_approval",
            title="Decide an approval",
            description="Allow or deny what an agent asks for. The first decision stands.",
            arguments=DecideArguments,
            scope=Action.DECIDE,
            run=_decide,
            destroys=True,
            given=True,
        ),
    )
}
"""By name, in the order in which they are listed."""
