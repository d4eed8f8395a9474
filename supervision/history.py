"""The latest events of each actor, from the telemetry hook: to read when a node of the tree looks ill."""

import re
import time
from collections import OrderedDict
from collections.abc import Iterator
from operator import attrgetter
from typing import Any

import attrs

KEPT_EVENTS = 40
"""kept of each actor; the same event again and again is one with a count"""
KEPT_ACTORS = 1000
"""actors with events of note, and again as many of those that only started and stopped"""

_LABEL = re.compile(r"\S+ \((?P<path>.+)\)")
_COMING_AND_GOING = frozenset({"started", "stopped"})


@attrs.define
class HistoryEvent:
    """One event of an actor. at: epoch seconds, of the last of `count` that were alike; text: why, without contents."""

    at: float
    path: str
    event: str
    text: str
    incarnation: int | None = None
    count: int = 1


class History:
    """A ring of events for each actor. Subscribe `note` to the telemetry.

    A thousand clients that come and go do not push out what happened to the router: actors that only started and
    stopped are forgotten among themselves.
    """

    def __init__(self) -> None:
        self._calm: OrderedDict[str, list[HistoryEvent]] = OrderedDict()
        self._eventful: OrderedDict[str, list[HistoryEvent]] = OrderedDict()

    def note(self, event: str, fields: dict[str, Any]) -> None:
        """A telemetry subscriber."""
        path = _path_of(event, fields)
        if path is None:
            return
        ring = self._ring(path, event not in _COMING_AND_GOING)
        text, at = _words(event, fields), time.time()
        last = ring[-1] if ring else None
        if last is not None and event not in _COMING_AND_GOING and (last.event, last.text) == (event, text):
            last.at, last.count = at, last.count + 1
        else:
            del ring[: 1 - KEPT_EVENTS]  # a deque of its own would be most of a kilobyte, for each of thousands
            ring.append(HistoryEvent(at, path, event, text, fields.get("incarnation")))

    def of(self, path: str, limit: int = KEPT_EVENTS) -> list[HistoryEvent]:
        """The latest events at `path` and below, oldest first."""
        below = f"{path}/"
        found = [one for ring in self._rings() for one in ring if one.path == path or one.path.startswith(below)]
        return sorted(found, key=attrgetter("at"))[-limit:]

    def _rings(self) -> Iterator[list[HistoryEvent]]:
        yield from self._calm.values()
        yield from self._eventful.values()

    def _ring(self, path: str, eventful: bool) -> list[HistoryEvent]:
        """The actor's ring, as the one used last; makes room for it."""
        ring = self._eventful.pop(path, None)
        if ring is None:
            ring = self._calm.pop(path, None)
        else:
            eventful = True  # once noticed, it stays among those
        rings = self._eventful if eventful else self._calm
        rings[path] = [] if ring is None else ring
        if len(rings) > KEPT_ACTORS:
            rings.popitem(last=False)
        return rings[path]


def _path_of(event: str, fields: dict[str, Any]) -> str | None:
    """Return the path of the actor that an event is about; None for actors without a path."""
    match event:
        case "escalated":
            return fields["supervisor"]
        case "killed":
            return f"{fields['supervisor']}/{fields['child']}"
        case "mailbox_full" | "dead_letter":
            found = _LABEL.fullmatch(str(fields["actor" if event == "mailbox_full" else "to"]))
            path = found and found["path"]
            return None if not path or path.startswith("urn:") else path
        case _:
            return fields.get("path")


def _words(event: str, fields: dict[str, Any]) -> str:
    match event:
        case "stopped":
            return str(fields["reason"])
        case "crashed":
            return _crash(fields)
        case "restarted":
            return f"by {fields['supervisor']}"
        case "escalated":
            return f"gave up: {fields['recent']} failures in {fields['period']:g} s, the last of {fields['child']}"
        case "killed":
            return "did not stop in time"
        case "mailbox_full":
            return f"{fields['message']} refused: {fields['capacity']} messages wait ({fields['policy']})"
        case "dead_letter":
            return f"no actor will handle {fields['message_type']} ({fields['why']})"
        case _:
            return ""


def _crash(fields: dict[str, Any]) -> str:
    reason, report = str(fields["reason"]), fields.get("report")
    if report is None:
        return reason
    around = [
        "while starting" if report.phase == "starting" else "",
        f"last message {report.message_type}" if report.message_type else "",
        f"{report.waiting} waiting" if report.waiting else "",
        f"failure {report.recent} of {report.intensity} in {report.period:g} s",
    ]
    return f"{reason} ({', '.join(filter(None, around))})"
