"""Read the messages of an agent that speaks the Agent Client Protocol, version 1: JSON in, readings out.

Agents differ in what they leave out: Gemini sends no `tool_call` before a permission, Qwen counts tokens in the
metadata of empty text pieces, Copilot's token figures are sums of the session while the others' are of the turn. An
update of a kind that the protocol does not know is ignored, as the protocol asks; one that is known and shaped
differently is a `ShapeError`.
"""

from typing import Any

import attrs

from townwatch.contracts.events import Category
from townwatch.runner.agents import shape
from townwatch.runner.agents.acp import questions
from townwatch.runner.agents.events import (
    AgentMessage,
    AgentPlan,
    AnswerOption,
    CliSession,
    ContextUsage,
    FromAfar,
    PlanItem,
    Question,
    Tokens,
    Turn,
)
from townwatch.runner.agents.readings import (
    Asked,
    Effect,
    Ended,
    Reading,
    TokenSums,
    ToolCalls,
    allowing,
    diff,
    error_text,
)
from townwatch.runner.agents.shape import Json, ShapeError

PROTOCOL_VERSION = 1
CUMULATIVE_USAGE = frozenset({"Copilot"})
"""Agents (by the name they give) whose prompt results carry the session's token sums instead of the turn's."""
TEXT_ERRORS = {"Copilot": "Error: "}
"""Agents that end a turn which failed as if it had not, with a last piece of text that begins so. Answers of the model
come in pieces of a word or two.
"""
OPTION_EFFECTS: dict[str, Effect] = {
    "allow_once": "allow",
    "allow_always": "always",
    "reject_once": "deny",
    "reject_always": "never",
}
TOOL_STATUS: dict[str, Ended | None] = {"pending": None, "in_progress": None, "completed": "ok", "failed": "failed"}
STOP_REASONS: dict[str, str] = {"end_turn": "completed", "cancelled": "interrupted"}
"""Any other is a turn that failed."""
FAILURES = {
    "max_tokens": "its answer was longer than the model may give (max_tokens)",
    "max_turn_requests": "it asked its model more often than a turn may (max_turn_requests)",
    "refusal": "it refused to go on (refusal)",
}
CATEGORIES: dict[str, Category] = {
    "execute": "shell",
    "edit": "edit",
    "delete": "edit",
    "move": "edit",
    "fetch": "network",
    "switch_mode": "plan",
}


def about(result: Json) -> CliSession:
    """Read the answer to `initialize`. Raises `ShapeError`, also for another protocol version."""
    version = shape.whole(result, "protocolVersion")
    if version != PROTOCOL_VERSION:
        raise ShapeError(f"protocolVersion: {PROTOCOL_VERSION} is expected, not {version}")
    return CliSession(version=shape.optional_text(shape.optional_member(result, "agentInfo"), "version"))


def agent_name(result: Json) -> str:
    """Return the name that the agent gives itself in the answer to `initialize`; "" where it gives none."""
    return shape.optional_text(shape.optional_member(result, "agentInfo"), "name") or ""


def session(result: Json) -> CliSession:
    """Read the answer to `session/new`."""
    modes = shape.optional_member(result, "modes")
    models = shape.optional_member(result, "models")
    model, mode = shape.optional_text(models, "currentModelId"), shape.optional_text(modes, "currentModeId")
    for option in shape.items(result, "configOptions"):
        current = option.get("currentValue")
        if isinstance(current, str):
            model = model or (current if option.get("category") == "model" else None)
            mode = mode or (current if option.get("category") == "mode" else None)
    return CliSession(
        cli_session_id=shape.text(result, "sessionId"), model=model, mode=mode and mode.rpartition("#")[2]
    )


