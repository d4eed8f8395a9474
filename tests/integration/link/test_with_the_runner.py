"""The real runner's link and spool against the real door, while actors are killed: every event once, in order."""

from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest
import trio

from tests.integration.link.helpers import seqs, until
from townwatch.app.supervision_tree import LINKS
from townwatch.contracts import link as wire
from townwatch.runner.identity import Identity
from townwatch.runner.link.link import Link, held
from townwatch.runner.spool.spool import Spool
from townwatch.runtime import ActorDeadError, whereis
from townwatch.supervision import ChildError, Supervisor

SESSIONS = ("s1", "s2", "s3")


def runner(house: Any, spool: Spool) -> Link:
    identity = Identity(runner_id="r1", token="secret-1", url=f"ws://127.0.0.1:{house.port}/runner")

    def hello() -> wire.Hello:
        return wire.Hello(runner_id="r1", name="real", version="1", sessions=held(spool))

    async def handle(command: wire.Command) -> wire.Result:
        return wire.Result(command_id=command.command_id, ok=True)

    return Link(identity, hello, spool, handle)


def shown(house: Any, session: str) -> list[int]:
    """What the people saw of a session, in the order in which they saw it."""
    sent = [s.tag for s in house.cast.out.published if s.event == "work_stream_event" and s.tag is not None]
    return [seq for name, seq in sent if name == session]


async def kill_somebody(house: Any, random: Random) -> None:
    """A session, the journal, a village, the router, the runner's actor, or the connection."""
    directory = house.context.directory
    victims = [*directory.sessions.values(), *directory.villages.values(), *directory.runners.values()]
    links = whereis(LINKS)
    if links is not None:
        with suppress(ActorDeadError, ChildError):  # it is being restarted itself
            victims += [await Supervisor.child_ref(links, child.id) for child in await Supervisor.which_children(links)]
    if random.random() < 0.15:
        victims = [house.context.journal]
    if victims:
        random.choice(victims).exit("killed")


@pytest.mark.parametrize("seed", range(6))
async def test_whoever_is_killed_every_event_is_stored_once_and_in_order(house: Any, tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    spool = Spool(tmp_path / "spool.db")
    total = 600
    async with house(resend=0.5) as h, trio.open_nursery() as nursery:
        link = runner(h, spool)
        for session in SESSIONS:
            spool.open_session(session, village="demo", provider="command", started_ms=1)
        nursery.start_soon(link.run)
        for n in range(total // 20):
            chunk = {"type": "TERMINAL_CHUNK", "orgId": "demo", "ts": n, "data": "x", "stream": "stdout"}
            events = [(name, {**chunk, "sessionId": name}) for name in SESSIONS for _ in range(20)]
            spool.append(events)
            link.wake()
            await trio.sleep(0.01)
            if n % 3 == 0:
                await kill_somebody(h, random)
        await until(lambda: all(seqs(h, name) == list(range(1, total + 1)) for name in SESSIONS), seconds=30)
        await until(lambda: spool.size()[0] == 0, seconds=10)
        await until(lambda: all(shown(h, name) == list(range(1, total + 1)) for name in SESSIONS), seconds=10)
        nursery.cancel_scope.cancel()
    spool.close()


async def test_what_finds_the_window_full_goes_as_soon_as_there_is_room(house: Any, tmp_path: Path) -> None:
    """The first session's events fill it to the last place; nothing comes afterwards that would wake the link."""
    spool = Spool(tmp_path / "spool.db")
    async with house(window=8) as h, trio.open_nursery() as nursery:
        for session, count, text in (("s1", 8, "x"), ("s2", 5, "x" * 1000)):  # what has least to say goes first
            spool.open_session(session, village="demo", provider="command", started_ms=1)
            chunk = {"type": "TERMINAL_CHUNK", "orgId": "demo", "ts": 1, "data": text, "stream": "stdout"}
            spool.append([(session, {**chunk, "sessionId": session})] * count)
        nursery.start_soon(runner(h, spool).run)
        await until(lambda: seqs(h, "s2") == [1, 2, 3, 4, 5])
        await until(lambda: spool.size()[0] == 0)
        nursery.cancel_scope.cancel()
    spool.close()
