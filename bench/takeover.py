"""How long nothing flows after kill -9 of the leader: ``python bench/takeover.py`` (options: --rounds 12 --lease 5;
--told: it is told to end, with SIGTERM, instead).

Two `townwatch serve` on one PostgreSQL of its own, whose fsync is on. The product's runner link, with its own
patience, makes an event every 20 ms and dials whichever process is left; a Socket.IO client dials that one too, every
25 ms. Measured from the kill to the first event made after it that the client gets: it was durable by then. Beside it:
the new leader's processor time until then, and what its log says (milliseconds from the kill).
"""

import argparse
import json
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import attrs
import psutil
import trio
import trio_websocket

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.chaos.nemesis.proxy import Proxy
from tests.chaos.nemesis.town import HOST, Member
from tests.support import postgres
from townwatch.config.process import free_port
from townwatch.contracts import link as wire
from townwatch.contracts.clock import epoch_ms
from townwatch.runner import identity
from townwatch.runner.link.link import Link, held
from townwatch.runner.link.patrol import HeardStream
from townwatch.runner.spool.recorder import Recorder
from townwatch.runner.spool.spool import Spool

TICK_SECONDS, DIAL_SECONDS = 0.02, 0.025
STEPS = ("takes_over", "leads", "restored", "listening", "runner_connected")
_MADE = re.compile(r" (\d+) made (\d+)")
_CODE = re.compile(r"code=([\w-]+)")


@attrs.define(eq=False)
class Feed:
    """What the runner makes: a line with its number and the time, for ever."""

    spool: Spool
    recorder: Recorder
    link: Link

    async def run(self) -> None:
        self.spool.open_session("bench", village="demo", provider="command", started_ms=epoch_ms())
        where = {"providerId": "command", "providerVersion": "1", "workspacePath": "/"}
        await self.recorder.record("bench", "demo", "SESSION_STARTED", **where)
        for number in range(sys.maxsize):
            line = f"\x1b[32mtick\x1b[0m {number} made {time.monotonic_ns()}\r\n"
            await self.recorder.record("bench", "demo", "TERMINAL_CHUNK", data=line, stream="stdout")
            await trio.sleep(TICK_SECONDS)


@attrs.define(eq=False)
class Person:
    """A Socket.IO client that comes back at once. `seen`: when each tick came, by when it was made; ns."""

    token: str
    port: int
    seen: list[tuple[int, int]] = attrs.field(factory=list)

    async def run(self) -> None:
        while True:
            with suppress(OSError, ExceptionGroup):
                await self._one_connection()
            await trio.sleep(DIAL_SECONDS)

    async def _one_connection(self) -> None:
        stream = HeardStream(await trio.open_tcp_stream(HOST, self.port))
        async with trio.open_nursery() as nursery:
            async with trio.open_nursery() as handshake:  # the library itself waits for ever where the peer hangs up
                handshake.start_soon(stream.fail_at_its_end)
                socket = await trio_websocket.wrap_client_stream(
                    nursery,
                    stream,  # pyright: ignore[reportArgumentType]  # any stream will do
                    f"{HOST}:{self.port}",
                    "/socket.io/?EIO=4&transport=websocket",
                )
                handshake.cancel_scope.cancel()
            await socket.send_message("40" + json.dumps({"token": self.token}))
            while True:
                text = await socket.get_message()
                if text == "2":
                    await socket.send_message("3")
                elif text.startswith("40"):
                    await socket.send_message('421["join_village",{"villageId":"demo"}]')
                now = time.monotonic_ns()
                self.seen += [(int(made), now) for _number, made in _MADE.findall(text)]


@attrs.frozen
class Round:
    """Milliseconds from the kill. `cpu`: of the new leader; `steps`: of its log."""

    flowing: float
    cpu: float
    steps: dict[str, float]


async def bench(rounds: int, lease: float, told: bool, folder: Path) -> list[Round]:
    with postgres.server(fsync=True) as server:
        url = server.fresh_schema("takeover")
        members = {port: _member(folder, url, lease, port) for port in (free_port(HOST), free_port(HOST))}
        try:
            return await _rounds(rounds, told, members)
        finally:
            with trio.CancelScope(shield=True):
                for member in members.values():
                    await member.aclose()


def _member(folder: Path, url: str, lease: float, port: int) -> Member:
    environment = {
        "TOWNWATCH_DATABASE_URL": url,
        "TOWNWATCH_DATABASE_LEASE_SECONDS": str(lease),
        "TOWNWATCH_LOG_FORMAT": "json",
    }
    member = Member(f"on-{port}", ["serve", f"--port={port}"], folder / str(port), environment)
    member.folder.mkdir()
    return member


