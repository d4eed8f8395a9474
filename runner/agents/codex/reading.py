"""Read the messages of Codex's app-server: JSON in, readings out, no input or output.

A server has threads: the one of the terminal or of the order, and those of subagents (they have a parent). What is said
of a thread carries its id; statuses are kept for each, and the agent's status is that of all together.
"""

import shlex
from collections.abc import Sequence
from typing import Any

import attrs

from townwatch.contracts.events import Category
from townwatch.runner.agents import shape
from townwatch.runner.agents.codex.history import TURN_RESULTS, has_ended, is_conversation
from townwatch.runner.agents.events import (
    AgentMessage,
    AgentPlan,
    AnswerOption,
    CliSession,
    ContextUsage,
    FromAfar,
    ModelRetry,
    PlanItem,
    Prompt,
    Question,
    Status,
    Subagent,
    Turn,
)
from townwatch.runner.agents.readings import (
    KINDS,
    Asked,
    Effect,
    Ended,
    Reading,
    Settled,
    TokenSums,
    ToolCalls,
    allowing,
    diff,
    error_text,
)
from townwatch.runner.agents.shape import Json, ShapeError

ITEM_STATUS: dict[str, Ended | None] = {
    "inProgress": None,
    "completed": "ok",
    "failed": "failed",
    "interrupted": "failed",
    "declined": "denied",
}
PLAN_STATUS = {"pending": "pending", "inProgress": "in_progress", "completed": "completed"}
QUESTIONS: dict[str, Category] = {
    "item/commandExecution/requestApproval": "shell",
    "item/fileChange/requestApproval": "edit",
    "item/permissions/requestApproval": "other",
    "item/tool/requestUserInput": "question",
}
"""Requests of the server to its clients that ask a person."""
DECISIONS: dict[str, tuple[str, Effect]] = {
    "accept": ("Yes, this once", "allow"),
    "acceptForSession": ("Yes, and do not ask again in this session", "always"),
    "decline": ("No, and go on", "deny"),
    "cancel": ("No, and stop the turn", "stop"),
}
TOOLS = frozenset({"commandExecution", "fileChange", "mcpToolCall", "dynamicToolCall", "webSearch", "imageView"})


