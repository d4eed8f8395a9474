"""The whole course: set up, break, come to rest, judge, clean up."""

import shutil
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs
import trio

from townwatch.chaos.campaign.fault_runner import FaultRunner
from townwatch.chaos.campaign.goals import GoalResult, judge
from townwatch.chaos.campaign.health import HealthSnapshot, broken, measure, ready
from townwatch.chaos.campaign.idle_viewers import IdleViewers
from townwatch.chaos.campaign.oracle import Oracle, ViewerLog
from townwatch.chaos.campaign.plan import UnknownFault, choose, plan
from townwatch.chaos.campaign.progress import Progress
from townwatch.chaos.campaign.recovery_times import FaultEvent
from townwatch.chaos.campaign.rest_client import RequestRefused, Rest, ServiceAway
from townwatch.chaos.campaign.viewer import Viewer
from townwatch.chaos.campaign.waiting import until
from townwatch.chaos.campaign.workload import CannotRun, Workload

START_SECONDS, CROWD_SECONDS = 60.0, 120.0
WARM_SECONDS = 3.0
SAMPLES = 10
"""Of the time an event takes undisturbed."""
WATCH_SECONDS = 5.0
REST_SECONDS = 150.0
"""A half-open connection is kept by the service for 85 s without an answer to its pings, and 30 s after its end."""
OVER_SECONDS = 60.0
CLEAN_SECONDS = 120.0


class CannotBegin(Exception):
    """One line for the person at the terminal."""


@attrs.frozen(kw_only=True)
class Options:
    """`seconds`: how long plugs are pulled. `clients`: viewers that only look, beside `viewers` that remember."""

    seed: int
    seconds: float = 60.0
    faults: Sequence[str] = ()
    clients: int = 20
    viewers: int = 4
    runners: int = 2
    goals: bool = True
    keep_data: bool = False


@attrs.define(eq=False)
class CampaignResult:
    """Result of a campaign. `held`: nothing was lost or doubled, all came back."""

    options: Options
    url: str
    faults: list[str] = attrs.field(factory=list)
    fault_events: list[FaultEvent] = attrs.field(factory=list)
    baseline: list[FaultEvent] = attrs.field(factory=list)
    outcomes: list[GoalResult] = attrs.field(factory=list)
    findings: list[str] = attrs.field(factory=list)
    oracle: Oracle | None = None
    before: HealthSnapshot | None = None
    after: HealthSnapshot | None = None
    skipped: int = 0
    fault_seconds: float = 0.0
    interrupted: bool = False
    left_behind: list[str] = attrs.field(factory=list)
    began: str = attrs.field(factory=lambda: time.strftime("%Y-%m-%d %H:%M:%S"))

    @property
    def missed(self) -> list[GoalResult]:
        return [one for one in self.outcomes if not one.met] if self.options.goals else []

    @property
    def held(self) -> bool:
        return not (self.findings or self.missed or self.interrupted) and self.oracle is not None


