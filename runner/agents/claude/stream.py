"""Output of a Claude Code without a terminal, line by line: stream-json and its control protocol. Pure.

Each line is one JSON object with a ``type``: system, assistant, user (tool results), result (the end of a turn),
control_request (the CLI asks us), control_response (it answers us), control_cancel_request.
"""

import uuid
from collections.abc import Mapping
from typing import Any, Literal, cast

import attrs

from townwatch.contracts.tasks import TaskSpec
from townwatch.runner.agents import events as a, shape
from townwatch.runner.agents.claude import tools
from townwatch.runner.agents.claude.hooks import EXIT_CODE, Heard
from townwatch.runner.agents.claude.tools import Json, fields_of, text_of
from townwatch.runner.agents.readings import error_text

RETRY_ALERT = "agent:model"


@attrs.define(kw_only=True)
class LineReading(Heard):
    """Meaning of one line. `request_id`: of the question, or of a request that cannot be answered (`unknown`);
    `cancelled`: a question that the CLI takes back; `shown`: the conversation as text for the terminal.
    """

    request_id: str | None = None
    given: Json = attrs.field(factory=dict[str, Any])
    unknown: str | None = None
    cancelled: str | None = None
    shown: str = ""


class ClaudeStream:
    """Reads the lines of one CLI process, in their order."""

    def __init__(self) -> None:
        self._calls: dict[str, tuple[str, Json]] = {}
        self._usage: dict[str, dict[str, float]] = {}
        self._turn = ""
        self._denied: set[str] = set()
        self._retries = False
        self.cli_session_id: str | None = None
        self.version: str | None = None

    def begin(self, text: str) -> str:
        """A prompt is given: a turn begins. Returns the prompt as shown."""
        self._turn = f"turn_{uuid.uuid4().hex[:12]}"
        return "".join(f"\x1b[1m> {line}\x1b[0m\r\n" for line in text.split("\n"))

    def read(self, message: Json) -> LineReading:
        """Return what a line means; nothing for one of an unknown kind.

        Raises `ShapeError` for a question that cannot be read: there is no answer to it.
        """
        said = LineReading()
        match message.get("type"):
            case "system":
                self._system(message, said)
            case "assistant":
                self._assistant(message, said)
            case "user":
                self._results(message, said)
            case "result":
                self._result(message, said)
            case "control_request":
                self._asks(message, said)
            case "control_cancel_request":
                said.cancelled = str(message.get("request_id", ""))
            case _:
                pass
        return said

    def _system(self, message: Json, said: LineReading) -> None:
        match message.get("subtype"):
            case "init":
                self.cli_session_id = _text(message.get("session_id"))
                self.version = _text(message.get("claude_code_version"))
                resume = ["claude", "--resume", self.cli_session_id] if self.cli_session_id else None
                said.events.append(
                    a.CliSession(
                        cli_session_id=self.cli_session_id,
                        model=_text(message.get("model")),
                        mode=_text(message.get("permissionMode")),
                        version=self.version,
                        resume=resume,
                    )
                )
            case "api_retry":
                self._retry(message, said)
            case _:
                pass

    def _retry(self, message: Json, said: LineReading) -> None:
        status = message.get("error_status")
        retry = a.ModelRetry(
            attempt=_count(message.get("attempt")) or 0,
            of=_count(message.get("max_retries")),
            delay_ms=_count(message.get("retry_delay_ms")),
            status=status if isinstance(status, int | str) else None,
        )
        said.events.append(retry)
        if not self._retries:
            self._retries = True
            title = f"the model does not answer ({retry.status})"
            said.events.append(a.Alert(id=RETRY_ALERT, title=title, description="The agent tries again."))

    def _assistant(self, message: Json, said: LineReading) -> None:
        if self._retries:
            self._retries = False
            said.events.append(a.Alert(id=RETRY_ALERT, title="the model answers again", severity="info"))
        inner = fields_of(message.get("message"))
        parent = _text(message.get("parent_tool_use_id"))
        blocks = inner.get("content")
        for number, block in enumerate(cast("list[Any]", blocks) if isinstance(blocks, list) else []):
            found = fields_of(block)
            if found.get("type") == "text" and found.get("text"):
                text = str(found["text"])
                message_id = f"{inner.get('id', self._turn)}.{message.get('uuid', '')[:8]}.{number}"
                said.events.append(a.AgentMessage(id=message_id, text=text))
                said.shown += _lines(text)
            elif found.get("type") == "tool_use":
                self._starts(found, parent, said)
        self._context(fields_of(inner.get("usage")), parent, said)

    def _starts(self, block: Json, parent: str | None, said: LineReading) -> None:
        call_id, name = str(block.get("id", "")), str(block.get("name", ""))
        given = fields_of(block.get("input"))
        self._calls[call_id] = name, given
        about = tools.title(name, given)
        tool = a.Tool(id=call_id, name=name, status="running", title=about, input=dict(given), parent=parent)
        said.events += [tool, *tools.started(call_id, name, given)]
        said.status = a.Status(status="busy")
        said.shown += f"\x1b[36m● {name}\x1b[0m {_plain(about)}\r\n"

    def _context(self, usage: Json, parent: str | None, said: LineReading) -> None:
        names = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")
        used = sum(_count(usage.get(name)) or 0 for name in names)
        if used and parent is None:
            said.events.append(a.ContextUsage(used=used))

    def _results(self, message: Json, said: LineReading) -> None:
        blocks = fields_of(message.get("message")).get("content")
        metas = message.get("tool_result_meta")
        decisions = {
            str(fields_of(one).get("id")): fields_of(fields_of(one).get("permission_decision")).get("decision")
            for one in (cast("list[Any]", metas) if isinstance(metas, list) else [])
        }
        for block in cast("list[Any]", blocks) if isinstance(blocks, list) else []:
            found = fields_of(block)
            if found.get("type") == "tool_result":
                call_id = str(found.get("tool_use_id", ""))
                denied = call_id in self._denied or decisions.get(call_id) == "reject"
                self._ends(call_id, found, denied, said)

    def _ends(self, call_id: str, block: Json, denied: bool, said: LineReading) -> None:
        name, given = self._calls.pop(call_id, ("", {}))
        output, failed = text_of(block.get("content")), block.get("is_error") is True
        how: Literal["ok", "failed", "denied"] = "denied" if denied else "failed" if failed else "ok"
        code: int | None = 0 if how == "ok" else None
        if how == "failed" and (found := EXIT_CODE.match(output)):
            code, output = int(found[1]), output[found.end() :]
        self._denied.discard(call_id)
        said.events.append(a.Tool(id=call_id, name=name, status=how, output=output or None))
        said.events += tools.ended(call_id, name, given, output, code, not denied)
        said.over[call_id] = "refused" if denied else "ran"
        said.shown += "".join(f"  {_plain(line)}\r\n" for line in output.splitlines()[-8:])

    def denied(self, call_id: str) -> None:
        """A call was answered no: its result is no failure of it."""
        self._denied.add(call_id)

    def _result(self, message: Json, said: LineReading) -> None:
        """The end of a turn, with what everything cost so far."""
        aborted = str(message.get("terminal_reason", "")).startswith("aborted")
        result: Literal["completed", "interrupted", "failed"] = (
            "interrupted" if aborted else "failed" if message.get("is_error") is True else "completed"
        )
        ms = _count(message.get("duration_ms"))
        why = _why(message) if result == "failed" else None
        said.events.append(a.Turn(id=self._turn or "turn", result=result, ms=ms, reason=why))
        self._spent(fields_of(message.get("modelUsage")), said)
        said.status = a.Status(status="idle")
        # A turn that came to its end by itself waits for nothing: what is still asked, a background agent asks.
        said.all_over = result != "completed"
        if result == "failed":
            said.shown += _lines(f"failed: {why}")
        said.shown += f"\x1b[2m— turn {result}\x1b[0m\r\n"

    def _spent(self, usage: Json, said: LineReading) -> None:
        """Compute what each model used since the last turn, from the running totals that the CLI reports."""
        for model, value in usage.items():
            now = fields_of(value)
            names = ("inputTokens", "cacheCreationInputTokens", "outputTokens", "cacheReadInputTokens", "costUSD")
            sums = {name: _number(now.get(name)) for name in names}
            before = self._usage.get(model, {})
            more = {name: max(0.0, sums[name] - before.get(name, 0.0)) for name in names}
            self._usage[model] = sums
            if any(more.values()):
                said.events.append(
                    a.Tokens(
                        input_tokens=int(more["inputTokens"] + more["cacheCreationInputTokens"]),
                        output_tokens=int(more["outputTokens"]),
                        cache_read_tokens=int(more["cacheReadInputTokens"]),
                        cost_usd=more["costUSD"],
                        model=model,
                    )
                )

    def _asks(self, message: Json, said: LineReading) -> None:
        request = fields_of(message.get("request"))
        said.request_id = str(message.get("request_id", ""))
        if request.get("subtype") != "can_use_tool":
            said.unknown = str(request.get("subtype"))
            return
        said.given = shape.mapping(request.get("input"), "can_use_tool.input")
        said.question = tools.question(
            shape.text(request, "tool_name"),
            said.given,
            request.get("permission_suggestions"),
            tool_use_id=_text(request.get("tool_use_id")),
            subagent=_text(request.get("agent_id")),
        )


