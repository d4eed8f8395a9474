"""The way of an event, of an order and of an agent's turn as traces, of the real service and the real runner."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import httpx
import trio

from tests.integration.service.test_promises import ended, event, started
from tests.support.people import rest
from tests.support.receiver import Receiver, open_receiver
from tests.support.service import Town, open_town
from townwatch.config.settings import Settings
from townwatch.config.telemetry import TelemetrySettings
from townwatch.runner import identity
from townwatch.runner.opening import open_runner

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GIVEN = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
STOP = "POST /api/runner/sessions/{sessionId}/stop"
Spans = list[dict[str, Any]]


def traced(receiver: Receiver, **more: Any) -> Callable[[Settings], Settings]:
    options = TelemetrySettings(**{"otlp": receiver.url, "sample": 1.0} | more)
    return lambda found: attrs.evolve(found, telemetry=options)


def spans(receiver: Receiver) -> Spans:
    return [
        one
        for heard in list(receiver.heard)
        for group in json.loads(heard.body)["resourceSpans"]
        for scope in group["scopeSpans"]
        for one in scope["spans"]
    ]


async def found(receiver: Receiver, *names: str, **fields: Any) -> Spans:
    """The spans with these names, one each, when they have all come."""

    def of(name: str) -> Spans:
        return [one for one in spans(receiver) if one["name"] == name and fields.items() <= one.items()]

    with trio.fail_after(30):
        while not all(of(name) for name in names):
            await trio.sleep(0.02)
    return [of(name)[0] for name in names]


def attributes(span: dict[str, Any]) -> dict[str, Any]:
    return {one["key"]: next(iter(one["value"].values())) for one in span["attributes"]}


def agent(seq: int, kind: str, ts: int, **fields: Any) -> dict[str, Any]:
    inner = {"type": kind, "providerId": "claude_code", "timestamp": ts, **fields}
    return {**event("PROVIDER_EVENT_FORWARDED", seq, providerEvent=inner), "ts": ts}


async def test_the_way_of_an_event(tmp_path: Path) -> None:
    with open_receiver() as receiver:
        async with open_town(tmp_path, traced(receiver)) as town, town.runner() as runner:
            await runner.send(started())
            steps = ("event SESSION_STARTED", "runner to service", "to the disk", "to the people")
            root, *below = await found(receiver, *steps)
    assert [one["parentSpanId"] for one in below] == [root["spanId"]] * 3
    assert {one["traceId"] for one in below} == {root["traceId"]}
    times = [(int(one["startTimeUnixNano"]), int(one["endTimeUnixNano"])) for one in below]
    assert all(start <= end for start, end in times)
    assert [end for _, end in times[:2]] == [start for start, _ in times[1:]]
    assert attributes(root)["townwatch.session.id"] == "s1"


async def test_a_turn_and_its_tools_by_the_conventions(tmp_path: Path) -> None:
    now = 1_764_000_010_000
    with open_receiver() as receiver:
        async with open_town(tmp_path, traced(receiver, sample=0)) as town, town.runner() as runner:
            await runner.send({**started(), "providerId": "claude_code", "traceparent": GIVEN["traceparent"]})
            await runner.send(
                agent(2, "agent.session", now, cliSessionId="c1", model="claude-x"),
                agent(3, "agent.tool", now + 100, id="t1", name="Bash", status="running", input={"command": "secret"}),
                agent(4, "agent.tool", now + 400, id="t1", name="Bash", status="failed", output="secret"),
                agent(5, "agent.tool", now + 500, id="t2", name="Read", status="ok", ms=50),
                agent(6, "agent.turn", now + 900, id="turn1", result="completed", ms=900),
                {**ended(7), "ts": now + 1000},
            )
            names = ("invoke_agent runner_s1", "execute_tool Bash", "execute_tool Read", "session claude_code")
            turn, failed, read, session = await found(receiver, *names)
        assert b"secret" not in b"".join(one.body for one in receiver.heard)
        assert not [one for one in spans(receiver) if one["name"].startswith("event")]
    assert {one["traceId"] for one in (turn, failed, read, session)} == {TRACE}
    assert session["parentSpanId"] == CALLER
    assert turn["parentSpanId"] == session["spanId"]
    assert failed["parentSpanId"] == read["parentSpanId"] == turn["spanId"]
    assert int(failed["endTimeUnixNano"]) - int(failed["startTimeUnixNano"]) == 300_000_000
    assert int(read["endTimeUnixNano"]) - int(read["startTimeUnixNano"]) == 50_000_000
    assert int(turn["startTimeUnixNano"]) == now * 1_000_000
    assert "status" not in turn and failed["status"]["code"] == 2
    said = attributes(failed)
    assert said["gen_ai.operation.name"] == "execute_tool"
    assert (said["gen_ai.tool.name"], said["gen_ai.tool.call.id"], said["error.type"]) == ("Bash", "t1", "failed")
    said = attributes(turn)
    assert said["gen_ai.operation.name"] == "invoke_agent"
    assert (said["gen_ai.provider.name"], said["gen_ai.conversation.id"]) == ("anthropic", "c1")
    assert said["gen_ai.request.model"] == "claude-x"


async def start(http: httpx.AsyncClient, directory: Path, headers: dict[str, str]) -> str:
    body = {
        "providerId": "command",
        "repoRef": {"provider": "local", "path": str(directory)},
        "task": {"title": "t", "goal": "g"},
        "command": ["sh", "-c", 'echo "<$TRACEPARENT>"; sleep 1000'],
    }
    answer = await http.post("/api/runner/sessions", json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.json()["sessionId"]


async def printed(http: httpx.AsyncClient, session: str) -> str:
    """What the session's command has written, when it has."""
    with trio.fail_after(30):
        while True:
            items = (await http.get(f"/api/runner/sessions/{session}/events?limit=1000")).json()["items"]
            text = "".join(one.get("data", "") for one in items)
            if ">" in text:
                return text.partition("<")[2].partition(">")[0]
            await trio.sleep(0.02)


