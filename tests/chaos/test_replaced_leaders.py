"""Three services on one PostgreSQL: whichever is frozen beyond its lease, killed or stopped, and however PostgreSQL is
restarted, nothing acknowledged is lost, nothing is doubled, and no write of a replaced process is accepted.

Two `townwatch runner` with real programs that write numbered lines and ask for approval, official clients, people who
decide against each other, all behind a proxy that sends each connection to the next one of the three: most of them come
to one that does not lead, which hands them on. By hand, for longer:

TOWNWATCH_KILLS=100 TOWNWATCH_SEED=2 python -m pytest -s tests/chaos/test_replaced_leaders.py
"""

import os
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import trio

from tests.chaos.nemesis.judge import Judge
from tests.chaos.nemesis.pair import LEASE_SECONDS, Pair, SpreadingProxy, plan_of, stored_events
from tests.chaos.nemesis.swarm import Swarm, all_seen, open_swarm
from tests.chaos.nemesis.town import Member, Town
from tests.chaos.nemesis.workload import Workload
from tests.chaos.test_nemesis import REST_SECONDS, _all_of, _until_over
from tests.chaos.test_service_killed import free_port
from tests.support import postgres

pytestmark = pytest.mark.node
DEEDS = int(os.environ.get("TOWNWATCH_KILLS", "4"))
SEED = int(os.environ.get("TOWNWATCH_SEED", "1"))
RUNNERS, CLIENTS = ("red", "green"), 6


@pytest.mark.timeout(240 + 30 * DEEDS)
async def test_whichever_leader_goes_nothing_is_lost_or_doubled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if postgres.binaries() is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    with postgres.server() as server:
        url = server.fresh_schema("pair")
        monkeypatch.setenv("TOWNWATCH_DATABASE_URL", url)  # for the commands that are run beside the services
        pair = Pair(dict(_service(tmp_path, url, name) for name in ("one", "two", "three")), server, SEED)
        findings, summary = await _live(tmp_path, pair)
    print(f"\n{dict(pair.deeds)}, seed {SEED}: {summary}\n" + "\n".join(f"{d}: {s:.2f} s" for d, s in pair.takeovers))
    assert not findings, "\n".join(findings[:60])


def _service(folder: Path, url: str, name: str) -> tuple[int, Member]:
    port = free_port()
    environment = {
        "TOWNWATCH_DATABASE_URL": url,
        "TOWNWATCH_DATABASE_LEASE_SECONDS": str(LEASE_SECONDS),
        "TOWNWATCH_DATABASE_PROCESS_NAME": name,
        "TOWNWATCH_LIMITS_CONNECTIONS_PER_USER": "200",
    }
    member = Member(name, ["serve", f"--port={port}"], folder / name, environment)
    member.folder.mkdir()
    return port, member


async def _live(folder: Path, pair: Pair) -> tuple[Sequence[str], str]:
    async with AsyncExitStack() as stack, trio.open_nursery() as nursery:
        ports = list(pair.members)
        for_runners, for_clients = SpreadingProxy(0, ports=ports), SpreadingProxy(0, ports=ports)
        town = Town(folder, 0, pair.members[ports[0]], {}, for_runners, for_clients)
        stack.push_async_callback(_end_all, pair, town)
        workload = Workload(town, SEED)
        workload.prepare()
        await nursery.start(for_runners.run)
        await nursery.start(for_clients.run)
        town.port = for_clients.port
        await pair.start()
        town.service = pair.members[await pair.settled()]
        await for_clients.ready.wait()
        await for_runners.ready.wait()
        await town.sign_in()
        for name in RUNNERS:
            await town.enrol(name)
            await town.runners[name].start()
        swarm = await stack.enter_async_context(
            open_swarm(f"http://127.0.0.1:{for_clients.port}", town.token, 0, CLIENTS)
        )
        for name in RUNNERS:
            nursery.start_soon(workload.keep_running, name)
        for decision in ("allow", "deny"):
            nursery.start_soon(workload.decide, decision)
        await _something_is_asked(workload)
        await pair.rage(plan_of(DEEDS, SEED))
        judge = await _come_to_rest(town, pair, workload, swarm)
        nursery.cancel_scope.cancel()
    return judge.findings, judge.summary


async def _something_is_asked(workload: Workload) -> None:
    """A test in which nothing happens proves nothing."""
    with trio.fail_after(60):
        while not workload.answers:
            await trio.sleep(0.1)


async def _end_all(pair: Pair, town: Town) -> None:
    with trio.CancelScope(shield=True):
        for member in [*pair.members.values(), *town.runners.values()]:
            await member.aclose()


async def _come_to_rest(town: Town, pair: Pair, workload: Workload, swarm: Swarm) -> Judge:
    """Everybody is back, programs come to their end, spools are sent; then the verdict."""
    workload.wind_down()
    resting = await _until_over(town)
    journal = await trio.to_thread.run_sync(stored_events, pair.url)
    judge = Judge(journal)
    judge.findings += pair.problems + resting
    heads = {session: events[-1]["seq"] for session, events in journal.items()}
    judge.findings += await all_seen([swarm], heads, REST_SECONDS)
    stories = await swarm.ask("end")
    async with town.http() as http:
        sessions = await _all_of(http, "/api/runner/sessions")
        waiting = await _all_of(http, "/api/approvals")
    names = [program.name for program in workload.programs]
    judge.numbers()
    judge.programs(workload.folder, names, set())
    judge.views(sessions, waiting)
    approvals = judge.approvals(workload.answers, workload.folder, names, set())
    for story in stories:
        judge.client(story)
    judge.summarise(approvals, stories, [seconds for _, seconds in pair.takeovers], set())
    return judge