@attrs.define
class CodexReader:
    """Reads what one server says."""

    calls: ToolCalls = attrs.field(factory=ToolCalls)
    _threads: dict[str, str] = attrs.field(factory=dict[str, str])
    _subagents: set[str] = attrs.field(factory=set[str])
    _aside: set[str] = attrs.field(factory=set[str])
    _streamed: set[str] = attrs.field(factory=set[str])
    _told: set[str] = attrs.field(factory=set[str])
    """Prompts, messages and turns: a thread's history may hold them a second time."""
    _edits: dict[str, str] = attrs.field(factory=dict[str, str])
    _asked: dict[str, str] = attrs.field(factory=dict[str, str])
    _sums: TokenSums = attrs.field(factory=TokenSums)
    _failing: bool = False

    def thread(self, thread: Json, settings: Json | None = None) -> list[Reading]:
        """Read a thread, as in the answers to `thread/start` and `thread/resume` and in `thread/started`."""
        thread_id = shape.text(thread, "id")
        if shape.optional_text(thread, "parentThreadId"):
            new = thread_id not in self._subagents
            self._subagents.add(thread_id)
            name = shape.optional_text(thread, "agentNickname") or "subagent"
            parent = shape.optional_text(thread, "parentThreadId")
            return [Subagent(id=thread_id, name=name, status="running", parent=parent)] if new else []
        policy = (settings or {}).get("approvalPolicy")
        if not is_conversation(thread):
            self._aside.add(thread_id)
            return []
        about = CliSession(
            cli_session_id=thread_id,
            model=shape.optional_text(thread, "model") or shape.optional_text(settings or {}, "model"),
            mode=policy if isinstance(policy, str) else None,
            version=shape.optional_text(thread, "cliVersion"),
            resume=["codex", "resume", thread_id],
        )
        return [about, *self._status(thread_id, shape.member(thread, "status"))]

    def history(self, thread: Json, since: float) -> list[Reading]:
        """Read what a thread already holds of the turns that began after `since` (epoch s): we may come after them."""
        said: list[Reading] = []
        if not is_conversation(thread):
            return said
        for turn in shape.items(thread, "turns"):
            if shape.number(turn, "startedAt", since) < since:
                continue
            for item in shape.items(turn, "items"):
                said += self._item(item, ended=False)
                if item.get("completedAtMs") is not None:
                    said += self._item(item, ended=True)
            if has_ended(turn):
                said += self._turn_ended({"threadId": thread["id"], "turn": turn})
        return said

    def is_aside(self, thread_id: str) -> bool:
        """Return whether a thread is one that Codex itself asks for a title or a summary."""
        return thread_id in self._aside

    def notification(self, method: str, params: Json) -> list[Reading]:
        """Read a notification. One that this adapter does not use is nothing. Raises `ShapeError`."""
        match method:
            case "thread/started":
                return self.thread(shape.member(params, "thread"))
            case "thread/status/changed":
                return self._status(shape.text(params, "threadId"), shape.member(params, "status"))
            case "thread/closed":
                self._threads.pop(shape.text(params, "threadId"), None)
                return []
            case "turn/completed":
                return self._turn_ended(params)
            case "turn/plan/updated":
                return [_plan(params)]
            case "item/started":
                return self._item(shape.member(params, "item"), ended=False)
            case "item/completed":
                return self._item(shape.member(params, "item"), ended=True)
            case "item/agentMessage/delta":
                item_id = shape.text(params, "itemId")
                self._streamed.add(item_id)
                return [AgentMessage(id=item_id, text=shape.text(params, "delta"), final=False)]
            case "item/commandExecution/outputDelta":
                return self.calls.release(shape.text(params, "itemId"))
            case "thread/tokenUsage/updated":
                return self._tokens(params)
            case "serverRequest/resolved":
                return self._resolved(params)
            case "error":
                return self._error(params)
            case _:
                return []

    def asked(self, request: str, method: str, params: Json) -> list[Reading]:
        """Read a request that asks a person: one of `QUESTIONS`. Raises `ShapeError`."""
        item_id = shape.text(params, "itemId")
        self._asked[request] = item_id
        self.calls.hold(item_id)
        effects: dict[str, Effect] = {}
        options: list[AnswerOption] = []
        for offered in shape.values(params, "availableDecisions") or ["accept", "decline", "cancel"]:
            if isinstance(offered, str) and offered in DECISIONS:
                label, effects[offered] = DECISIONS[offered]
                options.append(AnswerOption(id=offered, label=label, kind=KINDS[effects[offered]]))
        if "decline" not in effects:
            label, effects["decline"] = DECISIONS["decline"]
            options.append(AnswerOption(id="decline", label=label, kind=KINDS["deny"]))
        category = QUESTIONS[method]
        questions = shape.items(params, "questions") if category == "question" else []
        command = shape.optional_text(params, "command")
        reason = shape.optional_text(params, "reason")
        summary = (_command(command) if command else None) or self.calls.title(item_id) or reason or "a permission"
        if questions:
            summary = shape.text(questions[0], "question")
        question = Question(
            summary=summary,
            category=category,
            tool={"shell": "command", "edit": "edit"}.get(category, method),
            tool_use_id=item_id,
            input={name: params[name] for name in ("command", "cwd", "reason", "permissions") if params.get(name)},
            cwd=shape.optional_text(params, "cwd"),
            diff=self._edits.get(item_id) if category == "edit" else None,
            options=[] if questions else options,
            questions=[dict(one) for one in questions] if questions else None,
            from_afar=_from_afar(questions, effects),
            suggestions=params.get("proposedExecpolicyAmendment"),
        )
        return [Asked(request=request, question=question, effects=effects)]

    @property
    def status(self) -> str:
        """The status of all threads together: waiting before busy before idle; starting where there is none yet."""
        known = set(self._threads.values())
        return next((status for status in ("waiting", "busy", "idle") if status in known), "starting")

    def _status(self, thread_id: str, status: Json) -> list[Reading]:
        kind, flags = shape.text(status, "type"), shape.texts(status, "activeFlags")
        if thread_id in self._aside:
            return []
        match kind:
            case "active":
                self._threads[thread_id] = "waiting" if flags else "busy"
            case "idle" | "systemError":  # after a turn that failed, which says why; it takes the next prompt
                self._threads[thread_id] = "idle"
            case "notLoaded":
                self._threads.pop(thread_id, None)
            case _:
                raise ShapeError(f"thread status: {kind} is not known")
        ended: list[Reading] = []
        if thread_id in self._subagents and kind != "active":
            ended.append(Subagent(id=thread_id, name="subagent", status="ok"))
        return [*ended, Status(status=self.status)]  # type: ignore[arg-type]

    def _turn_ended(self, params: Json) -> list[Reading]:
        turn = shape.member(params, "turn")
        status = shape.text(turn, "status")
        if status not in TURN_RESULTS:
            raise ShapeError(f"turn.status: {status} is not known")
        if shape.text(params, "threadId") in self._subagents:
            return []
        if self._is_told(shape.text(turn, "id")):
            return []
        ms = shape.whole(turn, "durationMs", 0)
        went_on = self._went_on()
        why = _why(shape.optional_member(turn, "error"))
        ended = Turn(id=shape.text(turn, "id"), result=TURN_RESULTS[status], ms=ms, reason=why)
        return [*went_on, *self.calls.close(), ended]

    def _is_told(self, identity: str) -> bool:
        told = identity in self._told
        self._told.add(identity)
        return told

    def _item(self, item: Json, *, ended: bool) -> list[Reading]:
        kind, item_id = shape.text(item, "type"), shape.text(item, "id")
        if kind == "userMessage":
            return [] if ended or self._is_told(item_id) else [Prompt(text=_texts(item), id=item_id)]
        if kind == "agentMessage":
            if not ended or self._is_told(item_id):
                return []
            text = "" if item_id in self._streamed else shape.text(item, "text")
            return [*self._went_on(), AgentMessage(id=item_id, text=text, final=True)]
        return self._tool(kind, item_id, item, ended=ended) if kind in TOOLS else []

    def _tool(self, kind: str, item_id: str, item: Json, *, ended: bool) -> list[Reading]:
        known = self._known(kind, item_id, item)
        status = shape.optional_text(item, "status") or ("completed" if ended else "inProgress")
        if status not in ITEM_STATUS:
            raise ShapeError(f"item.status: {status} is not known")
        result = ITEM_STATUS[status]
        if not ended or result is None:
            begun = kind == "commandExecution" and shape.optional_text(item, "processId") is not None
            return self.calls.seen(item_id, began=begun, **known)
        exit_code = item.get("exitCode")
        return self.calls.ended(
            item_id,
            result,
            output=shape.optional_text(item, "aggregatedOutput"),
            exit_code=exit_code if isinstance(exit_code, int) else None,
            ms=shape.whole(item, "durationMs", 0),
            **known,
        )

    def _known(self, kind: str, item_id: str, item: Json) -> dict[str, Any]:
        match kind:
            case "commandExecution":
                command = _command(shape.text(item, "command"))
                actions = shape.items(item, "commandActions")
                reads = [action.get("path") for action in actions if action.get("type") == "read"]
                paths = tuple(path for path in reads if isinstance(path, str))
                return {"name": "command", "command": command, "input": {"command": command}, "reads": paths}
            case "fileChange":
                changes = shape.items(item, "changes")
                self._edits[item_id] = "\n".join(_change(change) for change in changes)
                paths = [shape.text(change, "path") for change in changes]
                deleted = [path for path, change in zip(paths, changes, strict=True) if _kind(change) == "delete"]
                return {
                    "name": "edit",
                    "title": "edit " + ", ".join(paths),
                    "input": {"paths": paths},
                    "writes": tuple(path for path in paths if path not in deleted),
                    "deletes": tuple(deleted),
                }
            case "mcpToolCall":
                name = f"{shape.text(item, 'server')}.{shape.text(item, 'tool')}"
                return {"name": name, "title": name, "input": item.get("arguments")}
            case _:
                title = shape.optional_text(item, "query") or shape.optional_text(item, "path") or kind
                return {"name": shape.optional_text(item, "tool") or kind, "title": title}

    def _tokens(self, params: Json) -> list[Reading]:
        usage = shape.member(params, "tokenUsage")
        total, last = shape.member(usage, "total"), shape.member(usage, "last")
        said = self._sums.grown(
            shape.text(params, "threadId"),
            input_tokens=shape.whole(total, "inputTokens"),
            output_tokens=shape.whole(total, "outputTokens"),
            cached=shape.whole(total, "cachedInputTokens", 0),
        )
        size = shape.whole(usage, "modelContextWindow", 0) or None
        return [*said, ContextUsage(used=shape.whole(last, "totalTokens"), size=size)]

    def _resolved(self, params: Json) -> list[Reading]:
        number = params.get("requestId")
        if isinstance(number, bool) or not isinstance(number, int | str):
            raise ShapeError("requestId: a number or a text is expected")
        request = f'"{number}"' if isinstance(number, str) else str(number)
        self._asked.pop(request, None)
        return [Settled(request=request)]

    def _error(self, params: Json) -> list[Reading]:
        error = shape.member(params, "error")
        if params.get("willRetry") is not True:
            return []
        self._failing = True
        return [ModelRetry(attempt=1, status=shape.text(error, "message")[:200])]

    def _went_on(self) -> list[Reading]:
        """Say that a failing model answers again."""
        failing, self._failing = self._failing, False
        return [ModelRetry(attempt=0)] if failing else []


