"""Villages and runners look as often as there is something to see, however much has happened to them before."""

from pathlib import Path

import pytest
import trio

from tests.integration.cast.test_event_flow import STARTED, chunk, link
from tests.support.cast import RecordingLink, batch, event, open_cast
from townwatch.actors import messages as m, runner as runners, village
from townwatch.actors.rendering import houses
from townwatch.contracts.link import Hello

HOUSES = 40


async def test_the_looks_at_the_houses_do_not_grow_with_what_happened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[float] = []

    def look(all_of_them: list[houses.HouseState]) -> float | None:
        looks.append(trio.current_time())
        return next_change(all_of_them)

    next_change = houses.next_change
    monkeypatch.setattr(houses, "next_change", look)
    async with open_cast(tmp_path) as cast:
        runner = link()
        sessions = [await cast.session(f"s{number}") for number in range(HOUSES)]
        for number, session in enumerate(sessions):
            place = {**STARTED, "repoRef": {"provider": "local", "path": f"/src/{number}"}}
            await session.send(batch(runner, event("SESSION_STARTED", 1, f"s{number}", **place)))
        seq = 1
        begun, base = trio.current_time(), cast.clock.now
        for busy in (3.0, 1.0):
            looks.clear()
            until = trio.current_time() + busy
            while trio.current_time() < until:
                seq += 1
                for number, session in enumerate(sessions):
                    cast.clock.now = base + round((trio.current_time() - begun) * 1000)
                    await session.send(batch(runner, {**chunk(seq), "sessionId": f"s{number}"}))
                    await trio.sleep(0.003)
        assert len(looks) <= 1 / village.COALESCE_SECONDS + 2


async def test_the_looks_at_a_runner_do_not_grow_with_how_often_it_connected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runners, "OFFLINE_SECONDS", 0.2)
    looks: list[float] = []

    def look(runner: runners.RunnerActor) -> None:
        looks.append(trio.current_time())
        check(runner)

    check = runners.RunnerActor._check  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(runners.RunnerActor, "_check", look)
    async with open_cast(tmp_path) as cast:
        runner = await cast.context.router_call(m.EnsureRunner("r1"))
        hello = Hello(runner_id="r1", name="r", version="1")
        for _ in range(50):
            connection = RecordingLink.start()
            await runner.call(m.LinkUp(connection, hello))
            await connection.stop()
        await runner.call(m.LinkUp(RecordingLink.start(), hello))
        looks.clear()
        until = trio.current_time() + 1
        while trio.current_time() < until:
            await runner.call(m.HeartbeatReceived(None))
            await trio.sleep(0.02)
        assert len(looks) <= 1 / (0.2 - 0.02 * 2) + 2