async def with_a_runner(town: Town, tmp_path: Path, job: Callable[[httpx.AsyncClient], Any]) -> None:
    known = identity.load(town.state)
    async with rest(town, town.token) as http, open_runner(known, tmp_path / "runner", slot="main") as runner:
        with trio.fail_after(30):
            await runner.link.connected.wait()
        await job(http)


async def test_an_order_is_followed_from_its_request_to_the_runners_word(tmp_path: Path) -> None:
    with open_receiver() as receiver:
        async with open_town(tmp_path / "s", traced(receiver, sample=0, headers=["x-key=k"])) as town:

            async def job(http: httpx.AsyncClient) -> None:
                session = await start(http, tmp_path, GIVEN)
                request, command, there = await found(
                    receiver, "POST /api/runner/sessions", "command start", "at the runner"
                )
                assert request["traceId"] == command["traceId"] == there["traceId"] == TRACE
                assert request["parentSpanId"] == CALLER
                assert command["parentSpanId"] == request["spanId"]
                assert there["parentSpanId"] == command["spanId"]
                assert attributes(request)["http.response.status_code"] == "201"
                assert attributes(command)["townwatch.session.id"] == session
                assert await printed(http, session) == f"00-{TRACE}-{request['spanId']}-01"
                await http.post(f"/api/runner/sessions/{session}/stop")
                asked, stopped, whole = await found(receiver, STOP, "command stop", "session command")
                assert "parentSpanId" not in asked
                assert stopped["traceId"] == asked["traceId"] != TRACE
                assert (whole["traceId"], whole["parentSpanId"]) == (TRACE, request["spanId"])
                unsampled = {"traceparent": f"00-{TRACE}-{CALLER}-00"}
                await http.post("/api/runner/sessions/none/stop", headers=unsampled)
                text = (await http.get("/metrics")).text
                assert 'townwatch_spans_total{outcome="sent"}' in text

            await with_a_runner(town, tmp_path, job)
        assert all(one.headers["x-key"] == "k" for one in receiver.heard)
        assert len([one for one in spans(receiver) if one["name"] == STOP]) == 1


async def test_without_a_collector_the_callers_place_is_passed_on_as_it_is(tmp_path: Path) -> None:
    async with open_town(tmp_path / "s") as town:

        async def job(http: httpx.AsyncClient) -> None:
            assert await printed(http, await start(http, tmp_path, GIVEN)) == f"00-{TRACE}-{CALLER}-01"
            assert await printed(http, await start(http, tmp_path, {})) == ""
            assert await printed(http, await start(http, tmp_path, {"traceparent": "00-x"})) == ""

        await with_a_runner(town, tmp_path, job)


async def test_a_collector_that_hangs_holds_up_no_order(tmp_path: Path) -> None:
    with open_receiver() as receiver:
        receiver.modes["/v1/traces"] = "hang"
        async with (
            open_town(tmp_path, traced(receiver)) as town,
            rest(town, town.token) as http,
            town.runner() as runner,
        ):
            await runner.send(started())
            await runner.acked(1)
            await receiver.until(lambda heard: len(heard) > 0)
            for seq in range(2, 50):
                await runner.send(event("TERMINAL_CHUNK", seq, stream="stdout", data="x", encoding="utf8"))
            await runner.acked(49)
            assert (await http.get("/api/runner/sessions/s1")).status_code == 200
            assert (await http.post("/api/runner/sessions/s1/stop")).status_code == 200