@attrs.define(eq=False)
class Campaign:
    """`run` it once. `folder`: where its runners live and write, removed at the end."""

    rest: Rest
    options: Options
    folder: Path
    progress: Progress
    workload: Workload = attrs.field(init=False)
    viewers: list[Viewer] = attrs.field(init=False)
    idle_viewers: IdleViewers = attrs.field(init=False)
    result: CampaignResult = attrs.field(init=False)
    _fault_runner: FaultRunner | None = None
    _phase: str = "starting"
    _ends: float = 0.0

    def __attrs_post_init__(self) -> None:
        options, rest = self.options, self.rest
        self.workload = Workload(rest, self.folder, options.seed, runners=options.runners)
        village = self.workload.village
        self.viewers = [
            Viewer(number, rest.base, rest.token, village, terminals=number % 2 == 1)
            for number in range(options.viewers)
        ]
        self.idle_viewers = IdleViewers(options.clients, rest.base, rest.token, self.workload.quiet_village)
        self.result = CampaignResult(options, rest.base)

    async def run(self) -> CampaignResult:
        """Raises `CannotBegin` where there is nothing to try; whatever else goes wrong is in the result."""
        self.result.faults = await self._offered()
        self.progress.status = self._status
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._hear_signals, nursery.cancel_scope)
                nursery.start_soon(self.progress.run)
                try:
                    await self._course(nursery)
                except (ServiceAway, RequestRefused, CannotRun) as error:
                    self.result.findings.append(str(error))
                nursery.cancel_scope.cancel()
        finally:
            with trio.move_on_after(CLEAN_SECONDS) as scope:
                scope.shield = True
                await self._clean_up()
        return self.result

    async def _offered(self) -> list[str]:
        try:
            view = await self.rest.get("/api/chaos")
            offered = [str(one["name"]) for one in view["faults"]]
            return choose(self.options.faults, offered, bool(view["kept"]))
        except RequestRefused as refused:
            if refused.status == 404:
                raise CannotBegin(f"{self.rest.base} was not started with --chaos") from None
            raise CannotBegin(f"{self.rest.base}: {refused}; an administrator's token is needed") from None
        except (ServiceAway, UnknownFault) as error:
            raise CannotBegin(str(error)) from None

    async def _hear_signals(self, scope: trio.CancelScope) -> None:
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
            async for _ in signals:
                self.result.interrupted = True
                scope.cancel()

    # --- the course -------------------------------------------------------------------------------------

    async def _course(self, nursery: trio.Nursery) -> None:
        self._fault_runner = fault_runner = FaultRunner(
            self.rest, self.workload, self.viewers, self.idle_viewers, nursery
        )
        await self._set_up(nursery)
        self.progress.say(f"seed {self.options.seed}; service: {self.result.before}")
        await self._inject_faults(fault_runner)
        await self._await_recovery(fault_runner)
        self.result.fault_events, self.result.skipped = fault_runner.fault_events, fault_runner.skipped
        self.result.findings += fault_runner.findings
        self.result.outcomes = judge(fault_runner.fault_events)
        await self._finish()

    async def _set_up(self, nursery: trio.Nursery) -> None:
        self._phase = "setting up"
        await self.workload.prepare()
        for viewer in self.viewers:
            nursery.start_soon(viewer.run)
        nursery.start_soon(self.idle_viewers.run)
        for runner in self.workload.processes:
            nursery.start_soon(self.workload.keep_running, runner)
        for decision in ("allow", "deny"):
            nursery.start_soon(self.workload.decide, decision)
        await self.workload.running(START_SECONDS)
        with trio.move_on_after(CROWD_SECONDS):
            await until(self._all_live)
        if not self.idle_viewers.whole:
            raise CannotRun(
                f"{self.idle_viewers.live} of {self.idle_viewers.size} clients are in: {self.idle_viewers.refusal}"
            )
        self._phase = "warming up"
        await trio.sleep(WARM_SECONDS)
        assert self._fault_runner is not None
        self.result.baseline = [await self._fault_runner.undisturbed() for _ in range(SAMPLES)]
        self.result.before, _ = await measure(self.rest, self._local)

    async def _inject_faults(self, fault_runner: FaultRunner) -> None:
        self._phase = "pulling plugs"
        began = trio.current_time()
        fault_runner.began, self._ends = began, began + self.options.seconds
        dice = plan(self.options.seed, self.result.faults, even=bool(self.options.faults))
        watched = began
        while trio.current_time() < self._ends:
            planned = next(dice)
            await trio.sleep(planned.pause)
            known = len(fault_runner.fault_events)
            await fault_runner.pull(planned)
            for event in fault_runner.fault_events[known:]:
                self.progress.fault_over(event)
            if trio.current_time() - watched > WATCH_SECONDS:
                watched = trio.current_time()
                await self._look()
        self.result.fault_seconds = trio.current_time() - began

    async def _look(self) -> None:
        """Record as findings the invariants that the service itself reports as broken."""
        with suppress(ServiceAway, RequestRefused):
            view = await self.rest.get("/api/chaos")
            self._found(broken(view))

    def _found(self, findings: Sequence[str]) -> None:
        for finding in findings:
            if finding not in self.result.findings:
                self.result.findings.append(finding)
                self.progress.say(f"DOES NOT HOLD: {finding}")

    async def _await_recovery(self, fault_runner: FaultRunner) -> None:
        """Wait until the service is as it was before, with all viewers connected and all programs writing."""
        self._phase = "coming to rest"
        wrong = ["it was not asked"]
        before = self.result.before
        with trio.move_on_after(REST_SECONDS):
            while wrong:
                await trio.sleep(1.0)
                wrong = await self._not_recovered(fault_runner, before)
        await until(lambda: not fault_runner.pending)  # each has its own deadline
        self._found([f"not well {REST_SECONDS:g} s after the last fault: {one}" for one in wrong])

    def _all_live(self) -> bool:
        return self.idle_viewers.whole and all(viewer.live for viewer in self.viewers)

    async def _not_recovered(self, fault_runner: FaultRunner, before: HealthSnapshot | None) -> list[str]:
        wrong: list[str] = []
        if fault_runner.pending:
            wrong.append("a connection that died without a word is not back")
        if (reason := await ready(self.rest)) is not None:
            wrong.append(reason)
        if not self._all_live():
            wrong.append(f"{self.idle_viewers.live} of {self.idle_viewers.size} clients are live")
        try:
            self.result.after, view = await measure(self.rest, self._local)
        except (ServiceAway, RequestRefused) as error:
            return [*wrong, str(error)]
        return wrong + broken(view) + ([] if before is None else self.result.after.back_from(before))

    @property
    def _local(self) -> bool:
        return urlsplit(self.rest.base).hostname in ("127.0.0.1", "::1", "localhost")

    # --- the end ----------------------------------------------------------------------------------------

    async def _finish(self) -> None:
        """Let programs end by themselves and viewers see the last events; then judge."""
        self._phase = "reading the books"
        self.workload.wind_down()
        sessions = f"/api/runner/sessions?villageId={self.workload.village}"
        live: list[Any] = [None]
        with trio.move_on_after(OVER_SECONDS):
            while live:
                await trio.sleep(0.5)
                live = [one for one in await self.rest.every(sessions) if one["endedAt"] is None]
        journal = {one["sessionId"]: await self._events(one["sessionId"]) for one in await self.rest.every(sessions)}
        self._found([f"session {one['sessionId']} does not end: {one['state']}" for one in live if one])
        with trio.move_on_after(OVER_SECONDS):
            await until(lambda: all(_seen_all(viewer, journal) for viewer in self.viewers))
        oracle = Oracle(journal)
        oracle.audit(
            self.workload.program_logs(), self.workload.answers, [_viewer_log(viewer) for viewer in self.viewers]
        )
        self.result.oracle = oracle
        self._found(oracle.findings)

    async def _events(self, session: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        after = 0
        while True:
            path = f"/api/runner/sessions/{session}/events?after={after}&limit=1000"
            page = (await self.rest.ask_until_answered("GET", path)).json()
            found += page["items"]
            if not page["items"] or page["next"] is None:
                return found
            after = int(page["next"])

    async def _clean_up(self) -> None:
        """Remove what the campaign created, unless it is to be kept; record what could not be removed."""
        self._phase = "cleaning up"
        self.workload.wind_down_quietly()
        self._found(await self.workload.stop_runners())
        if not self.options.keep_data:
            await self.workload.deliver_unsent()
            await trio.to_thread.run_sync(self.workload.save_logs, self.folder.parent / "logs")
            self.result.left_behind = await self.workload.remove()
            await trio.to_thread.run_sync(lambda: shutil.rmtree(self.folder, ignore_errors=True))

    def _status(self) -> str:
        fault_runner = self._fault_runner
        left = max(0.0, self._ends - trio.current_time()) if self._ends else self.options.seconds
        lines = sum(len(seqs) for seqs in self.viewers[0].seen.values()) if self.viewers else 0
        again = sum(viewer.counts["came again"] for viewer in self.viewers)
        live = sum(viewer.live for viewer in self.viewers) + self.idle_viewers.live
        faults = 0 if fault_runner is None else len(fault_runner.fault_events)
        everyone = len(self.viewers) + self.idle_viewers.size
        return (
            f"{self._phase} · {left:.0f} s left · {faults} faults · {lines} events seen · {again} came again"
            f" · {live} of {everyone} viewers live · {len(self.result.findings)} findings"
        )


def _seen_all(viewer: Viewer, journal: dict[str, list[dict[str, Any]]]) -> bool:
    heads = {session: events[-1]["seq"] for session, events in journal.items() if events}
    return all(viewer.last("work", session) >= head for session, head in heads.items())


def _viewer_log(viewer: Viewer) -> ViewerLog:
    return ViewerLog(
        number=viewer.number,
        seen=viewer.seen,
        followed=viewer.followed,
        gaps=viewer.gaps,
        resolved=viewer.resolved,
        problems=viewer.problems[:5],
        came_again=viewer.counts["came again"],
        asked_again=viewer.counts["asked for again"],
    )
