"""What a peer may send a second: what is averaged comes back with time, and floods trip."""

import pytest

from townwatch.transports.websocket.pace import MessageLimits, Pace


def test_a_burst_may_come_at_once_and_one_more_may_not() -> None:
    pace = Pace(MessageLimits(data_frames=10, burst=3), 0.0)
    assert [pace.frame(0.0, control=False) for _ in range(30)] == [None] * 30
    assert pace.frame(0.0, control=False) == "more than 10 frames a second"


def test_what_is_averaged_comes_back_with_time() -> None:
    pace = Pace(MessageLimits(control_frames=10, burst=1), 0.0)
    for second in range(100):
        assert [pace.frame(float(second), control=True) for _ in range(10)] == [None] * 10
    assert pace.frame(99.0, control=True) == "more than 10 control frames a second"


def test_pings_and_messages_are_counted_apart() -> None:
    pace = Pace(MessageLimits(data_frames=1, control_frames=1, burst=1), 0.0)
    assert pace.frame(0.0, control=True) is None
    assert pace.frame(0.0, control=False) is None
    assert pace.frame(0.0, control=True) is not None


def test_bytes_beyond_their_rate_are_read_later() -> None:
    pace = Pace(MessageLimits(bytes=1000, burst=2), 0.0)
    assert pace.received(2000, 0.0) == 0
    assert pace.received(500, 0.0) == pytest.approx(0.5)
    assert pace.received(0, 0.5) == 0


def test_a_clock_that_does_not_rise_gives_nothing() -> None:
    pace = Pace(MessageLimits(data_frames=1, burst=1), 5.0)
    assert pace.frame(5.0, control=False) is None
    assert pace.frame(4.0, control=False) is not None
