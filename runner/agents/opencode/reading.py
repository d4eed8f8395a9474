"""Read the events of OpenCode's server (GET /event): JSON in, readings out, no input or output."""

from typing import Any

import attrs

from townwatch.contracts.events import Category
from townwatch.runner.agents import shape
from townwatch.runner.agents.events import (
    AgentMessage,
    AgentPlan,
    AnswerOption,
    CliSession,
    FromAfar,
    ModelRetry,
    PlanItem,
    Prompt,
    Question,
    Status,
    Subagent,
    Tokens,
    Turn,
)
from townwatch.runner.agents.readings import KINDS, Asked, Effect, Reading, Settled, ToolCalls, error_text
from townwatch.runner.agents.shape import Json, ShapeError

REPLIES: dict[str, Any] = {"once": "allow", "always": "allow", "reject": "deny"}
EFFECTS: dict[str, Effect] = {"once": "allow", "always": "always", "reject": "deny"}
CATEGORIES: dict[str, Category] = {"bash": "shell", "edit": "edit", "webfetch": "network", "websearch": "network"}
EDITS, READS = frozenset({"edit", "write", "patch", "multiedit", "apply_patch"}), frozenset({"read"})


@attrs.define
class OpenCodeReader:
    """Reads what one server says. `root`: the newest conversation of a person's; subagents have conversations too."""

    calls: ToolCalls = attrs.field(factory=ToolCalls)
    root: str | None = None
    _busy: dict[str, str] = attrs.field(factory=dict[str, str])
    _children: dict[str, str] = attrs.field(factory=dict[str, str])
    _users: set[str] = attrs.field(factory=set[str])
    _prompted: set[str] = attrs.field(factory=set[str])
    _turns: dict[str, str] = attrs.field(factory=dict[str, str])
    _outcome: dict[str, tuple[str, str | None]] = attrs.field(factory=dict[str, tuple[str, str | None]])
    """Conversation → how its turn will have ended, and why it failed."""
    _counted: set[str] = attrs.field(factory=set[str])
    _streamed: set[str] = attrs.field(factory=set[str])
    _said: set[str] = attrs.field(factory=set[str])
    _told: CliSession | None = None
    _retrying: bool = False

    def event(self, event: Json) -> list[Reading]:
        """Read one event. One that this adapter does not use is nothing. Raises `ShapeError`."""
        kind, properties = shape.text(event, "type"), shape.optional_member(event, "properties")
        match kind:
            case "session.created" | "session.updated":
                return self.session(shape.member(properties, "info"))
            case "session.status":
                return self.status_of(shape.text(properties, "sessionID"), shape.member(properties, "status"))
            case "session.error":
                return self._error(properties)
            case "message.updated":
                return self._message(shape.member(properties, "info"))
            case "message.part.updated":
                return self._part(shape.member(properties, "part"))
            case "message.part.delta":
                return self._delta(properties)
            case "todo.updated":
                return self._todos(properties)
            case "permission.asked":
                return [self.permission(properties)]
            case "permission.replied":
                reply = shape.text(properties, "reply")
                return [Settled(request=shape.text(properties, "requestID"), outcome=REPLIES.get(reply))]
            case "question.asked":
                return [self.question(properties)]
            case "question.replied" | "question.rejected":
                outcome = "allow" if kind == "question.replied" else "deny"
                return [Settled(request=shape.text(properties, "requestID"), outcome=outcome)]
            case _:
                return []

    def session(self, info: Json) -> list[Reading]:
        """Read a conversation, as in `session.created`."""
        session_id = shape.text(info, "id")
        parent = shape.optional_text(info, "parentID")
        if parent is not None:
            new = session_id not in self._children
            self._children[session_id] = name = shape.optional_text(info, "title") or "subagent"
            return [Subagent(id=session_id, name=name, status="running", parent=parent)] if new else []
        self.root = session_id
        model = shape.optional_member(info, "model")
        name = f"{model['providerID']}/{model['id']}" if {"providerID", "id"} <= set(model) else None
        about = CliSession(
            cli_session_id=session_id,
            model=name,
            mode=shape.optional_text(info, "agent"),
            version=shape.optional_text(info, "version"),
            resume=["opencode", "--session", session_id],
        )
        changed, self._told = about != self._told, about
        return [about] if changed else []

    def status_of(self, session_id: str, status: Json) -> list[Reading]:
        """Read the status of one conversation."""
        kind = shape.text(status, "type")
        if kind not in ("idle", "busy", "retry"):
            raise ShapeError(f"session.status: {kind} is not known")
        said: list[Reading] = []
        if kind == "retry":
            self._retrying = True
            text = shape.optional_text(status, "message")
            said.append(ModelRetry(attempt=shape.whole(status, "attempt", 1), status=text and text[:200]))
        elif self._retrying:
            self._retrying = False
            said.append(ModelRetry(attempt=0))
        if kind != "idle":
            self._busy[session_id] = kind
            return [*said, Status(status=self.status)]
        was_busy = self._busy.pop(session_id, None) is not None
        if session_id in self._children:
            ended = Subagent(id=session_id, name=self._children[session_id], status="ok")
            return [*said, *([ended] if was_busy else []), Status(status=self.status)]
        if was_busy:
            outcome: tuple[Any, str | None] = self._outcome.pop(session_id, ("completed", None))
            turn = self._turns.get(session_id, session_id)
            said += [*self.calls.close(), Turn(id=turn, result=outcome[0], reason=outcome[1])]
        return [*said, Status(status=self.status)]

    @property
    def status(self) -> Any:
        """The status of all conversations together, questions aside."""
        return "busy" if self._busy else "idle"

    def permission(self, asked: Json) -> Asked:
        """Read a permission that waits, as in `permission.asked` and GET /permission."""
        kind, details = shape.text(asked, "permission"), shape.optional_member(asked, "metadata")
        patterns, always = shape.texts(asked, "patterns"), shape.texts(asked, "always")
        call = shape.optional_text(shape.optional_member(asked, "tool"), "callID")
        if call is not None:
            self.calls.hold(call)
        command = details.get("command")
        path = details.get("filepath") or details.get("filePath")
        summary = next((text for text in (command, path) if isinstance(text, str)), "") or ", ".join(patterns) or kind
        labels = {"once": "Allow once", "always": "Always allow " + ", ".join(always), "reject": "Reject"}
        offered = [reply for reply in labels if always or reply != "always"]
        session_id = shape.text(asked, "sessionID")
        question = Question(
            summary=summary,
            category=CATEGORIES.get(kind, "other"),
            tool=kind,
            tool_use_id=call,
            input={name: value for name, value in details.items() if name != "diff"},
            diff=shape.optional_text(details, "diff"),
            options=[AnswerOption(id=reply, label=labels[reply], kind=KINDS[EFFECTS[reply]]) for reply in offered],
            suggestions=always or None,
            from_afar=FromAfar(note="deny", changed_input=False),
            subagent=self._children.get(session_id),
        )
        effects: dict[str, Effect] = {reply: EFFECTS[reply] for reply in offered}
        return Asked(request=shape.text(asked, "id"), question=question, effects=effects)

    def question(self, asked: Json) -> Asked:
        """Read a question of the agent, as in `question.asked` and GET /question."""
        questions = shape.items(asked, "questions")
        first = shape.text(questions[0], "question") if questions else "a question"
        question = Question(
            summary=first,
            category="question",
            tool="question",
            tool_use_id=shape.optional_text(shape.optional_member(asked, "tool"), "callID"),
            questions=[_choices(one) for one in questions],
            subagent=self._children.get(shape.text(asked, "sessionID")),
        )
        return Asked(request=shape.text(asked, "id"), question=question)

    def _message(self, info: Json) -> list[Reading]:
        message, session_id = shape.text(info, "id"), shape.text(info, "sessionID")
        if shape.text(info, "role") == "user":
            self._users.add(message)
            if session_id not in self._children:
                self._turns[session_id] = message
        return []

    def _part(self, part: Json) -> list[Reading]:
        kind, part_id, message = shape.text(part, "type"), shape.text(part, "id"), shape.text(part, "messageID")
        match kind:
            case "text" if message in self._users:
                return self._prompt(part, message)
            case "text" | "reasoning":
                ended = shape.optional_member(part, "time").get("end") is not None
                if not ended or part_id in self._said:
                    return []
                self._said.add(part_id)
                text = "" if part_id in self._streamed else shape.text(part, "text")
                role = "thought" if kind == "reasoning" else "assistant"
                return [AgentMessage(id=part_id, text=text, role=role, final=True)]
            case "tool":
                return self._tool(part)
            case "step-finish" if part_id not in self._counted:
                self._counted.add(part_id)
                return [_tokens(part)]
            case _:
                return []

    def _prompt(self, part: Json, message: str) -> list[Reading]:
        child = shape.text(part, "sessionID") in self._children
        if part.get("synthetic") is True or message in self._prompted or child:
            return []
        self._prompted.add(message)
        return [Prompt(text=shape.text(part, "text"), id=message)]

    def _delta(self, properties: Json) -> list[Reading]:
        if shape.text(properties, "field") != "text":
            return []
        part = shape.text(properties, "partID")
        self._streamed.add(part)
        return [AgentMessage(id=part, text=shape.text(properties, "delta"), final=False)]

    def _tool(self, part: Json) -> list[Reading]:
        call, name, state = shape.text(part, "callID"), shape.text(part, "tool"), shape.member(part, "state")
        given = shape.optional_member(state, "input")
        path, command = given.get("filePath"), given.get("command")
        paths = (path,) if isinstance(path, str) else ()
        known: dict[str, Any] = {
            "name": name,
            "title": shape.optional_text(state, "title") or (paths[0] if paths else name),
            "input": dict(given),
            "command": command if isinstance(command, str) else None,
            "reads": paths if name in READS else (),
            "writes": paths if name in EDITS else (),
            "parent": self._children.get(shape.text(part, "sessionID")),
        }
        match shape.text(state, "status"):
            case "pending" | "running":
                return self.calls.seen(call, **known)
            case "completed":
                code = shape.optional_member(state, "metadata").get("exit")
                exit_code = code if isinstance(code, int) else None
                output = shape.optional_text(state, "output")
                return self.calls.ended(call, "ok", output=output, exit_code=exit_code, ms=_ms(state), **known)
            case "error":
                error = shape.optional_text(state, "error")
                return self.calls.ended(call, "failed", output=error, ms=_ms(state), **known)
            case other:
                raise ShapeError(f"tool.state.status: {other} is not known")

    def _todos(self, properties: Json) -> list[Reading]:
        todos = shape.items(properties, "todos")
        items = [PlanItem(text=shape.text(t, "content"), status=shape.text(t, "status")) for t in todos]
        return [AgentPlan(items=items)]

    def _error(self, properties: Json) -> list[Reading]:
        session_id = shape.optional_text(properties, "sessionID")
        error = shape.optional_member(properties, "error")
        if session_id is not None:
            data = shape.maybe(error.get("data"))
            aborted = error.get("name") == "MessageAbortedError"
            self._outcome[session_id] = (
                ("interrupted", None)
                if aborted
                else ("failed", error_text(data.get("message"), error.get("message"), error.get("name")))
            )
        return []


def _choices(question: Json) -> Json:
    """Return a question in the words of `Question.questions`: OpenCode has its own for several answers, and for one's
    own words.
    """
    several, own = question.get("multiple") is True, question.get("custom") is not False
    return {**question, "multiSelect": several, **({} if own else {"freeText": False})}


def _ms(state: Json) -> int | None:
    time = shape.optional_member(state, "time")
    if time.get("start") is None or time.get("end") is None:
        return None
    return max(0, shape.whole(time, "end") - shape.whole(time, "start"))


def _tokens(part: Json) -> Tokens:
    tokens = shape.member(part, "tokens")
    cached = shape.whole(shape.optional_member(tokens, "cache"), "read", 0)
    return Tokens(
        input_tokens=shape.whole(tokens, "input") + cached,
        output_tokens=shape.whole(tokens, "output"),
        cache_read_tokens=cached,
        cost_usd=shape.number(part, "cost", 0.0) if part.get("cost") is not None else None,
    )
