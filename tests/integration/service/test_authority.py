"""The service ends what no runner will: lost sessions, sessions of runners that are gone, those an owner gives up."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import httpx
import trio
import trio_websocket

from tests.integration.service.test_promises import SESSIONS, asked, ended, event, held, open_rows, result, started
from tests.support.doorway import websocket_url
from tests.support.people import person, rest
from tests.support.service import Town, open_town
from townwatch.actors import messages as m
from townwatch.config.settings import Settings
from townwatch.runner import identity


async def shown(http: httpx.AsyncClient, session: str = "s1") -> dict[str, Any]:
    return (await http.get(f"{SESSIONS}/{session}")).json()


async def becomes(http: httpx.AsyncClient, state: str, session: str = "s1") -> dict[str, Any]:
    with trio.fail_after(10):
        while (found := await shown(http, session)).get("state") != state:
            await trio.sleep(0.02)
    return found


async def live_sessions(http: httpx.AsyncClient) -> int:
    return (await http.get("/api/runners/runner_local")).json()["activeSessions"]


async def gone(http: httpx.AsyncClient) -> None:
    """The runner ran one session, and its machine is no more."""
    with trio.fail_after(5):
        while (await http.get("/api/runners/runner_local")).json()["connected"]:
            await trio.sleep(0.02)


async def test_an_owner_ends_a_session_whose_runner_is_gone_and_removes_the_runner(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, rest(town, town.token) as http:
        async with town.runner() as runner:
            await runner.send(started(), asked("a1", 2))
            await runner.acked(2)
        await gone(http)
        refused = await http.delete("/api/runners/runner_local")
        assert refused.status_code == 409
        assert "/end" in refused.json()["error"]["message"]
        assert refused.json()["error"]["details"]["sessionIds"] == ["s1"]
        async with rest(town, await person(town, "ada", "operator")) as operator:
            assert (await operator.post(f"{SESSIONS}/s1/end", json={"reason": "x"})).status_code == 403
        assert (await http.post(f"{SESSIONS}/s1/end", json={"reason": ""})).status_code == 400
        assert (await http.post(f"{SESSIONS}/s1/end", json={"reason": "the laptop drowned"})).status_code == 200
        found = await shown(http)
        assert (found["state"], found["pendingApprovals"]) == ("FAILED", [])
        assert "the laptop drowned" in found["reason"]
        assert await live_sessions(http) == 0
        said = (await http.get(f"{SESSIONS}/s1/events?after=2")).json()["items"]
        assert [one["type"] for one in said] == ["APPROVAL_RESOLVED", "SESSION_STATE_CHANGED", "SESSION_ENDED"]
        assert (said[0]["decision"], said[0]["resolvedBy"]) == ("deny", "session end")
        again = await http.post(f"{SESSIONS}/s1/end", json={"reason": "x"})
        assert (again.status_code, again.json()["error"]["code"]) == (409, "E_SESSION_ENDED")
        assert (await http.delete("/api/runners/runner_local")).status_code == 200
        assert await open_rows(town) == []
        assert (await http.delete(f"{SESSIONS}/s1")).status_code == 200
    async with open_town(tmp_path) as town, rest(town, town.token) as http:
        assert (await http.get(f"{SESSIONS}/s1")).status_code == 404


async def test_a_runner_that_comes_back_is_told_to_stop_and_its_late_events_are_refused(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, rest(town, town.token) as http:
        async with town.runner() as runner:
            await runner.send(started())
            await runner.acked(1)
        await gone(http)
        assert (await http.post(f"{SESSIONS}/s1/end", json={"reason": "lost"})).status_code == 200
    async with open_town(tmp_path) as town, rest(town, town.token) as http:
        async with town.runner([held(1)]) as runner:
            assert (await runner.next("command"))["commandId"] == "stop:s1:ended"
            await runner.send(event("TERMINAL_CHUNK", 2, data="still here", stream="stdout"), ended(3))
            for seq in (2, 3):
                nack = await runner.next("nack")
                assert (nack["seq"], nack["code"]) == (seq, "E_SESSION_ENDED")
                assert "late event of an ended session" in nack["message"]
        found = await shown(http)
        assert found["state"] == "FAILED"
        events = (await http.get(f"{SESSIONS}/s1/events")).json()["items"]
        assert [one["type"] for one in events] == ["SESSION_STARTED", "SESSION_STATE_CHANGED", "SESSION_ENDED"]


async def test_an_end_while_the_runner_talks_refuses_what_comes_after_it(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, rest(town, town.token) as http, town.runner() as runner:
        await runner.send(started())
        await runner.acked(1)
        assert (await http.post(f"{SESSIONS}/s1/end", json={"reason": "wrong machine"})).status_code == 200
        stop = await runner.next("command")
        assert (stop["command"], stop["sessionId"]) == ("stop", "s1")
        await runner.send(ended(2))
        assert (await runner.next("nack"))["seq"] == 2
        await result(runner, stop)
        await runner.send(started("s2"))
        await runner.acked(1)
        assert await live_sessions(http) == 1


async def test_a_hello_without_a_session_says_that_it_is_lost(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, rest(town, town.token) as http:
        async with town.runner() as runner:
            await runner.send(started(), asked("a1", 2), started("s2"))
            await runner.acked(1)
            await becomes(http, "CREATED", "s2")
        async with town.runner([held(1, "s2")]) as runner:
            assert runner.welcome["lost"] == ["s1"]
            found = await becomes(http, "FAILED")
            assert found["reason"].startswith("lost")
            assert (await shown(http, "s2"))["state"] == "CREATED"
            assert (await http.get("/api/approvals")).json()["items"] == []


async def beat(runner: Any, *sessions: str, spool: int = 0) -> None:
    fields = {"ts": 1, "activeSessions": list(sessions), "spool": {"events": spool, "bytes": spool}}
    await runner.say(json.dumps({"type": "heartbeat", **fields}))


async def heard(town: Town, session: str = "s1") -> None:
    """What was said until now has been heard by the runner's actor and by the session's."""
    directory = town.service.context.directory
    for _ in range(2):
        await directory.runners["runner_local"].call(m.Describe())
        await directory.sessions[session].call(m.Describe())
        await trio.sleep(0.1)


async def test_two_heartbeats_without_a_session_say_that_it_is_lost_and_one_does_not(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, rest(town, town.token) as http, town.runner() as runner:
        await runner.send(started(), started("s2"))
        await runner.acked(1)
        await becomes(http, "CREATED", "s2")
        await beat(runner, "s2")
        await beat(runner, "s1", "s2")
        await beat(runner, "s2")
        await heard(town)
        assert (await shown(http))["state"] == "CREATED"
        await beat(runner, "s2")
        assert (await becomes(http, "FAILED"))["reason"].startswith("lost")
        assert (await shown(http, "s2"))["state"] == "CREATED"


async def test_what_is_still_in_the_runners_spool_is_not_lost(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, rest(town, town.token) as http, town.runner() as runner:
        await runner.send(started())
        await runner.acked(1)
        for _ in range(3):  # it has ended there, and its end is not sent yet
            await beat(runner, spool=1)
        await runner.say(json.dumps({"type": "heartbeat", "ts": 1}))  # says nothing of its sessions
        await runner.say(json.dumps({"type": "heartbeat", "ts": 1}))
        for _ in range(3):
            assert (await http.post("/api/runners/runner_local/heartbeat")).status_code == 200
        await heard(town)
        await runner.send(ended(2))
        await runner.acked(2)
        assert (await becomes(http, "COMPLETED"))["reason"] is None


def ackless(settings: Settings) -> Settings:
    return attrs.evolve(settings, runners=attrs.evolve(settings.runners, ackless=True))


@asynccontextmanager
async def field_runner(town: Town) -> AsyncGenerator[trio_websocket.WebSocketConnection]:
    known = identity.load(town.state)
    async with websocket_url(f"{known.url}?token={known.token}&runner={known.runner_id}") as socket:
        yield socket


def pulse(count: int) -> str:
    told = {"runnerId": "runner_local", "mode": "hosted", "version": "1", "capabilities": ["pty_streaming"]}
    told |= {"activeSessionCount": count, "maxSessions": 3, "providerVersions": {"codex": "1"}}
    fields = {"previousState": "RUNNING", "newState": "RUNNING", "reason": json.dumps(told)}
    return json.dumps(event("SESSION_STATE_CHANGED", 0, "runner_heartbeat", **fields) | {"orgId": "system"})


async def goes_on_beating(socket: trio_websocket.WebSocketConnection) -> None:
    while True:
        await socket.send_message(pulse(1))
        await trio.sleep(0.1)


async def test_an_ackless_runner_that_restarted_has_lost_its_sessions_and_its_places_are_free(tmp_path: Path) -> None:
    async with open_town(tmp_path, ackless) as town, rest(town, town.token) as http:
        for number in range(3):
            async with field_runner(town) as socket:
                await socket.send_message(json.dumps(started(f"s{number}")))
                await becomes(http, "CREATED", f"s{number}")
                await socket.send_message(pulse(1))
        async with field_runner(town) as socket:
            await socket.send_message(json.dumps(started("s3")))
            await becomes(http, "CREATED", "s3")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(goes_on_beating, socket)  # two that are there at once are taken for one
                for number in range(3):
                    assert (await becomes(http, "FAILED", f"s{number}"))["reason"].startswith("lost")
                nursery.cancel_scope.cancel()
            assert (await shown(http, "s3"))["state"] == "CREATED"
            assert await live_sessions(http) == 1


async def test_an_ackless_runner_that_only_reconnected_has_lost_nothing(tmp_path: Path) -> None:
    async with open_town(tmp_path, ackless) as town, rest(town, town.token) as http:
        async with field_runner(town) as socket:
            await socket.send_message(json.dumps(started()))
            await becomes(http, "CREATED")
        async with field_runner(town) as socket:
            for _ in range(3):
                await socket.send_message(pulse(1))
            await heard(town)
            assert (await shown(http))["state"] == "CREATED"


async def test_an_ackless_runner_is_not_asked_for_what_its_dialect_does_not_have(tmp_path: Path) -> None:
    async with open_town(tmp_path, ackless) as town, rest(town, town.token) as http, field_runner(town) as socket:
        await socket.send_message(json.dumps(started()))
        await becomes(http, "CREATED")
        refused = await http.post(f"{SESSIONS}/s1/resize", json={"cols": 80, "rows": 24})
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "E_UNSUPPORTED")
        assert (await http.post(f"{SESSIONS}/s1/pause")).status_code == 200
        with trio.fail_after(5):
            assert json.loads(await socket.get_message()) == {"type": "PAUSE", "sessionId": "s1"}
        assert (await http.post("/api/runners/runner_local/drain")).status_code == 200
        assert (await http.get("/api/runners/runner_local")).json()["status"] == "draining"


async def test_a_runner_with_a_list_of_features_is_not_asked_for_others(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, rest(town, town.token) as http:
        known = identity.load(tmp_path)
        async with websocket_url(known.url, known.token) as socket:
            hello = {"type": "hello", "runnerId": known.runner_id, "name": "n", "version": "1"}
            await socket.send_message(json.dumps({**hello, "capabilities": {"features": ["ask"]}}))
            await socket.send_message(json.dumps({"type": "events", "events": [started()]}))
            with trio.fail_after(5):
                while town.service.context.board.session("s1") is None:
                    await trio.sleep(0.02)
            refused = await http.post(f"{SESSIONS}/s1/pause")
            assert (refused.status_code, refused.json()["error"]["code"]) == (409, "E_UNSUPPORTED")
            assert await open_rows(town) == []


async def test_a_stated_time_after_which_detached_sessions_end(tmp_path: Path) -> None:
    def soon(settings: Settings) -> Settings:
        return attrs.evolve(settings, runners=attrs.evolve(settings.runners, end_detached_hours=1e-9))

    async with open_town(tmp_path) as town, town.runner() as runner:
        await runner.send(started())
        await runner.acked(1)
    async with open_town(tmp_path) as town, rest(town, town.token) as http:
        await trio.sleep(0.1)
        assert (await shown(http))["detached"] is True  # by default none is ended
    async with open_town(tmp_path, soon) as town, rest(town, town.token) as http:
        found = await becomes(http, "FAILED")
        assert found["reason"].startswith("detached: its runner has been away for more than")