@attrs.define
class UpdateReader:
    """Reads the updates of one session. `agent`: the name from `agent_name`."""

    agent: str = ""
    calls: ToolCalls = attrs.field(factory=ToolCalls)
    _open: tuple[str, str] | None = None
    _pieces: int = 0
    _last: str = ""
    """The last piece of text of the turn, where nothing else came behind it."""
    _kinds: dict[str, str] = attrs.field(factory=dict[str, str])
    _sums: TokenSums = attrs.field(factory=TokenSums)

    def update(self, params: Json) -> list[Reading]:
        """Read the parameters of one `session/update`. Raises `ShapeError`."""
        update = shape.member(params, "update")
        kind = shape.text(update, "sessionUpdate")
        match kind:
            case "agent_message_chunk":
                return self._chunk(update, "assistant")
            case "agent_thought_chunk":
                return self._chunk(update, "thought")
            case "tool_call" | "tool_call_update":
                self._last = ""
                return [*self._end_message(), *self._tool(update)]
            case "plan":
                steps = shape.items(update, "entries")
                items = [PlanItem(text=shape.text(s, "content"), status=shape.text(s, "status")) for s in steps]
                return [*self._end_message(), AgentPlan(items=items)]
            case "usage_update":
                return self._usage_update(update)
            case "current_mode_update":
                return [CliSession(mode=shape.text(update, "currentModeId"))]
            case _:
                return []

    def turn_ended(self, turn_id: str, result: Json) -> list[Reading]:
        """Read the answer to `session/prompt`. Raises `ShapeError`."""
        stopped = shape.text(result, "stopReason")
        outcome: Any = STOP_REASONS.get(stopped, "failed")
        why = FAILURES.get(stopped, stopped) if outcome == "failed" else None
        error = TEXT_ERRORS.get(self.agent)
        if error is not None and outcome == "completed" and self._last.startswith(error):
            outcome, why = "failed", error_text(self._last.removeprefix(error))
        self._last = ""
        closed = [*self._end_message(), *self.calls.close()]
        return [*closed, *self._result_usage(result), Turn(id=turn_id, result=outcome, reason=why)]

    def turn_failed(self, turn_id: str, reason: str | None = None) -> list[Reading]:
        """Report a prompt that the agent answered with an error."""
        return [*self._end_message(), *self.calls.close(), Turn(id=turn_id, result="failed", reason=reason)]

    def asked(self, request: str, params: Json) -> list[Reading]:
        """Read the parameters of `session/request_permission`. Raises `ShapeError`."""
        call = shape.member(params, "toolCall")
        effects: dict[str, Effect] = {}
        options: list[AnswerOption] = []
        for option in shape.items(params, "options"):
            kind, option_id = shape.text(option, "kind"), shape.text(option, "optionId")
            if kind not in OPTION_EFFECTS:
                raise ShapeError(f"options.kind: {kind} is no kind of answer")
            effects[option_id] = OPTION_EFFECTS[kind]
            options.append(AnswerOption(id=option_id, label=shape.text(option, "name"), kind=kind))
        if not effects:
            raise ShapeError("options: there are none")
        allow = allowing(effects.values())
        why = "" if allow == "plain" else "the agent offers no answer that allows this once"
        tool_id = shape.text(call, "toolCallId")
        said = [*self._end_message(), *self._tool({**call, "status": "pending"})]
        self.calls.hold(tool_id)
        raw = call.get("rawInput")
        question = questions.question(call) or Question(
            summary=self.calls.title(tool_id) or "a tool call",
            category=CATEGORIES.get(self._kinds[tool_id], "other"),
            tool=_tool_name(call) or self._kinds[tool_id],
            tool_use_id=tool_id,
            input=raw or {"title": self.calls.title(tool_id), "description": _texts(call) or None},
            diff=_diffs(call),
            options=options,
            from_afar=FromAfar(allow=allow, note="no", changed_input=False, why=why),
        )
        return [*said, Asked(request=request, question=question, effects=effects)]

    def _chunk(self, update: Json, role: str) -> list[Reading]:
        content = shape.member(update, "content")
        text = shape.text(content, "text") if content.get("type") == "text" else f"[{content.get('type')}]"
        used = shape.optional_member(shape.optional_member(update, "_meta"), "usage")
        found: list[Reading] = [_tokens(used)] if used else []
        if not text:
            return found
        self._last = text if role == "assistant" else ""
        given = shape.optional_text(update, "messageId")
        if self._open is None or self._open[1] != role or (given is not None and given != self._open[0]):
            found += self._end_message()
            self._pieces += 1
            self._open = (given or f"message-{self._pieces}", role)
        return [*found, AgentMessage(id=self._open[0], role=role, text=text, final=False)]

    def _end_message(self) -> list[Reading]:
        if self._open is None:
            return []
        (message, role), self._open = self._open, None
        return [AgentMessage(id=message, role=role, text="", final=True)]

    def _tool(self, update: Json) -> list[Reading]:
        tool_id = shape.text(update, "toolCallId")
        given = shape.optional_text(update, "status") or "in_progress"
        if given not in TOOL_STATUS:
            raise ShapeError(f"status: {given} is no status of a tool call")
        kind = shape.optional_text(update, "kind") or self._kinds.get(tool_id, "other")
        self._kinds[tool_id] = kind
        title = shape.optional_text(update, "title")
        raw = update.get("rawInput")
        arguments = shape.maybe(raw)
        paths = tuple(dict.fromkeys(_paths(update, arguments)))
        known: dict[str, Any] = {
            "name": _tool_name(update) or kind,
            "title": title,
            "input": raw,
            "command": _command(arguments) or (title if kind == "execute" and raw is None else None),
            "reads": paths if kind == "read" else (),
            "writes": paths if kind in ("edit", "move") else (),
            "deletes": paths if kind == "delete" else (),
        }
        ended = TOOL_STATUS[given]
        if ended is None:
            return self.calls.seen(tool_id, began=given == "in_progress" and bool(known["command"]), **known)
        return self.calls.ended(tool_id, ended, output=_output(update), exit_code=_exit_code(update), **known)

    def _usage_update(self, update: Json) -> list[Reading]:
        used: list[Reading] = [ContextUsage(used=shape.whole(update, "used"), size=shape.whole(update, "size"))]
        cost = shape.optional_member(update, "cost")
        if cost.get("currency") == "USD":
            used += self._sums.grown("cost", cost_usd=shape.number(cost, "amount"))
        return used

    def _result_usage(self, result: Json) -> list[Reading]:
        used = shape.optional_member(result, "usage")
        if used and self.agent in CUMULATIVE_USAGE:
            sums = _tokens(used)
            return self._sums.grown(
                "tokens",
                input_tokens=sums.input_tokens,
                output_tokens=sums.output_tokens,
                cached=sums.cache_read_tokens,
            )
        if used:
            return [_tokens(used)]
        quota = shape.optional_member(shape.optional_member(result, "_meta"), "quota")
        counted = shape.optional_member(quota, "token_count")
        if not counted:
            return []
        tokens = shape.whole(counted, "input_tokens", 0), shape.whole(counted, "output_tokens", 0)
        return [Tokens(input_tokens=tokens[0], output_tokens=tokens[1])]


