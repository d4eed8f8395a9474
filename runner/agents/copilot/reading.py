"""Read the events that GitHub Copilot CLI's terminal program writes of its session: JSON in, readings out."""

import attrs

from townwatch.contracts.agent_events import TurnResult
from townwatch.runner.agents import shape
from townwatch.runner.agents.events import AgentMessage, CliSession, Prompt, Status, Tokens, Turn
from townwatch.runner.agents.readings import Reading, ToolCalls, error_text
from townwatch.runner.agents.shape import Json

EDITS, READS = frozenset({"create", "edit", "str_replace_editor", "apply_patch"}), frozenset({"view"})


@attrs.define
class CopilotReader:
    """Reads one session's events. Its questions are seen, and are answered in the terminal only."""

    calls: ToolCalls = attrs.field(factory=ToolCalls)
    _asking: dict[str, str] = attrs.field(factory=dict[str, str])
    _busy: bool = False
    _calls_tool: bool = False
    _turns: int = 0
    _spoke: bool = False
    """The model has answered in its turn under way."""
    ending: bool = False
    """The model's turn has ended without an answer: a `session.error` that says why may follow, or nothing."""

    def event(self, event: Json) -> list[Reading]:
        """Read one line. One that this adapter does not use is nothing. Raises `ShapeError`."""
        data, kind = shape.optional_member(event, "data"), shape.text(event, "type")
        if self.ending and kind == "session.error":
            return self._ended("failed", error_text(data.get("message"), data.get("errorType")))
        return [*self.ended(), *self._event(kind, data)]

    def ended(self) -> list[Reading]:
        """End a turn that ended without an answer, of which nothing more is said."""
        return self._ended("completed") if self.ending else []

    def _event(self, kind: str, data: Json) -> list[Reading]:
        match kind:
            case "session.start":
                session = shape.text(data, "sessionId")
                about = CliSession(
                    cli_session_id=session,
                    model=shape.optional_text(data, "selectedModel"),
                    version=shape.optional_text(data, "copilotVersion"),
                    resume=["copilot", "--resume", session],
                )
                return [about, self._status()]
            case "session.model_change":
                return [CliSession(model=shape.text(data, "newModel"))]
            case "user.message":
                self._busy = True
                self._turns += 1
                return [Prompt(text=shape.text(data, "content")), self._status()]
            case "assistant.turn_start":
                self._busy, self._spoke, self._calls_tool = True, False, False
                return [self._status()]
            case "assistant.message":
                return self._message(data)
            case "assistant.turn_end":
                return self._turn_end()
            case "session.usage_record":
                return [_tokens(shape.member(data, "usage"))]
            case "tool.execution_start":
                return self._tool(data)
            case "tool.execution_complete":
                return self._tool_ended(data)
            case "permission.requested":
                return self._asked(data)
            case "permission.completed":
                return self._answered(data)
            case _:
                return []

    def _status(self) -> Status:
        waiting = next(iter(self._asking.values()), None)
        if waiting is not None:
            return Status(status="waiting", for_=waiting)
        return Status(status="busy" if self._busy else "idle")

    def _message(self, data: Json) -> list[Reading]:
        self._spoke = True
        self._calls_tool = bool(shape.values(data, "toolRequests"))
        text = shape.optional_text(data, "content") or ""
        return [AgentMessage(id=shape.text(data, "messageId"), text=text, final=True)] if text else []

    def _turn_end(self) -> list[Reading]:
        """A turn of the model has ended; where it called tools, another follows."""
        if self._calls_tool or self.calls.open():
            return []
        self.ending = not self._spoke
        return [] if self.ending else self._ended("completed")

    def _ended(self, result: TurnResult, reason: str | None = None) -> list[Reading]:
        self._busy = self.ending = False
        return [Turn(id=f"turn-{self._turns}", result=result, reason=reason), self._status()]

    def _tool(self, data: Json) -> list[Reading]:
        name, given = shape.text(data, "toolName"), shape.optional_member(data, "arguments")
        path, command = given.get("path"), given.get("command")
        paths = (path,) if isinstance(path, str) else ()
        return self.calls.seen(
            shape.text(data, "toolCallId"),
            name=name,
            title=shape.optional_text(data, "toolTitle"),
            input=dict(given),
            command=command if name == "bash" and isinstance(command, str) else None,
            writes=paths if name in EDITS else (),
            reads=paths if name in READS else (),
        )

    def _tool_ended(self, data: Json) -> list[Reading]:
        code = shape.optional_member(data, "shellExecution").get("exitCode")
        output = shape.optional_member(data, "result").get("content")
        return self.calls.ended(
            shape.text(data, "toolCallId"),
            "ok" if data.get("success") is True else "failed",
            output=output if isinstance(output, str) else None,
            exit_code=code if isinstance(code, int) else None,
        )

    def _asked(self, data: Json) -> list[Reading]:
        request = shape.member(data, "permissionRequest")
        known = [request.get(name) for name in ("fullCommandText", "path", "fileName", "url", "intention")]
        summary = next((text for text in known if isinstance(text, str)), shape.text(request, "kind"))
        self._asking[shape.text(data, "requestId")] = summary
        call = shape.optional_text(request, "toolCallId")
        if call is not None:
            self.calls.hold(call)
        return [self._status()]

    def _answered(self, data: Json) -> list[Reading]:
        self._asking.pop(shape.text(data, "requestId"), None)
        call = shape.optional_text(data, "toolCallId")
        kind = shape.text(shape.member(data, "result"), "kind")
        if call is not None and kind.startswith("approved"):
            return [*self.calls.release(call), self._status()]
        self.calls.deny(call)
        return [self._status()]


def _tokens(usage: Json) -> Tokens:
    return Tokens(
        input_tokens=shape.whole(usage, "inputTokens", 0),
        output_tokens=shape.whole(usage, "outputTokens", 0),
        cache_read_tokens=shape.whole(usage, "cacheReadTokens", 0),
        model=shape.optional_text(usage, "model"),
    )
