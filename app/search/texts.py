"""Pieces of text that can be searched, made from the events of a session. What is no text for people is left out.

Events are taken as the log has them: with their secrets masked. What was cut in two by the events' borders is put
together here, so it is masked once more.
"""

from collections.abc import Iterator
from typing import Any, cast

from townwatch.actors.rendering.terminal import size_of
from townwatch.app.search.terminal import TerminalText
from townwatch.contracts import agent_events as a, events as e
from townwatch.contracts.secrets.shapes import masked_text
from townwatch.store.search.records import Kind, Piece

PIECE_CHARS = 2000
"""Longer text is kept in several pieces: a match leads to the place where it was said."""
EVENT_CHARS = 64_000
"""Text of one event that can be searched."""
APART_MS = 300
"""Lines of a terminal that come further apart are pieces of their own: the screen may be another one by then."""
_PATHS = 200
_TAIL = 64


class SessionTexts:
    """One session, event after event, in order."""

    def __init__(self) -> None:
        self._terminal = TerminalText()
        self._lines: list[str] = []
        self._chars = 0
        self._from = self._to = 0
        self._at = 0
        self._paths: dict[str, None] = {}
        """Paths that were told last: an agent touches the same file many times."""
        self._said: dict[str, str] = {}
        """Message that goes on → its last word, of which there may be more."""

    def take(self, event: e.RunnerEvent) -> Iterator[Piece]:
        """The pieces that are whole with this event."""
        if isinstance(event, e.TerminalChunk) and not event.left_out:
            yield from self._terminal_text(event, self._terminal.write(event.data))
            return
        if event.left_out:
            return
        size = size_of(event)
        if size is not None:
            self._terminal.resize(*size)
        for kind, text in self._texts(event):
            yield from _pieces(kind, text, event)
        if isinstance(event, e.SessionEnded):
            yield from self._terminal_text(event, self._terminal.rest())
            yield from self.flush()

    def flush(self) -> Iterator[Piece]:
        """The terminal's text that is waiting for more."""
        if self._lines:
            text = masked_text("\n".join(self._lines))
            self._lines, self._chars = [], 0
            yield Piece(kind="terminal", from_seq=self._from, seq=self._to, at_ms=self._at, text=text)

    def _terminal_text(self, event: e.RunnerEvent, lines: list[str]) -> Iterator[Piece]:
        if lines and abs(int(event.ts) - self._at) > APART_MS:
            yield from self.flush()
        for line in lines:
            for start in range(0, len(line), PIECE_CHARS):
                part = _clean(line[start : start + PIECE_CHARS])
                if not self._lines:
                    self._from = event.seq
                self._lines.append(part)
                self._chars += len(part)
                self._to, self._at = event.seq, int(event.ts)
                if self._chars >= PIECE_CHARS:
                    yield from self.flush()

    def _texts(self, event: e.RunnerEvent) -> Iterator[tuple[Kind, str]]:
        match event:
            case e.ProviderEventForwarded(provider_event=inner):
                yield from self._agent(a.from_provider_event(inner))
            case e.FileTouched(path=path):
                yield from self._path([path])
            case e.DiffSummary(files=files):
                yield from self._path([one.path for one in files[:_PATHS]])
            case e.TestRunStarted(command=command):
                yield "test", command
            case e.TestRunFinished(reason=str() as reason):
                yield "test", reason
            case e.ApprovalRequested(approval=approval):
                yield "approval", "\n".join([approval.summary, *_strings(approval.context)])
            case e.ApprovalResolved(note=str() as note):
                yield "approval", note
            case e.AlertRaised():
                yield "alert", f"{event.title}\n{event.description}"
            case e.SessionStateChanged(reason=str() as reason) | e.SessionEnded(reason=str() as reason):
                yield "state", reason
            case _:
                pass

    def _agent(self, told: a.AgentEvent | None) -> Iterator[tuple[Kind, str]]:
        match told:
            case a.Prompt(text=text) if not told.withdrawn and not told.queued:  # told again when the agent gets it
                yield "prompt", text
            case a.AgentMessage(id=message, text=text, final=final, role=role):
                whole = self._said.pop(message, "") + text
                if not final:
                    last = max(whole.rfind(" "), whole.rfind("\n")) + 1
                    self._said[message] = whole[last:][-_TAIL:]
                    if len(self._said) > _TAIL:
                        del self._said[next(iter(self._said))]
                    whole = whole[:last]
                yield ("prompt" if role == "user" else "message"), whole
            case a.Tool(status="running"):
                yield "tool", "\n".join([told.title or told.name, *_strings(told.input)])
            case a.Tool(output=str() as output):
                yield "tool", output
            case a.Worktree(branch=branch, reason=reason):
                yield "state", "\n".join(part for part in (branch, reason) if part)
            case _:
                pass

    def _path(self, paths: list[str]) -> Iterator[tuple[Kind, str]]:
        new = [path for path in paths if path not in self._paths]
        for path in new:
            self._paths[path] = None
        while len(self._paths) > _PATHS:
            del self._paths[next(iter(self._paths))]
        if new:
            yield "path", "\n".join(new)


def _pieces(kind: Kind, text: str, event: e.RunnerEvent) -> Iterator[Piece]:
    text = masked_text(_clean(text[:EVENT_CHARS]))
    start = 0
    while start < len(text):
        end = min(len(text), start + PIECE_CHARS)
        if end < len(text):  # between two words
            space = max(text.rfind(" ", start, end), text.rfind("\n", start, end))
            end = space + 1 if space > start else end
        if part := text[start:end].strip():
            yield Piece(kind=kind, from_seq=event.seq, seq=event.seq, at_ms=int(event.ts), text=part)
        start = end


def _strings(value: Any, depth: int = 4) -> Iterator[str]:
    """The texts in a JSON value, in order."""
    match value:
        case str():
            yield value
        case dict() if depth:
            for one in cast("dict[str, Any]", value).values():
                yield from _strings(one, depth - 1)
        case list() if depth:
            for one in cast("list[Any]", value):
                yield from _strings(one, depth - 1)
        case _:
            pass


def _clean(text: str) -> str:
    """The text without controls, and without what no database takes."""
    shown = text.encode("utf-8", "replace").decode()
    return "".join(char if char >= " " or char in "\n\t" else " " for char in shown if char != "\x7f")
