"""The campaign's judge can say no: each way in which something can be lost or doubled is a finding."""

from typing import Any

import attrs
import pytest

from townwatch.chaos.campaign.oracle import DecisionReply, Oracle, ViewerLog
from townwatch.chaos.campaign.program import ProgramLog


def journal_of(lines: list[int], *, seqs: list[int] | None = None, decision: str = "allow") -> dict[str, Any]:
    """A session whose program p1 wrote these lines, asked once, and came to its end."""
    events: list[dict[str, Any]] = [{"type": "SESSION_STARTED"}]
    events += [{"type": "TERMINAL_CHUNK", "data": f"p1:{line}.\r\n"} for line in lines]
    events.append({"type": "APPROVAL_REQUESTED", "approval": {"approvalId": "a1", "summary": "p1 asks 1"}})
    events.append({"type": "APPROVAL_RESOLVED", "approvalId": "a1", "decision": decision, "resolvedBy": "Owner"})
    events.append({"type": "USAGE_TICK"})
    events.append({"type": "SESSION_ENDED", "finalState": "COMPLETED"})
    numbers = seqs or range(1, len(events) + 1)
    return {"s1": [{**event, "seq": seq} for event, seq in zip(events, numbers, strict=True)]}


def audited(journal: dict[str, Any] | None = None, **changes: Any) -> Oracle:
    """What is found of three lines, one question, two people and a viewer; `changes`: what was otherwise."""
    given: dict[str, Any] = {
        "program_log": ProgramLog(name="p1", session="s1", wrote=3, ended=True, heard={"p1 asks 1": 0}),
        "answers": [DecisionReply("a1", "allow", "allow"), DecisionReply("a1", "deny", "allow")],
        "viewer_log": STORY,
        **changes,
    }
    oracle = Oracle(journal_of([1, 2, 3]) if journal is None else journal)
    oracle.audit([given["program_log"]], given["answers"], [given["viewer_log"]])
    return oracle


STORY = ViewerLog(
    number=1,
    seen={("work", "s1"): [1, 2, 3, 4, 5, 6, 8], ("terminal", "s1"): [2, 3, 4]},  # 7 is the usage
    followed=["s1"],
    resolved=[("a1", "allow")],
)


def seen(work: list[int], terminal: list[int] | None = None, **changes: Any) -> ViewerLog:
    return attrs.evolve(
        STORY, seen={("work", "s1"): work, ("terminal", "s1"): [2, 3, 4] if terminal is None else terminal}, **changes
    )


def test_where_all_is_well_nothing_is_found() -> None:
    oracle = audited()
    assert oracle.findings == []
    assert (oracle.lines, oracle.views, oracle.lost, oracle.twice) == (3, 10, 0, 0)
    assert oracle.counts["asked"] == oracle.counts["allow"] == 1


@pytest.mark.parametrize(
    ("journal", "lost", "twice", "says"),
    [
        (journal_of([1, 3]), 1, 0, "lines lack [2]"),
        (journal_of([1, 2]), 1, 0, "lines lack [3]"),
        (journal_of([1, 2, 2, 3]), 0, 1, "lines repeat [2]"),
        (journal_of([2, 1, 3]), 0, 0, "lines are out of order"),
        (journal_of([1, 2, 3], seqs=[1, 2, 3, 4, 5, 6, 7, 9]), 1, 0, "numbers lack [8]"),
        (journal_of([1, 2, 3], seqs=[1, 2, 3, 4, 5, 6, 7, 7]), 1, 1, "numbers repeat [7]"),
        (journal_of([1, 2, 3, 4]), 0, 0, "line 4 is stored, it wrote 3"),
    ],
)
def test_what_is_wrong_in_the_journal_is_found(journal: dict[str, Any], lost: int, twice: int, says: str) -> None:
    oracle = audited(journal, viewer_log=ViewerLog(number=1, seen={("work", "s1"): []}, gaps=[("s1", 0, 99)]))
    assert says in "\n".join(oracle.findings)
    assert (oracle.lost, oracle.twice) == (lost, twice)


def test_a_journal_without_a_session_has_lost_all_of_it() -> None:
    oracle = audited({})
    assert oracle.lost == 3
    assert "the last event of s1 is nothing" in "\n".join(oracle.findings)


