"""Activity in a house (a repository): lights, smoke and banner, as a pure value over events and time.

lights: an agent works in it (90 s after the last event). smoke: a test run or build (10 min). banner: an approval or
a pull request waits (24 h). What was switched on stays visible for a moment (3 s, 5 s, 2 s), so that a short event
is seen.
"""

from collections.abc import Iterable, Sequence

import attrs

from townwatch.contracts import events as e, scopes
from townwatch.contracts.scopes import ApprovalKey
from townwatch.contracts.ui import HouseActivity, Indicator, Indicators
from townwatch.contracts.village_ids import name_of

LIGHTS_MS, SMOKE_MS, BANNER_MS = 90_000, 600_000, 86_400_000
LIGHTS_MIN_MS, SMOKE_MIN_MS, BANNER_MIN_MS = 3_000, 5_000, 2_000
OFF = Indicator()


@attrs.frozen(kw_only=True)
class HouseState:
    """One house of one village. `waiting`: the open approvals of all sessions in it."""

    repo_id: str
    village_id: str
    repo_path: str
    version: int = 0
    lights: Indicator = OFF
    smoke: Indicator = OFF
    banner: Indicator = OFF
    waiting: frozenset[ApprovalKey] = frozenset()
    testing: frozenset[tuple[str, str]] = frozenset()
    """(session, run) of the test runs that go on."""
    outcome: e.Verdict | None = None
    """The worst verdict of the runs beside each other that have ended."""
    label: str | None = None
    """The name that a person gave it."""

    @property
    def name(self) -> str:
        return self.label or self.repo_path.rstrip("/").rsplit("/", 1)[-1] or self.repo_path

    def snapshot(self, now: float) -> HouseActivity:
        """Return `house.activity` as it is sent."""
        indicators = Indicators(lights=self.lights.at(now), banner=self.banner.at(now), smoke=self.smoke.at(now))
        return HouseActivity(
            ts=now,
            house_id=self.repo_id,
            repo_id=self.repo_id,
            village_id=name_of(self.village_id),
            version=self.version,
            indicators=indicators,
            name=None if self.label is None else self.name,
        )


def after(house: HouseState, event: e.RunnerEvent, now: float) -> HouseState:
    """The house after an event; `version` rises if it changed."""
    changed = attrs.evolve(house, lights=_lit(house.lights, event, now))
    match event:
        case e.TestRunStarted(command=command):
            smoke = _on(now, SMOKE_MIN_MS, SMOKE_MS, event.session_id, source=command)
            smoke = attrs.evolve(smoke, build_status="in_progress")
            beside = house.testing if house.smoke.active else frozenset[tuple[str, str]]()
            outcome = house.outcome if beside else None
            changed = attrs.evolve(changed, smoke=smoke, testing=beside | {_run(event)}, outcome=outcome)
        case e.TestRunFinished():
            changed = _tested(changed, house.testing - {_run(event)}, event.judged, now)
        case e.ApprovalRequested(approval=approval):
            waiting = house.waiting | {scopes.approval_key(event.session_id, approval.approval_id)}
            changed = attrs.evolve(changed, waiting=waiting, banner=_banner(waiting, now, house.banner))
        case e.ApprovalResolved(approval_id=approval_id):
            waiting = house.waiting - {scopes.approval_key(event.session_id, approval_id)}
            changed = attrs.evolve(changed, waiting=waiting, banner=_banner(waiting, now, house.banner))
        case e.SessionEnded(session_id=session_id):  # what it still asked for is denied
            waiting = frozenset(key for key in house.waiting if key[0] != session_id)
            changed = attrs.evolve(changed, waiting=waiting, banner=_banner(waiting, now, house.banner))
            testing = frozenset(run for run in house.testing if run[0] != session_id)
            if testing != house.testing:  # their ends were not seen
                changed = _tested(changed, testing, "unknown", now)
        case _:
            pass
    return _counted(house, changed)


