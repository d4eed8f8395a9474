"""Nothing acknowledged is lost, whoever is killed: the crash test of the whole.

Three `townwatch runner` with real programs that write numbered lines and ask for approval, 20 clients that nobody here
wrote, people who decide against each other, and a nemesis that kills the service and the runners with -9, tells them
to end, resets and freezes connections, all at instants that TOWNWATCH_SEED decides, until TOWNWATCH_KILLS processes
were killed. Then everything may come to rest, and the judge looks. By hand, for longer:

TOWNWATCH_KILLS=100 TOWNWATCH_SEED=2 python -m pytest -s tests/chaos/test_nemesis.py
"""

import os
import time
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import trio

from tests.chaos.nemesis.judge import Judge, read_journal
from tests.chaos.nemesis.nemesis import Nemesis
from tests.chaos.nemesis.proxy import Proxy
from tests.chaos.nemesis.replicas import all_of, until_over
from tests.chaos.nemesis.swarm import Swarm, all_seen, open_swarm
from tests.chaos.nemesis.town import Member, Town
from tests.chaos.nemesis.workload import Workload
from tests.chaos.test_service_killed import free_port

pytestmark = pytest.mark.node
KILLS = int(os.environ.get("TOWNWATCH_KILLS", "20"))
SEED = int(os.environ.get("TOWNWATCH_SEED", "1"))
RUNNERS = ("red", "green", "blue")
SWARMS, CLIENTS_EACH = 2, 10
REST_SECONDS = 90
LIMITS = {"TOWNWATCH_LIMITS_CONNECTIONS_PER_USER": "200"}
"""Connections that were frozen still count until they are found dead."""


@pytest.mark.timeout(240 + 15 * KILLS)
@pytest.mark.skipif(
    not os.environ.get("NEMESIS"), reason="two minutes of kills, a command of its own: NEMESIS=1 pytest"
)
async def test_whoever_is_killed_nothing_is_lost(tmp_path: Path) -> None:
    port = free_port()
    service = Member("service", ["serve", f"--port={port}"], tmp_path / "service", LIMITS)
    service.folder.mkdir()
    town = Town(tmp_path, port, service, {}, Proxy(port), Proxy(port))
    workload, nemesis = Workload(town, SEED), Nemesis(town, SEED)
    workload.prepare()
    async with AsyncExitStack() as stack, trio.open_nursery() as nursery:
        stack.push_async_callback(_end_all, town)
        await nursery.start(town.for_runners.run)
        await nursery.start(town.for_clients.run)
        await town.start_service()
        await town.sign_in()
        for name in RUNNERS:
            await town.enrol(name)
            await town.runners[name].start()
        url = f"http://127.0.0.1:{town.for_clients.port}"
        swarms = [
            await stack.enter_async_context(open_swarm(url, town.token, n * CLIENTS_EACH, CLIENTS_EACH))
            for n in range(SWARMS)
        ]
        for name in RUNNERS:
            nursery.start_soon(workload.keep_running, name)
        for decision in ("allow", "deny"):
            nursery.start_soon(workload.decide, decision)
        await trio.sleep(5)
        began = time.monotonic()
        await nemesis.rage(KILLS)
        raged = time.monotonic() - began
        judge = await _come_to_rest(town, workload, nemesis, swarms)
        nursery.cancel_scope.cancel()
    print(f"\n{KILLS} kills in {raged:.0f} s, seed {SEED}: {dict(nemesis.deeds)}; {judge.summary}")
    assert not judge.findings, "\n".join(judge.findings[:60])


async def _end_all(town: Town) -> None:
    with trio.CancelScope(shield=True):
        for member in [town.service, *town.runners.values()]:
            await member.aclose()


async def _come_to_rest(town: Town, workload: Workload, nemesis: Nemesis, swarms: list[Swarm]) -> Judge:
    """Everybody is back, programs come to their end, spools are sent; then the verdict."""
    await trio.sleep(3)
    workload.wind_down()
    resting = await until_over(town, REST_SECONDS)
    journal_file = town.service.state / "journal.db"
    journal = await trio.to_thread.run_sync(read_journal, journal_file)
    judge = Judge(journal)
    judge.findings += nemesis.problems + resting
    heads = {session: events[-1]["seq"] for session, events in journal.items()}
    judge.findings += await all_seen(swarms, heads, REST_SECONDS)
    stories = [story for swarm in swarms for story in await swarm.ask("end")]
    async with town.http(proxy=False) as http:
        sessions = await all_of(http, "/api/runner/sessions")
        waiting = await all_of(http, "/api/approvals")
    names = [program.name for program in workload.programs]
    judge.numbers()
    judge.spools(nemesis.owed)
    judge.programs(workload.folder, names, nemesis.lost)
    judge.views(sessions, waiting)
    approvals = judge.approvals(workload.answers, workload.folder, names, nemesis.lost)
    for story in stories:
        judge.client(story)
    judge.summarise(approvals, stories, town.restarts, nemesis.lost)
    return judge
