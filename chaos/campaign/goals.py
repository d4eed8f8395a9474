"""Goals for recovery times, and the check of them."""

from collections.abc import Sequence

import attrs

from townwatch.chaos.campaign.recovery_times import FaultEvent, seconds, spread


@attrs.frozen(kw_only=True)
class Goal:
    """`faults`: whose recovery; `of`: which of its times; `most`: seconds that the 99th percentile may be."""

    says: str
    faults: frozenset[str]
    of: str
    most: float


@attrs.frozen(kw_only=True)
class GoalResult:
    """`measured`: the 99th percentile in seconds, None where no such fault was pulled."""

    goal: Goal
    count: int
    measured: float | None

    @property
    def met(self) -> bool:
        return self.measured is None or self.measured < self.goal.most

    def __str__(self) -> str:
        if self.measured is None:
            return f"{self.goal.says}: none was pulled"
        word = "met" if self.met else "MISSED"
        return f"{self.goal.says} < {seconds(self.goal.most)}: {seconds(self.measured)} (p99 of {self.count}), {word}"


GOALS = (
    Goal(
        says="a killed actor answers again",
        faults=frozenset({"kill-actor", "kill-router"}),
        of="answers",
        most=0.1,
    ),
    Goal(
        says="events flow after a runner's connection was cut",
        faults=frozenset({"cut-runner"}),
        of="flows",
        most=2.0,
    ),
    Goal(
        says="every client is live and events flow after the process was killed",
        faults=frozenset({"kill-process"}),
        of="flows",
        most=5.0,
    ),
)


def judge(events: Sequence[FaultEvent]) -> list[GoalResult]:
    """Check each goal against what was measured. What never came back is a finding of its own, not a time."""
    found: list[GoalResult] = []
    for goal in GOALS:
        times = [event.answers if goal.of == "answers" else event.flows for event in events if _counts(goal, event)]
        measured = spread([one for one in times if one is not None])
        found.append(
            GoalResult(goal=goal, count=measured.count if measured else 0, measured=measured.p99 if measured else None)
        )
    return found


def _counts(goal: Goal, event: FaultEvent) -> bool:
    return event.fault in goal.faults