def _why(message: Json) -> str | None:
    """Return why a turn failed: what the CLI would show, else its errors, else the kind of the failure."""
    errors = [one for one in shape.maybe_list(message.get("errors")) if isinstance(one, str)]
    return error_text(message.get("result"), "; ".join(errors), message.get("subtype"))


def user_message(text: str) -> dict[str, Any]:
    """A prompt, as the CLI reads it."""
    content = {"role": "user", "content": text}
    return {"type": "user", "message": content, "parent_tool_use_id": None, "session_id": ""}


def control_request(subtype: str, **fields: Any) -> dict[str, Any]:
    """A request of ours."""
    request = {"subtype": subtype, **fields}
    return {"type": "control_request", "request_id": f"tw_{uuid.uuid4().hex[:12]}", "request": request}


def control_response(request_id: str, response: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to a request of the CLI's."""
    inner = {"subtype": "success", "request_id": request_id, "response": dict(response)}
    return {"type": "control_response", "response": inner}


def control_error(request_id: str, error: str) -> dict[str, Any]:
    """The answer to a request that we do not know."""
    return {"type": "control_response", "response": {"subtype": "error", "request_id": request_id, "error": error}}


def task_prompt(task: TaskSpec) -> str:
    """The first prompt of a dispatched agent: the task, what binds it, and when it is done."""
    parts = task.words
    for heading, lines in (("Constraints", task.constraints), ("Done when", task.acceptance)):
        if lines:
            parts.append("\n".join([f"{heading}:", *(f"- {line}" for line in lines)]))
    return "\n\n".join(parts)


def _lines(text: str) -> str:
    return "".join(f"{_plain(line)}\r\n" for line in text.splitlines())


def _plain(text: str) -> str:
    """Replace each character that a terminal would act on, tabs apart, by a dot."""
    return "".join(one if one.isprintable() or one == "\t" else "·" for one in text)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _count(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 else None


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 else 0.0
