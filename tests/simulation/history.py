"""What was seen to happen, and what must never: the invariants that are checked as it happens."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from typing import Any, cast

import attrs
import trio

from tests.simulation.disk import Truth
from townwatch.contracts.translate import WORK_STREAM

TIMES = {"": ("ts",), "approval": ("requestedAt", "timeoutAt", "resolvedAt"), "providerEvent": ("since", "timestamp")}
"""The times of an event that the service sets right where its runner's clock is off."""

LINES = frozenset(kind.TYPE for kind in WORK_STREAM)
"""Runner events that are a line of the work stream."""


NOBODY_LEFT = ("session end", "timeout")
"""Who denies, by a runner's word, what was decided while it was too late."""


class Violation(AssertionError):
    """An invariant does not hold."""


@attrs.define(eq=False)
class History:
    """The trace and the counters of one run."""

    truth: Truth
    trace: list[str] = attrs.field(factory=list[str])
    counts: Counter[str] = attrs.field(factory=Counter[str])
    violations: list[str] = attrs.field(factory=list[str])
    accepted: dict[str, set[tuple[str, str | None]]] = attrs.field(factory=lambda: defaultdict(set))
    """approval → every decision that anybody was told is on its way to the runner."""
    answers: dict[str, set[tuple[str, str | None]]] = attrs.field(factory=lambda: defaultdict(set))
    """approval → every decision that anybody was told stands."""
    statuses: dict[str, str] = attrs.field(factory=dict[str, str])
    """runner → what the service said of it last, in this life."""
    pending: Callable[[], set[str]] = set
    """Approvals that wait, and were shown as waiting to everybody who was there."""

    def note(self, *what: Any) -> None:
        try:
            now = f"{trio.current_time():.6f}"
        except RuntimeError:  # after the end
            now = "end"
        self.trace.append(f"{now} {' '.join(map(str, what))}")

    def count(self, what: str) -> None:
        self.counts[what] += 1

    def check(self, holds: bool, what: str) -> None:
        """An invariant. The first that does not hold ends the run."""
        if not holds:
            self.note("VIOLATION", what)
            self.violations.append(what)

    def acked(self, session_id: str, seq: int) -> None:
        """A runner was told that everything up to `seq` is durable."""
        stored, spooled = self.truth.stored.get(session_id, []), self.truth.spooled.get(session_id, [])
        self.note("acked", session_id, seq)
        if not self.granted(session_id, "acknowledged", seq):
            return
        have = [number for number, _ in stored[:seq]]
        self.check(have == list(range(1, seq + 1)), f"{session_id}: acknowledged up to {seq}, stored {have[-1:]}")
        same = all(same_event(body, spooled[number - 1]) for number, body in stored[:seq])
        self.check(same, f"{session_id}: what is stored is not what the runner sent")

    def granted(self, session_id: str, what: str, seq: int) -> bool:
        """Nothing of a session in a village that its runner was not granted is ever acknowledged or shown."""
        granted = not seq or session_id not in self.truth.ungranted
        self.check(granted, f"{session_id} is in a village that its runner was not granted, and {what}: {seq}")
        return granted

    def answered(self, approval_id: str, decision: str, by: str | None, confirmed: bool) -> None:
        """Somebody was told that this decision stands, for good or until its runner has said how it ended."""
        self.note("answered", approval_id, decision, by, confirmed)
        told = (self.answers if confirmed else self.accepted)[approval_id]
        told.add((decision, by))
        self.check(bool(by), f"{approval_id}: decided by nobody")
        self.check(len(told) == 1, f"{approval_id}: decided as {sorted(told)}")
        self.consistent(approval_id, self.answers[approval_id])

    def consistent(self, approval_id: str, ended: set[tuple[str, str | None]]) -> None:
        """How it ended is how it was decided, or a no because nobody was left to hear of it."""
        accepted = self.accepted[approval_id]
        overtaken = all(decision == "deny" and by in NOBODY_LEFT for decision, by in ended)
        said = f"{approval_id}: accepted as {accepted}, ended as {ended}"
        self.check(not accepted or not ended or ended == accepted or overtaken, said)


