"""What goes on in the town: programs that write numbered lines and ask, people who decide against each other."""

import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import attrs
import httpx
import trio

from tests.chaos.nemesis.town import Town, runner_id

PROGRAM = """
import json, subprocess, sys, time, random, signal, os
name, folder, asks, seed = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
dice = random.Random(seed)
end = float("inf")
truth = open(f"{folder}/{name}.lines", "a", buffering=1)
heard = open(f"{folder}/{name}.heard", "a", buffering=1)
open(f"{folder}/{name}.session", "w").write(os.environ["TOWNWATCH_SESSION"])
number, asked, asking, question = 0, 0, None, ""
try:
    while not os.path.exists(f"{folder}/stop"):
        for _ in range(dice.choice([1, 1, 1, 2, 5, 40] if dice.random() < 0.1 else [1])):
            number += 1
            truth.write(f"{number}\\n")
            print(f"{name}:{number}.", flush=True)
        time.sleep(dice.uniform(0.02, 0.15))
        if asking is not None and asking.poll() is not None:
            heard.write(json.dumps([question, asking.returncode]) + "\\n")
            asking = None
        if asks and asking is None and dice.random() < 0.04:
            asked += 1
            question = f"{name} asks {asked}"
            asking = subprocess.Popen(
                [sys.executable, "-P", "-m", "townwatch", "ask", question, "--category=shell", "--risk=low"],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
    truth.write("end\\n")
    print(f"{name} is done.", flush=True)
except OSError:
    pass  # the terminal is gone
finally:
    if asking is not None:
        asking.kill()
"""
SESSIONS_EACH = 2


@attrs.define(eq=False)
class Program:
    """One start of a program: which runner was to run it."""

    name: str
    runner: str


@attrs.define(eq=False)
class Answer:
    """What somebody who decided was told: `status`, and what stands where it was too late."""

    session_id: str
    approval_id: str
    decision: str
    status: int
    standing: str | None


@attrs.define(eq=False)
class Workload:
    """Starts what is to run wherever too little runs, and decides what is asked."""

    town: Town
    seed: int
    sessions_each: int = SESSIONS_EACH
    programs: list[Program] = attrs.field(factory=list)
    answers: list[Answer] = attrs.field(factory=list)
    winding_down: bool = False
    _numbers: dict[str, int] = attrs.field(factory=dict)

    @property
    def folder(self) -> Path:
        return self.town.folder / "truth"

    def prepare(self) -> None:
        self.folder.mkdir()
        (self.folder / "program.py").write_text(PROGRAM)

    def wind_down(self) -> None:
        """Programs end by themselves, no new ones begin."""
        self.winding_down = True
        (self.folder / "stop").touch()

    async def keep_running(self, runner: str) -> None:
        """This many sessions on this runner, however often they die."""
        async with self.town.http() as http:
            while not self.winding_down:
                await trio.sleep(0.7)
                live = await _ask(http.get, "/api/runner/sessions?live=true&limit=100")
                if live is None or live.status_code != 200:
                    continue
                mine = runner_id(self.town.runners[runner])
                here = [one for one in live.json()["items"] if one["runnerId"] == mine]
                if len(here) < self.sessions_each and not self.winding_down:
                    await self._start(http, runner, mine)

    async def _start(self, http: httpx.AsyncClient, runner: str, at: str) -> None:
        number = self._numbers[runner] = self._numbers.get(runner, 0) + 1
        name = f"{runner}p{number}"
        program = Program(name, runner)
        self.programs.append(program)
        command = [sys.executable, str(self.folder / "program.py"), name, str(self.folder), str(number % 2)]
        body = {
            "providerId": "command",
            "command": [*command, str(self.seed * 1000 + number)],
            "runnerId": at,
            "repoRef": {"provider": "local", "path": str(self.town.runners[runner].folder / "work")},
            "task": {"title": name, "goal": "write lines"},
        }
        told = await _ask(http.post, "/api/runner/sessions", json=body)
        if told is not None and told.status_code == 409:  # the runner is not there yet: nothing was started
            self.programs.remove(program)
            self._numbers[runner] -= 1

    async def decide(self, decision: str) -> None:
        """Somebody who answers everything the same way, as fast as the network lets them, until told what stands."""
        dice = random.Random(f"{self.seed} {decision}")
        done: set[str] = set()
        async with self.town.http() as http:
            while True:
                await trio.sleep(dice.uniform(0.1, 0.6) if decision == "allow" else dice.uniform(0.3, 1.2))
                waiting = await _ask(http.get, "/api/approvals?limit=100")
                if waiting is None or waiting.status_code != 200:
                    continue
                for one in waiting.json()["items"]:
                    if one["approvalId"] in done:
                        continue
                    answer = await self._answer(http, one, decision)
                    if answer is not None:
                        done.add(answer.approval_id)
                        self.answers.append(answer)

    async def _answer(self, http: httpx.AsyncClient, asked: dict[str, Any], decision: str) -> Answer | None:
        path = f"/api/runner/sessions/{asked['sessionId']}/approvals/{asked['approvalId']}"
        while True:
            told = await _ask(http.post, path, json={"decision": decision})
            if told is not None and told.status_code in (200, 404, 409):
                break
            await trio.sleep(0.2)
        error = cast(dict[str, Any], told.json().get("error") or {})
        details = cast(dict[str, Any], error.get("details") or {})
        standing = cast(dict[str, Any], details.get("standing") or {}).get("decision")
        return Answer(asked["sessionId"], asked["approvalId"], decision, told.status_code, standing)


async def _ask(method: Callable[..., Any], path: str, **body: Any) -> httpx.Response | None:
    """None where the network or the service is away. What we ask is right: 400 is nobody's answer."""
    try:
        answer: httpx.Response = await method(path, **body)
    except httpx.HTTPError:
        return None
    assert answer.status_code not in (400, 401, 403, 422), answer.text
    return answer


def lines_of(folder: Path, name: str) -> tuple[int, bool]:
    """(how many lines the program began to write, whether it came to its own end)."""
    path = folder / f"{name}.lines"
    if not path.exists():
        return 0, False
    lines = path.read_text().split("\n")
    ended = "end" in lines
    return max((int(line) for line in lines if line.isdigit()), default=0), ended


def heard_of(folder: Path, name: str) -> dict[str, int]:
    """question → the exit status of the one who asked."""
    path = folder / f"{name}.heard"
    return dict(json.loads(line) for line in path.read_text().splitlines()) if path.exists() else {}
