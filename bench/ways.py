"""The length of three ways through the house: files, functions, messages of actors, hops to worker threads.

    python -m bench.ways [--rounds 5] [--list chunk|stop|ask]

A service and a real runner in one process, as deployed but for the process. Each way is gone several times; printed is
what every round has (background work that falls into one round is in no other) and the fewest messages and hops.

chunk  a line that a program writes to its pseudo-terminal, until it is in the frame of a Socket.IO viewer
stop   POST …/stop, until the session has ended, durably, and its runner knows
ask    `townwatch ask` in a session, a person's allow over REST, until the asker has it and the service its confirmation

`--list` prints the files and functions of one way.
"""

import argparse
import os
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import attrs
import httpx
import trio

from tests.support.people import connected
from tests.support.service import Town, open_town
from townwatch.runner import identity
from townwatch.runner.identity import new_session_id
from townwatch.runner.opening import open_runner
from townwatch.runner.runner import Runner
from townwatch.runner.session.plan import SessionSpec
from townwatch.runner.session.session import Session
from townwatch.runtime._mailbox import Mailbox

ROOT = Path(__file__).parents[1]
PRODUCT = ("access actors app cli config contracts net runner runtime store supervision transports").split()
CLOCKED = ("app/health/", "app/upkeep/", "app/lockout.py", "runner/observers/process_watch.py")
"""What runs by the clock beside every way: neither it nor what it calls is counted."""
SETTLE_SECONDS = 0.3
"""How long a round is recorded beyond its end: acknowledgements and what they free belong to it."""
Way = Callable[["House", Any], Awaitable[None]]


@attrs.define
class Trace:
    """One round."""

    functions: set[tuple[str, str]] = attrs.field(factory=set)
    messages: Counter[str] = attrs.field(factory=Counter)
    hops: Counter[str] = attrs.field(factory=Counter)


