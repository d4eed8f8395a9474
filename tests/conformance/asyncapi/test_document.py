"""The AsyncAPI document: the official parser reads it, and the wires say what it says."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import trio

from tests.support import golden
from tests.support.people import raw, rest
from tests.support.service import JS, node, open_town
from townwatch.contracts.asyncapi.document import document
from townwatch.contracts.asyncapi.wires import CONTROL, RUNNER, SOCKETIO
from townwatch.contracts.events import EVENT_CLASSES

ROOT = Path(__file__).parents[3]
DOCUMENT = document("1.2.3")


def check(wire: str, action: str, name: str, payload: Any) -> None:
    """Raise where a payload is not what the document says of this message."""
    message = DOCUMENT["components"]["messages"][f"{wire}.{action}.{name}"]
    schema = {**message["payload"], "components": DOCUMENT["components"]}
    jsonschema_rs.validator_for(schema).validate(payload)


@pytest.mark.node
async def test_the_official_parser_has_nothing_to_say_against_it(tmp_path: Path) -> None:
    if not (JS / "node_modules" / "@asyncapi" / "parser").is_dir():
        pytest.skip("the npm packages of tests/js are missing: make test installs them")
    async with open_town(tmp_path) as town, rest(town) as http:
        served = await http.get("/api/asyncapi.json")
    assert (served.status_code, served.headers["content-type"]) == (200, "application/json")
    run = [node(), str(JS / "asyncapi.mjs")]
    done = await trio.to_thread.run_sync(
        lambda: subprocess.run(run, input=served.content, capture_output=True, cwd=JS, timeout=120, check=True)
    )
    said = json.loads(done.stdout)
    assert [one for one in said["found"] if one["severity"] < 2] == []  # neither errors nor warnings
    names = said["names"]
    assert names["version"] == "3.0.0" and names["channels"] == ["/socket.io/", "/ws", "/runner"]
    assert sorted(names["operations"]) == sorted(f"{a} {w}" for w in names["channels"] for a in ("send", "receive"))
    assert len(names["messages"]) == sum(len(w.sent) + len(w.received) for w in (SOCKETIO, CONTROL, RUNNER))


def test_every_event_that_the_service_names_is_in_it() -> None:
    calls = r'(?:UiMessage|publish|Announce|bug_bot|send)\(\s*(?:self\.client_id, |message\.client_id, )?"([a-z_.]+)"'
    sources = [path for folder in ("actors", "contracts", "app/held") for path in (ROOT / folder).rglob("*.py")]
    named = {name for path in sources for name in re.findall(calls, path.read_text())}
    assert {"work_stream_event", "house.activity", "gap", "keyboard", "ws_error"} <= named
    assert named <= set(SOCKETIO.sent), named - set(SOCKETIO.sent)


@pytest.mark.parametrize("row", golden.TABLE, ids=lambda row: row.name)
def test_the_golden_table_fits(row: golden.Row) -> None:
    check("runner", "receive", "events", {"type": "events", "events": [row.event()]})
    for event, _rooms, payload in row.becomes:
        more = {"seq": 1} if event in golden.SEQ_EVENTS else {}
        check("socketio", "send", event, {**payload, **more})


def test_all_kinds_of_events_are_in_the_golden_table() -> None:
    assert {row.type for row in golden.TABLE} == {cls.TYPE for cls in EVENT_CLASSES}


@pytest.mark.parametrize(
    ("wire", "name", "payload"),
    [
        ("runner", "events", {"type": "events", "events": [{"type": "TERMINAL_CHUNK", "seq": 1}]}),
        ("runner", "heartbeat", {"type": "heartbeat", "ts": "now"}),
        ("runner", "hello", {"type": "welcome", "runnerId": "r", "name": "r", "version": "1"}),
        ("control", "terminal", {"type": "terminal", "sessionId": "s", "action": "explode", "data": ""}),
        ("socketio", "join_village", {}),
    ],
)
def test_what_does_not_fit_is_refused(wire: str, name: str, payload: Any) -> None:
    with pytest.raises(jsonschema_rs.ValidationError):
        check(wire, "receive", name, payload)


async def control_says(town: Any, until: str, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
    """Every message of a control connection that follows a session fits, until it says this. Starts subscribed."""
    async with raw(town, "/ws") as socket:
        for message in (
            {"type": "authenticate", "token": town.token},
            {"type": "subscribe", "sessionId": "s1"},
            {"type": "ping"},
            {"type": "nothing"},
        ):
            if message["type"] in CONTROL.received:
                check("control", "receive", message["type"], message)
            await socket.send_message(json.dumps(message))
        seen: set[str] = set()
        with trio.fail_after(20):
            while until not in seen:
                heard = json.loads(await socket.get_message())
                check("control", "send", heard["type"], heard)
                if heard.get("event") == "subscribed":
                    task_status.started()
                seen |= {heard["type"], str(heard.get("action", ""))}
        assert {"event", "session", "terminal", "pong", "error"} <= seen


@pytest.mark.node
async def test_what_a_service_says_fits(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, town.runner() as runner:
        check("runner", "send", "welcome", runner.welcome)
        joins = [["join_village", {"villageId": "demo"}]]
        async with town.client(joins=joins) as client, trio.open_nursery() as nursery:
            rows = sorted(golden.TABLE, key=lambda row: (row.name != "started", row.name == "ended"))
            await runner.send(rows[0].event(1, "s1"))
            check("runner", "send", "ack", await runner.next("ack"))
            await nursery.start(control_says, town, "completed")
            await runner.send(*(row.event(seq, "s1") for seq, row in enumerate(rows[1:], start=2)))
            check("runner", "send", "ack", await runner.next("ack"))
            names: set[str] = set()
            with trio.fail_after(20):
                while not {"agent_spawn", "house.activity", "house_changed", "presence", "agent_disconnect"} <= names:
                    ((name, payload),) = await client.events(1)
                    check("socketio", "send", name, payload)
                    names.add(name)
            refused = await client.emit("join_village", {"villageId": 5})
            check("socketio", "send", "ws_error", refused)
