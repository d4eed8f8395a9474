"""The fold: the same events give the same session; a snapshot is the whole of it; states are checked."""

import json
from itertools import pairwise

import attrs
from hypothesis import given, strategies as st

from tests.support import golden
from townwatch.actors.session import state as session_state
from townwatch.actors.session.fold import WAITING_KEPT, fold, fold_all
from townwatch.actors.session.state import SessionState
from townwatch.contracts.decoding.runner_events import decode_event
from townwatch.contracts.events import ApprovalRequested, RunnerEvent

BLANK = SessionState(session_id=golden.SESSION, village_id="demo", agent_id=golden.AGENT, runner_id="r1")


def history(rows: list[golden.Row]) -> list[RunnerEvent]:
    return [decode_event(json.dumps(row.event(seq))) for seq, row in enumerate(rows, start=1)]


@given(st.lists(st.sampled_from(golden.TABLE), max_size=30))
def test_a_snapshot_in_between_changes_nothing(rows: list[golden.Row]) -> None:
    events = history(rows)
    straight = fold_all(BLANK, events)
    half = len(events) // 2
    restored = session_state.load(session_state.dump(fold_all(BLANK, events[:half])))
    assert fold_all(restored, events[half:]) == straight


@given(st.lists(st.sampled_from(golden.TABLE), max_size=30))
def test_usage_is_the_sum_of_the_ticks(rows: list[golden.Row]) -> None:
    ticks = sum(row.type == "USAGE_TICK" for row in rows)
    state = fold_all(BLANK, history(rows))
    assert state.usage.files_touched == ticks * golden.USAGE["filesTouched"]
    assert state.usage.agent_seconds == ticks * golden.USAGE["agentSeconds"]


def moved(seq: int, previous: str, new: str) -> RunnerEvent:
    fields = {"previousState": previous, "newState": new}
    envelope = {"type": "SESSION_STATE_CHANGED", "sessionId": golden.SESSION, "orgId": "demo", "ts": 1, "seq": seq}
    return decode_event(json.dumps({**envelope, **fields}))


def test_a_lawful_life_has_no_violations() -> None:
    path = ["CREATED", "PREPARING_WORKSPACE", "STARTING_PROVIDER", "RUNNING", "STOPPING", "COMPLETED"]
    steps = pairwise(path)
    state = fold_all(BLANK, [moved(n, a, b) for n, (a, b) in enumerate(steps, start=1)])
    assert (state.state, state.violations, state.ended) == ("COMPLETED", 0, True)


def test_what_the_runner_says_stands_and_is_counted_where_it_is_unlawful() -> None:
    state = fold(fold(BLANK, moved(1, "CREATED", "RUNNING")), moved(2, "STOPPING", "COMPLETED"))
    assert (state.state, state.violations) == ("COMPLETED", 2)


def test_questions_without_end_are_violations_and_no_memory() -> None:
    question = next(row for row in golden.TABLE if row.name == "approval requested")
    events = history([question] * (WAITING_KEPT + 5))
    for number, event in enumerate(events):
        assert isinstance(event, ApprovalRequested)
        events[number] = attrs.evolve(event, approval=attrs.evolve(event.approval, approval_id=f"a{number}"))
    state = fold_all(BLANK, events)
    assert (len(state.pending), state.violations, state.seq) == (WAITING_KEPT, 5, len(events))
    assert fold(state, attrs.evolve(events[0], seq=state.seq + 1)).violations == 5, "told again, it is no further one"


def test_an_end_leaves_nothing_pending() -> None:
    rows = {row.name: row for row in golden.TABLE}
    state = fold_all(BLANK, history([rows["approval requested"], rows["ended"]]))
    assert state.pending == {}
    assert (state.exit_code, state.state) == (3, "FAILED")
