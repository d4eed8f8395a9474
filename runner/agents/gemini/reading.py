"""Read what Gemini CLI tells its hooks, and its telemetry of tool calls: JSON in, readings out.

Hooks tell when a tool is about to be called, when a dialog opens, when a tool has run and when the turn has ended; that
a person said no or pressed Escape in the dialog only its telemetry tells, seconds later. No tool call has an id: one is
made of its count. Gemini shows one dialog at a time, and each is for a call that a hook was told of before.
"""

import json
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, Literal

import attrs

from townwatch.contracts.events import Category
from townwatch.runner.agents import shape
from townwatch.runner.agents.events import AgentMessage, CliSession, FromAfar, Prompt, Question, Status, Turn
from townwatch.runner.agents.readings import Asked, Reading, Settled, ToolCalls, error_text
from townwatch.runner.agents.shape import Json

EVENTS = ("SessionStart", "SessionEnd", "BeforeAgent", "AfterAgent", "BeforeTool", "AfterTool", "Notification")
"""The hooks that we ask for. BeforeModel and AfterModel run for every piece of an answer, and are left out."""
SHELLS, EDITS, READS = frozenset({"run_shell_command"}), frozenset({"write_file", "replace"}), frozenset({"read_file"})
WEB = frozenset({"web_fetch", "google_web_search"})
Outcome = Literal["allow", "deny", "withdrawn"]
NO_TEXT = "[no response text]"
"""What its hook says where the model gave no answer: its telemetry tells why, seconds later."""
NO_YES = FromAfar(allow="no", note="no", changed_input=False, why="Gemini takes a yes in its terminal only")


