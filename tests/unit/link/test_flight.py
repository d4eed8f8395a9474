"""What is kept until it is durable, and what is sent again."""

from typing import Any

from hypothesis import given, strategies as st

from townwatch.actors.messages import IncomingEvent
from townwatch.contracts.events import TerminalChunk
from townwatch.transports.runners.flight import Flight, PendingAcks


def incoming(seq: int) -> IncomingEvent:
    event = TerminalChunk(session_id="s1", org_id="demo", ts=1, seq=seq, data="x", stream="stdout")
    return IncomingEvent(event, b"x" * seq)


def flight(resume_from: int = 1, spool_from: int = 1) -> Flight:
    return Flight("s1", "demo", None, resume_from, spool_from, 0)


def runs(one: Flight, after: int) -> list[tuple[int, list[int]]]:
    return [(run.follows, [i.event.seq for i in run.events]) for run in one.runs(after)]


def test_it_holds_until_durable_and_counts_what_it_lets_go() -> None:
    one = flight()
    assert [one.take(incoming(n)) for n in (1, 2, 3)] == [True] * 3
    assert one.held_bytes == 6
    assert one.trim(2) == (2, 3)
    assert (one.held_bytes, one.acked) == (3, 2)
    assert one.trim(1) == (0, 0)
    assert one.acked == 2


def test_a_repeat_is_not_taken() -> None:
    one = flight(resume_from=5)
    assert not one.take(incoming(4))
    assert one.take(incoming(5))
    assert not one.take(incoming(5))


def test_a_run_says_what_it_follows_so_that_a_hole_of_the_runners_own_can_be_told() -> None:
    one = flight()
    for seq in (1, 2, 5, 6, 9):
        one.take(incoming(seq))
    assert runs(one, 0) == [(0, [1, 2]), (2, [5, 6]), (6, [9])]
    assert runs(one, 1) == [(1, [2]), (2, [5, 6]), (6, [9])]
    assert runs(one, 2) == [(2, [5, 6]), (6, [9])]
    assert runs(one, 9) == []


@given(st.sets(st.integers(1, 2000), max_size=800), st.integers(0, 2000))
def test_all_that_is_held_beyond_a_place_is_sent_again_once_and_in_order(held: set[int], after: int) -> None:
    one = flight()
    for seq in sorted(held):
        assert one.take(incoming(seq))
    again = runs(one, after)
    assert [seq for _, events in again for seq in events] == [seq for seq in sorted(held) if seq > after]
    assert all(events == list(range(events[0], events[0] + len(events))) for _, events in again)
    assert [follows for follows, _ in again] == [after, *(events[-1] for _, events in again)][: len(again)]


def test_several_wishes_to_rewind_are_the_one_that_reaches_furthest_back() -> None:
    one = flight()
    one.rewind(7, 0.0)
    one.rewind(3, 0.0)
    one.rewind(9, 0.0)
    assert one.again == 3


def test_what_lies_before_this_connection_only_the_runner_has() -> None:
    assert flight(resume_from=10, spool_from=1).beyond_reach(5)
    assert not flight(resume_from=10, spool_from=1).beyond_reach(9)
    assert not flight(resume_from=40, spool_from=40).beyond_reach(0)  # nobody has it: a hole, and no reason to wait


def test_acknowledgements_of_a_session_become_one() -> None:
    book = PendingAcks()
    assert not book
    for seq in (1, 5, 3):
        book.note("s1", seq, 1, 10)
    book.note("s2", 2, 1, 10)
    said: list[Any] = [(ack.session_id, ack.seq) for ack in book.take()]
    assert said == [("s1", 5), ("s2", 2)]
    assert not book
    assert (book.events, book.bytes) == (0, 0)
