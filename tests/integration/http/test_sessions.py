"""Sessions over REST: started on a real runner actor, driven through real session actors, read from the real log."""

import json
from functools import partial

import pytest
import trio

from tests.support.cast import event
from townwatch.store import audit, export as store_export, sessions
from townwatch.transports.http import streams

START = {
    "villageId": "closed",
    "agentName": "Ada",
    "providerId": "codex",
    "repoRef": {"provider": "local", "path": "/home/ada/shop"},
    "task": {"title": "Fix it", "goal": "It works again"},
    "env": {"API_KEY": "canary-4711"},
}


async def test_a_session_is_started_on_the_runner_that_was_chosen(rest):
    link = await rest.runner()
    answer = await rest.post("/api/runner/sessions", START)
    assert answer.status_code == 201
    started = answer.json()
    (command,) = link.commands
    assert (command.command, command.command_id) == ("start", f"start:{started['sessionId']}")
    assert command.config.session_id == started["sessionId"]
    assert command.config.agent_id == started["agentId"] == f"runner_{started['sessionId'][:8]}"
    assert command.config.env == {"API_KEY": "canary-4711"}
    shown = (await rest.get(f"/api/runner/sessions/{started['sessionId']}")).json()
    assert (shown["state"], shown["agentName"], shown["runnerId"]) == ("CREATED", "Ada", "r1")
    assert shown["detached"] is False


async def test_who_started_it_is_kept_and_secrets_are_not(rest):
    await rest.runner()
    started = (await rest.post("/api/runner/sessions", START, "operator")).json()
    row = await rest.database.read(sessions.get, started["sessionId"])
    assert "canary" not in str(row.config)
    entries = (await rest.database.read(audit.page, audit.Filter(villages=[rest.keys["closed"]]))).items
    assert [(one.action, one.user_id, one.target) for one in entries] == [
        ("session.start", "user_operator_1", started["sessionId"])
    ]
    (listed,) = (await rest.get("/api/runner/sessions")).json()["items"]
    assert listed["startedBy"] == {"userId": "user_operator_1", "name": "Operator"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"providerId": "gemini_cli"}, "r1 does not have the provider gemini_cli"),
        ({"labels": {"gpu": "yes"}}, "r1 is not labelled gpu=yes"),
        ({"runnerId": "r9"}, "there is no runner r9"),
    ],
)
async def test_where_no_runner_can_take_it_the_answer_says_why(rest, change, reason):
    await rest.runner()
    answer = await rest.post("/api/runner/sessions", {**START, **change})
    assert answer.status_code == 409
    error = answer.json()["error"]
    assert error["code"] == "E_NO_RUNNER"
    assert error["message"].startswith("no runner can take the session: ")
    assert reason in error["message"]


async def test_a_runner_of_another_village_is_no_runner(rest):
    await rest.runner("r1", village=None, providers=[])
    await rest.runner("theirs", village="open")
    answer = await rest.post("/api/runner/sessions", START)
    message = answer.json()["error"]["message"]
    assert "r1 does not have the provider codex" in message
    assert "theirs" not in message


async def test_a_session_that_its_runner_refuses_never_was(rest):
    await rest.runner(refuse="the workspace is not a directory")
    answer = await rest.post("/api/runner/sessions", START)
    assert answer.status_code == 409
    error = answer.json()["error"]
    assert (error["code"], error["details"]["code"]) == ("E_RUNNER_REFUSED", "E_REFUSED")
    assert error["message"] == "runner r1 refused the session: the workspace is not a directory"
    assert (await rest.get("/api/runner/sessions")).json()["items"] == []


async def test_a_runner_that_does_not_answer_in_time(rest):
    rest.api.start_seconds = 0.05
    (await rest.runner()).silent = True
    answer = await rest.post("/api/runner/sessions", START)
    assert answer.status_code == 504
    session_id = answer.json()["error"]["details"]["sessionId"]
    assert (await rest.get(f"/api/runner/sessions/{session_id}")).status_code == 200


