"""Inject one fault, and wait until everything flows again: seen from outside, by viewers, with a clock."""

import time
from collections.abc import Sequence
from typing import Any, TypeVar

import attrs
import structlog
import trio

from townwatch.chaos.campaign.idle_viewers import IdleViewers
from townwatch.chaos.campaign.plan import PlannedFault
from townwatch.chaos.campaign.recovery_times import FaultEvent
from townwatch.chaos.campaign.rest_client import RequestRefused, Rest, ServiceAway
from townwatch.chaos.campaign.viewer import Viewer, ViewerWatch
from townwatch.chaos.campaign.waiting import until
from townwatch.chaos.campaign.workload import RunnerProcess, Workload
from townwatch.contracts.ui import iso

PATIENCE_SECONDS = 130.0
"""Longer than anything may take by design: a half-open connection is found dead after 75 to 85 s."""
ANSWER_SECONDS = 30.0
ALL_COME_AGAIN = frozenset({"kill-process", "kill-listener"})
TAKES_ITS_TIME = frozenset({"half-open-runner"})
"""Waited for beside the others, without its runner."""
LOOK_SECONDS = 0.002
PHASES = 3
NOTHING = "nothing at all"
"""The kind of a measurement without a fault: how long an event takes to all viewers."""

T = TypeVar("T")
log = structlog.get_logger("chaos")


class NoFaultTarget(Exception):
    """There is nothing of ours to break, now."""


@attrs.frozen(kw_only=True)
class _InjectedFault:
    """An answer of the service. `since`: epoch ms; what is written from then on comes after the fault. `began`: when it
    struck, on trio's clock.
    """

    planned: PlannedFault
    target: str
    answers: float | None
    since: float
    began: float


