"""Oracle of a campaign: what must be true after any fault. Pure, from recorded facts; a finding is one line.

The programs noted what they wrote, the service says (by REST) what it stored, the viewers noted what they saw, and the
people what they were told.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from townwatch.chaos.campaign.program import ProgramLog

SILENT = frozenset({"USAGE_TICK", "ALERT_RAISED"})
"""Event types without a line in the work stream."""
BY_THE_END = "session end"
"""The resolver of approvals that were undecided when their session ended."""
Journal = Mapping[str, Sequence[dict[str, Any]]]
"""session → its events, in the order of the log."""


@attrs.frozen
class DecisionReply:
    """The reply to one person's decision: `standing` is the decision on record, None where there was nothing to
    decide any more.
    """

    approval: str
    decision: str
    standing: str | None


@attrs.frozen(kw_only=True)
class ViewerLog:
    """Events that a viewer received. `seen`: (stream, session) → seqs in the order they came; `followed`: sessions
    whose terminal it followed; `gaps`: (session, from, to].
    """

    number: int
    seen: Mapping[tuple[str, str], Sequence[int]]
    followed: Sequence[str] = ()
    gaps: Sequence[tuple[str, int, int]] = ()
    resolved: Sequence[tuple[str, str]] = ()
    problems: Sequence[str] = ()
    came_again: int = 0
    asked_again: int = 0


@attrs.define(eq=False)
class Oracle:
    """Reads the books. `lost`, `twice`: lines, events and views that are missing or there more than once."""

    journal: Journal
    findings: list[str] = attrs.field(factory=list)
    lines: int = 0
    views: int = 0
    lost: int = 0
    twice: int = 0
    counts: Counter[str] = attrs.field(factory=Counter)

    @property
    def events(self) -> int:
        return sum(len(events) for events in self.journal.values())

    def audit(
        self, program_logs: Sequence[ProgramLog], answers: Sequence[DecisionReply], viewer_logs: Sequence[ViewerLog]
    ) -> None:
        """Check everything."""
        for session, events in self.journal.items():
            self._sequence(f"{session}: numbers", [event["seq"] for event in events], len(events))
        for log in program_logs:
            self._program(log)
        self._approvals(program_logs, answers)
        for viewer_log in viewer_logs:
            self._viewer_log(viewer_log)
        if not (self.lines and self.views):
            self.findings.append(f"too little happened: {self.lines} lines were stored, {self.views} events were seen")

    def _sequence(self, what: str, found: Sequence[int], due: int) -> None:
        """Check that numbers are 1, 2 … up to at least `due`."""
        missing = set(range(1, max(due, max(found, default=0)) + 1)) - set(found)
        repeated = len(found) - len(set(found))
        self.lost += len(missing)
        self.twice += repeated
        if missing:
            self.findings.append(f"{what} lack {short(missing)}")
        if repeated:
            self.findings.append(f"{what} repeat {short(n for n, times in Counter(found).items() if times > 1)}")
        if not missing and not repeated and list(found) != sorted(found):
            self.findings.append(f"{what} are out of order")

    # --- programs ---------------------------------------------------------------------------------------

    def _program(self, log: ProgramLog) -> None:
        if log.session is None:
            return  # it never began
        events = self.journal.get(log.session, [])
        text = "".join(event["data"] for event in events if event["type"] == "TERMINAL_CHUNK")
        lines = [int(number) for number in re.findall(rf"{log.name}:(\d+)\.", text)]
        self.lines += len(lines)
        # It notes a line before it writes it: who did not come to the end may have noted one more.
        self._sequence(f"{log.name}: lines", lines, log.wrote if log.ended else log.wrote - 1)
        if max(lines, default=0) > log.wrote:
            self.findings.append(f"{log.name}: line {max(lines)} is stored, it wrote {log.wrote}")
        last = events[-1] if events else {"type": "nothing"}
        if last["type"] != "SESSION_ENDED":
            self.findings.append(f"{log.name}: the last event of {log.session} is {last['type']}")
        elif last["finalState"] != "COMPLETED" or (not log.ended and not _denied(events)):
            why = last.get("reason")
            self.findings.append(
                f"{log.name}: ended {last['finalState']} ({why}), {'after' if log.ended else 'before'} its own end"
            )

    # --- approvals --------------------------------------------------------------------------------------

    def _approvals(self, program_logs: Sequence[ProgramLog], answers: Sequence[DecisionReply]) -> None:
        asked = {
            event["approval"]["approvalId"]: event["approval"]["summary"]
            for event in self._of_type("APPROVAL_REQUESTED")
        }
        resolved: dict[str, tuple[str, str | None]] = {}
        for event in self._of_type("APPROVAL_RESOLVED"):
            if event["approvalId"] in resolved or event["approvalId"] not in asked:
                self.findings.append(f"{event['approvalId']} was resolved again, or never asked")
            resolved[event["approvalId"]] = (event["decision"], event.get("resolvedBy"))
        self.findings += [f"approval {one} was never resolved" for one in asked if one not in resolved]
        self.counts.update(asked=len(asked), **Counter(decision for decision, _ in resolved.values()))
        self._told(answers, resolved)
        heard = {question: status for log in program_logs for question, status in log.heard.items()}
        for approval, question in asked.items():
            decision, _ = resolved.get(approval, (None, None))
            status = heard.get(question)
            if decision is not None and status in (0, 1) and decision != ("allow" if status == 0 else "deny"):
                self.findings.append(f"{question}: it heard {status}, the journal says {decision}")

    def _told(self, answers: Sequence[DecisionReply], resolved: Mapping[str, tuple[str, str | None]]) -> None:
        told: dict[str, set[str]] = {}
        for answer in answers:
            if answer.standing is not None:
                told.setdefault(answer.approval, set()).add(answer.standing)
        for approval, decisions in told.items():
            decision, by = resolved.get(approval, (None, None))
            if len(decisions) > 1 or (by != BY_THE_END and decision not in decisions):
                self.findings.append(f"{approval}: people were told {sorted(decisions)}, the journal says {decision}")

    def _of_type(self, kind: str) -> Iterable[dict[str, Any]]:
        return (event for events in self.journal.values() for event in events if event["type"] == kind)

    # --- viewers ----------------------------------------------------------------------------------------

    def _viewer_log(self, viewer_log: ViewerLog) -> None:
        self.twice += viewer_log.came_again
        self.counts.update(gaps=len(viewer_log.gaps))
        self.findings += [f"viewer {viewer_log.number}: {problem}" for problem in viewer_log.problems]
        for session, events in self.journal.items():
            work = [event["seq"] for event in events if event["type"] not in SILENT]
            if session not in viewer_log.followed:
                self._view(viewer_log, "work", session, work)
                continue
            # Text comes once: as terminal output while followed, else in the work stream. Sizes have a number too.
            chunks = {event["seq"] for event in events if event["type"] == "TERMINAL_CHUNK"}
            sizes = {event["seq"] for event in events if event["type"] == "PROVIDER_EVENT_FORWARDED"}
            in_work = set(viewer_log.seen.get(("work", session), ()))
            in_terminal = set(viewer_log.seen.get(("terminal", session), ()))
            self._view(viewer_log, "work", session, [n for n in work if n not in chunks or n in in_work])
            due = [n for n in sorted(chunks | sizes) if n in in_terminal or (n in chunks and n not in in_work)]
            self._view(viewer_log, "terminal", session, due)
        due = {event["approvalId"]: event["decision"] for event in self._of_type("APPROVAL_RESOLVED")}
        for (approval, decision), times in Counter(viewer_log.resolved).items():
            if due.get(approval) != decision:
                self.findings.append(
                    f"viewer {viewer_log.number}: told {decision} for {approval}, the journal says {due.get(approval)}"
                )
            if times > 1 and not viewer_log.asked_again:
                self.findings.append(f"viewer {viewer_log.number}: told {times} times of {approval}")
        never = set(due) - {approval for approval, _ in viewer_log.resolved}
        if never and not viewer_log.gaps:
            self.findings.append(f"viewer {viewer_log.number}: never told of {sorted(never)[:3]}")

    def _view(self, viewer_log: ViewerLog, stream: str, session: str, due: Sequence[int]) -> None:
        """Check that a viewer saw each event once and in order, or was told a gap."""
        seen = viewer_log.seen.get((stream, session), ())
        self.views += len(seen)
        what = f"viewer {viewer_log.number}: {stream} of {session}"
        told = [(low, high) for gap, low, high in viewer_log.gaps if gap == session]
        missing = [n for n in set(due) - set(seen) if not any(low < n <= high for low, high in told)]
        self.lost += len(missing)
        if missing:
            self.findings.append(f"{what} lacks {short(missing)} of {len(due)}")
        if extra := set(seen) - set(due):
            self.findings.append(f"{what} has {short(extra)}, not in the journal")
        if list(seen) != sorted(set(seen)):
            self.findings.append(f"{what} is out of order")


def short(numbers: Iterable[int]) -> str:
    """The first few of them, in order."""
    found = sorted(numbers)
    return str(found) if len(found) < 8 else f"{found[:4]}…{found[-2:]} ({len(found)})"


def _denied(events: Sequence[dict[str, Any]]) -> bool:
    """Return True if an approval was denied: the program may end for that reason."""
    return any(event["type"] == "APPROVAL_RESOLVED" and event["decision"] == "deny" for event in events)
