"""What must be true afterwards, whatever was killed. Every finding is one line; no finding is a pass."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from tests.chaos.nemesis.workload import Answer, heard_of, lines_of
from tests.support.whole_log import read_all
from townwatch.contracts.codec import decode_json
from townwatch.store.log.read import LogReader

SILENT = {"USAGE_TICK", "ALERT_RAISED"}
"""What has no line in the work stream."""
LOST = "runner process lost"
Journal = Mapping[str, Sequence[dict[str, Any]]]
Told = dict[str, tuple[str, str | None]]


def read_journal(path: Path) -> dict[str, list[dict[str, Any]]]:
    """session → its events in order of position, which must be their order of seq."""
    reader = LogReader(path)
    found: dict[str, list[dict[str, Any]]] = {}
    try:
        position = 0
        while records := read_all(reader, position, limit=10_000, max_bytes=1 << 28):
            position = records[-1].position
            for record in records:
                found.setdefault(record.session_id, []).append(decode_json(record.body))
    finally:
        reader.close()
    return found


@attrs.define(eq=False)
class Judge:
    """Collects what is wrong."""

    journal: Journal
    findings: list[str] = attrs.field(factory=list)
    lines: int = 0
    seen: int = 0
    summary: str = ""

    def _wrong(self, text: str) -> None:
        self.findings.append(text)

    def numbers(self) -> None:
        """No hole and no repeat in any session."""
        for session, events in self.journal.items():
            seqs = [event["seq"] for event in events]
            if seqs != list(range(1, len(seqs) + 1)):
                at = next(i for i, seq in enumerate(seqs) if seq != i + 1)
                self._wrong(f"{session}: numbers {seqs[max(0, at - 2) : at + 3]} at place {at + 1}")

    def spools(self, owed: Mapping[str, Mapping[int, Any]]) -> None:
        """What a killed runner had on its disk is in the journal, as it was."""
        for session, events in owed.items():
            stored = {event["seq"]: event for event in self.journal.get(session, [])}
            for seq, event in events.items():
                if stored.get(seq) != event:
                    self._wrong(f"{session}: event {seq} was spooled as {event} and is stored as {stored.get(seq)}")

    def programs(self, folder: Path, names: Sequence[str], lost: set[str]) -> None:
        """Lines 1..n of every program once and in order; all of them where its runner was not killed."""
        for name in names:
            wrote, ended = lines_of(folder, name)
            path = folder / f"{name}.session"
            if not path.exists() or not wrote:
                continue  # it never began
            session = path.read_text()
            events = self.journal.get(session, [])
            text = "".join(event["data"] for event in events if event["type"] == "TERMINAL_CHUNK")
            lines = [int(number) for number in re.findall(rf"{name}:(\d+)\.", text)]
            self.lines += len(lines)
            if lines != list(range(1, len(lines) + 1)):
                at = next(i for i, line in enumerate(lines) if line != i + 1)
                self._wrong(f"{name}: lines {lines[max(0, at - 2) : at + 3]} at place {at + 1}")
            # It notes a line before it writes it: who is killed by a signal may have noted one more.
            least = 0 if session in lost else wrote if ended else wrote - 1
            if not least <= len(lines) <= wrote:
                why = events[-1].get("reason") if events else "no events"
                self._wrong(
                    f"{name}: {len(lines)} lines are stored, it wrote {wrote} (ended: {ended}, {why}) {session}"
                )
            self._end(name, session, events, ended, session in lost)

    def _end(self, name: str, session: str, events: Sequence[dict[str, Any]], ended: bool, lost: bool) -> None:
        last = events[-1] if events else {"type": "nothing"}
        if last["type"] != "SESSION_ENDED":
            return self._wrong(f"{name}: the last event of {session} is {last['type']}, not SESSION_ENDED")
        if sum(event["type"] == "SESSION_ENDED" for event in events) != 1:
            self._wrong(f"{name}: {session} ended more than once")
        states = [event["newState"] for event in events if event["type"] == "SESSION_STATE_CHANGED"]
        if not states or states[-1] != last["finalState"]:
            self._wrong(f"{name}: {session} ended {last['finalState']} after the states {states}")
        if lost:
            if last.get("reason") != LOST:
                self._wrong(f"{name}: its runner was killed, and it ended {last['finalState']}, {last.get('reason')!r}")
        elif last.get("reason") == LOST:
            self._wrong(f"{name}: it ended as lost, and its runner was not killed")
        elif ended and (last["finalState"], last.get("exitCode")) != ("COMPLETED", 0):
            self._wrong(f"{name}: it came to its end, and is told as {last}")

    def views(self, sessions: Sequence[dict[str, Any]], waiting: Sequence[dict[str, Any]]) -> None:
        """What REST says of sessions is what the journal says."""
        known = {one["sessionId"]: one for one in sessions}
        for session, events in self.journal.items():
            view, last = known.get(session), events[-1]
            if view is None:
                self._wrong(f"{session} is in the journal and not in the list of sessions")
            elif (view["state"], view["lastEventSeq"]) != (last.get("finalState"), last["seq"]):
                self._wrong(f"{session}: {view['state']} at {view['lastEventSeq']} in REST, {last} in the journal")
            elif view["pendingApprovals"]:
                self._wrong(f"{session} has ended, and approvals wait: {view['pendingApprovals']}")
        self.findings += [f"approval {one['approvalId']} still waits, everything has ended" for one in waiting]

    # --- approvals ----------------------------------------------------------------------------------------------------

    def approvals(self, answers: Sequence[Answer], folder: Path, names: Sequence[str], lost: set[str]) -> Counter[str]:
        """Decided once, and everybody who was told was told the same."""
        counts: Counter[str] = Counter()
        resolved = self._resolutions(lost, counts)
        told: dict[str, set[str]] = {}
        for answer in answers:
            counts[f"answered {answer.status}"] += 1
            stands = answer.decision if answer.status == 200 else answer.standing
            if stands is not None:
                told.setdefault(answer.approval_id, set()).add(stands)
        for approval, decisions in told.items():
            if len(decisions) > 1:
                self._wrong(f"{approval}: people were told {sorted(decisions)}")
            decision, by = resolved.get(approval, (None, None))
            if decision is not None and decision not in decisions:
                counts["crossed with the session's end"] += 1
                if by != "session end":
                    self._wrong(
                        f"{approval}: people were told {sorted(decisions)}, the journal says {decision} by {by}"
                    )
        self._heard(folder, names, resolved)
        return counts

    def _resolutions(self, lost: set[str], counts: Counter[str]) -> Told:
        resolved: Told = {}
        for session, events in self.journal.items():
            asked = [event["approval"]["approvalId"] for event in events if event["type"] == "APPROVAL_REQUESTED"]
            answered = [event for event in events if event["type"] == "APPROVAL_RESOLVED"]
            counts["asked"] += len(asked)
            for event in answered:
                if event["approvalId"] in resolved or event["approvalId"] not in asked:
                    self._wrong(f"{session}: {event['approvalId']} resolved again, or never asked")
                resolved[event["approvalId"]] = (event["decision"], event.get("resolvedBy"))
                counts[event["decision"]] += 1
            missing = set(asked) - set(resolved)
            if missing and session not in lost:
                self._wrong(f"{session}: nobody resolved {sorted(missing)}")
            counts["lost with their runner"] += len(missing)
        return resolved

    def _heard(self, folder: Path, names: Sequence[str], resolved: Told) -> None:
        asked = {
            event["approval"]["summary"]: event["approval"]["approvalId"]
            for events in self.journal.values()
            for event in events
            if event["type"] == "APPROVAL_REQUESTED"
        }
        for name in names:
            for question, status in heard_of(folder, name).items():
                if status not in (0, 1):
                    continue  # it was told that nobody could be asked
                decision, _ = resolved.get(asked.get(question, ""), (None, None))
                if decision is not None and decision != ("allow" if status == 0 else "deny"):
                    self._wrong(f"{question}: it heard {status}, the journal says {decision}")

    # --- clients ------------------------------------------------------------------------------------------------------

    def client(self, story: dict[str, Any]) -> None:
        """Every event of its rooms once and in order, or the gap told."""
        number = story["number"]
        for problem in story["problems"][:5]:
            self._wrong(f"client {number}: {problem}")
        gaps = story["gaps"]
        followed = {one["session"] for one in story["wanted"] if "session" in one}
        for session, events in self.journal.items():
            work = [event["seq"] for event in events if event["type"] not in SILENT]
            in_work = story["seen"]["work"].get(session, [])
            worked = set(in_work)
            if session not in followed:
                self._compare(number, "work", session, work, in_work, gaps)
                continue
            # Text comes once: as terminal output while followed, else in the work stream. Sizes have a number too.
            chunks = {event["seq"] for event in events if event["type"] == "TERMINAL_CHUNK"}
            sizes = {event["seq"] for event in events if event["type"] == "PROVIDER_EVENT_FORWARDED"}
            in_terminal = story["seen"]["terminal"].get(session, [])
            due_in_work = [seq for seq in work if seq not in chunks or seq in worked]
            self._compare(number, "work", session, due_in_work, in_work, gaps)
            shown = set(in_terminal)
            due = [seq for seq in sorted(chunks | sizes) if seq in shown or (seq in chunks and seq not in worked)]
            self._compare(number, "terminal", session, due, in_terminal, gaps)
        self._resolved_once(story)

    def _compare(
        self, number: int, stream: str, session: str, due: list[int], seen: list[int], gaps: list[dict[str, Any]]
    ) -> None:
        self.seen += len(seen)
        had = set(seen)
        if sorted(had) != seen:
            self._wrong(f"client {number}: {stream} of {session} out of order")
        told = [(gap["from"], gap["to"]) for gap in gaps if gap.get("sessionId") == session]
        missing = [seq for seq in due if seq not in had and not any(low < seq <= high for low, high in told)]
        if missing:
            self._wrong(
                f"client {number}: {stream} of {session} lacks {_short(missing)} of {len(due)}, gaps told: {told}"
            )
        if extra := had - set(due):
            self._wrong(
                f"client {number}: {stream} of {session} has {_short(sorted(extra))}, which is not in the journal"
            )

    def _resolved_once(self, story: dict[str, Any]) -> None:
        due = {
            event["approvalId"]: event["decision"]
            for events in self.journal.values()
            for event in events
            if event["type"] == "APPROVAL_RESOLVED"
        }
        told = Counter(tuple(one) for one in story["resolved"])
        for (approval, decision), times in told.items():
            if due.get(approval) != decision:
                self._wrong(
                    f"client {story['number']}: told {decision} for {approval}, the journal: {due.get(approval)}"
                )
            if times > 1 and not story["counts"]["repeats"]:
                self._wrong(f"client {story['number']}: told {times} times of {approval}")
        if not story["gaps"] and (never := set(due) - {approval for approval, _ in told}):
            self._wrong(f"client {story['number']}: never told of {sorted(never)[:5]}")

    def worth(self, counts: Counter[str]) -> None:
        """A test in which nothing happened proves nothing."""
        if not (self.lines and self.seen and counts["asked"] and counts["allow"] and counts["deny"]):
            self._wrong(f"too little happened: {self.lines} lines, {self.seen} seen, approvals {dict(counts)}")

    def summarise(
        self, approvals: Counter[str], stories: Sequence[dict[str, Any]], restarts: Sequence[float], lost: set[str]
    ) -> None:
        """The figures, for who runs it by hand."""
        self.worth(approvals)
        totals: Counter[str] = Counter()
        for story in stories:
            totals.update(story["counts"])
        self.summary = (
            f"{sum(map(len, self.journal.values()))} events of {len(self.journal)} sessions ({len(lost)} lost with"
            f" their runner), {self.lines} lines; {len(stories)} clients saw {self.seen} events, {dict(totals)},"
            f" {sum(len(story['gaps']) for story in stories)} gaps told; approvals {dict(approvals)}; the service was"
            f" ready again after {sorted(restarts)[len(restarts) // 2]:.1f} s (median), {max(restarts):.1f} s (longest)"
        )


def _short(seqs: list[int]) -> str:
    return str(seqs) if len(seqs) < 8 else f"{seqs[:4]}…{seqs[-2:]} ({len(seqs)})"
