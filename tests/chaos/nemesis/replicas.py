"""Services on one PostgreSQL under a nemesis: everything is started, raged against, brought to rest, and judged."""

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from math import inf
from pathlib import Path
from typing import Any

import attrs
import httpx
import trio

from tests.chaos.nemesis.haproxy import HaProxyFront
from tests.chaos.nemesis.judge import Judge
from tests.chaos.nemesis.pair import LEASE_SECONDS, Pair, SpreadingProxy, stored_events
from tests.chaos.nemesis.swarm import Swarm, all_seen, open_swarm
from tests.chaos.nemesis.town import Member, Town
from tests.chaos.nemesis.workload import Workload
from tests.support import postgres
from townwatch.config.process import free_port

CLIENTS_OF_A_PROCESS = 10


@attrs.frozen(kw_only=True)
class Campaign:
    """What is run, and what is done to it. `rest_seconds`: for everything to come to rest afterwards."""

    plan: Sequence[str]
    seed: int = 1
    replicas: int = 3
    lease_seconds: float = LEASE_SECONDS
    runners: int = 2
    sessions_each: int = 2
    clients: int = 6
    rage_seconds: float = inf
    rest_seconds: float = 90.0
    patience: float = 180.0
    """Seconds until all processes must be well again after each fault."""
    delay_ms: int = 50
    """After which a client that lost its connection tries again, the first time."""
    haproxy: bool = False
    """Whether HAProxy is in front of the clients; nothing can be done to their network then."""
    tell: Callable[[str], object] = str


@attrs.frozen
class Outcome:
    """What was wrong, and the figures."""

    findings: Sequence[str]
    summary: str
    pair: Pair
    away: Sequence[float]
    """Seconds for which a client was out of its rooms, each time that one was."""

    @property
    def figures(self) -> str:
        by_deed = {deed: sorted(s for d, s in self.pair.takeovers if d == deed) for deed, _ in self.pair.takeovers}
        lines = [
            f"{deed}: {len(found)} times, led after {found[len(found) // 2]:.2f} s (p50), {found[-1]:.2f} s (worst)"
            for deed, found in sorted(by_deed.items())
        ]
        faults = f"{sum(self.pair.deeds.values())} faults {dict(self.pair.deeds)}"
        if self.pair.overdue:
            faults += f", {self.pair.overdue} times a replaced process was ended by its deadline and started again"
        return "\n".join([f"{faults}: {self.summary}", *lines])


async def wage(campaign: Campaign, folder: Path, server: postgres.Server, url: str) -> Outcome:
    """Run a campaign; TOWNWATCH_DATABASE_URL is set to `url` for the commands that are run beside the services."""
    members = dict(
        _service(folder, url, f"replica{number}", campaign.lease_seconds) for number in range(1, campaign.replicas + 1)
    )
    pair = Pair(members, server, campaign.seed, patience=campaign.patience, tell=campaign.tell)
    async with AsyncExitStack() as stack, trio.open_nursery() as nursery:
        ports = list(members)
        for_runners = SpreadingProxy(0, ports=ports)
        for_clients = HaProxyFront(ports, folder) if campaign.haproxy else SpreadingProxy(0, ports=ports)
        pair.networks = {"runners": for_runners}
        if isinstance(for_clients, SpreadingProxy):
            pair.networks["clients"] = for_clients
        town = Town(folder, 0, members[ports[0]], {}, for_runners, for_clients)
        stack.push_async_callback(_end_all, pair, town)
        workload = Workload(town, campaign.seed, sessions_each=campaign.sessions_each)
        workload.prepare()
        await nursery.start(for_runners.run)
        await nursery.start(for_clients.run)
        town.port = for_clients.port
        await pair.start()
        town.service = members[await pair.settled()]
        await for_clients.ready.wait()
        await for_runners.ready.wait()
        await town.sign_in()
        runners = [f"runner{number}" for number in range(1, campaign.runners + 1)]
        async with trio.open_nursery() as enrolling:
            for name in runners:
                enrolling.start_soon(town.enrol, name)
        for name in runners:
            await town.runners[name].start()
        swarms: list[Swarm] = []
        for first in range(0, campaign.clients, CLIENTS_OF_A_PROCESS):
            count = min(CLIENTS_OF_A_PROCESS, campaign.clients - first)
            address = f"http://127.0.0.1:{for_clients.port}"
            swarms.append(
                await stack.enter_async_context(open_swarm(address, town.token, first, count, campaign.delay_ms))
            )
        for name in runners:
            nursery.start_soon(workload.keep_running, name)
        for decision in ("allow", "deny"):
            nursery.start_soon(workload.decide, decision)
        await _something_is_asked(workload)
        await pair.rage(campaign.plan, campaign.rage_seconds)
        judge, stories = await _come_to_rest(town, pair, workload, swarms, campaign.rest_seconds)
        nursery.cancel_scope.cancel()
    return Outcome(judge.findings, judge.summary, pair, [ms / 1000 for story in stories for ms in story["away"]])


