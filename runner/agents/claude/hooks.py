"""Reading of Claude Code's hooks into the vocabulary. Pure: a message in, what it means out.

The hook protocol: one JSON object a call, with ``hook_event_name`` and fields of its own
(https://code.claude.com/docs/en/hooks). A PermissionRequest names no tool call: it is the latest PreToolUse with the
same tool and input.
"""

import re
from collections import OrderedDict
from typing import Any, Literal, cast

import attrs

from townwatch.runner.agents import events as a, shape
from townwatch.runner.agents.claude import tools
from townwatch.runner.agents.claude.tools import Json, fields_of
from townwatch.runner.agents.readings import error_text

EVENTS = (
    "UserPromptSubmit",
    "PreToolUse",
    "PermissionRequest",
    "Notification",
    "PostToolUse",
    "PostToolUseFailure",
    "PostToolBatch",
    "Stop",
    "StopFailure",
    "SubagentStart",
    "SubagentStop",
    "SessionEnd",
)
CALLS_KEPT = 1000
INTERRUPTED = {
    None: "interrupted",
    True: "interrupted in its terminal after Claude had taken the yes; whether the call had begun is not known",
    False: "interrupted in its terminal; whether Claude had taken the yes, and the call had begun, is not known",
}
"""What is said of a call that Escape ended, by `Hooks.allowed`."""
EXIT_CODE = re.compile(r"Exit code (\d+)\n?")


@attrs.define(kw_only=True)
class Heard:
    """Meaning of one message. `status`: what the agent does now, as far as hooks tell. `over`: tool calls whose dialogs
    are gone, by id, with how; `all_over`: every dialog is.
    """

    events: list[a.AgentEvent | a.Fact] = attrs.field(factory=list["a.AgentEvent | a.Fact"])
    status: a.Status | None = None
    question: a.Question | None = None
    over: dict[str, Literal["ran", "refused"]] = attrs.field(factory=dict[str, Literal["ran", "refused"]])
    all_over: bool = False


@attrs.define
class _Call:
    name: str
    given: Json
    parent: str | None
    asked: bool = False


_OF_TOOLS = frozenset({"PreToolUse", "PermissionRequest", "PostToolUse", "PostToolUseFailure"})