def test_who_was_killed_in_the_middle_of_a_line_may_owe_one() -> None:
    program_log = ProgramLog(name="p1", session="s1", wrote=4, ended=False, heard={})
    denied = journal_of([1, 2, 3], decision="deny")
    viewer_log = attrs.evolve(STORY, resolved=[("a1", "deny")])
    assert audited(denied, program_log=program_log, viewer_log=viewer_log, answers=[]).findings == []
    assert audited(denied, program_log=attrs.evolve(program_log, wrote=5), viewer_log=viewer_log, answers=[]).lost == 1


def test_nobody_ends_without_a_reason() -> None:
    program_log = ProgramLog(name="p1", session="s1", wrote=3, ended=False)
    assert "before its own end" in "\n".join(audited(program_log=program_log).findings)


@pytest.mark.parametrize(
    ("viewer_log", "lost", "says"),
    [
        (seen([1, 2, 3, 4, 6, 8]), 1, "work of s1 lacks [5]"),
        (seen([1, 2, 4, 5, 6, 8], [2, 4]), 1, "terminal of s1 lacks [3]"),
        (seen([1, 2, 4, 3, 5, 6, 8]), 0, "out of order"),
        (seen([1, 2, 3, 4, 5, 6, 8, 9]), 0, "has [9], not in the journal"),
        (seen([1, 2, 3, 4, 5, 6, 8], problems=["3 came again after 4"]), 0, "came again"),
        (seen([1, 2, 3, 4, 5, 6, 8], resolved=[("a1", "deny")]), 0, "told deny for a1"),
        (seen([1, 2, 3, 4, 5, 6, 8], resolved=[("a1", "allow"), ("a1", "allow")]), 0, "told 2 times of a1"),
        (seen([1, 2, 3, 4, 5, 6, 8], resolved=[]), 0, "never told of ['a1']"),
    ],
)
def test_what_a_viewer_missed_or_saw_twice_is_found(viewer_log: ViewerLog, lost: int, says: str) -> None:
    oracle = audited(viewer_log=viewer_log)
    assert says in "\n".join(oracle.findings)
    assert oracle.lost == lost


def test_a_gap_that_was_told_is_none() -> None:
    assert audited(viewer_log=seen([1, 5, 6, 8], [], gaps=[("s1", 1, 4)])).findings == []
    assert audited(viewer_log=seen([1, 6, 8], [], gaps=[("s1", 1, 4)])).lost == 1


def test_what_came_again_is_counted() -> None:
    assert audited(viewer_log=attrs.evolve(STORY, came_again=2)).twice == 2


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"answers": [DecisionReply("a1", "allow", "allow"), DecisionReply("a1", "deny", "deny")]}, "people were told"),
        ({"answers": [DecisionReply("a1", "deny", "deny")]}, "the journal says allow"),
        (
            {"program_log": ProgramLog(name="p1", session="s1", wrote=3, ended=True, heard={"p1 asks 1": 1})},
            "it heard 1",
        ),
    ],
)
def test_a_decision_is_the_same_for_everybody(changes: dict[str, Any], says: str) -> None:
    assert says in "\n".join(audited(**changes).findings)


def test_a_decision_comes_once() -> None:
    journal = journal_of([1, 2, 3])
    journal["s1"].insert(6, {**journal["s1"][5], "seq": 7})
    journal["s1"][7:] = [{**event, "seq": event["seq"] + 1} for event in journal["s1"][7:]]
    oracle = audited(journal, viewer_log=seen([1, 2, 3, 4, 5, 6, 7, 9]))
    assert oracle.findings == ["a1 was resolved again, or never asked"]


def test_nobody_is_left_waiting() -> None:
    journal = journal_of([1, 2, 3])
    journal["s1"] = [event for event in journal["s1"] if event["type"] != "APPROVAL_RESOLVED"]
    assert "approval a1 was never resolved" in audited(journal, answers=[]).findings


def test_a_trial_in_which_nothing_happened_proves_nothing() -> None:
    oracle = Oracle({})
    oracle.audit([], [], [])
    assert "too little happened" in oracle.findings[0]