def _service(folder: Path, url: str, name: str, lease_seconds: float) -> tuple[int, Member]:
    port = free_port("127.0.0.1")
    environment = {
        "TOWNWATCH_DATABASE_URL": url,
        "TOWNWATCH_DATABASE_LEASE_SECONDS": str(lease_seconds),
        "TOWNWATCH_DATABASE_PROCESS_NAME": name,
        "TOWNWATCH_LIMITS_CONNECTIONS_PER_USER": "200",
    }
    member = Member(name, ["serve", f"--port={port}"], folder / name, environment)
    member.folder.mkdir()
    return port, member


async def _something_is_asked(workload: Workload) -> None:
    """A run in which nothing happens proves nothing."""
    with trio.fail_after(120):
        while not workload.answers:
            await trio.sleep(0.1)


async def _end_all(pair: Pair, town: Town) -> None:
    with trio.CancelScope(shield=True):
        for member in [*pair.members.values(), *town.runners.values()]:
            await member.aclose()


async def _come_to_rest(
    town: Town, pair: Pair, workload: Workload, swarms: Sequence[Swarm], rest_seconds: float
) -> tuple[Judge, list[dict[str, Any]]]:
    """All are back, programs come to their end, spools are sent; then the verdict."""
    await pair.settled()
    workload.wind_down()
    resting = await until_over(town, rest_seconds)
    journal = await trio.to_thread.run_sync(stored_events, pair.url)
    judge = Judge(journal)
    judge.findings += pair.problems + resting
    heads = {session: events[-1]["seq"] for session, events in journal.items()}
    judge.findings += await all_seen(swarms, heads, rest_seconds)
    stories = [story for swarm in swarms for story in await swarm.ask("end")]
    async with town.http() as http:
        sessions = await all_of(http, "/api/runner/sessions")
        waiting = await all_of(http, "/api/approvals")
    names = [program.name for program in workload.programs]
    judge.numbers()
    judge.programs(workload.folder, names, set())
    judge.views(sessions, waiting)
    approvals = judge.approvals(workload.answers, workload.folder, names, set())
    for story in stories:
        judge.client(story)
    judge.summarise(approvals, stories, [seconds for _, seconds in pair.takeovers], set())
    return judge, stories


async def until_over(town: Town, seconds: float) -> list[str]:
    """Until no session lives; those that still do in the end are named."""
    left: list[dict[str, object]] = [{}]
    quiet = 0
    with trio.move_on_after(seconds):
        async with town.http(proxy=False) as http:
            while left or quiet < 4:  # twice seen quiet: a session that was about to start has started
                await trio.sleep(1)
                left = [one for one in await all_of(http, "/api/runner/sessions") if one["endedAt"] is None]
                quiet = 0 if left else quiet + 1
    return [f"still live: {one['sessionId']} {one['state']} on {one['runnerId']}, {one['agentName']}" for one in left]


async def all_of(http: httpx.AsyncClient, path: str) -> list[dict[str, object]]:
    """All pages of a list."""
    found: list[dict[str, object]] = []
    cursor = ""
    while True:
        answer = (await http.get(f"{path}?limit=100{cursor}")).json()
        found += answer["items"]
        if answer["next"] is None:
            return found
        cursor = f"&cursor={answer['next']}"