async def test_the_same_post_with_the_same_key_is_done_once(rest):
    link = await rest.runner()
    ask = partial(rest.post, "/api/runner/sessions", headers={"idempotency-key": "k1"})
    first, again = await ask(START), await ask(START)
    assert (first.status_code, first.json()) == (again.status_code, again.json())
    assert "idempotency-replayed" in again.headers
    assert "idempotency-replayed" not in first.headers
    assert len(link.commands) == 1
    other = await ask({**START, "agentName": "Bob"})
    assert other.status_code == 409
    somebody_else = await ask(START, "operator")
    assert somebody_else.json() != first.json()
    odd = await rest.post("/api/villages", {}, "admin", headers={"idempotency-key": "a b"})
    assert odd.status_code == 400


async def test_of_many_at_once_with_one_key_one_is_done(rest):
    link = await rest.runner()
    found = []

    async def ask():
        answer = await rest.post("/api/runner/sessions", START, headers={"idempotency-key": "k1"})
        found.append(answer.status_code)

    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(ask)
    assert len(link.commands) == 1
    assert set(found) <= {201, 409}
    assert 201 in found


async def test_a_refusal_with_a_key_may_be_asked_again(rest):
    headers = {"idempotency-key": "k1"}
    assert (await rest.post("/api/runner/sessions", START, headers=headers)).status_code == 409
    await rest.runner()
    assert (await rest.post("/api/runner/sessions", START, headers=headers)).status_code == 201


@pytest.mark.parametrize(
    ("verb", "body", "expected"),
    [
        ("input", {"data": "ls\n"}, {"command": "input", "data": "ls\n", "mode": "raw"}),
        ("input", {"data": "ls", "mode": "line"}, {"command": "input", "data": "ls", "mode": "line"}),
        ("stop", None, {"command": "stop", "graceful": True}),
        ("stop", {"graceful": False}, {"command": "stop", "graceful": False}),
        ("pause", None, {"command": "pause"}),
        ("resume", None, {"command": "resume"}),
        ("resize", {"cols": 132, "rows": 50}, {"command": "resize", "cols": 132, "rows": 50}),
    ],
)
async def test_what_people_do_reaches_the_runner(rest, verb, body, expected):
    link = await rest.runner()
    await rest.session(event("TERMINAL_CHUNK", 1, data="$ ", stream="stdout"))
    answer = await rest.post(f"/api/runner/sessions/s1/{verb}", body)
    assert (answer.status_code, answer.json()["ok"]) == (200, True)
    (command,) = link.commands
    assert command.session_id == "s1"
    assert {name: getattr(command, name) for name in expected} == expected