def _run(event: e.TestRunStarted | e.TestRunFinished) -> tuple[str, str]:
    return event.session_id, event.run_id or ""


def _tested(house: HouseState, testing: frozenset[tuple[str, str]], verdict: e.Verdict, now: float) -> HouseState:
    """A run has ended. While others go on beside it the house smokes; then it shows the worst of their verdicts."""
    worst = min((verdict, house.outcome or verdict), key=("failed", "unknown", "passed").index)
    smoke = house.smoke if testing else _fading(house.smoke, now, worst)
    return attrs.evolve(house, smoke=smoke, testing=testing, outcome=worst)


TELLING = (e.TestRunStarted, e.TestRunFinished, e.SessionEnded, e.ApprovalRequested, e.ApprovalResolved)


def after_all(house: HouseState, events: Sequence[e.RunnerEvent], now: float) -> HouseState:
    """`after` over events of one session that came at the same moment: all but the first only say that it works."""
    for number, event in enumerate(events):
        if number == 0 or isinstance(event, TELLING):
            house = after(house, event, now)
    return house


def waiting_in(house: HouseState, waiting: Iterable[ApprovalKey], now: float) -> HouseState:
    """The house with the approvals that wait in it, as its sessions know them (after a restart)."""
    known = frozenset(waiting)
    return attrs.evolve(house, waiting=known, banner=_banner(known, now, house.banner)) if known else house


def expire(house: HouseState, now: float) -> HouseState:
    """The house at `now`: what has run out goes dark. The same object where nothing has."""

    def over(indicator: Indicator) -> bool:
        return indicator.active and indicator.expires_at is not None and indicator.expires_at <= now

    def left(indicator: Indicator) -> Indicator:
        return attrs.evolve(OFF, build_status=indicator.build_status) if over(indicator) else indicator

    if not (over(house.lights) or over(house.smoke) or over(house.banner)):
        return house
    aged = attrs.evolve(house, lights=left(house.lights), smoke=left(house.smoke), banner=left(house.banner))
    return _counted(house, aged)


def next_change(houses: Sequence[HouseState]) -> float | None:
    """Return the time at which the next indicator expires (epoch ms), or None if none is on."""
    times = [
        indicator.expires_at
        for house in houses
        for indicator in (house.lights, house.smoke, house.banner)
        if indicator.active and indicator.expires_at is not None
    ]
    return min(times, default=None)


def _counted(before: HouseState, changed: HouseState) -> HouseState:
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
    """Light a house, at most once a second: a busy terminal is no reason to announce a change with every line."""
    if not lights.active:
        return _on(now, LIGHTS_MIN_MS, LIGHTS_MS, event.session_id, source="session")
    contexts = lights.context_ids or []
    known = event.session_id in contexts
    if known and (lights.expires_at or 0) - now > LIGHTS_MS - 1_000:
        return lights
    return attrs.evolve(
        lights, expires_at=now + LIGHTS_MS, context_ids=contexts if known else [*contexts, event.session_id][-16:]
    )


def _fading(smoke: Indicator, now: float, verdict: e.Verdict) -> Indicator:
    """A finished run stays visible until its minimum is over. A verdict that is not known is no build status."""
    until = max(now, smoke.min_visible_until or now + SMOKE_MIN_MS)
    return attrs.evolve(
        smoke,
        active=True,
        expires_at=until,
        min_visible_until=until,
        build_status=None if verdict == "unknown" else verdict,
    )


def _banner(waiting: frozenset[ApprovalKey], now: float, banner: Indicator) -> Indicator:
    if waiting:
        contexts = sorted(scopes.approval_context(*key) for key in waiting)
        if banner.active:
            return attrs.evolve(banner, context_ids=contexts, expires_at=now + BANNER_MS)
        return attrs.evolve(_on(now, BANNER_MIN_MS, BANNER_MS, "", source="approval"), context_ids=contexts)
    if not banner.active:
        return banner
    until = max(now, banner.min_visible_until or now)
    return attrs.evolve(banner, expires_at=until, context_ids=[])
