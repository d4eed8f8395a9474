"""Commands down, results up; one connection a runner; heartbeats."""

from typing import Any

import trio
from trio_websocket import ConnectionClosed

from tests.integration.link.helpers import chunk, until
from townwatch.actors import messages as m
from townwatch.actors.runner import command_result
from townwatch.app.supervision_tree import LINKS
from townwatch.contracts.link import Command
from townwatch.runtime import whereis
from townwatch.runtime._incarnation import await_if_coroutine
from townwatch.supervision import Supervisor


async def runner_actor(house: Any, runner_id: str = "r1") -> Any:
    return await house.context.router_call(m.EnsureRunner(runner_id))


async def test_a_command_goes_down_and_its_result_comes_back(house: Any) -> None:
    async with house() as h, h.welcomed() as runner, trio.open_nursery() as nursery:
        actor = await runner_actor(h)
        results: list[Any] = []

        async def ask() -> None:
            results.append(await command_result(actor, Command(command_id="c1", command="drain")))

        nursery.start_soon(ask)
        command = await runner.hear("command")
        assert command == {"type": "command", "commandId": "c1", "command": "drain"}
        await runner.say("result", commandId="c1", ok=False, error={"code": "E_BUSY", "message": "not now"})
        await until(lambda: bool(results))
        assert results[0].error.code == "E_BUSY"


async def test_input_and_stop_reach_the_runner_and_a_stop_is_sent_again_after_a_reconnect(house: Any) -> None:
    async with house() as h:
        async with h.welcomed() as runner:
            await runner.send(chunk(1))
            await runner.acked(1)
            session = h.context.directory.sessions["s1"]
            await session.call(m.Input("ls\r"))
            await session.call(m.Stop())
            heard = [await runner.hear("command") for _ in range(2)]
            assert [c["command"] for c in heard] == ["input", "stop"]
            assert heard[0]["data"] == "ls\r"
            await runner.say("result", commandId=heard[0]["commandId"], ok=True)
            await h.cast.settle()
        async with h.runner() as runner:
            await runner.say("hello", runnerId="r1", name="x", version="1")
            assert [(await runner.hear())["type"] for _ in range(2)] == ["welcome", "command"]


async def test_a_newer_connection_of_the_same_runner_replaces_the_older_one(house: Any) -> None:
    async with house() as h, h.welcomed() as old:
        await old.send(chunk(1))
        await old.acked(1)
        async with h.runner() as new:
            held = [{"sessionId": "s1", "firstSeq": 1, "lastSeq": 1, "state": "RUNNING"}]
            await new.hello(sessions=held)
            code, reason = await old.closed()
            assert code == 1008
            assert "replaced" in reason
            await new.send(chunk(2))
            await new.acked(2)
            actor = await runner_actor(h)
            await actor.call(m.Send(Command(command_id="c", command="drain")))
            assert (await new.hear("command"))["commandId"] == "c"


async def test_twenty_connections_at_once_end_as_one(house: Any) -> None:
    async with house() as h, trio.open_nursery() as nursery:
        alive: list[Any] = []

        async def one() -> None:
            async with h.runner() as runner:
                await runner.hello()
                alive.append(runner)
                await runner.closed()
                alive.remove(runner)

        for _ in range(20):
            nursery.start_soon(one)
        await until(lambda: len(alive) == 1)
        links = whereis(LINKS)
        assert links is not None
        await until(lambda: links_are(1))
        await alive[0].send(chunk(1))
        nursery.cancel_scope.cancel()


async def links_are(number: int) -> bool:
    links = whereis(LINKS)
    return links is not None and (await Supervisor.count_children(links)).active == number


async def test_a_heartbeat_is_known_to_the_runners_actor(house: Any) -> None:
    async with house() as h, h.welcomed(labels={"gpu": "no"}) as runner:
        await runner.say("heartbeat", ts=1, load={"cpuPercent": 12.5}, activeSessions=["s1"])
        actor = await runner_actor(h)
        await until(lambda: beating(actor))
        state = await actor.call(m.Describe())
        assert state.heartbeat.load.cpu_percent == 12.5
        assert state.hello.labels == {"gpu": "no"}
        assert state.status == "online"


async def beating(actor: Any) -> bool:
    return (await actor.call(m.Describe())).heartbeat is not None


async def test_a_runner_actor_that_starts_over_hears_of_its_connection_again(house: Any) -> None:
    async with house() as h, h.welcomed() as runner:
        actor = await runner_actor(h)
        actor.exit("killed")
        await until(lambda: connected(actor))
        await actor.call(m.Send(Command(command_id="c", command="drain"), keep=False))
        assert (await runner.hear("command"))["commandId"] == "c"


async def connected(actor: Any) -> bool:
    return (await actor.call(m.Describe())).connected


async def test_more_heartbeats_than_its_actor_can_take_close_the_connection(house: Any) -> None:
    async with house() as h, h.welcomed() as runner:
        actor = (await runner_actor(h))._actor_weakref()
        busy, original = trio.Event(), actor.on_receive

        async def slowly(message: Any) -> Any:
            await busy.wait()
            return await await_if_coroutine(original(message))

        actor.on_receive = slowly
        for n in range(2000):
            try:
                await runner.say("heartbeat", ts=n)
            except ConnectionClosed:
                break
        code, reason = await runner.closed()
        busy.set()
        assert code == 1008
        assert "heartbeats" in reason


async def test_when_the_service_stops_the_runner_is_told_to_come_back(house: Any) -> None:
    async with house() as h, h.welcomed() as runner:
        links = whereis(LINKS)
        assert links is not None
        links.request_stop()
        assert (await runner.closed())[0] == 1012
