"""Window of unacknowledged events that a runner may have at this moment. Pure.

All of its window in good times; half as many each second that a commit does not end; none while the disk refuses. Back
up it goes by doubling, so that a disk which has just recovered is not buried under what waited.
"""

from townwatch.actors.ports import DiskPressure

SLOW_COMMIT_SECONDS = 1.0
"""A commit that takes longer than this is a slow disk."""
FIRST_STEP = 16
"""The first window after none is a sixteenth of the whole one."""


def first_step(full: int) -> int:
    """The least that lets anything through."""
    return max(1, full // FIRST_STEP)


def next_window(current: int, full: int, disk: DiskPressure, now: float) -> int:
    """The window for the next second, in events. `now`: trio's clock."""
    if disk.refusal is not None:
        return 0
    if disk.commit_began is not None and now - disk.commit_began > SLOW_COMMIT_SECONDS:
        return current // 2
    return min(full, max(current * 2, first_step(full)))
