"""Runners in the field: a token in the URL, one event a frame, commands in capitals, and never an answer."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio_websocket import ConnectionRejected

from tests.integration.link.conftest import Runner
from tests.integration.link.helpers import chunk, seqs, until
from tests.support.cast import event
from tests.support.doorway import websocket
from townwatch.actors import messages as m
from townwatch.contracts.codec import Decoder
from townwatch.contracts.link import Command
from townwatch.contracts.tasks import SessionConfig

PULSE = {
    "runnerId": "r1", "mode": "hosted", "version": "0.9", "capabilities": ["pty_streaming", "codex_provider"],
    "activeSessionCount": 1, "maxSessions": 3, "lastHeartbeatAt": 1,
    "providerVersions": {"codex": "1.2", "omnara": None},
}  # fmt: skip


def heartbeat(told: Any = PULSE) -> dict[str, Any]:
    fields = {"previousState": "RUNNING", "newState": "RUNNING", "reason": json.dumps(told)}
    return {**event("SESSION_STATE_CHANGED", 0, "runner_heartbeat", **fields), "orgId": "system"}


@asynccontextmanager
async def field_runner(house: Any, token: str = "secret-1", name: str = "r1") -> AsyncIterator[Runner]:
    async with websocket(house.port, f"/runner?token={token}&runner={name}") as ws:
        yield Runner(ws)


async def say(runner: Runner, *events: dict[str, Any]) -> None:
    for one in events:
        await runner.ws.send_message(json.dumps(one))


async def describe(house: Any) -> Any:
    return await (await house.context.router_call(m.EnsureRunner("r1"))).call(m.Describe())


async def test_events_are_stored_without_a_hello_and_nothing_is_answered(house: Any) -> None:
    async with house(ackless=True) as h, field_runner(h) as runner:
        await say(runner, chunk(1), chunk(2), chunk(3))
        await until(lambda: seqs(h) == [1, 2, 3])
        with trio.move_on_after(0.05) as quiet:
            await runner.ws.get_message()
        assert quiet.cancelled_caught


async def test_after_a_reconnect_repeats_are_dropped_and_holes_recorded(house: Any) -> None:
    async with house(ackless=True) as h:
        async with field_runner(h) as runner:
            await say(runner, chunk(1), chunk(2), chunk(3))
            await until(lambda: seqs(h) == [1, 2, 3])
        async with field_runner(h) as runner:
            await say(runner, chunk(2), chunk(3), chunk(4), chunk(9))
            await until(lambda: seqs(h) == [1, 2, 3, 4, 9])
        await h.cast.settle()
        state = h.context.board.session("s1")
        assert state is not None
        assert state.holes == 1


async def test_its_heartbeat_says_what_a_hello_would(house: Any) -> None:
    async with house(ackless=True) as h, field_runner(h) as runner:
        await say(runner, heartbeat())
        await until(lambda: heard(h))
        hello = (await describe(h)).hello
        assert hello.capabilities.providers == ["codex"]
        assert hello.capabilities.max_concurrent_sessions == 3
        assert (hello.mode, hello.version, hello.provider_versions) == ("hosted", "0.9", {"codex": "1.2"})
        assert h.context.board.session("runner_heartbeat") is None


async def heard(house: Any) -> bool:
    return (await describe(house)).heartbeat is not None


@pytest.mark.parametrize("told", ["text", 5, [], None, {"maxSessions": "many", "capabilities": "all"}])
async def test_an_odd_heartbeat_stops_nothing(house: Any, told: Any) -> None:
    async with house(ackless=True) as h, field_runner(h) as runner:
        await say(runner, heartbeat(told), chunk(1))
        await until(lambda: seqs(h) == [1])


@pytest.mark.parametrize("frame", ["{not json", "[]", "5", '{"type": "DANCE"}', '{"sessionId": "s1", "seq": 1}'])
async def test_what_is_no_event_is_dropped_and_the_next_one_counts(house: Any, frame: str) -> None:
    async with house(ackless=True) as h, field_runner(h) as runner:
        await runner.ws.send_message(frame)
        await say(runner, chunk(1))
        await until(lambda: seqs(h) == [1])


async def test_commands_are_spoken_in_capitals_and_count_as_done(house: Any) -> None:
    config = {
        "sessionId": "s9", "orgId": "demo", "agentId": "a", "providerId": "codex",
        "repoRef": {"provider": "local", "path": "/src"}, "task": {"title": "t", "goal": "g"},
    }  # fmt: skip
    commands = [
        Command(command_id="1", command="start", config=Decoder(SessionConfig).convert(config)),
        Command(command_id="2", command="input", session_id="s1", data="ls\r", mode="raw"),
        Command(command_id="3", command="stop", session_id="s1", graceful=False),
        Command(command_id="4", command="pause", session_id="s1"),
        Command(command_id="5", command="resume", session_id="s1"),
        Command(command_id="6", command="approve", session_id="s1", approval_id="a1", decision="allow", note="ok"),
    ]
    unknown = [
        Command(command_id="7", command="resize", session_id="s1", cols=1, rows=1),
        Command(command_id="8", command="drain"),
    ]
    async with house(ackless=True) as h, field_runner(h) as runner:
        actor = await h.context.router_call(m.EnsureRunner("r1"))
        await until(lambda: connected(h))
        waiting = [await actor.call(m.Send(command, wait=True)) for command in commands]
        heard = [await runner.hear() for _ in range(6)]
        assert heard[0]["type"] == "START"
        assert heard[0]["config"]["repoRef"] == config["repoRef"]
        assert heard[1:] == [
            {"type": "INPUT", "sessionId": "s1", "input": {"sessionId": "s1", "data": "ls\r", "mode": "raw"}},
            {"type": "STOP", "sessionId": "s1", "graceful": False},
            {"type": "PAUSE", "sessionId": "s1"},
            {"type": "RESUME", "sessionId": "s1"},
            {"type": "APPROVE", "sessionId": "s1", "approvalId": "a1", "decision": "allow", "note": "ok"},
        ]
        with trio.fail_after(5):
            for one in waiting:
                await one.done.wait()
        assert [one.result.ok for one in waiting] == [True] * 6
        for command in unknown:
            with pytest.raises(m.Unsupported, match=f"no command {command.command}"):
                await actor.call(m.Send(command, wait=True))


async def connected(house: Any) -> bool:
    return (await describe(house)).connected


async def test_a_fast_one_is_slowed_and_loses_nothing(house: Any) -> None:
    async with house(ackless=True, window=8) as h, field_runner(h) as runner:
        await say(runner, *[chunk(n) for n in range(1, 301)])
        await until(lambda: seqs(h) == list(range(1, 301)))


async def test_it_may_not_take_anothers_name(house: Any) -> None:
    async with house(ackless=True) as h:
        with pytest.raises(ConnectionRejected) as refused:
            async with field_runner(h, name="r2"):
                pass
        assert refused.value.status_code == 403


async def test_the_token_is_in_no_log(house: Any, capfd: pytest.CaptureFixture[str]) -> None:
    async with house(ackless=True) as h:
        async with field_runner(h) as runner:
            await say(runner, chunk(1))
            await until(lambda: seqs(h) == [1])
        with pytest.raises(ConnectionRejected):
            async with field_runner(h, token="secret-wrong"):
                pass
    printed = capfd.readouterr()
    assert "runner_connected" in printed.out
    assert "secret" not in printed.out + printed.err


async def test_binary_frames_end_it(house: Any) -> None:
    async with house(ackless=True) as h, field_runner(h) as runner:
        await runner.ws.send_message(b"\x00")
        assert (await runner.closed())[0] == 1003