async def test_an_ended_session_takes_nothing(rest):
    await rest.runner()
    usage = {"agentSeconds": 1, "terminalKb": 1, "filesTouched": 0, "commandsRun": 0, "approvalsRequested": 0}
    await rest.session(
        event("SESSION_ENDED", 1, finalState="FAILED", exitCode=3, totalDurationMs=5, totalUsage=usage),
    )
    answer = await rest.post("/api/runner/sessions/s1/input", {"data": "x"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "E_SESSION_ENDED")
    shown = (await rest.get("/api/runner/sessions/s1")).json()
    assert (shown["state"], shown["exitCode"], shown["usage"], shown["detached"]) == ("FAILED", 3, usage, False)


async def test_a_session_whose_runner_is_away_is_detached_and_says_so(rest):
    await rest.session(event("TERMINAL_CHUNK", 1, data="$ ", stream="stdout"))
    assert (await rest.get("/api/runner/sessions/s1")).json()["detached"] is True
    assert (await rest.get("/api/villages/closed/agents")).json()["items"][0]["runnerStatus"] == "offline"
    answer = await rest.post("/api/runner/sessions/s1/input", {"data": "x"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "E_RUNNER_OFFLINE")


async def test_the_log_is_read_in_pages_without_what_is_left_out(rest):
    chunks = [event("TERMINAL_CHUNK", seq, data=f"{seq}\n", stream="stdout") for seq in range(1, 8)]
    await rest.session(*chunks, event("FILE_TOUCHED", 8, path="a.py", reason="write"))
    first = (await rest.get("/api/runner/sessions/s1/events?limit=5")).json()
    assert [one["seq"] for one in first["items"]] == [1, 2, 3, 4, 5]
    assert first["next"] == 5
    second = (await rest.get(f"/api/runner/sessions/s1/events?after={first['next']}")).json()
    assert [one["seq"] for one in second["items"]] == [6, 7, 8]
    assert second["next"] is None
    short = (await rest.get("/api/runner/sessions/s1/events?exclude=TERMINAL_CHUNK")).json()
    assert [one["type"] for one in short["items"]] == ["FILE_TOUCHED"]
    assert short["items"][0] == {**event("FILE_TOUCHED", 8, path="a.py", reason="write"), "orgId": "closed"}


async def test_a_recording_plays_and_acts_on_nobodys_clipboard(rest):
    attack = "\x1b]52;c;ZXZpbA==\x07"
    await rest.session(
        event("TERMINAL_CHUNK", 1, data="before" + attack[:4], stream="stdout"),
        event("TERMINAL_CHUNK", 2, data=attack[4:] + "after", stream="stdout"),
    )
    answer = await rest.get("/api/runner/sessions/s1/recording.cast")
    assert answer.headers["content-type"] == "application/x-asciicast"
    assert answer.headers["content-disposition"] == 'attachment; filename="s1.cast"'
    head, *lines = [json.loads(line) for line in answer.text.splitlines()]
    assert head["version"] == 3
    assert "".join(data for _, code, data in lines if code == "o") == "beforeafter"
    events = (await rest.get("/api/runner/sessions/s1/events")).text
    assert "]52" not in events


async def test_an_export_holds_every_event_and_goes_on_where_it_stopped(rest, monkeypatch):
    told = [
        event("TERMINAL_CHUNK", seq, data=f"line {seq}\x1b]52;c;ZXZpbA==\x07", stream="stdout") for seq in range(1, 6)
    ]
    await rest.session(*told, event("FILE_TOUCHED", 6, path="a.py", reason="write"))
    whole = await rest.get("/api/runner/sessions/s1/events.ndjson")
    assert whole.headers["content-type"] == "application/x-ndjson"
    assert whole.headers["content-disposition"] == 'attachment; filename="s1.ndjson"'
    assert "x-next-after" not in whole.headers
    events = [json.loads(line) for line in whole.text.splitlines()]
    assert [one["seq"] for one in events] == [1, 2, 3, 4, 5, 6]
    assert [one["data"] for one in events[:5]] == [f"line {seq}" for seq in range(1, 6)]
    assert events == (await rest.get("/api/runner/sessions/s1/events")).json()["items"]

    monkeypatch.setattr(streams, "BLOCK_BYTES", 1)
    monkeypatch.setattr(store_export, "CHUNK", 2)
    in_pieces = await rest.get("/api/runner/sessions/s1/events.ndjson")
    assert in_pieces.headers["transfer-encoding"] == "chunked"
    assert in_pieces.content == whole.content
    rest_of_it = await rest.get("/api/runner/sessions/s1/events.ndjson?after=4")
    assert whole.text.endswith(rest_of_it.text)
    assert len(rest_of_it.text.splitlines()) == 2
    assert (await rest.get("/api/runner/sessions/s1/events.ndjson?after=6")).text == ""
    assert rest.api.streams.taken == 0


async def test_sessions_are_listed_newest_first_in_pages(rest):
    for number in range(5):
        rest.cast.clock.now += 1000
        await rest.session(event("TERMINAL_CHUNK", 1, data="x", stream="stdout"), session_id=f"s{number}")
    found, cursor = [], ""
    while cursor is not None:
        page = (await rest.get(f"/api/runner/sessions?limit=2{cursor and '&cursor=' + cursor}")).json()
        found += [one["sessionId"] for one in page["items"]]
        cursor = page["next"]
    assert found == ["s4", "s3", "s2", "s1", "s0"]


async def test_houses_and_agents_of_a_village(rest):
    ref = {"provider": "github", "owner": "o", "name": "shop"}
    started = event(
        "SESSION_STARTED", 1, providerId="claude_code", providerVersion="1", workspacePath="/w", repoRef=ref
    )
    await rest.session(started)
    (agent,) = (await rest.get("/api/villages/closed/agents")).json()["items"]
    assert (agent["agentId"], agent["agentType"], agent["repoPath"]) == ("runner_s1", "claude", "github:o/shop")
    (house,) = (await rest.get("/api/villages/closed/houses")).json()["items"]
    assert (house["repoId"], house["houseId"], house["name"]) == (agent["repoId"], agent["repoId"], "shop")
    assert house["indicators"]["lights"]["active"] is True
