"""A viewer's memory: what is new, what it asked for again, what nobody asked for."""

import trio

from townwatch.chaos.campaign.viewer import VILLAGE, Viewer, ViewerWatch


def viewer() -> Viewer:
    return Viewer(1, "http://127.0.0.1:1", "token", "village")


def test_it_remembers_in_order() -> None:
    one = viewer()
    for seq in (1, 2, 5):
        one.saw("work", "s1", seq)
    assert one.seen == {("work", "s1"): [1, 2, 5]}
    assert one.problems == []
    assert one.last("work", "s1") == 5
    assert one.last("terminal", "s1") == 0


def test_what_comes_again_unasked_is_a_problem() -> None:
    one = viewer()
    for seq in (1, 2, 2, 1):
        one.saw("work", "s1", seq)
    assert one.counts["came again"] == 2
    assert one.seen == {("work", "s1"): [1, 2]}


async def test_what_a_join_under_way_asked_for_may_come_again(autojump_clock: object) -> None:
    one = viewer()
    for seq in (1, 2, 3):
        one.saw("work", "s1", seq)
    one._asked["7"] = {"s1": 2}, trio.current_time()
    one.saw("work", "s1", 3)
    assert (one.counts["asked for again"], one.counts["came again"]) == (1, 0)
    one.saw("work", "s1", 2)  # that, it said it had
    assert one.counts["came again"] == 1
    await trio.sleep(60)
    one.saw("work", "s1", 3)
    assert one.counts["came again"] == 2


def test_it_says_what_it_saw_last() -> None:
    one = viewer()
    one.saw("work", "s1", 4)
    one.saw("terminal", "s1", 2)
    assert one._since(one.rooms[VILLAGE]) == {"s1": 4}


async def test_a_watch_is_over_when_everybody_showed_something_new() -> None:
    watch = ViewerWatch("2026-01-01T00:00:01.000Z", {"s1", "s2"})
    watch.saw("s1", "2026-01-01T00:00:00.999Z")
    watch.saw("s2", "2026-01-01T00:00:01.000Z")
    assert not watch.over.is_set()
    watch.saw("s1", "2026-01-01T00:00:01.001Z")
    assert watch.over.is_set()