class Recorder:
    """Profiles all threads that start after `install`, while `now` is set."""

    def __init__(self) -> None:
        self.now: Trace | None = None
        self._names: dict[CodeType, tuple[str, str] | None] = {}
        self._thread = threading.local()

    def install(self) -> None:
        threading.setprofile(self._profile)
        sys.setprofile(self._profile)
        take, run_sync = Mailbox.take, trio.to_thread.run_sync

        def taken(mailbox: Mailbox) -> Any:
            envelope = take(mailbox)
            if envelope is not None and self.now is not None and type(envelope.message).__name__ != "LivenessPing":
                self.now.messages[type(envelope.message).__name__] += 1
            return envelope

        def hop(function: Any, *args: Any, **options: Any) -> Any:
            if self.now is not None and self._is_clocked(sys._getframe(1)):
                return run_sync(self._uncounted, function, *args, **options)
            if self.now is not None:
                self.now.hops[getattr(function, "__qualname__", type(function).__name__)] += 1
            return run_sync(function, *args, **options)

        Mailbox.take = taken  # type: ignore[method-assign]
        trio.to_thread.run_sync = hop  # type: ignore[assignment]

    def _profile(self, frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call" and (trace := self.now) is not None:
            code = frame.f_code
            if code not in self._names:
                self._names[code] = _name_of(code)
            name = self._names[code]
            if name is None or name in trace.functions or getattr(self._thread, "uncounted", False):
                return
            if not self._is_clocked(frame):
                trace.functions.add(name)

    def _uncounted(self, function: Callable[..., Any], *args: Any) -> Any:
        self._thread.uncounted = True
        try:
            return function(*args)
        finally:
            self._thread.uncounted = False

    def _is_clocked(self, frame: FrameType | None) -> bool:
        while frame is not None:
            if frame.f_code not in self._names:
                self._names[frame.f_code] = _name_of(frame.f_code)
            name = self._names[frame.f_code]
            if name is not None and name[0].startswith(CLOCKED):
                return True
            frame = frame.f_back
        return False

    @asynccontextmanager
    async def round(self) -> AsyncGenerator[Trace]:
        self.now = trace = Trace()
        try:
            yield trace
            await trio.sleep(SETTLE_SECONDS)
        finally:
            self.now = None


def _name_of(code: CodeType) -> tuple[str, str] | None:
    """The file and function of the product that a code object is; None for any other, and for mere expressions."""
    try:
        path = Path(code.co_filename).resolve().relative_to(ROOT)
    except ValueError:
        return None
    if path.parts[0] not in PRODUCT or code.co_name.startswith("<"):
        return None
    return str(path), code.co_qualname


@attrs.define(eq=False)
class House:
    """The service and its runner."""

    town: Town
    runner: Runner
    http: httpx.AsyncClient
    recorder: Recorder
    directory: Path
    trigger: int
    """Write a line into it, and the session's program goes on."""

    @property
    def states(self) -> dict[str, Any]:
        return self.town.service.context.board._sessions

    async def session(self, script: str) -> Session:
        """A session that waits for its trigger, with nothing under way."""
        lines = f"exec 9<>{self.directory}/trigger; {script}"
        session = self.runner.start(
            SessionSpec(
                session_id=new_session_id(), village="demo", command=["bash", "-c", lines], directory=self.directory
            )
        )
        await until(lambda: (state := self.states.get(session.plan.session_id)) and state.state == "RUNNING")
        await self.quiet()
        return session

    async def quiet(self) -> None:
        """Nothing of the runner's is unacknowledged, and it stays so for a moment."""
        for _ in range(2):
            await trio.sleep(0.5)
            while self.runner.recorder.spool.size()[0]:
                await trio.sleep(0.05)

    def go(self) -> None:
        os.write(self.trigger, b"go\n")


async def until(true: Callable[[], Any]) -> None:
    with trio.fail_after(60):
        while not true():
            await trio.sleep(0.01)


async def chunk(house: House, take: Callable[[Trace], None]) -> None:
    session = await house.session("while read -r line <&9; do echo way-$line; done")
    state = house.states[session.plan.session_id]
    async with connected(house.town, "socketio", house.town.token) as viewer:
        assert (await viewer.emit("join_agent", {"agentId": state.agent_id, "terminal": True}))["ok"]
        for number in range(ROUNDS):
            await house.quiet()
            async with house.recorder.round() as trace:
                os.write(house.trigger, f"{number}\n".encode())
                while f"way-{number}" not in str(await viewer.next()):
                    pass
            take(trace)
    await session.stop()


async def stop(house: House, take: Callable[[Trace], None]) -> None:
    for _ in range(ROUNDS):
        session = await house.session("read -r line <&9")
        session_id = session.plan.session_id
        async with house.recorder.round() as trace:
            answer = await house.http.post(f"/api/runner/sessions/{session_id}/stop", json={})
            assert answer.status_code == 200, answer.text
            await until(lambda: house.states[session_id].ended and session.over.is_set())  # noqa: B023
        take(trace)


async def ask(house: House, take: Callable[[Trace], None]) -> None:
    command = f"{sys.executable} -P -m townwatch ask --category shell --risk low 'make'"
    for _ in range(ROUNDS):
        session = await house.session(f"read -r line <&9; {command}; sleep 2; echo done")
        session_id = session.plan.session_id
        async with house.recorder.round() as trace:
            house.go()
            await until(lambda: house.states[session_id].pending)  # noqa: B023
            (approval_id,) = house.states[session_id].pending
            url = f"/api/runner/sessions/{session_id}/approvals/{approval_id}"
            answer = await house.http.post(url, json={"decision": "allow"})
            assert answer.status_code == 200, answer.text
            await until(lambda: approval_id in house.states[session_id].resolved)  # noqa: B023
        take(trace)
        await session.stop()


WAYS: dict[str, Way] = {"chunk": chunk, "stop": stop, "ask": ask}
BEFORE = {"chunk": (51, 258, 8, 8), "stop": (72, 429, 36, 28), "ask": (71, 406, 28, 25)}
"""Before the house was rebuilt."""
ROUNDS = 5


@asynccontextmanager
async def open_house(directory: Path, recorder: Recorder) -> AsyncGenerator[House]:
    work = directory / "work"
    work.mkdir()
    os.mkfifo(work / "trigger")
    trigger = os.open(work / "trigger", os.O_RDWR | os.O_NONBLOCK)
    async with open_town(directory / "service") as town:
        headers = {"authorization": f"Bearer {town.token}"}
        async with (
            httpx.AsyncClient(base_url=town.url, headers=headers, trust_env=False, timeout=30) as http,
            open_runner(identity.load(town.state), directory / "runner", slot="main") as runner,
        ):
            with trio.fail_after(60):
                await runner.link.connected.wait()
            yield House(town, runner, http, recorder, work, trigger)
    os.close(trigger)


async def main(listed: str | None) -> None:
    recorder = Recorder()
    recorder.install()
    found: dict[str, list[Trace]] = {name: [] for name in WAYS}
    with tempfile.TemporaryDirectory() as directory:
        async with open_house(Path(directory), recorder) as house:
            for name, way in WAYS.items():
                if listed in (None, name):
                    await way(house, found[name].append)
    print(f"{'way':8}{'files':>7}{'functions':>11}{'messages':>10}{'hops':>6}   before")
    for name, traces in found.items():
        if not traces:
            continue
        functions = set.intersection(*(trace.functions for trace in traces))
        fewest = min(traces, key=lambda trace: trace.messages.total())
        hops = min((trace.hops for trace in traces), key=Counter.total)
        files = {file for file, _ in functions}
        before = "/".join(map(str, BEFORE[name]))
        print(f"{name:8}{len(files):7}{len(functions):11}{fewest.messages.total():10}{hops.total():6}   {before}")
        if listed == name:
            for file in sorted(files):
                print(f"  {file}: {', '.join(sorted(one for where, one in functions if where == file))}")
            print(f"  messages: {dict(fewest.messages.most_common())}")
            print(f"  hops: {dict(hops.most_common())}")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=ROUNDS)
    arguments.add_argument("--list", choices=WAYS, dest="listed")
    given = arguments.parse_args()
    ROUNDS = given.rounds
    trio.run(main, given.listed)
