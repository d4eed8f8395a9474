"""Services on one PostgreSQL, the proxy that spreads connections over them, and who freezes and kills them."""

import os
import random
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from math import inf
from typing import Any

import attrs
import httpx
import psycopg
import trio

from tests.chaos.nemesis.proxy import Proxy
from tests.chaos.nemesis.town import HOST, START_SECONDS, Member
from tests.support import postgres
from townwatch.contracts.codec import decode_json

LEASE_SECONDS = 3.0
LOOK_SECONDS, ANSWER_SECONDS = 0.1, 1.0
DEEDS = ("freeze", "kill", "stop", "kill follower", "freeze follower", "restart postgresql", "crash postgresql")
NETWORK_DEEDS = ("cut clients", "cut runners", "freeze clients", "freeze runners")


@attrs.define(eq=False)
class SpreadingProxy(Proxy):
    """Sends new connections to those of `ports` in turn that are ready. What goes to one that is not ready any more, it
    resets, as a load balancer does whose back end was marked down.
    """

    ports: Sequence[int] = ()
    ready: trio.Event = attrs.field(factory=trio.Event)
    changes: int = 0
    _up: list[int] = attrs.field(factory=list)
    _turn: int = 0

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            await nursery.start(super().run)
            nursery.start_soon(self._follow)
            task_status.started()

    def choose(self) -> int:
        """The port for the next connection."""
        self._turn += 1
        return self._up[self._turn % len(self._up)] if self._up else self.target

    async def _follow(self) -> None:
        async with httpx.AsyncClient(timeout=ANSWER_SECONDS) as http:
            while True:
                up = [port for port in self.ports if await is_ready(http, port)]
                for port in set(self._up) - set(up):
                    self.changes += 1
                    self.cut_to(port)
                self._up = up
                if len(up) == len(self.ports):
                    self.ready.set()
                await trio.sleep(LOOK_SECONDS)


async def is_ready(http: httpx.AsyncClient, port: int) -> bool:
    return await _state(http, port) not in ("unready", "away")


