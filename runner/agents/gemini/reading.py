"""Read what Gemini CLI tells its hooks: JSON in, readings out.

The hooks observe. Gemini tells when a dialog opens and when a tool has run or the turn has ended, but not that a person
said no or pressed Escape: until the next of these it is said to wait. No tool call has an id: one is made of its count.
"""

import json
from typing import Any

import attrs

from townwatch.runner.agents import shape
from townwatch.runner.agents.events import AgentMessage, CliSession, Prompt, Status, Turn
from townwatch.runner.agents.readings import Reading, ToolCalls
from townwatch.runner.agents.shape import Json

EVENTS = ("SessionStart", "SessionEnd", "BeforeAgent", "AfterAgent", "BeforeTool", "AfterTool", "Notification")
"""The hooks that we ask for. BeforeModel and AfterModel run for every piece of an answer, and are left out."""
SHELLS, EDITS, READS = frozenset({"run_shell_command"}), frozenset({"write_file", "replace"}), frozenset({"read_file"})


@attrs.define
class GeminiReader:
    """Reads the hooks of one session."""

    calls: ToolCalls = attrs.field(factory=ToolCalls)
    _turns: int = 0
    _count: int = 0
    _running: dict[str, str] = attrs.field(factory=dict[str, str])

    def hook(self, given: Json) -> list[Reading]:
        """Read what one hook was given on its standard input. Raises `ShapeError`."""
        match shape.text(given, "hook_event_name"):
            case "SessionStart":
                session = shape.text(given, "session_id")
                return [CliSession(cli_session_id=session), Status(status="idle")]
            case "BeforeAgent":
                self._turns += 1
                return [Prompt(text=shape.text(given, "prompt")), Status(status="busy")]
            case "AfterAgent":
                text = shape.optional_text(given, "prompt_response") or ""
                said: list[Reading] = [*self.calls.close()]
                if text:
                    said.append(AgentMessage(id=f"message-{self._turns}", text=text, final=True))
                return [*said, Turn(id=f"turn-{self._turns}", result="completed"), Status(status="idle")]
            case "BeforeTool":
                return [*self._tool(given), Status(status="busy")]
            case "AfterTool":
                return [*self._ended(given), Status(status="busy")]
            case "Notification" if given.get("notification_type") == "ToolPermission":
                return [Status(status="waiting", for_=_asked(given))]
            case _:
                return []

    def _tool(self, given: Json) -> list[Reading]:
        name, arguments = shape.text(given, "tool_name"), shape.optional_member(given, "tool_input")
        self._count += 1
        tool_id = self._running[_key(name, arguments)] = f"tool-{self._count}"
        path, command = arguments.get("file_path"), arguments.get("command")
        paths = (path,) if isinstance(path, str) else ()
        return self.calls.seen(
            tool_id,
            name=name,
            title=command if isinstance(command, str) else (paths[0] if paths else name),
            input=dict(arguments),
            command=command if name in SHELLS and isinstance(command, str) else None,
            writes=paths if name in EDITS else (),
            reads=paths if name in READS else (),
        )

    def _ended(self, given: Json) -> list[Reading]:
        name, arguments = shape.text(given, "tool_name"), shape.optional_member(given, "tool_input")
        tool_id = self._running.pop(_key(name, arguments), None)
        if tool_id is None:
            return []
        response = shape.optional_member(given, "tool_response")
        output = response.get("llmContent")
        failed = response.get("error") is not None
        text = output if isinstance(output, str) else None
        return self.calls.ended(tool_id, "failed" if failed else "ok", output=text)


def _key(name: str, arguments: Json) -> str:
    return name + json.dumps(dict(arguments), sort_keys=True)


def _asked(given: Json) -> str:
    details = shape.optional_member(given, "details")
    known: list[Any] = [details.get("command"), details.get("filePath"), details.get("title"), given.get("message")]
    return next((text for text in known if isinstance(text, str)), "a permission")
