"""Results of parsers of agent CLIs beside the vocabulary of events.py, and what parsers share: the book of tool calls,
the arithmetic of token sums, and the words of errors.

Parsers are pure: a message in, readings out; no input or output, no clock.
"""

import difflib
import json
from collections import deque
from collections.abc import Iterable
from typing import Any, Literal

import attrs

from townwatch.contracts.answers import AllowFromAfar
from townwatch.runner.agents import shape
from townwatch.runner.agents.events import (
    OUTPUT_CHARS,
    AgentEvent,
    CommandEnded,
    CommandStarted,
    Fact,
    FileAccess,
    Question,
    Tokens,
    Tool,
)
from townwatch.runner.session.answering import Answer
from townwatch.runner.session.lifecycle import NotPossible

Effect = Literal["allow", "always", "deny", "never", "stop"]
Ended = Literal["ok", "failed", "denied"]
KINDS: dict[Effect, str] = {
    "allow": "allow_once",
    "always": "allow_always",
    "deny": "reject_once",
    "never": "reject_always",
    "stop": "reject_once",
}
"""`AnswerOption.kind` by what an option does: where a rule wants to be asked each time, the service lets none allow for
always.
"""


@attrs.frozen(kw_only=True)
class Asked:
    """The CLI asks a person. `request`: its own name of the question. `effects`: what each option does, by its id."""

    request: str
    question: Question
    effects: dict[str, Effect] = attrs.field(factory=dict[str, Effect])

    def option(self, *effects: Effect) -> str | None:
        """Return the id of the first option that has the first of these effects that there is."""
        return next((id_ for wanted in effects for id_, effect in self.effects.items() if effect == wanted), None)


@attrs.frozen(kw_only=True)
class Settled:
    """The CLI says that a question is over. `outcome` None: it does not say how."""

    request: str
    outcome: Literal["allow", "deny", "withdrawn"] | None = None


DIFF_LINES = 2000
ENDED_KEPT = 2000
"""Tool calls that have ended, of which a session remembers that they have."""


def allowing(effects: Iterable[Effect]) -> AllowFromAfar:
    """Return how a question with these options can be allowed."""
    known = set(effects)
    return "plain" if "allow" in known else "option" if "always" in known else "no"


def answer_to(question: str, *names: str, of: int, answer: Answer) -> list[str]:
    """Return a person's answer to one of `of` questions, by its text or another of its names; a single one may be
    answered by the label of an option. Raises `NotPossible`.
    """
    chosen = answer.answers or {}
    given: Any = next((chosen[name] for name in (question, *names) if chosen.get(name) is not None), None)
    if given is None and of == 1 and not chosen:
        given = answer.option_id
    if given is None:
        raise NotPossible(f"the question {question!r} has no answer")
    return [str(one) for one in (shape.maybe_list(given) or [given])]


Reading = AgentEvent | Fact | Asked | Settled


@attrs.define
class _Call:
    name: str = "tool"
    title: str | None = None
    input: Any = None
    command: str | None = None
    parent: str | None = None
    began: bool = False
    ended: bool = False
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    deletes: tuple[str, ...] = ()


