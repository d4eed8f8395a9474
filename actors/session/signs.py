"""Signs of life of a session: their times by the service's own clock, and the last line that it printed. Pure.

The clock of a runner may be hours off. So no age is computed from it: each event counts for the moment at which the
service took it. Only what a runner still held when it connected is older than that, by as much as its own clock says.

A sign of work is output, a file, a test, a provider's event or input. A tick of usage is none: an idle shell ticks.
"""

import re
from collections.abc import Sequence

import attrs

from townwatch.contracts import events as e
from townwatch.contracts.agent_events import Landed
from townwatch.contracts.lists import SessionDiff

MINUTES = 15
"""Minutes of activity that are counted."""
LINE_CHARS = 200
_TAIL_CHARS = 4096
"""Characters of output in which the last line is looked for."""
_MINUTE_MS = 60_000
_BREAKS = re.compile(r"[\r\n\v\f]|\x1b\[[0-9;]*[ABEFGHJdf]|\x1b[DEMc]")
"""What begins a line, or goes to another place of the screen."""
_SEQUENCES = re.compile(
    r"\x1b(?:\[[0-?]*+[ -/]*+[@-~]|[PX^_\]][^\x07\x1b]*+(?:\x07|\x1b\\)?|[ -/]*+[0-~]|$|\[[0-?]*+[ -/]*+$)"
    r"|[\x00-\x08\x0e-\x1f\x7f-\x9f]"
)
TURN_ENDS = frozenset({"turn_end", "turn_ended", "turn_completed", "turn.completed", "turn_aborted"})
"""Types of providers' events that say that a turn is over."""
Received = Sequence[float] | float | None
"""When the service took events, epoch milliseconds: each, or all of them; None where that is not known."""


@attrs.frozen(kw_only=True)
class Signs:
    """Epoch milliseconds of the service's clock; None: not known."""

    heard_at: int | None = None
    """When it took the last event."""
    reported_at: float | None = None
    """When that event was made, by its runner's clock."""
    active_at: int | None = None
    """The last sign of work."""
    minute: int = 0
    """Number of the minute, since 1970, of the last of `counts`."""
    counts: list[int] = attrs.field(factory=list[int])
    """Signs of work a minute, oldest first."""
    state_at: int | None = None
    """Since when the session is in its state."""
    started_at: int | None = None
    ended_at: int | None = None
    turn_ended_at: int | None = None
    """When the last turn was over, as long as no other sign of work came after it."""
    line: str = ""
    """The last line with something on it, without controls."""
    tail: str = ""
    """Output after the last line break, as it came: the beginning of the line that is being written."""


def is_work(event: e.RunnerEvent) -> bool:
    """Return whether an event is a sign of work."""
    match event:
        case e.TerminalChunk(data=data):
            return data != ""
        case e.ProviderEventForwarded(provider_event=inner):
            return inner.get("type") not in ("terminal_resized", SessionDiff.TYPE, Landed.TYPE)  # people's; a last word
        case e.FileTouched() | e.DiffSummary() | e.TestRunStarted() | e.TestRunFinished():
            return True
        case _:
            return False


def after_events(signs: Signs, events: Sequence[e.RunnerEvent], received: Received) -> Signs:
    """The signs after more events, in order. Without a time of receipt nothing gets an age."""
    texts = [event.data for event in events if isinstance(event, e.TerminalChunk)]
    if texts:
        line, tail = last_line(signs.line, signs.tail, "".join(texts))
        signs = attrs.evolve(signs, line=line, tail=tail)
    if received is None or not events:
        return signs
    times = [received] * len(events) if isinstance(received, int | float) else received
    for event, at in zip(events, times, strict=True):
        if is_work(event):
            signs = after_work(signs, int(at))
        if isinstance(event, e.ProviderEventForwarded) and event.provider_event.get("type") in TURN_ENDS:
            signs = attrs.evolve(signs, turn_ended_at=int(at))
    return attrs.evolve(signs, heard_at=_later(signs.heard_at, int(times[-1])), reported_at=events[-1].said_at)


def after_work(signs: Signs, at: int) -> Signs:
    """Return the signs after one more sign of work. Time does not go back: none is older than the one before it."""
    at = _later(signs.active_at, at)
    minute = at // _MINUTE_MS
    counts = counts_at(signs, minute)
    if signs.active_at is None or not counts:
        counts = [0] * MINUTES
    counts[-1] += 1
    return attrs.evolve(signs, active_at=at, minute=minute, counts=counts, turn_ended_at=None)


def counts_at(signs: Signs, minute: int) -> list[int]:
    """The signs of work of the minutes up to and with this one, oldest first."""
    if not signs.counts:
        return [0] * MINUTES
    passed = min(MINUTES, max(0, minute - signs.minute))
    return [*signs.counts[passed:], *[0] * passed]


def activity(signs: Signs, now_ms: float) -> list[int]:
    """Return the signs of work in each of the last fifteen minutes, the one under way last."""
    return counts_at(signs, int(now_ms) // _MINUTE_MS)


def last_line(line: str, tail: str, text: str) -> tuple[str, str]:
    """The last readable line and the unfinished rest, after more output. `line` stays where nothing readable came."""
    whole = (tail + text)[-_TAIL_CHARS:]
    pieces = _BREAKS.split(whole)
    for piece in reversed(pieces):
        if shown := readable(piece):
            line = shown
            break
    return line, pieces[-1][-_TAIL_CHARS // 4 :]


def readable(text: str) -> str:
    """A line without controls, at most 200 characters."""
    shown = " ".join(_SEQUENCES.sub("", text).split())
    return shown if len(shown) <= LINE_CHARS else shown[: LINE_CHARS - 1] + "…"


def taken_at(event: e.RunnerEvent, now_ms: float, held: "HeldBack | None") -> float:
    """The moment that an event counts for, where the service takes it now."""
    if held is None or event.seq > held.last_seq:
        return now_ms
    return min(now_ms, event.said_at + held.clock_offset_ms)


@attrs.frozen
class HeldBack:
    """Events that a runner had of a session when it connected, and how far the service's clock is ahead of the
    runner's.
    """

    last_seq: int
    clock_offset_ms: float


def _later(known: int | None, at: int) -> int:
    return at if known is None else max(known, at)