@attrs.define
class GeminiReader:
    """Reads the hooks of one session."""

    explains: bool = False
    """Its telemetry comes to us."""
    calls: ToolCalls = attrs.field(factory=ToolCalls)
    unexplained: str | None = None
    """The turn that ended without an answer, as long as its telemetry may tell why."""
    _error: str | None = None
    """What the model answered last, where that was an error."""
    _asked_at: str = ""
    """When the turn under way began, as its hook said."""
    _turns: int = 0
    _count: int = 0
    _running: dict[str, str] = attrs.field(factory=dict[str, str])
    _began: dict[str, tuple[str, str]] = attrs.field(factory=dict[str, tuple[str, str]])
    """Call → its tool and when the hook was told, of those that have not ended."""
    _busy: bool = False
    _dialog: str | None = None
    """The call whose dialog is open."""

    def hook(self, given: Json) -> list[Reading]:
        """Read what one hook was given on its standard input. Raises `ShapeError`."""
        said = self._hook(given)
        for one in said:
            if isinstance(one, Status):
                self._busy = one.status == "busy"
        return said

    def stood_still(self) -> list[Reading]:
        """Its screen has not changed for a while: one that works counts seconds there. A person has interrupted it."""
        if not self._busy:
            return []
        self._busy = False
        return [*self._closed(), Turn(id=f"turn-{self._turns}", result="interrupted"), Status(status="idle")]

    def _hook(self, given: Json) -> list[Reading]:
        match shape.text(given, "hook_event_name"):
            case "SessionStart":
                session = shape.text(given, "session_id")
                return [CliSession(cli_session_id=session), Status(status="idle")]
            case "BeforeAgent":
                left = [*self.never_explained(), *self._closed()]  # of a turn that ended untold
                self._turns += 1
                self._error, self._asked_at = None, shape.optional_text(given, "timestamp") or ""
                return [*left, Prompt(text=shape.text(given, "prompt")), Status(status="busy")]
            case "AfterAgent":
                text = shape.optional_text(given, "prompt_response") or ""
                said = self._closed()
                if text == NO_TEXT and self.explains:
                    return [*said, *self._without_an_answer()]
                if text:
                    said.append(AgentMessage(id=f"message-{self._turns}", text=text, final=True))
                return [*said, Turn(id=f"turn-{self._turns}", result="completed"), Status(status="idle")]
            case "BeforeTool":
                return [*self._over("allow"), *self._tool(given), Status(status="busy")]
            case "AfterTool":
                return [*self._ended(given), Status(status="busy")]
            case "Notification" if given.get("notification_type") == "ToolPermission":
                return [*self._asked(given), Status(status="waiting", for_=_asked(given))]
            case _:
                return []

    def question(self, given: Json) -> Question:
        """Return a call that is about to be made as a question. Raises `ShapeError`."""
        name, arguments = shape.text(given, "tool_name"), shape.optional_member(given, "tool_input")
        command, path = arguments.get("command"), arguments.get("file_path")
        return Question(
            summary=next((text for text in (command, path, arguments.get("url")) if isinstance(text, str)), name),
            category=_category(name),
            tool=name,
            tool_use_id=self._running.get(_key(name, arguments)),
            input=dict(arguments),
            cwd=_cwd(given, arguments),
        )

    def refused(self, tool_id: str | None) -> list[Reading]:
        """A call was refused before it was made: its hook said so."""
        self._began.pop(tool_id or "", None)
        return [] if tool_id is None else self.calls.ended(tool_id, "denied")

    def told(self, record: Mapping[str, Any]) -> list[Reading]:
        """Read a record of its telemetry: a no in a dialog ends the call and the turn, an error of its model the turn,
        and no hook tells.
        """
        if record.get("role") == "main" and str(record.get("event.timestamp") or "") >= self._asked_at:
            if record.get("event.name") == "gemini_cli.api_error":
                self._error = error_text(record.get("error"), record.get("error.message"), record.get("error.type"))
                return self._explained()
            if record.get("event.name") == "gemini_cli.api_response":
                self._error = None
        if record.get("event.name") != "gemini_cli.tool_call" or record.get("decision") != "reject":
            return []
        name, at = record.get("function_name"), str(record.get("event.timestamp") or "")
        tool_id = next((key for key, (tool, began) in self._began.items() if tool == name and began <= at), None)
        if tool_id is None:
            return []
        settled = self._over("deny")
        self._began.pop(tool_id)
        self._busy = False
        said = [*settled, *self.calls.ended(tool_id, "denied"), *self._closed()]
        return [*said, Turn(id=f"turn-{self._turns}", result="interrupted"), Status(status="idle")]

    def _without_an_answer(self) -> list[Reading]:
        self.unexplained = f"turn-{self._turns}"
        return self._explained() or [Status(status="idle")]

    def _explained(self) -> list[Reading]:
        """End the turn that ended without an answer, where it is known why."""
        turn = self.unexplained
        if turn is None or self._error is None:
            return []
        self.unexplained = None
        return [Turn(id=turn, result="failed", reason=self._error), Status(status="idle")]

    def never_explained(self) -> list[Reading]:
        """End a turn that ended without an answer, of which its telemetry has said nothing."""
        turn, self.unexplained = self.unexplained, None
        return [] if turn is None else [Turn(id=turn, result="completed")]

    def _asked(self, given: Json) -> list[Reading]:
        """The dialog of the latest call that waits."""
        self._dialog = next(reversed(self._began), None)
        if self._dialog is None:
            return []
        details = shape.optional_member(given, "details")
        name = self._began[self._dialog][0]
        changed = details.get("fileDiff")
        question = Question(
            summary=_asked(given),
            category=_category(name),
            tool=name,
            tool_use_id=self._dialog,
            input={key: value for key, value in details.items() if key in ("command", "filePath", "urls", "prompt")},
            cwd=_cwd(given, {}),
            diff=changed if isinstance(changed, str) else None,
            from_afar=NO_YES,
        )
        return [Asked(request=self._dialog, question=question)]

    def _over(self, outcome: Outcome) -> list[Reading]:
        """The open dialog is answered."""
        dialog, self._dialog = self._dialog, None
        return [] if dialog is None else [Settled(request=dialog, outcome=outcome)]

    def _closed(self) -> list[Reading]:
        """The turn is over, and with it what it left open."""
        self._began.clear()
        self._running.clear()
        return [*self._over("withdrawn"), *self.calls.close()]

    def _tool(self, given: Json) -> list[Reading]:
        name, arguments = shape.text(given, "tool_name"), shape.optional_member(given, "tool_input")
        self._count += 1
        tool_id = self._running[_key(name, arguments)] = f"tool-{self._count}"
        self._began[tool_id] = name, shape.optional_text(given, "timestamp") or ""
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
        self._began.pop(tool_id, None)
        settled = self._over("allow") if self._dialog == tool_id else []
        response = shape.optional_member(given, "tool_response")
        output = response.get("llmContent")
        failed = response.get("error") is not None
        text = output if isinstance(output, str) else None
        return [*settled, *self.calls.ended(tool_id, "failed" if failed else "ok", output=text)]


def _category(tool: str) -> Category:
    return "shell" if tool in SHELLS else "edit" if tool in EDITS else "network" if tool in WEB else "other"


def _cwd(given: Json, arguments: Json) -> str | None:
    """Return where a call works: its own directory, relative to the conversation's."""
    place, own = given.get("cwd"), arguments.get("dir_path") or arguments.get("directory")
    if not isinstance(place, str):
        return None
    return str(PurePath(place, own)) if isinstance(own, str) else place


def _key(name: str, arguments: Json) -> str:
    return name + json.dumps(dict(arguments), sort_keys=True)


def _asked(given: Json) -> str:
    details = shape.optional_member(given, "details")
    known: list[Any] = [details.get("command"), details.get("filePath"), details.get("title"), given.get("message")]
    return next((text for text in known if isinstance(text, str)), "a permission")
