"""Read the events that Qwen Code's terminal program writes to its JSON file: JSON in, readings out."""

from typing import Any

import attrs

from townwatch.runner.agents import shape
from townwatch.runner.agents.events import (
    AgentMessage,
    AnswerOption,
    CliSession,
    FromAfar,
    Prompt,
    Question,
    Status,
    Tokens,
    Turn,
)
from townwatch.runner.agents.readings import Asked, Reading, Settled, ToolCalls, error_text
from townwatch.runner.agents.shape import Json

SHELLS, EDITS, READS = frozenset({"run_shell_command"}), frozenset({"write_file", "edit"}), frozenset({"read_file"})
PROTOCOL_VERSION = 2
QUESTION, DECLINED = "ask_user_question", "User declined to answer"
IN_ITS_TERMINAL = FromAfar(
    allow="no",
    note="no",
    changed_input=False,
    why="Qwen's question is answered in its terminal: its file takes no answers",
)
ERROR = "[API Error: "
"""How a message begins that stands for an answer of the model which did not come; it has used no tokens."""


@attrs.define
class QwenReader:
    """Reads what one Qwen Code writes. Its turn ends with the first message that calls no tool, or with a no."""

    calls: ToolCalls = attrs.field(factory=ToolCalls)
    _turns: int = 0
    _message: str = ""
    _calls_tool: bool = False
    _error: str | None = None
    """Why the turn has failed, where the message under way says so."""
    _open: dict[str, str] = attrs.field(factory=dict[str, str])
    """Question → the call that it is about, of those that have no answer yet."""

    def event(self, event: Json) -> list[Reading]:
        """Read one line. One that this adapter does not use is nothing. Raises `ShapeError`."""
        match shape.text(event, "type"):
            case "system" if event.get("subtype") == "session_start":
                return self._begin(shape.member(event, "data"))
            case "user":
                return self._user(shape.member(event, "message"))
            case "assistant":
                return self._assistant(shape.member(event, "message"))
            case "stream_event":
                return self._stream(shape.member(event, "event"))
            case "control_request":
                return self._asked(event)
            case "control_response":
                return self._answered(shape.member(event, "response"))
            case _:
                return []

    def refused(self, request: str) -> list[Reading]:
        """A question was answered with a no by file: Qwen ends the turn and says nothing of either."""
        return self._answered({"request_id": request, "response": {"allowed": False}})

    def _given_up(self) -> list[Reading]:
        """The conversation goes on while questions seem open: they were refused in the terminal, which is not told."""
        found: list[Reading] = [Settled(request=request, outcome="withdrawn") for request in sorted(self._open)]
        self._open.clear()
        return found

    def _over(self, call: str, *, failed: bool, text: str) -> list[Reading]:
        """A call has a result while its question seems open. It was answered, which is not told of questions of the
        agent that are answered in the terminal.
        """
        no = self.calls.is_denied(call) or text.startswith(DECLINED)
        outcome: Any = "deny" if no else "withdrawn" if failed else "allow"
        found: list[Reading] = [Settled(request=one, outcome=outcome) for one, of in self._open.items() if of == call]
        self._open = {one: of for one, of in self._open.items() if of != call}
        return found

    def _begin(self, data: Json) -> list[Reading]:
        if shape.whole(data, "protocol_version") != PROTOCOL_VERSION:
            raise shape.ShapeError(f"protocol_version: {PROTOCOL_VERSION} is expected")
        session = shape.text(data, "session_id")
        about = CliSession(cli_session_id=session, version=shape.text(data, "version"), resume=["qwen", "-r", session])
        return [about, Status(status="idle")]

    def _user(self, message: Json) -> list[Reading]:
        said: list[Reading] = []
        content = message.get("content")
        blocks = shape.items(message, "content") if isinstance(content, list) else [{"type": "text", "text": content}]
        for block in blocks:
            if block.get("type") == "tool_result":
                failed = block.get("is_error") is True
                output = block.get("content")
                text = output if isinstance(output, str) else None
                said += self._over(shape.text(block, "tool_use_id"), failed=failed, text=text or "")
                said += self.calls.ended(shape.text(block, "tool_use_id"), "failed" if failed else "ok", output=text)
            elif block.get("type") == "text":
                self._turns += 1
                said += [*self._given_up(), Prompt(text=shape.text(block, "text")), Status(status="busy")]
        return said

    def _assistant(self, message: Json) -> list[Reading]:
        said: list[Reading] = []
        for block in shape.items(message, "content"):
            if block.get("type") == "tool_use":
                self._calls_tool = True
                said += self._call(block)
            elif block.get("type") == "text":
                said.append(AgentMessage(id=self._message or shape.text(message, "id"), text="", final=True))
        usage = shape.optional_member(message, "usage")
        tokens = shape.whole(usage, "input_tokens", 0), shape.whole(usage, "output_tokens", 0)
        if not any(tokens):
            self._error = _error(message)
        if any(tokens):
            cached = shape.whole(usage, "cache_read_input_tokens", 0)
            model = shape.optional_text(message, "model")
            said.append(Tokens(input_tokens=tokens[0], output_tokens=tokens[1], cache_read_tokens=cached, model=model))
        return said

    def _call(self, block: Json) -> list[Reading]:
        name, given = shape.text(block, "name"), shape.optional_member(block, "input")
        path, command = given.get("file_path"), given.get("command")
        paths = (path,) if isinstance(path, str) else ()
        return self.calls.seen(
            shape.text(block, "id"),
            name=name,
            title=command if isinstance(command, str) else (paths[0] if paths else name),
            input=dict(given),
            command=command if name in SHELLS and isinstance(command, str) else None,
            writes=paths if name in EDITS else (),
            reads=paths if name in READS else (),
        )

    def _stream(self, event: Json) -> list[Reading]:
        match shape.text(event, "type"):
            case "message_start":
                self._message = shape.text(shape.member(event, "message"), "id")
                self._calls_tool, self._error = False, None
                return [Status(status="busy")]
            case "content_block_delta":
                delta = shape.member(event, "delta")
                if delta.get("type") != "text_delta":
                    return []
                return [AgentMessage(id=self._message, text=shape.text(delta, "text"), final=False)]
            case "message_stop" if not self._calls_tool:
                result: Any = "completed" if self._error is None else "failed"
                ended = Turn(id=f"turn-{self._turns}", result=result, reason=self._error)
                return [*self.calls.close(), ended, Status(status="idle")]
            case _:
                return []

    def _asked(self, event: Json) -> list[Reading]:
        request = shape.member(event, "request")
        if shape.text(request, "subtype") != "can_use_tool":
            return []
        number, call = shape.text(event, "request_id"), shape.text(request, "tool_use_id")
        name = shape.text(request, "tool_name")
        said = self._call({"id": call, "name": name, "input": request.get("input") or {}})
        self.calls.hold(call)
        self._open[number] = call
        category: Any = "shell" if name in SHELLS else "edit" if name in EDITS else "other"
        if name == QUESTION:
            return [*said, Asked(request=number, question=_question(call, shape.optional_member(request, "input")))]
        question = Question(
            summary=self.calls.title(call) or name,
            category=category,
            tool=name,
            tool_use_id=call,
            input=request.get("input"),
            options=[
                AnswerOption(id="allow", label="Allow once", kind="allow_once"),
                AnswerOption(id="deny", label="Deny", kind="reject_once"),
            ],
        )
        return [*said, Asked(request=number, question=question, effects={"allow": "allow", "deny": "deny"})]

    def _answered(self, response: Json) -> list[Reading]:
        number = shape.text(response, "request_id")
        self._open.pop(number, None)
        allowed = shape.optional_member(response, "response").get("allowed")
        outcome = "allow" if allowed is True else "deny" if allowed is False else "withdrawn"
        said: list[Reading] = [Settled(request=number, outcome=outcome)]
        if outcome == "allow" or self._open:
            return said
        return [*said, Turn(id=f"turn-{self._turns}", result="interrupted"), Status(status="idle")]


def _question(call: str, given: Json) -> Question:
    asked = shape.items(given, "questions")
    return Question(
        summary=shape.text(asked[0], "question") if asked else "a question",
        category="question",
        tool=QUESTION,
        tool_use_id=call,
        questions=[dict(one) for one in asked],
        from_afar=IN_ITS_TERMINAL,
    )


def _error(message: Json) -> str | None:
    """Return the error that a message consists of; None for an answer of the model."""
    texts = [block.get("text") for block in shape.items(message, "content") if block.get("type") == "text"]
    text = texts[0] if len(texts) == 1 else None
    if not isinstance(text, str) or not text.startswith(ERROR):
        return None
    return error_text(text.removeprefix(ERROR).removesuffix("]"))
