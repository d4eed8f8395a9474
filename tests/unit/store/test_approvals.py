"""Approvals: one decision stands, however many decide."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from townwatch.store.database import Database
from townwatch.store.deciding import approvals
from townwatch.store.deciding.approvals import Approval, ApprovalNotFound


@pytest.fixture
def ask(database: Database) -> Callable[..., Approval]:
    def make(approval_id: str, session_id: str = "s1", village: str = "demo", at: int = 1):
        approval = Approval(
            session_id=session_id, approval_id=approval_id, village_id=village, request={"summary": "ä\u202e"},
            requested_ms=at,
        )  # fmt: skip
        assert database.run(approvals.request, approval)
        return approval

    return make


def test_the_first_decision_wins_the_same_again_agrees_and_another_one_is_told_what_stands(
    database: Database, ask: Callable[..., Approval]
) -> None:
    ask("a1")
    first = database.run(approvals.decide, "s1", "a1", "allow", "ada", "go on", 10)
    again = database.run(approvals.decide, "s1", "a1", "allow", "bob", None, 11)
    other = database.run(approvals.decide, "s1", "a1", "deny", "bob", None, 12)
    assert (first.won, first.agrees) == (True, True)
    assert (again.won, again.agrees) == (False, True)
    assert (other.won, other.agrees) == (False, False)
    standing = other.standing
    assert (standing.decision, standing.resolved_by, standing.note, standing.resolved_ms) == (
        "allow",
        "ada",
        "go on",
        10,
    )


def test_a_race_of_sixteen_has_exactly_one_winner_a_hundred_times(
    database: Database, ask: Callable[..., Approval]
) -> None:
    deciders = 16
    barrier = Barrier(deciders)

    def decide(me: int, approval_id: str) -> tuple[bool, str | None]:
        barrier.wait()
        wish = "allow" if me % 2 else "deny"
        decided = database.run(approvals.decide, "s1", approval_id, wish, f"user{me}", None, 1)
        return decided.won, decided.standing.resolved_by

    with ThreadPoolExecutor(deciders) as pool:
        for race in range(100):
            ask(f"a{race}")
            outcomes = list(pool.map(decide, range(deciders), [f"a{race}"] * deciders))
            winners = [i for i, (won, _) in enumerate(outcomes) if won]
            assert len(winners) == 1
            assert {by for _, by in outcomes} == {f"user{winners[0]}"}


def test_the_same_id_in_another_session_is_another_approval(database: Database, ask: Callable[..., Approval]) -> None:
    ask("a1", "mine")
    ask("a1", "yours")
    database.run(approvals.decide, "mine", "a1", "allow", "ada", None, 1)
    theirs = database.run(approvals.get, "yours", "a1")
    assert theirs is not None
    assert theirs.decision is None


def test_what_nobody_asked_for_cannot_be_decided(database: Database) -> None:
    with pytest.raises(ApprovalNotFound):
        database.run(approvals.decide, "s1", "a1", "allow", "ada", None, 1)
    with pytest.raises(ValueError, match="allow or deny"):
        database.run(approvals.decide, "s1", "a1", "maybe", "ada", None, 1)


def test_a_request_that_comes_again_does_not_open_it_again(database: Database, ask: Callable[..., Approval]) -> None:
    approval = ask("a1")
    database.run(approvals.decide, "s1", "a1", "deny", "ada", None, 1)
    assert not database.run(approvals.request, approval)
    again = database.run(approvals.decide, "s1", "a1", "allow", "bob", None, 2)
    assert (again.won, again.standing.decision) == (False, "deny")


def test_a_decision_is_due_until_the_runner_confirms(database: Database, ask: Callable[..., Approval]) -> None:
    for name in ("a1", "a2", "a3"):
        ask(name)
    database.run(approvals.decide, "s1", "a2", "allow", "ada", None, 5)
    database.run(approvals.decide, "s1", "a1", "deny", "ada", None, 6)
    assert [a.approval_id for a in database.run(approvals.unconfirmed, "s1")] == ["a2", "a1"]
    database.run(approvals.confirm, "s1", "a2", "allow", "ada", None, 8)
    assert [a.approval_id for a in database.run(approvals.unconfirmed, "s1")] == ["a1"]


def test_how_it_ended_at_the_runner_stands_beside_a_decision_that_came_too_late(
    database: Database, ask: Callable[..., Approval]
) -> None:
    ask("a1")
    database.run(approvals.decide, "s1", "a1", "allow", "ada", None, 5)
    database.run(approvals.confirm, "s1", "a1", "deny", "session end", "ended", 7)
    database.run(approvals.confirm, "s1", "a1", "allow", "ada", None, 8)  # the first confirmation counts
    late = database.run(approvals.decide, "s1", "a1", "deny", "bob", None, 9)
    assert (late.standing.decision, late.standing.resolved_by, late.won) == ("allow", "ada", False)
    assert (late.standing.outcome, late.standing.outcome_by, late.standing.outcome_note) == (
        "deny", "session end", "ended",
    )  # fmt: skip
    assert database.run(approvals.unconfirmed, "s1") == []


def test_what_nobody_decided_is_what_the_runner_says(database: Database, ask: Callable[..., Approval]) -> None:
    ask("a1")
    database.run(approvals.confirm, "s1", "a1", "deny", "timeout", None, 7)
    found = database.run(approvals.decide, "s1", "a1", "allow", "ada", None, 9)
    assert (found.standing.decision, found.standing.resolved_by) == ("deny", "timeout")


def test_a_decision_on_a_request_that_only_the_log_knows_is_kept_too(database: Database) -> None:
    assert database.run(approvals.record, "s1", "a1", "deny", "ada", None, 5).won
    assert not database.run(approvals.record, "s1", "a1", "allow", "bob", None, 6).won