@attrs.define(eq=False)
class Seen:
    """What one page shows, and in which order it came."""

    name: str
    history: History
    last: dict[str, int] = attrs.field(factory=dict[str, int])
    states: dict[str, str] = attrs.field(factory=dict[str, str])
    waiting: dict[str, str] = attrs.field(factory=dict[str, str])
    """approval → session, of those that wait for a decision."""
    decided: dict[str, str] = attrs.field(factory=dict[str, str])
    alerts: set[str] = attrs.field(factory=set[str])
    whole: bool = True
    """Whether it begins with all that was ever shown; else with what comes, and what is still pending."""
    terminals: dict[str, int] = attrs.field(factory=dict[str, int])
    """session → the last output that its terminal showed, of those that are followed."""
    watched: set[str] = attrs.field(factory=set[str])
    """Sessions whose terminal it has opened: their text is not repeated in the work stream."""
    statuses: dict[str, str] = attrs.field(factory=dict[str, str])
    """agent → what was said last of it since this page came (what was before, it would ask for)."""
    lines: dict[str, list[tuple[int, Any]]] = attrs.field(factory=lambda: defaultdict(list))
    _types: dict[str, list[str]] = attrs.field(factory=lambda: defaultdict(list))

    def since(self) -> dict[str, int] | None:
        """None for who comes new, and wants what is now."""
        return dict(self.last) if self.whole or self.last else None

    def knows(self, waited: set[str]) -> None:
        """It has joined; `waited` were pending before."""
        missing = (waited & self.history.pending()) - self.waiting.keys() - self.decided.keys()
        self.history.check(not missing, f"{self.name}: joined, and was not shown that these wait: {sorted(missing)}")

    def take(self, event: str, payload: Any) -> None:
        """One message, in the order in which it came."""
        if not self.history.granted(_session_of(payload), f"shown to {self.name}", 1):
            return
        match event:
            case "work_stream_event":
                self._line(payload)
            case "gap":
                self.history.note(self.name, "gap", payload)
                self.history.count("gap")
                session_id = payload["sessionId"]
                self.last[session_id] = max(self.last.get(session_id, 0), payload["to"])
            case "terminal_output":
                self._terminal(payload)
            case "agent_update":
                self.history.note(self.name, payload["agentId"], payload["status"])
                self.statuses[payload["agentId"]] = payload["status"]
                if payload["status"] == "DETACHED":
                    self.history.count("detached")
            case "alert_raised":
                self.alerts.add(payload["alertId"])
            case "approval_requested":
                if payload["approvalId"] not in self.decided:
                    self.waiting[payload["approvalId"]] = payload["sessionId"]
            case "approval_resolved":
                self._resolved(payload["approvalId"], payload["decision"])
            case _:
                pass

    def _terminal(self, shown: Mapping[str, Any]) -> None:
        session_id, seq, check = shown["sessionId"], shown["seq"], self.history.check
        self.history.note(self.name, "terminal", session_id, seq, shown.get("snapshot", False))
        self.history.count("terminal snapshot" if shown.get("snapshot") else "terminal output")
        check(
            seq <= self.history.truth.last(session_id), f"{self.name}: the terminal shows {seq}, which is not durable"
        )
        last = self.terminals.get(session_id)
        if last is not None and not shown.get("snapshot"):
            kinds = self._kinds(session_id)
            missed = [one for one in range(last + 1, seq) if kinds[one - 1] == "TERMINAL_CHUNK"]
            check(seq > last, f"{self.name}: the terminal of {session_id} shows {seq} after {last}")
            check(not missed, f"{self.name}: the terminal of {session_id} shows {seq} after {last}, without {missed}")
        self.terminals[session_id] = seq
        self.watched.add(session_id)

    def _resolved(self, approval_id: str, decision: str) -> None:
        self.waiting.pop(approval_id, None)
        before = self.decided.setdefault(approval_id, decision)
        self.history.check(before == decision, f"{self.name}: {approval_id} was shown as {before}, then as {decision}")

    def _line(self, line: Mapping[str, Any]) -> None:
        session_id, seq = line["sessionId"], line["seq"]
        check, last = self.history.check, self.last.get(session_id, 0)
        self.history.note(self.name, session_id, seq)
        check(seq > last, f"{self.name}: {session_id} shows {seq} after {last}: twice, or out of order")
        stored = self.history.truth.last(session_id)
        check(seq <= stored, f"{self.name}: {session_id} shows {seq}, and only {stored} is durable")
        if self.whole or session_id in self.last:
            self._nothing_between(session_id, last, seq)
        self.last[session_id] = max(last, seq)
        self.lines[session_id].append((seq, line))
        payload = line["payload"]
        if line["type"] == "status_change":
            if "approval" in payload:
                if payload["approval"]["approvalId"] not in self.decided:
                    self.waiting[payload["approval"]["approvalId"]] = session_id
            elif "approvalId" in payload:
                self._resolved(payload["approvalId"], payload["decision"])
            else:
                self.states[session_id] = payload["newState"]
        elif line["type"] == "session_end":
            self.waiting = {known: of for known, of in self.waiting.items() if of != session_id}

    def _kinds(self, session_id: str) -> list[str]:
        spooled, types = self.history.truth.spooled[session_id], self._types[session_id]
        while len(types) < len(spooled):
            types.append(json.loads(spooled[len(types)])["type"])
        return types

    def _nothing_between(self, session_id: str, after: int, until: int) -> None:
        """What was not shown between two lines has no line, or its text came as terminal output."""
        types, watched = self._kinds(session_id), session_id in self.watched
        lines = LINES - {"TERMINAL_CHUNK"} if watched else LINES
        missed = [seq for seq in range(after + 1, until) if types[seq - 1] in lines]
        self.history.check(not missed, f"{self.name}: {session_id} shows {until} after {after}, without {missed}")

    def joined(self, positions: Mapping[str, int]) -> None:
        """A join was answered: everything up to these was shown."""
        for session_id, seq in positions.items():
            last = self.last.get(session_id, 0)
            if seq > last:
                self._nothing_between(session_id, last, seq + 1)
                self.last[session_id] = seq

    def behind(self) -> str:
        """Which line of which session was not shown yet; "" when all were."""
        for session_id in self.history.truth.spooled:
            last, types = self.last.get(session_id, 0), self._kinds(session_id)
            if any(kind in LINES for kind in types[last:]):
                return f"{session_id} after {last}"
        for session_id, last in self.terminals.items():
            if "TERMINAL_CHUNK" in self._kinds(session_id)[last:]:
                return f"the terminal of {session_id} after {last}"
        return ""


def _session_of(payload: Any) -> str:
    """The session that a message to a person is about; empty where it names none."""
    return str(cast("dict[str, Any]", payload).get("sessionId", "")) if isinstance(payload, dict) else ""


def same_event(stored: bytes, sent: bytes) -> bool:
    """Return whether an event was stored as it was sent; where the service dated it, all but its times."""
    if stored == sent:
        return True
    ours, theirs = json.loads(stored), json.loads(sent)
    if ours.pop("reportedTs", None) != theirs["ts"]:
        return False
    for fields in (ours, theirs):
        for part, names in TIMES.items():
            for name in names:
                inner = fields.get(part) if part else fields
                if inner is not None:
                    inner.pop(name, None)
    return ours == theirs
