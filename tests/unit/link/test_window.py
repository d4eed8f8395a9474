"""The window follows the disk: none while it refuses, less while it is slow, back by doubling."""

from hypothesis import given, strategies as st

from townwatch.actors.ports import DiskPressure
from townwatch.transports.runners.window import SLOW_COMMIT_SECONDS, first_step, next_window

FINE, FULL = DiskPressure(), DiskPressure(refusal="no space left")
STUCK = DiskPressure(commit_began=0.0)
LATER = SLOW_COMMIT_SECONDS * 2


def test_a_disk_that_refuses_gets_nothing() -> None:
    assert next_window(1024, 1024, FULL, LATER) == 0


def test_a_commit_that_does_not_end_halves_it_each_time() -> None:
    windows = [1024]
    while windows[-1]:
        windows.append(next_window(windows[-1], 1024, STUCK, LATER))
    assert windows == [1024, 512, 256, 128, 64, 32, 16, 8, 4, 2, 1, 0]


def test_a_commit_that_has_just_begun_is_not_slow() -> None:
    assert next_window(1024, 1024, STUCK, SLOW_COMMIT_SECONDS / 2) == 1024


def test_it_comes_back_by_doubling() -> None:
    windows = [0]
    while windows[-1] < 1024:
        windows.append(next_window(windows[-1], 1024, FINE, LATER))
    assert windows == [0, 64, 128, 256, 512, 1024]


@given(full=st.integers(1, 100_000), steps=st.lists(st.sampled_from([FINE, FULL, STUCK])))
def test_it_stays_within_bounds_and_always_comes_back(full: int, steps: list[DiskPressure]) -> None:
    window = full
    for disk in steps:
        window = next_window(window, full, disk, LATER)
        assert 0 <= window <= full
    for _ in range(10):
        window = next_window(window, full, FINE, LATER)
    assert window == full
    assert first_step(full) >= 1
