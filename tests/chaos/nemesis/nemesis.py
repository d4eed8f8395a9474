"""Who kills: at instants and in an order that the seed decides."""

import random
import sqlite3
from collections import Counter
from contextlib import closing
from typing import Any

import attrs
import trio

from tests.chaos.nemesis.proxy import Proxy
from tests.chaos.nemesis.town import Member, Town, spooled

DEEDS = {
    "kill service": 40,
    "kill runner": 34,
    "stop service": 5,
    "stop runner": 5,
    "cut clients": 12,
    "cut runners": 7,
    "freeze clients": 4,
    "freeze runners": 3,
}
PAUSE_SECONDS = (0.2, 3.0)


@attrs.define(eq=False)
class Nemesis:
    """`owed`: session → seq → event, what killed runners had on their disk. `lost`: sessions that lived in a runner
    when it was killed.
    """

    town: Town
    seed: int
    owed: dict[str, dict[int, Any]] = attrs.field(factory=dict)
    lost: set[str] = attrs.field(factory=set)
    deeds: Counter[str] = attrs.field(factory=Counter)
    problems: list[str] = attrs.field(factory=list)

    @property
    def kills(self) -> int:
        return self.deeds["kill service"] + self.deeds["kill runner"]

    async def rage(self, kills: int) -> None:
        """Until so many processes were killed, and all that it killed run again."""
        dice = random.Random(self.seed)
        async with trio.open_nursery() as nursery:
            while self.kills < kills:
                await trio.sleep(dice.uniform(*PAUSE_SECONDS))
                (deed,) = dice.choices(list(DEEDS), weights=list(DEEDS.values()))
                runner = self.town.runners[dice.choice(sorted(self.town.runners))]
                pause, share = dice.uniform(0, 1.0), dice.choice([0.3, 1.0])
                match deed.split():
                    case [_, "service"] if not self.town.service.turn.locked():
                        nursery.start_soon(self._fell_service, deed, pause)
                    case [_, "runner"] if not runner.turn.locked():
                        nursery.start_soon(self._fell_runner, deed, runner, pause)
                    case ["cut", whose]:
                        self._proxy(whose).cut(share, dice)
                        self.deeds[deed] += 1
                    case ["freeze", whose]:
                        nursery.start_soon(self._proxy(whose).freeze, 3 * pause)
                        self.deeds[deed] += 1
                    case _:
                        continue  # it is down already
                await trio.lowlevel.checkpoint()

    def _proxy(self, whose: str) -> Proxy:
        return self.town.for_clients if whose == "clients" else self.town.for_runners

    async def _fell_service(self, deed: str, pause: float) -> None:
        service = self.town.service
        async with service.turn:
            self.deeds[deed] += 1
            await self._fell(deed, service)
            await trio.sleep(pause)
            await self.town.start_service()

    async def _fell_runner(self, deed: str, runner: Member, pause: float) -> None:
        async with runner.turn:
            self.deeds[deed] += 1
            await self._fell(deed, runner)
            for session, events in (await trio.to_thread.run_sync(spooled, runner)).items():
                self.owed.setdefault(session, {}).update(events)
            if deed.startswith("kill"):
                self.lost |= await trio.to_thread.run_sync(living, runner)
            await trio.sleep(pause)
            await runner.start()

    async def _fell(self, deed: str, member: Member) -> None:
        if deed.startswith("kill"):
            await member.kill()
        elif (status := await member.stop()) != 0:
            self.problems.append(f"{member.name} ended with {status} on SIGTERM: {member.last_words()[-500:]}")


def living(runner: Member) -> set[str]:
    """Sessions that a dead runner's spool says had not ended."""
    path = runner.state / "runner" / "main" / "spool.db"
    if not path.exists():
        return set()
    with closing(sqlite3.connect(path)) as spool:
        return {str(session) for (session,) in spool.execute("SELECT session FROM session WHERE live")}
