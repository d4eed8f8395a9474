"""When a runner dials again."""

from townwatch.runner.link.redial import LONGEST_SECONDS, SOON_FOR_SECONDS, SOON_SECONDS, ReconnectPolicy


def test_who_never_came_in_waits_longer_each_time() -> None:
    redial = ReconnectPolicy()
    longest: list[float] = []
    for _ in range(14):
        redial.ended(None)
        longest.append(redial.longest(now=100.0))
    assert longest[:6] == [0.1, 0.1, 0.1, 0.2, 0.4, 0.8]
    assert longest == sorted(longest)
    assert longest[-1] == LONGEST_SECONDS


def test_a_connection_that_is_cut_again_and_again_is_no_failure() -> None:
    redial = ReconnectPolicy()
    for second in range(50):
        redial.ended(good_at=float(second))
        assert redial.longest(now=float(second)) == 0.1


def test_a_service_that_restarts_is_asked_every_second_for_a_while() -> None:
    redial = ReconnectPolicy()
    redial.ended(good_at=100.0)
    for _ in range(12):
        redial.ended(None)
    assert redial.longest(now=100.0 + SOON_FOR_SECONDS - 0.1) == SOON_SECONDS
    assert redial.longest(now=100.0 + SOON_FOR_SECONDS) == LONGEST_SECONDS


def test_a_refusal_is_not_asked_again_soon() -> None:
    redial = ReconnectPolicy()
    redial.ended(good_at=100.0)
    redial.refused()
    assert redial.longest(now=100.1) > 5
    redial.ended(None)
    assert redial.longest(now=100.1) > 5


def test_waits_are_by_chance() -> None:
    redial = ReconnectPolicy()
    redial.ended(None)
    waits = {redial.wait(now=0.0) for _ in range(20)}
    assert len(waits) > 1
    assert all(0 <= wait <= 0.4 for wait in waits)