def _from_afar(questions: Sequence[Json], effects: dict[str, Effect]) -> FromAfar:
    """Return what may be said from afar: no secret that Codex asks a person to type passes through us."""
    if any(one.get("isSecret") is True for one in questions):
        return FromAfar(allow="no", note="no", changed_input=False, why="it asks for a secret: type it in its terminal")
    allow = "plain" if questions else allowing(effects.values())
    why = "" if allow == "plain" else "Codex offers no answer that allows this once"
    return FromAfar(allow=allow, note="no", changed_input=False, why=why)


def _plan(params: Json) -> AgentPlan:
    steps = shape.items(params, "plan")
    items = [
        PlanItem(text=shape.text(step, "step"), status=PLAN_STATUS.get(shape.text(step, "status"), "pending"))
        for step in steps
    ]
    return AgentPlan(items=items)


def _command(command: str) -> str:
    """Return what a shell is given to run, without the shell itself: ``/bin/bash -lc 'make test'`` → ``make test``."""
    try:
        words = shlex.split(command)
    except ValueError:
        return command
    is_shell = len(words) == 3 and words[0].rpartition("/")[2] in ("bash", "sh", "zsh") and words[1] in ("-lc", "-c")
    return words[2] if is_shell else command


def _why(error: Json) -> str | None:
    """Return what a turn's error says, with its details."""
    said = [error_text(shape.optional_text(error, name)) for name in ("message", "additionalDetails")]
    return ": ".join(text for text in said if text) or None


def _texts(item: Json) -> str:
    return "\n".join(shape.text(part, "text") for part in shape.items(item, "content") if part.get("type") == "text")


def _kind(change: Json) -> str:
    return shape.text(shape.member(change, "kind"), "type")


def _change(change: Json) -> str:
    """Return one changed file as a diff; Codex gives a new file as its whole text."""
    path, text = shape.text(change, "path"), shape.text(change, "diff")
    if _kind(change) == "add":
        return diff(path, "", text)
    return diff(path, text, "") if _kind(change) == "delete" else f"--- {path}\n+++ {path}\n{text}"