class Hooks:
    """Reads the hooks of one CLI session, in their order."""

    def __init__(self) -> None:
        self.cli_session_id: str | None = None
        self.subagents: dict[str, str] = {}
        """Those at work: id → kind."""
        self._calls: OrderedDict[str, _Call] = OrderedDict()
        self.refused: set[str] = set()
        """Calls whose dialogs were answered in the terminal: if they do not run, that was a no."""
        self.allowed: dict[str, bool] = {}
        """Calls that were given a yes and have not ended; whether Claude has said that it took it."""
        self._turn: str | None = None
        self._mode: str | None = None

    def read(self, message: Json) -> Heard:
        """Return what a hook says; nothing for one of an unknown kind. Raises `ShapeError` for a known one that says it
        in another shape: a dialog that cannot be read is not one to be answered.
        """
        _check(message)
        heard = Heard()
        self._session(message, heard)
        match message.get("hook_event_name"):
            case "UserPromptSubmit":
                self._prompted(message, heard)
            case "PreToolUse":
                self._tool_starts(message, heard)
            case "PermissionRequest":
                self._asks(message, heard)
            case "Notification":
                self._notifies(message, heard)
            case "PostToolUse":
                self._tool_ended(message, heard, "ok")
            case "PostToolUseFailure":
                self._tool_ended(message, heard, "failed")
            case "PostToolBatch":
                self._batch(message, heard)
            case "Stop" | "StopFailure":
                self._turn_ends(message, heard)
            case "SubagentStart" | "SubagentStop":
                self._subagent(message, heard)
            case _:
                pass
        return heard

    def _session(self, message: Json, heard: Heard) -> None:
        """Every hook names its session and, most of them, the permission mode."""
        session_id, mode = message.get("session_id"), message.get("permission_mode") or self._mode
        if isinstance(session_id, str) and (session_id, mode) != (self.cli_session_id, self._mode):
            self.cli_session_id, self._mode = session_id, mode
            resume = ["claude", "--resume", session_id]
            heard.events.append(a.CliSession(cli_session_id=session_id, mode=mode, resume=resume))

    def _prompted(self, message: Json, heard: Heard) -> None:
        text = str(message.get("prompt", ""))
        self._turn = str(message.get("prompt_id") or "") or None
        if not text.startswith("<task-notification>"):  # a subagent's report, not a person
            heard.events.append(a.Prompt(text=text, by="terminal", id=self._turn))
        heard.status = a.Status(status="busy")
        heard.all_over = not self.subagents

    def _tool_starts(self, message: Json, heard: Heard) -> None:
        name, given = str(message.get("tool_name", "")), fields_of(message.get("tool_input"))
        call_id = str(message.get("tool_use_id", ""))
        self._calls[call_id] = _Call(name, given, _text(message.get("agent_id")))
        while len(self._calls) > CALLS_KEPT:
            self._calls.popitem(last=False)
        parent = _text(message.get("agent_id"))
        shown = tools.title(name, given)
        tool = a.Tool(id=call_id, name=name, status="running", title=shown, input=dict(given), parent=parent)
        heard.events += [tool, *tools.started(call_id, name, given)]
        heard.status = a.Status(status="busy")

    def _asks(self, message: Json, heard: Heard) -> None:
        name, given = str(message.get("tool_name", "")), fields_of(message.get("tool_input"))
        agent = _text(message.get("agent_id"))
        heard.question = tools.question(
            name,
            given,
            message.get("permission_suggestions"),
            tool_use_id=self._call_of(name, given, agent),
            cwd=_text(message.get("cwd")),
            subagent=_text(message.get("agent_type")) if agent else None,
        )
        heard.status = a.Status(status="waiting", for_=heard.question.summary)

    def _call_of(self, name: str, given: Json, agent: str | None) -> str | None:
        for call_id, call in reversed(self._calls.items()):
            if not call.asked and (call.name, call.given, call.parent) == (name, given, agent):
                call.asked = True
                return call_id
        return None

    def _notifies(self, message: Json, heard: Heard) -> None:
        """Some dialogs have no hook of their own (what the auto mode asks): this is all that tells of them."""
        match message.get("notification_type"):
            case "permission_prompt" | "agent_needs_input" | "elicitation_dialog":
                heard.status = a.Status(status="waiting", for_=str(message.get("message") or "a dialog"))
            case "idle_prompt":
                heard.status = a.Status(status="idle")
            case _:
                pass

    def _tool_ended(self, message: Json, heard: Heard, how: Literal["ok", "failed"]) -> None:
        name, given = str(message.get("tool_name", "")), fields_of(message.get("tool_input"))
        call_id = str(message.get("tool_use_id", ""))
        self._calls.pop(call_id, None)
        self.allowed.pop(call_id, None)
        output = _output(message.get("tool_response")) if how == "ok" else str(message.get("error", ""))
        code: int | None = 0 if how == "ok" else None
        if how != "ok" and (found := EXIT_CODE.match(output)):
            code, output = int(found[1]), output[found.end() :]
        ms = message.get("duration_ms")
        heard.events.append(
            a.Tool(
                id=call_id,
                name=name,
                status=how,
                title=tools.title(name, given),
                ms=ms if isinstance(ms, int) and ms >= 0 else None,
                output=output or None,
                parent=_text(message.get("agent_id")),
            )
        )
        heard.events += tools.ended(call_id, name, given, output, code, True)
        heard.over[call_id] = "ran"
        heard.status = a.Status(status="busy")

    def _batch(self, message: Json, heard: Heard) -> None:
        """The end of calls that had no PostToolUse: they were denied."""
        listed = message.get("tool_calls")
        for one in cast("list[Any]", listed) if isinstance(listed, list) else []:
            call = fields_of(one)
            call_id = str(call.get("tool_use_id", ""))
            if (known := self._calls.pop(call_id, None)) is not None:
                self._denied(call_id, known, tools.text_of(call.get("tool_response")), heard)
        heard.status = a.Status(status="busy")

    def _denied(self, call_id: str, call: _Call, why: str, heard: Heard) -> None:
        heard.events.append(a.Tool(id=call_id, name=call.name, status="denied", output=why or None, parent=call.parent))
        heard.events += tools.ended(call_id, call.name, call.given, "", None, False)
        heard.over[call_id] = "refused"

    def interrupted(self) -> Heard:
        """Return what an interrupt means, for which there is no hook: the main agent's calls and its turn are over."""
        heard = Heard(status=a.Status(status="idle"))
        for call_id, call in [(i, c) for i, c in self._calls.items() if c.parent is None]:
            del self._calls[call_id]
            if call_id in self.refused:
                self._denied(call_id, call, "interrupted", heard)
                continue
            output = INTERRUPTED[self.allowed.get(call_id)]
            heard.events.append(a.Tool(id=call_id, name=call.name, status="failed", output=output))
            heard.events += tools.ended(call_id, call.name, call.given, "", None, True)
        self.refused.clear()
        self.allowed.clear()
        if self._turn is not None:
            heard.events.append(a.Turn(id=self._turn, result="interrupted"))
            self._turn = None
        return heard

    @property
    def in_turn(self) -> bool:
        """Return whether a turn has begun and no hook has told its end."""
        return self._turn is not None

    def _turn_ends(self, message: Json, heard: Heard) -> None:
        turn = self._turn or str(message.get("prompt_id") or "turn")
        failed = message.get("hook_event_name") == "StopFailure"
        last = message.get("last_assistant_message")
        if isinstance(last, str) and last:
            heard.events.append(a.AgentMessage(id=turn, text=last))
        said = (message.get(name) for name in ("last_assistant_message", "error_details", "error"))
        reason = error_text(*said) if failed else None
        heard.events.append(a.Turn(id=turn, result="failed" if failed else "completed", reason=reason))
        self._turn = None
        self.refused.clear()
        self.allowed.clear()
        heard.status = a.Status(status="idle")

    def _subagent(self, message: Json, heard: Heard) -> None:
        agent_id, kind = str(message.get("agent_id", "")), str(message.get("agent_type", ""))
        running = message.get("hook_event_name") == "SubagentStart"
        if running:
            self.subagents[agent_id] = kind
        else:
            self.subagents.pop(agent_id, None)
        heard.events.append(a.Subagent(id=agent_id, name=kind, status="running" if running else "ended"))


def _check(message: Json) -> None:
    event = message.get("hook_event_name")
    if event in _OF_TOOLS:
        shape.text(message, "tool_name")
        shape.mapping(message.get("tool_input"), f"{event}.tool_input")
        if event != "PermissionRequest":
            shape.text(message, "tool_use_id")


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _output(response: Any) -> str:
    """Return a tool's result as text."""
    found = fields_of(response)
    if "stdout" in found or "stderr" in found:
        return "\n".join(str(found[name]) for name in ("stdout", "stderr") if found.get(name))
    return tools.text_of(response) if isinstance(response, list | str) else ""
