"""Rows of lists, made from the states of sessions. Pure."""

from collections.abc import Iterable
from typing import Any

import attrs

from townwatch.actors.session import signs
from townwatch.actors.session.state import OpenAlert, SessionState, TestRun
from townwatch.contracts.lists import AgentShown, LastTest, ListedAlert, SeenBy


def last_test(run: TestRun | None, *, over: bool) -> LastTest | None:
    """`over`: whether its session has ended: what had no result then has none."""
    if run is None:
        return None
    verdict = "unknown" if over and run.outcome == "running" else run.outcome
    return LastTest(
        verdict=verdict,
        command=run.command,
        passed=run.passed,
        failed=run.failed,
        skipped=run.skipped,
        exit_code=run.exit_code,
        duration=run.duration,
        reason=run.reason,
        at=run.at,
    )


def fields_of(state: SessionState, alerts: Iterable[OpenAlert], seen: SeenBy | None, now_ms: int) -> dict[str, Any]:
    """The fields of `Shown`. `seen`: who has seen that it failed."""
    known = state.signs
    return {
        "last_event_at": known.heard_at,
        "reported_at": known.reported_at,
        "activity_at": known.active_at,
        "activity": signs.activity(known, now_ms),
        "state_at": known.state_at,
        "turn_ended_at": known.turn_ended_at,
        "last_line": known.line,
        "last_test": last_test(state.last_test, over=state.ended),
        "diff": state.diff,
        "open_alerts": [ListedAlert(**attrs.asdict(alert, recurse=False)) for alert in alerts],
        "seen_by": seen if state.state == "FAILED" else None,
    }


def agent_shown(state: SessionState, alerts: Iterable[OpenAlert], seen: SeenBy | None, now_ms: int) -> AgentShown:
    """Build an agent's entry in `house_changed`."""
    return AgentShown(
        agent_id=state.agent_id,
        session_id=state.session_id,
        state=state.state,
        last_event_seq=state.seq,
        **fields_of(state, alerts, seen, now_ms),
    )


def roof(states: Iterable[SessionState]) -> LastTest | None:
    """The last test run of a house that has a result."""
    runs = [state.finished_test for state in states if state.finished_test is not None]
    return last_test(max(runs, key=lambda run: run.at or 0, default=None), over=True)