def _tokens(used: Json) -> Tokens:
    """Count cached input as input, whether the agent does so itself or not: the sum of all tokens tells."""
    given, output = shape.whole(used, "inputTokens", 0), shape.whole(used, "outputTokens", 0)
    others = shape.whole(used, "totalTokens", 0) - output - shape.whole(used, "thoughtTokens", 0)
    cached = shape.whole(used, "cachedReadTokens", 0)
    return Tokens(input_tokens=max(given, others), output_tokens=output, cache_read_tokens=cached)


def _tool_name(update: Json) -> str | None:
    meta = shape.optional_member(update, "_meta")
    known = [update.get("name"), meta.get("toolName"), shape.optional_member(meta, "claudeCode").get("toolName")]
    return next((name for name in known if isinstance(name, str)), None)


def _command(arguments: Json) -> str | None:
    command = arguments.get("command")
    if isinstance(command, list):
        return " ".join(str(word) for word in shape.maybe_list(command))
    return command if isinstance(command, str) else None


def _paths(update: Json, arguments: Json) -> list[str]:
    located = [location.get("path") for location in shape.items(update, "locations")]
    edited = [change.get("path") for change in shape.items(update, "content") if change.get("type") == "diff"]
    named = [arguments.get(name) for name in ("file_path", "filepath", "filePath", "path", "absolute_path")]
    return [path for path in (*located, *edited, *named) if isinstance(path, str)]


def _output(update: Json) -> str:
    text = _texts(update)
    if text:
        return text
    raw = update.get("rawOutput")
    known = [raw, *(shape.maybe(raw).get(name) for name in ("output", "content", "error", "message"))]
    return next((value for value in known if isinstance(value, str)), "")


def _exit_code(update: Json) -> int | None:
    raw = shape.maybe(update.get("rawOutput"))
    for place in (raw, raw.get("metadata"), *shape.maybe_list(raw.get("contents"))):
        for name in ("exitCode", "exit_code", "exit"):
            code = shape.maybe(place).get(name)
            if isinstance(code, int) and not isinstance(code, bool):
                return code
    return None


def _texts(call: Json) -> str:
    """Return the text in the content of a tool call."""
    inner = [shape.maybe(c.get("content")) for c in shape.items(call, "content") if c.get("type") == "content"]
    found = [block.get("text") for block in inner]
    return "\n".join(text for text in found if isinstance(text, str))


def _diffs(call: Json) -> str | None:
    """Return the edits in the content of a tool call as one unified diff."""
    changes = [change for change in shape.items(call, "content") if change.get("type") == "diff"]
    found = [
        diff(shape.text(change, "path"), shape.optional_text(change, "oldText") or "", shape.text(change, "newText"))
        for change in changes
    ]
    return "\n".join(found) if found else None
