"""Limits say which, how many, and when to try again; over every way in they are one and the same."""

from pathlib import Path
from typing import Any

import attrs

from tests.support.cast import event
from tests.support.people import connected, person, rest
from tests.support.service import open_town
from townwatch.config.settings import LimitsSettings, Settings


def limited(**options: Any) -> Any:
    def change(settings: Settings) -> Settings:
        return attrs.evolve(settings, limits=attrs.evolve(LimitsSettings(), **options))

    return change


STARTED = {"providerId": "command", "providerVersion": "1", "workspacePath": "/w"}


async def test_joins_are_limited_as_configured_and_say_when_to_come_back(tmp_path: Path) -> None:
    async with open_town(tmp_path, limited(joins=3, joins_seconds=60)) as town:
        token = await person(town, "ada", "viewer")
        async with connected(town, "socketio", token) as live:
            for _ in range(3):
                assert (await live.emit("join_village", {"villageId": "demo"}))["ok"]
            error = (await live.emit("join_village", {"villageId": "demo"}))["error"]
            assert error["code"] == "E_RATE_LIMIT"
            assert "joins: at most 3 joins in 60 s" in error["message"]
            assert 50 < error["retryAfter"] <= 60


async def test_typing_is_one_bucket_over_socketio_control_and_rest(tmp_path: Path) -> None:
    async with (
        open_town(tmp_path, limited(typing_per_second=0.01, typing_burst=3)) as town,
        town.runner() as runner,
    ):
        await runner.send({**event("SESSION_STARTED", 1, **STARTED)})
        await runner.acked(1)
        ada, bob = await person(town, "ada", "operator"), await person(town, "bob", "operator")
        async with (
            connected(town, "socketio", ada) as live,
            connected(town, "control", ada) as control,
            rest(town, ada) as http,
            rest(town, bob) as bobs,
        ):
            typed = {"sessionId": "s1", "data": "x"}
            assert (await live.emit("terminal_input", typed))["ok"]
            assert (await http.post("/api/runner/sessions/s1/input", json={"data": "x"})).status_code == 200
            assert (await control.say("subscribe", sessionId="s1"))["event"] == "subscribed"
            await control.socket.send_message('{"type":"terminal","sessionId":"s1","action":"input","data":"x"}')
            assert (await control.say("ping"))["type"] == "pong"  # it was done before this was read
            error = (await live.emit("terminal_input", typed))["error"]
            assert error["code"] == "E_RATE_LIMIT"
            assert "limit typing: more than 3 at once" in error["message"]
            assert error["retryAfter"] > 50
            refused = await http.post("/api/runner/sessions/s1/input", json={"data": "x"})
            assert (refused.status_code, refused.json()["error"]["code"]) == (429, "E_RATE_LIMIT")
            assert int(refused.headers["retry-after"]) > 50
            told = await control.say("terminal", sessionId="s1", action="input", data="x")
            assert (told["code"], "typing" in told["message"]) == ("RATE_LIMIT", True)
            assert (await bobs.post("/api/runner/sessions/s1/input", json={"data": "x"})).status_code == 200


async def test_a_runner_has_no_more_live_sessions_than_it_may(tmp_path: Path) -> None:
    async with open_town(tmp_path, limited(sessions_per_runner=2)) as town, town.runner() as runner:
        for session in ("s1", "s2"):
            await runner.send(event("SESSION_STARTED", 1, session, **STARTED))
            await runner.acked(1)
        await runner.send(event("SESSION_STARTED", 1, "s3", **STARTED))
        nack = await runner.next("nack")
        assert nack["sessionId"] == "s3"
        assert "limit sessions_per_runner" in nack["message"]
        assert "2 of 2" in nack["message"]
        assert {state.session_id for state in town.service.context.board} == {"s1", "s2"}


async def test_the_anonymous_are_counted_by_address(tmp_path: Path) -> None:
    async with open_town(tmp_path, limited(connections_per_address=1)) as town, connected(town, "socketio", None):
        try:
            async with connected(town, "socketio", None):
                raise AssertionError("a second one was let in")
        except* Exception as refused:
            said = str(refused.exceptions[0])
            assert "limit" in said and "1 of 1" in said
