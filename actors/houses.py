"""What goes on in a house (a repository): lights, smoke and banner, as a pure value over events and time.

lights: somebody works in it (90 s after the last event). smoke: a test run or build (10 min). banner: an approval or
a pull request waits (24 h). What was switched on stays visible for a moment (3 s, 5 s, 2 s), so that a short event
is seen.
"""

from collections.abc import Sequence

import attrs

from contracts import events as e
from contracts.ui import HouseActivity, Indicator, Indicators

LIGHTS_MS, SMOKE_MS, BANNER_MS = 90_000, 600_000, 86_400_000
LIGHTS_MIN_MS, SMOKE_MIN_MS, BANNER_MIN_MS = 3_000, 5_000, 2_000
OFF = Indicator()


@attrs.frozen(kw_only=True)
class House:
    """One house; `waiting` are the ids of its open approvals, `working` the sessions live in it."""

    repo_id: str
    village_id: str
    repo_path: str
    version: int = 0
    lights: Indicator = OFF
    smoke: Indicator = OFF
    banner: Indicator = OFF
    waiting: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        return self.repo_path.rstrip("/").rsplit("/", 1)[-1] or self.repo_path

    def snapshot(self) -> HouseActivity:
        """house.activity as it is sent."""
        indicators = Indicators(lights=self.lights, banner=self.banner, smoke=self.smoke)
        return HouseActivity(
            house_id=self.repo_id,
            repo_id=self.repo_id,
            village_id=self.village_id,
            version=self.version,
            indicators=indicators,
        )


def after(house: House, event: e.RunnerEvent, now: float) -> House:
    """The house after an event; `version` rises if it changed."""
    changed = attrs.evolve(house, lights=_lit(house.lights, event, now))
    match event:
        case e.TestRunStarted(command=command):
            smoke = _on(now, SMOKE_MIN_MS, SMOKE_MS, event.session_id, source=command)
            changed = attrs.evolve(changed, smoke=attrs.evolve(smoke, build_status="in_progress"))
        case e.TestRunFinished(exit_code=code):
            status = "passed" if code == 0 else "failed"
            changed = attrs.evolve(changed, smoke=_fading(house.smoke, now, status))
        case e.ApprovalRequested(approval=approval):
            waiting = house.waiting | {approval.approval_id}
            changed = attrs.evolve(changed, waiting=waiting, banner=_banner(waiting, now, house.banner))
        case e.ApprovalResolved(approval_id=approval_id):
            waiting = house.waiting - {approval_id}
            changed = attrs.evolve(changed, waiting=waiting, banner=_banner(waiting, now, house.banner))
        case _:
            pass
    return _counted(house, changed)


TELLING = (e.TestRunStarted, e.TestRunFinished, e.ApprovalRequested, e.ApprovalResolved)


def after_all(house: House, events: Sequence[e.RunnerEvent], now: float) -> House:
    """`after` over events of one session that came at the same moment: all but the first only say that it works."""
    for number, event in enumerate(events):
        if number == 0 or isinstance(event, TELLING):
            house = after(house, event, now)
    return house


def expire(house: House, now: float) -> House:
    """The house at `now`: what has run out goes dark."""

    def left(indicator: Indicator) -> Indicator:
        over = indicator.active and indicator.expires_at is not None and indicator.expires_at <= now
        return attrs.evolve(OFF, build_status=indicator.build_status) if over else indicator

    aged = attrs.evolve(house, lights=left(house.lights), smoke=left(house.smoke), banner=left(house.banner))
    return _counted(house, aged)


def next_change(houses: Sequence[House]) -> float | None:
    """When the next indicator runs out (epoch ms); None when all is dark."""
    times = [
        indicator.expires_at
        for house in houses
        for indicator in (house.lights, house.smoke, house.banner)
        if indicator.active and indicator.expires_at is not None
    ]
    return min(times, default=None)


def _counted(before: House, changed: House) -> House:
    return before if changed == before else attrs.evolve(changed, version=before.version + 1)


def _on(now: float, minimum: int, lasting: int, context: str, source: str) -> Indicator:
    return Indicator(
        active=True,
        source=source,
        context_ids=[context],
        started_at=now,
        min_visible_until=now + minimum,
        expires_at=now + lasting,
    )


def _lit(lights: Indicator, event: e.RunnerEvent, now: float) -> Indicator:
    """Lights are renewed once a second at most: a busy terminal is no reason to announce a change with every line."""
    if not lights.active:
        return _on(now, LIGHTS_MIN_MS, LIGHTS_MS, event.session_id, source="session")
    contexts = lights.context_ids or []
    known = event.session_id in contexts
    if known and (lights.expires_at or 0) - now > LIGHTS_MS - 1_000:
        return lights
    return attrs.evolve(
        lights, expires_at=now + LIGHTS_MS, context_ids=contexts if known else [*contexts, event.session_id][-16:]
    )


def _fading(smoke: Indicator, now: float, status: str) -> Indicator:
    """A finished run stays visible until its minimum is over."""
    until = max(now, smoke.min_visible_until or now + SMOKE_MIN_MS)
    return attrs.evolve(
        smoke,
        active=True,
        expires_at=until,
        min_visible_until=until,
        build_status="passed" if status == "passed" else "failed",
    )


def _banner(waiting: frozenset[str], now: float, banner: Indicator) -> Indicator:
    if waiting:
        if banner.active:
            return attrs.evolve(banner, context_ids=sorted(waiting), expires_at=now + BANNER_MS)
        return attrs.evolve(_on(now, BANNER_MIN_MS, BANNER_MS, "", source="approval"), context_ids=sorted(waiting))
    if not banner.active:
        return banner
    until = max(now, banner.min_visible_until or now)
    return attrs.evolve(banner, expires_at=until, context_ids=[])
