"""Workload during the faults: real runners with real programs, and people who decide against each other."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

import attrs
import psutil
import trio

from townwatch.chaos.campaign.oracle import DecisionReply
from townwatch.chaos.campaign.program import SOURCE, ProgramLog, read_program_log
from townwatch.chaos.campaign.rest_client import RequestRefused, Rest, ServiceAway
from townwatch.chaos.campaign.waiting import until
from townwatch.runner.link import enrolment
from townwatch.runner.link.api_client import Service

STOP_SECONDS = 20.0
REMOVE_SECONDS = 10.0
END_SECONDS = 5.0
LOOK_SECONDS = 0.7
ASKER = "writes and asks"
"""One on each runner: to ask is a process of its own each time."""


class CannotRun(Exception):
    """The workload cannot begin, or broke by itself; the message is one line."""


@attrs.define(eq=False)
class RunnerProcess:
    """A runner of ours, in a process of its own. `away`: a fault is at work on its connection that takes its time."""

    name: str
    folder: Path
    runner_id: str
    process: trio.Process | None = None
    sessions: set[str] = attrs.field(factory=set)
    """That have begun, and not ended."""
    away: bool = False

    async def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = await trio.lowlevel.open_process(
                [sys.executable, "-P", "-m", "townwatch", "runner"],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "TOWNWATCH_STATE_DIR": str(self.folder / "state")},
                start_new_session=True,  # ^C is ours to hear, not theirs
            )

    async def stop(self) -> str | None:
        """Stop it with SIGTERM, then kill it; return what went wrong."""
        process = self.process
        if process is None:
            return None
        if process.poll() is not None:
            return f"{self.name} ended by itself with status {process.returncode}"
        process.send_signal(signal.SIGTERM)
        with trio.move_on_after(STOP_SECONDS):
            await process.wait()
        if process.poll() is not None:
            return None
        process.kill()
        await process.wait()
        return f"{self.name} does not end on SIGTERM"

    def connections(self, base: str) -> list[str]:
        """Return addresses and ports of its connections to the service, as the service names them."""
        if self.process is None:
            return []
        try:
            found = psutil.Process(self.process.pid).net_connections("tcp")
        except psutil.Error:
            return []
        port = urlsplit(base).port or (443 if base.startswith("https") else 80)
        return [
            f"{one.laddr.ip}:{one.laddr.port}"
            for one in found
            if one.status == psutil.CONN_ESTABLISHED and one.raddr and one.raddr.port == port
        ]


@attrs.define(eq=False)
class Workload:
    """Its village, its runners, its programs, its people. `folder`: where it keeps all it writes."""

    rest: Rest
    folder: Path
    seed: int
    runners: int = 2
    programs_each: int = 2
    village: str = attrs.field(factory=lambda: f"chaos-{secrets.token_hex(4)}")
    processes: list[RunnerProcess] = attrs.field(factory=list)
    names: list[str] = attrs.field(factory=list)
    answers: list[DecisionReply] = attrs.field(factory=list)
    winding_down: bool = False

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def quiet_village(self) -> str:
        """Key of the village in which nothing happens."""
        return f"{self.village}-quiet"

    async def prepare(self) -> None:
        """Make villages and runners. Raises `ServiceAway`, `RequestRefused`, `CannotRun`."""
        self.logs.mkdir(parents=True)
        (self.logs / "program.py").write_text(SOURCE, encoding="utf-8")
        for village in (self.village, self.quiet_village):
            await self.rest.ask_until_answered(
                "POST", "/api/villages", {"villageId": village, "name": "townwatch chaos"}
            )
        for number in range(self.runners):
            self.processes.append(await self._enrol(f"{self.village}-runner-{number + 1}"))

    async def _enrol(self, name: str) -> RunnerProcess:
        folder = self.folder / name
        (folder / "work").mkdir(parents=True)
        made = await self.rest.ask_until_answered(
            "POST", "/api/runners/enrolments", {"villageId": self.village, "name": name}
        )
        service = Service.at(self.rest.base, plain=True)
        known = await enrolment.join(folder / "state", service, made.json()["code"], name=name)
        runner = RunnerProcess(name, folder, known.runner_id)
        await runner.start()
        return runner

    # --- programs ---------------------------------------------------------------------------------------

    async def keep_running(self, runner: RunnerProcess) -> None:
        """Keep so many sessions on this runner, until it is time to wind down."""
        while not self.winding_down:
            try:
                live = await self.rest.get(f"/api/runner/sessions?live=true&limit=100&villageId={self.village}")
                here = [one for one in live["items"] if one["runnerId"] == runner.runner_id]
                runner.sessions = {one["sessionId"] for one in here if one["lastEventSeq"]}
                if len(here) < self.programs_each and not self.winding_down:
                    await self._start(runner, asks=all(one["agentName"] != ASKER for one in here))
            except (ServiceAway, RequestRefused):
                pass  # the next look finds what became of it
            await trio.sleep(LOOK_SECONDS)

    async def _start(self, runner: RunnerProcess, *, asks: bool) -> None:
        number = len(self.names) + 1
        name = f"p{number}"
        self.names.append(name)
        program = [sys.executable, str(self.logs / "program.py"), name, str(self.logs), str(int(asks))]
        body = {
            "villageId": self.village,
            "providerId": "command",
            "agentName": ASKER if asks else "writes",
            "command": [*program, str(self.seed * 1000 + number)],
            "runnerId": runner.runner_id,
            "repoRef": {"provider": "local", "path": str(runner.folder / "work")},
            "task": {"title": name, "goal": "write numbered lines"},
        }
        await self.rest.post("/api/runner/sessions", body)

    async def running(self, within: float) -> None:
        """Wait until every runner has its programs and they write. Raises `CannotRun`."""
        with trio.move_on_after(within):
            await until(self._all_write, 0.1)
            return
        raise CannotRun(f"the programs do not run after {within:g} s; look into {self.folder}/*/log")

    def _all_write(self) -> bool:
        if any(len(runner.sessions) < self.programs_each for runner in self.processes):
            return False
        return sum(one.wrote > 0 for one in self.program_logs()) >= self.runners * self.programs_each

    def wind_down(self) -> None:
        """Let programs end, and begin no new ones."""
        self.winding_down = True
        (self.logs / "stop").touch()

    def wind_down_quietly(self) -> None:
        """The same, where nothing may have begun."""
        self.winding_down = True
        if self.logs.exists():
            (self.logs / "stop").touch()

    def program_logs(self) -> list[ProgramLog]:
        return [read_program_log(self.logs, name) for name in self.names]

    # --- people -----------------------------------------------------------------------------------------

    async def decide(self, decision: str) -> None:
        """Answer every approval with `decision`, each until a decision is on record. Runs until cancelled."""
        dice = Random(f"{self.seed} {decision}")
        done: set[str] = set()
        while True:
            await trio.sleep(dice.uniform(0.1, 0.9))
            try:
                waiting = await self.rest.get("/api/approvals?limit=100")
            except (ServiceAway, RequestRefused):
                continue
            for one in waiting["items"]:
                if one["villageId"] == self.village and one["approvalId"] not in done:
                    done.add(one["approvalId"])
                    self.answers.append(await self._answer(one, decision))

    async def _answer(self, asked: dict[str, Any], decision: str) -> DecisionReply:
        """Send a decision, again and again, until the service replies with the one on record."""
        path = f"/api/runner/sessions/{asked['sessionId']}/approvals/{asked['approvalId']}"
        while True:
            try:
                await self.rest.post(path, {"decision": decision})
                return DecisionReply(asked["approvalId"], decision, decision)
            except RequestRefused as refused:
                if refused.status in (404, 409):
                    return DecisionReply(asked["approvalId"], decision, _standing(refused.details))
            except ServiceAway:
                pass
            await trio.sleep(0.2)

    # --- the end ----------------------------------------------------------------------------------------

    async def remove(self) -> list[str]:
        """Remove sessions, runners, villages; return what could not be removed, one line each."""
        left: list[str] = []
        try:
            sessions = await self.rest.every(f"/api/runner/sessions?villageId={self.village}")
        except (ServiceAway, RequestRefused) as error:
            return [f"the sessions of {self.village}: {error}"]
        paths = [f"/api/runner/sessions/{one['sessionId']}" for one in sessions]
        paths += [f"/api/runners/{runner.runner_id}" for runner in self.processes]
        paths += [f"/api/villages/{village}" for village in (self.village, self.quiet_village)]
        for path in paths:
            try:
                await self._remove(path)
            except (ServiceAway, RequestRefused) as error:
                left.append(f"{path}: {error}")
        return left

    async def _remove(self, path: str) -> None:
        """A session may take a moment to end. Raises `ServiceAway`, `RequestRefused`."""
        deadline = trio.current_time() + REMOVE_SECONDS
        while True:
            try:
                await self.rest.ask_until_answered("DELETE", path, within=REMOVE_SECONDS)
                return
            except RequestRefused as refused:
                if refused.status == 404:
                    return
                if refused.status != 409 or trio.current_time() > deadline:
                    raise
            await trio.sleep(0.3)

    async def stop_runners(self) -> list[str]:
        """Let programs end, then stop the runners; return what went wrong."""
        await self._until_over(END_SECONDS)
        return [wrong for runner in self.processes if (wrong := await runner.stop()) is not None]

    def save_logs(self, folder: Path) -> None:
        """Copy the runners' logs to `folder`, to find the cause of a finding."""
        folder.mkdir(parents=True, exist_ok=True)
        for runner in self.processes:
            shutil.copy(runner.folder / "log", folder / f"{runner.name}.log")

    async def deliver_unsent(self) -> None:
        """A connection that was dead when its runner stopped leaves sessions that seem to live: the runner's next life
        tells of their end.
        """
        if not await self._live():
            return
        for runner in self.processes:
            await runner.start()
        await self._until_over(STOP_SECONDS)
        for runner in self.processes:
            await runner.stop()

    async def _until_over(self, within: float) -> None:
        with trio.move_on_after(within):
            while await self._live():  # noqa: ASYNC110 - it is another process that ends them
                await trio.sleep(0.2)

    async def _live(self) -> bool:
        """Return True if the service reports one of our sessions as not ended, or does not answer."""
        try:
            page = await self.rest.get(f"/api/runner/sessions?live=true&limit=1&villageId={self.village}")
        except ServiceAway:
            return True
        except RequestRefused:
            return False
        return bool(page["items"])


def _standing(details: Any) -> str | None:
    """The decision that came first, of what a 409 says."""
    standing: Any = details.get("standing") if details else None
    return standing["decision"] if standing else None