@attrs.define(eq=False)
class FaultRunner:
    """`fault_events` and `findings` grow; whatever takes its time is awaited in `nursery`."""

    rest: Rest
    workload: Workload
    viewers: Sequence[Viewer]
    idle_viewers: IdleViewers
    nursery: trio.Nursery
    began: float = attrs.field(factory=trio.current_time)
    fault_events: list[FaultEvent] = attrs.field(factory=list)
    findings: list[str] = attrs.field(factory=list)
    skipped: int = 0
    pending: int = 0

    async def undisturbed(self) -> FaultEvent:
        """Measure, without a fault, how long an event takes from a program to every viewer."""
        planned = PlannedFault(fault=NOTHING, pause=0, seconds=0, dice=0, seed=0)
        now = trio.current_time()
        return await self._recovery(
            _InjectedFault(planned=planned, target="", answers=None, since=_wall(), began=now), None, {}
        )

    async def pull(self, planned: PlannedFault) -> None:
        """Inject one fault; return when all is well again, or its time is over."""
        connects = {viewer: viewer.connects for viewer in self.viewers}
        comings = self.idle_viewers.comings
        try:
            target, runner = self._target(planned)
            injected = await self._order(planned, target)
        except NoFaultTarget:
            self.skipped += 1
            return
        if planned.fault in ALL_COME_AGAIN:
            wanted = {viewer: before + 1 for viewer, before in connects.items()}
            self.fault_events.append(await self._recovery(injected, None, wanted, comings + self.idle_viewers.size))
        elif planned.fault in TAKES_ITS_TIME and runner is not None:
            runner.away = True
            self.pending += 1
            self.nursery.start_soon(self._beside, injected, runner)
        else:
            self.fault_events.append(await self._recovery(injected, None, {}))

    async def _beside(self, injected: _InjectedFault, runner: RunnerProcess) -> None:
        try:
            self.fault_events.append(await self._recovery(injected, runner, {}))
        finally:
            runner.away = False
            self.pending -= 1

    # --- the fault --------------------------------------------------------------------------------------

    def _target(self, planned: PlannedFault) -> tuple[str | None, RunnerProcess | None]:
        """Choose a target: a connection of our own; of actors, the service chooses one by the seed."""
        kind = planned.fault.rpartition("-")[2]
        if kind == "client":
            live = [viewer.line.name for viewer in self.viewers if viewer.line is not None and viewer.line.name]
            return _pick(live, planned.dice), None
        if kind == "runner":
            runners = [runner for runner in self.workload.processes if not runner.away]
            if planned.fault in TAKES_ITS_TIME and len(runners) < 2:
                raise NoFaultTarget  # another runner's programs must go on writing
            runner = _pick(runners, planned.dice)
            return _pick(runner.connections(self.rest.base), planned.dice), runner
        return None, None

    async def _order(self, planned: PlannedFault, target: str | None) -> _InjectedFault:
        asked = trio.current_time()
        body: dict[str, Any] = {"fault": planned.fault, "seed": planned.seed, "seconds": planned.seconds}
        try:
            told: Any = await self.rest.post(
                "/api/chaos/faults", body | ({"target": target} if target else {}), seconds=ANSWER_SECONDS
            )
        except RequestRefused as refused:
            if refused.status == 409:
                raise NoFaultTarget from None
            told = {"target": f"refused: {refused}", "lastsMs": 0, "backMs": None}
        except ServiceAway as away:
            told = {"target": f"no answer: {away}", "lastsMs": 0, "backMs": None}
        now, lasts = trio.current_time(), told["lastsMs"] / 1000
        back = None if told["backMs"] is None else told["backMs"] / 1000
        began = now + lasts if lasts else now - back if back is not None else asked
        return _InjectedFault(
            planned=planned,
            target=str(told["target"]),
            answers=back,
            since=_wall() + lasts * 1000,
            began=began,
        )

    # --- the recovery -----------------------------------------------------------------------------------

    async def _recovery(
        self, injected: _InjectedFault, runner: RunnerProcess | None, connects: dict[Viewer, int], comings: int = 0
    ) -> FaultEvent:
        """Wait until every viewer saw a new event of every session that is to write: of `runner`, or of all connected
        ones.

        `connects`, `comings`: how often viewers, and the idle ones, must have connected by then.
        """
        runners = [runner] if runner is not None else [one for one in self.workload.processes if not one.away]
        sessions = {session for one in runners for session in one.sessions}
        watches = {viewer: viewer.watch(iso(injected.since), sessions) for viewer in self.viewers}
        phases: dict[str, float] = {}
        with trio.move_on_after(PATIENCE_SECONDS):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._seeing, watches, phases)
                nursery.start_soon(self._viewers_live, connects, phases)
                nursery.start_soon(self._idle_viewers_back, comings, phases)
        flows = max(phases.values()) - injected.began if len(phases) == PHASES else None
        for viewer, watch in watches.items():
            viewer.watches.discard(watch)
        if flows is None:
            self.findings.append(self._stuck(injected, watches))
            log.error("not_all_flows", finding=self.findings[-1])
        return FaultEvent(
            fault=injected.planned.fault,
            kind=_kind(injected),
            target=injected.target,
            at=injected.began - self.began,
            answers=injected.answers,
            flows=None if flows is None else max(0.0, flows),
            phases={name: max(0.0, at - injected.began) for name, at in phases.items()},
        )

    # Their deadline is the caller's; each notes the instant at which it was so.

    async def _seeing(self, watches: dict[Viewer, ViewerWatch], phases: dict[str, float]) -> None:
        for watch in watches.values():
            await watch.over.wait()
        phases["events seen"] = max((watch.at for watch in watches.values()), default=trio.current_time())

    async def _viewers_live(self, connects: dict[Viewer, int], phases: dict[str, float]) -> None:
        await until(
            lambda: all(one.live and one.connects >= connects.get(one, 0) for one in self.viewers), LOOK_SECONDS
        )
        phases["viewers live"] = trio.current_time()

    async def _idle_viewers_back(self, comings: int, phases: dict[str, float]) -> None:
        await until(lambda: self.idle_viewers.whole and self.idle_viewers.comings >= comings, LOOK_SECONDS)
        phases["clients back"] = trio.current_time()

    def _stuck(self, injected: _InjectedFault, watches: dict[Viewer, ViewerWatch]) -> str:
        blind = [
            f"viewer {viewer.number} saw nothing of {sorted(watch.wanted)[:3]} ({viewer.refusal or 'connected'})"
            for viewer, watch in watches.items()
            if not watch.over.is_set() or not viewer.live
        ]
        missing = self.idle_viewers.size - self.idle_viewers.live
        if missing:
            blind.append(f"{missing} of {self.idle_viewers.size} clients are not back ({self.idle_viewers.refusal})")
        what = f"{injected.planned.fault} of {injected.target}"
        return f"{what}: not all flows after {PATIENCE_SECONDS:g} s: {'; '.join(blind[:4])}"


def _wall() -> float:
    """Return the time as events have it: epoch ms."""
    return time.time() * 1000


def _pick(found: Sequence[T], dice: float) -> T:
    """Return the element that `dice`, a number of [0, 1), selects. Raises `NoFaultTarget`."""
    if not found:
        raise NoFaultTarget
    return found[int(dice * len(found))]


def _kind(injected: _InjectedFault) -> str:
    fault = injected.planned.fault
    if fault == "kill-actor" and injected.answers is None:
        return "kill-actor (a connection's)"
    return fault