async def _rounds(rounds: int, told: bool, members: dict[int, Member]) -> list[Round]:
    found: list[Round] = []
    port, other = members
    await members[port].start()
    await _says(members[port], "code=", 0)
    code = _CODE.search(members[port].last_words())
    assert code is not None, members[port].last_words()
    token = await _exchange(port, code[1])
    await members[other].start()
    await _says(members[other], '"standby_prepared"', 0)
    async with trio.open_nursery() as nursery:
        proxy = Proxy(port)
        await nursery.start(proxy.run)
        async with _feed(members[port], proxy.port) as feed:
            nursery.start_soon(feed.recorder.run)
            nursery.start_soon(feed.link.run)
            nursery.start_soon(feed.run)
            person = Person(token, port)
            nursery.start_soon(person.run)
            for _ in range(rounds):
                await _flows(person, time.monotonic_ns())
                await trio.sleep(1.5)
                begins = len((members[other].folder / "log").read_bytes())
                killed, at = time.monotonic_ns(), time.time()
                proxy.target = person.port = other
                before = _cpu(members[other])
                async with trio.open_nursery() as ending:
                    ending.start_soon(members[port].stop if told else members[port].kill)
                    came = await _flows(person, killed)
                found.append(
                    Round((came - killed) / 1e6, _cpu(members[other]) - before, _steps(members[other], begins, at))
                )
                print(f"{found[-1].flowing:7.0f} ms  CPU {found[-1].cpu:4.0f} ms  {found[-1].steps}", flush=True)
                begins = len((members[port].folder / "log").read_bytes())
                await members[port].start()
                await _says(members[port], '"standby_prepared"', begins)
                port, other = other, port
            nursery.cancel_scope.cancel()
    return found


@asynccontextmanager
async def _feed(member: Member, port: int) -> AsyncIterator[Feed]:
    known = attrs.evolve(identity.load(member.state), url=f"ws://{HOST}:{port}/runner")
    spool = Spool(member.folder / "bench-spool.db")

    def hello() -> wire.Hello:
        return wire.Hello(runner_id=known.runner_id, name="bench", version="1", sessions=held(spool))

    async def refuse(command: wire.Command) -> wire.Result:
        return wire.Result(command_id=command.command_id, ok=False)

    link = Link(known, hello, spool, refuse)
    try:
        yield Feed(spool, Recorder(spool, link.wake), link)
    finally:
        spool.close()


async def _flows(person: Person, since: int) -> int:
    """When the first tick came that was made after `since`."""
    with trio.fail_after(60):
        while not person.seen or person.seen[-1][0] <= since:
            await trio.sleep(0.005)
    return min(came for made, came in person.seen if made > since)


async def _says(member: Member, words: str, begins: int) -> None:
    with trio.fail_after(60):
        while words.encode() not in (member.folder / "log").read_bytes()[begins:]:
            if member.process is None or member.process.poll() is not None:
                raise RuntimeError(f"{member.name} ended: {member.last_words()}")
            await trio.sleep(0.05)


async def _exchange(port: int, code: str) -> str:
    import httpx

    async with httpx.AsyncClient() as http:
        answer = await http.post(f"http://{HOST}:{port}/api/auth/exchange", json={"code": code})
        return answer.raise_for_status().json()["token"]


def _cpu(member: Member) -> float:
    assert member.process is not None
    times = psutil.Process(member.process.pid).cpu_times()
    return (times.user + times.system) * 1000


def _steps(member: Member, begins: int, at: float) -> dict[str, float]:
    found: dict[str, float] = {}
    for line in (member.folder / "log").read_bytes()[begins:].splitlines():
        with suppress(ValueError):
            said: dict[str, Any] = json.loads(line)
            if said["event"] in STEPS:
                found.setdefault(said["event"], round((_epoch(said["timestamp"]) - at) * 1000))
    return found


def _epoch(text: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(text).timestamp()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=12)
    options.add_argument("--lease", type=float, default=5.0)
    options.add_argument("--told", action="store_true")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-takeover-") as folder:
        found = trio.run(bench, chosen.rounds, chosen.lease, chosen.told, Path(folder))
    times = sorted(one.flowing for one in found)
    how = "SIGTERM" if chosen.told else "kill -9"
    print(
        f"{how} to events flowing, {len(times)} rounds, lease {chosen.lease:g} s: p50"
        f" {statistics.median(times):.0f} ms, worst {times[-1]:.0f} ms; load {os.getloadavg()[0]:.1f}"
    )


if __name__ == "__main__":
    main()