@attrs.define
class ToolCalls:
    """The tool calls of one session: puts together what a CLI says in pieces, and says each change once."""

    _calls: dict[str, _Call] = attrs.field(factory=dict[str, _Call])
    _denied: set[str] = attrs.field(factory=set[str])
    _held: set[str] = attrs.field(factory=set[str])
    _ended: deque[str] = attrs.field(factory=deque[str])

    def seen(self, tool_id: str, *, began: bool = False, **known: Any) -> list[Reading]:
        """A call is known, or more of it is. `known`: name, title, input, command, parent, reads, writes, deletes; None
        stands for nothing new. `began`: it runs, so its command has started.
        """
        call = self._calls.get(tool_id)
        new = call is None
        call = call or self._calls.setdefault(tool_id, _Call())
        if call.ended:
            return []
        for name, value in known.items():
            before = getattr(call, name)
            if value and value != before:
                setattr(call, name, value)
                new = new or name in ("title", "name") or (name == "input" and before is None)
        said: list[Reading] = [self._tool(tool_id, call, "running")] if new else []
        return said + (self.began(tool_id) if began else [])

    def hold(self, tool_id: str) -> None:
        """A call waits for its permission: whatever its CLI says of it, its command has not started."""
        self._held.add(tool_id)

    def release(self, tool_id: str) -> list[Reading]:
        """A call that was waiting for its permission has it."""
        self._held.discard(tool_id)
        return self.began(tool_id)

    def began(self, tool_id: str) -> list[Reading]:
        """The command of a call runs."""
        call = self._calls.get(tool_id)
        if call is None or call.began or call.ended or call.command is None or tool_id in self._held:
            return []
        call.began = True
        return [CommandStarted(id=tool_id, command=call.command)]

    def deny(self, tool_id: str | None) -> None:
        """Note a refusal: the call's failure is a denial."""
        if tool_id is not None:
            self._denied.add(tool_id)

    def is_denied(self, tool_id: str) -> bool:
        """Return whether a refusal was noted of a call that has not ended."""
        return tool_id in self._denied

    def ended(
        self,
        tool_id: str,
        status: Ended,
        *,
        output: str | None = None,
        exit_code: int | None = None,
        ms: int | None = None,
        **known: Any,
    ) -> list[Reading]:
        """A call is over; the second time nothing is said."""
        said = self.seen(tool_id, **known)
        call = self._calls[tool_id]
        if call.ended:
            return []
        if status == "failed" and tool_id in self._denied:
            status = "denied"
        if status != "denied":
            said += self.release(tool_id)
        call.ended = True
        text = (output or "")[-OUTPUT_CHARS:] or None
        said.append(self._tool(tool_id, call, status, output=text, ms=ms))
        if call.began and call.command is not None:
            ran = status != "denied"
            said.append(CommandEnded(id=tool_id, output=output or "", exit_code=exit_code, ran=ran))
        if status == "ok":
            said += [FileAccess(path=path, reason="read") for path in call.reads]
            said += [FileAccess(path=path, reason="write") for path in call.writes]
            said += [FileAccess(path=path, reason="delete") for path in call.deletes]
        self._forget(tool_id)
        return said

    def _forget(self, tool_id: str) -> None:
        """Keep of a call that it has ended; of those that ended long ago, nothing."""
        self._calls[tool_id] = _Call(ended=True)
        self._denied.discard(tool_id)
        self._held.discard(tool_id)
        self._ended.append(tool_id)
        if len(self._ended) > ENDED_KEPT:
            self._calls.pop(self._ended.popleft(), None)

    def open(self) -> list[str]:
        """Return the calls that have not ended."""
        return [tool_id for tool_id, call in self._calls.items() if not call.ended]

    def close(self) -> list[Reading]:
        """End the calls that a turn's end left open: they were cut off."""
        return [reading for tool_id in self.open() for reading in self.ended(tool_id, "failed")]

    def title(self, tool_id: str) -> str | None:
        """Return what is known of a call in one line: its command or its title."""
        call = self._calls.get(tool_id)
        return None if call is None else call.command or call.title

    @staticmethod
    def _tool(tool_id: str, call: _Call, status: Any, **more: Any) -> Tool:
        running = status == "running"
        return Tool(
            id=tool_id,
            name=call.name,
            title=call.command or call.title,
            status=status,
            input=call.input if running else None,
            parent=call.parent,
            **more,
        )


@attrs.define
class TokenSums:
    """Differences of growing sums, one sum a key; a sum that fell has begun anew."""

    _last: dict[str, tuple[int, int, int, float]] = attrs.field(factory=dict[str, tuple[int, int, int, float]])

    def grown(
        self, key: str, *, input_tokens: int = 0, output_tokens: int = 0, cached: int = 0, cost_usd: float = 0.0
    ) -> list[Reading]:
        """Return what was added since the last sum under this key, or nothing."""
        new = (input_tokens, output_tokens, cached, cost_usd)
        old = self._last.get(key, (0, 0, 0, 0.0))
        self._last[key] = new
        if any(now < before for now, before in zip(new, old, strict=True)):
            old = (0, 0, 0, 0.0)
        added = [now - before for now, before in zip(new, old, strict=True)]
        if not any(added):
            return []
        tokens = Tokens(
            input_tokens=int(added[0]),
            output_tokens=int(added[1]),
            cache_read_tokens=int(added[2]),
            cost_usd=added[3] or None,
        )
        return [tokens]


def error_text(*said: Any) -> str | None:
    """Return the first text that says something of an error: of a model's that came whole as JSON, its message."""
    text = next((one.strip() for one in said if isinstance(one, str) and one.strip()), None)
    if text is None or not text.startswith("{"):
        return text
    try:
        error = shape.maybe(json.loads(text))
    except (ValueError, RecursionError):
        return text
    message = shape.maybe(error.get("error")).get("message") or error.get("message")
    return message if isinstance(message, str) and message else text


def diff(path: str, old: str, new: str) -> str:
    """Return an edit as a unified diff, cut after `DIFF_LINES` lines with a line that says by how much."""
    lines = list(difflib.unified_diff(old.splitlines(), new.splitlines(), path, path, lineterm=""))
    cut = [f"… {len(lines) - DIFF_LINES} more lines"] if len(lines) > DIFF_LINES else []
    return "\n".join(lines[:DIFF_LINES] + cut)