@attrs.define(eq=False)
class Pair:
    """`takeovers`: seconds from each deed until a service led that was not the one it was done to."""

    members: dict[int, Member]
    server: postgres.Server
    seed: int
    networks: dict[str, Proxy] = attrs.field(factory=dict)
    """clients, runners: what can be cut."""
    deeds: Counter[str] = attrs.field(factory=Counter)
    takeovers: list[tuple[str, float]] = attrs.field(factory=list)
    problems: list[str] = attrs.field(factory=list)
    patience: float = START_SECONDS * 2
    """Seconds until all processes must be well again."""
    overdue: int = 0
    """How often a process that was replaced was ended by its own deadline."""
    tell: Callable[[str], object] = str
    """Hears of each deed that is done."""

    async def start(self) -> None:
        """Returns when one leads and the others relay to it."""
        for member in self.members.values():
            await member.start()
        await self.settled()

    async def settled(self) -> int:
        """Wait until one leads and the others relay to it; the port of the one."""
        with trio.fail_after(self.patience):
            async with httpx.AsyncClient(timeout=ANSWER_SECONDS) as http:
                while True:
                    states = {port: await _state(http, port) for port in self.members}
                    leaders = [port for port, state in states.items() if state == "leads"]
                    if sorted(states.values()) == ["leads", *["relays"] * (len(states) - 1)]:
                        return leaders[0]
                    for member in self.members.values():
                        await self._lives(member)
                    await trio.sleep(0.1)

    async def _lives(self, member: Member) -> None:
        """Start one again, as systemd does, that was replaced and could not end in time on a busy machine."""
        assert member.process is not None
        if member.process.poll() is not None:
            assert "stop_overdue" in member.last_words(), f"{member.name} ended by itself: {member.last_words()}"
            self.overdue += 1
            await member.start()

    async def rage(self, plan: Sequence[str], seconds: float = inf) -> None:
        """Do these deeds, for at most so long. One to a process begins when all processes are well again; those to
        networks are done one after the other beside that, also while a leader is being replaced.
        """
        until = trio.current_time() + seconds
        async with trio.open_nursery() as nursery:
            for kind in (DEEDS, NETWORK_DEEDS):
                nursery.start_soon(self._rage, [deed for deed in plan if deed in kind], len(plan), until)

    async def _rage(self, plan: Sequence[str], of: int, until: float) -> None:
        dice = random.Random(self.seed)
        for deed in plan:
            if trio.current_time() > until:
                break
            if deed in NETWORK_DEEDS:
                await trio.sleep(dice.uniform(0.5, 2.5))
                await self._do_to_network(deed, dice)
            else:
                port = await self.settled()
                await trio.sleep(dice.uniform(0.5, 2.0))
                await self._do(deed, port, dice)
            self.deeds[deed] += 1
            self.tell(f"{sum(self.deeds.values())} of {of}: {deed}")

    async def _do_to_network(self, deed: str, dice: random.Random) -> None:
        what, whose = deed.split()
        if what == "cut":
            self.networks[whose].cut(dice.choice([0.3, 1.0]), dice)
        else:
            await self.networks[whose].freeze(dice.uniform(0.2, 2.0))

    async def _do(self, deed: str, port: int, dice: random.Random) -> None:
        leader, began = self.members[port], trio.current_time()
        assert leader.process is not None
        match deed:
            case "freeze":
                os.kill(leader.process.pid, signal.SIGSTOP)
                await self._taken_over(deed, began, without=port)
                await trio.sleep(dice.uniform(0.0, 1.0))  # the new leader stores, and then the old one wakes up
                os.kill(leader.process.pid, signal.SIGCONT)
                await self._fenced(leader)
            case "kill":
                await leader.kill()
                await self._taken_over(deed, began, without=port)
                await leader.start()
            case "stop":
                if (status := await leader.stop()) != 0:
                    self.problems.append(f"{leader.name} ended with {status} on SIGTERM: {leader.last_words()[-500:]}")
                await self._taken_over(deed, began, without=port)
                await leader.start()
            case "kill follower":
                other = self.members[dice.choice([one for one in self.members if one != port])]
                await other.kill()
                await trio.sleep(dice.uniform(0.0, 1.0))
                await other.start()
            case "freeze follower":
                other = self.members[dice.choice([one for one in self.members if one != port])]
                assert other.process is not None
                os.kill(other.process.pid, signal.SIGSTOP)
                await trio.sleep(dice.uniform(1.0, 3.0))
                os.kill(other.process.pid, signal.SIGCONT)
            case _:
                stop = self.server.stop if deed.startswith("crash") else self.server.stop_fast
                await trio.to_thread.run_sync(stop)
                await trio.sleep(dice.uniform(0.0, 1.0))
                await trio.to_thread.run_sync(self.server.start)
                await self._taken_over(deed, began)

    async def _taken_over(self, deed: str, began: float, without: int | None = None) -> None:
        with trio.fail_after(self.patience):
            async with httpx.AsyncClient(timeout=ANSWER_SECONDS) as http:
                while True:
                    for port in self.members:
                        if port != without and await _state(http, port) == "leads":
                            self.takeovers.append((deed, trio.current_time() - began))
                            return
                    await trio.sleep(0.02)

    async def _fenced(self, member: Member) -> None:
        """It says why it does not lead any more."""
        said = f"led in epoch {self._epoch() - 1}"
        with trio.move_on_after(START_SECONDS):
            while said not in member.last_words():
                await trio.sleep(0.1)
            return
        self.problems.append(f"{member.name} did not say that another one leads: {member.last_words()[-500:]}")

    def _epoch(self) -> int:
        with psycopg.connect(self.url) as connection:
            row = connection.execute("SELECT epoch FROM lease").fetchone()
            assert row is not None
            return row[0]

    @property
    def url(self) -> str:
        return next(iter(self.members.values())).environment["TOWNWATCH_DATABASE_URL"]


async def _state(http: httpx.AsyncClient, port: int) -> str:
    """leads, relays, waits (for a leader), begins (to lead), unready or away."""
    try:
        answer = await http.get(f"http://{HOST}:{port}/readyz", headers={"connection": "close"})
    except httpx.HTTPError:
        return "away"
    return answer.json()["cluster"].partition(" ")[0] if answer.status_code == 200 else "unready"


def stored_events(url: str) -> dict[str, list[dict[str, Any]]]:
    """session → its events in order of position, which must be their order of seq."""
    found: dict[str, list[dict[str, Any]]] = {}
    sql = "SELECT h.session_id, e.body FROM log_event e JOIN log_session h ON h.id = e.session ORDER BY e.position"
    with psycopg.connect(url) as connection:
        for session, body in connection.execute(sql):
            found.setdefault(session, []).append(decode_json(bytes(body)))
    return found


def plan_of(deeds: int, seed: int, kinds: Sequence[str] = DEEDS) -> list[str]:
    """Those that differ most first, then whatever the seed says."""
    dice: Callable[[Sequence[str]], str] = random.Random(f"plan {seed}").choice
    first = ("freeze", "kill follower", "crash postgresql", "kill")
    return [*first[:deeds], *(dice(kinds) for _ in range(deeds - len(first)))]
