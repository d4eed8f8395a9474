"""A runner and a page of another release: what is not known here is kept, forwarded, and survives a restart."""

import json
from pathlib import Path
from typing import Any

import pytest
import trio_websocket

from tests.support import golden
from tests.support.people import connected, rest
from tests.support.service import open_town
from townwatch.runner import identity

ENVELOPE = {"sessionId": golden.SESSION, "orgId": "demo", "ts": golden.TS}
STARTED = {**ENVELOPE, "seq": 1, "type": "SESSION_STARTED", **golden.STARTED, "sandbox": {"kind": "vm"}}
LATER = {**ENVELOPE, "seq": 2, "type": "MOOD_CHANGED", "mood": "good", "parts": [1, {"a": None}]}
TOUCHED = {**ENVELOPE, "seq": 3, "type": "FILE_TOUCHED", "path": "a.py", "reason": "write", "lines": 12}


def of_the_session(seen: list[tuple[str, Any]]) -> dict[str, Any]:
    """type → payload of what came in the work stream."""
    return {payload["type"]: payload["payload"] for name, payload in seen if name == "work_stream_event"}


@pytest.mark.node
async def test_what_a_newer_runner_says_is_kept_and_forwarded(tmp_path: Path) -> None:
    joins = [["join_village", {"villageId": "demo", "since": {}}]]
    async with open_town(tmp_path) as town, town.client(joins=joins) as page, town.runner() as runner:
        await runner.say(json.dumps({"type": "weather", "sky": "blue"}))  # a message of the link's
        assert (await runner.next("error"))["code"] == "E_UNKNOWN_TYPE"
        await runner.send(STARTED, LATER, TOUCHED)
        await runner.acked(3)
        seen: list[tuple[str, Any]] = []
        while "file_edit" not in of_the_session(seen):
            seen += await page.events(1)
    async with open_town(tmp_path) as town, rest(town, town.token) as http, town.client(joins=joins) as again:
        replayed = [(one["event"], one["args"][0]) for one in again.lines if one.get("args")]
        for shown in (seen, replayed):
            stream = of_the_session(shown)
            assert stream["session_start"]["sandbox"] == {"kind": "vm"}
            assert stream["file_edit"] == {"path": "a.py", "reason": "write", "lines": 12}
            inner = stream["provider_event"]["providerEvent"]
            assert {"type": "MOOD_CHANGED", "mood": "good", "parts": [1, {"a": None}]}.items() <= inner.items()
        listed = (await http.get(f"/api/runner/sessions/{golden.SESSION}/events")).json()["items"]
        assert [one["seq"] for one in listed] == [1, 2, 3]
        assert (listed[0]["more"], listed[2]["more"]) == ({"sandbox": {"kind": "vm"}}, {"lines": 12})


async def test_an_older_runner_and_a_newer_page_are_understood(tmp_path: Path) -> None:
    """A hello with nothing but what the first release said; joins and messages with fields of a later one."""
    async with open_town(tmp_path) as town:
        known = identity.load(town.state)
        token = [("authorization", f"Bearer {known.token}")]
        async with trio_websocket.open_websocket_url(known.url, extra_headers=token) as socket:
            await socket.send_message(
                json.dumps({"type": "hello", "runnerId": known.runner_id, "name": "o", "version": "0"})
            )
            assert json.loads(await socket.get_message())["type"] == "welcome"
            await socket.send_message(json.dumps({"type": "events", "events": [TOUCHED | {"seq": 1}]}))
            while (said := json.loads(await socket.get_message()))["type"] != "ack":
                pass
            assert said["seq"] == 1
        async with connected(town, "socketio", town.token) as page:
            assert (await page.emit("join_village", {"villageId": "demo", "colour": "red"}))["ok"] is True
            await page.socket.send_message('42["an event of tomorrow",{}]')
            assert (await page.emit("join_village", {"villageId": "demo"}))["ok"] is True
        async with connected(town, "control", town.token) as client:
            answer = await client.say("subscribe", sessionId=golden.SESSION, depth=3)
            assert answer["event"] == "subscribed"
            assert (await client.say("weather"))["code"] == "UNKNOWN_MESSAGE_TYPE"
            assert (await client.say("ping"))["type"] == "pong"
        async with rest(town, town.token) as http:
            made = await http.post("/api/villages", json={"villageId": "next", "name": "Next", "climate": "mild"})
            assert made.status_code == 201
