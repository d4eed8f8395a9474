"""One vocabulary for all agents: on the wire, to the people, and for what is not as agreed."""

import json
from typing import Any

import pytest

from townwatch.contracts import agent_events as a, events as e
from townwatch.contracts.decoding.runner_events import decode_event
from townwatch.contracts.secrets.left_out import LEFT_OUT, provider_event
from townwatch.contracts.translate import EventSource, for_village, readable

ORIGIN = EventSource(village_id="demo", agent_id="a1", agent_name="Ada's", repo_path="/repo")
EACH: tuple[tuple[a.AgentEvent, dict[str, Any]], ...] = (
    (a.CliSession(cli_session_id="c1", model="m"), {"cliSessionId": "c1", "model": "m"}),
    (a.Status(status="waiting", since=5, for_="Bash: ls"), {"status": "waiting", "since": 5, "for": "Bash: ls"}),
    (a.Prompt(text="go", by="ada", queued=True), {"text": "go", "by": "ada", "queued": True}),
    (a.AgentMessage(id="m1", text="hello"), {"id": "m1", "role": "assistant", "text": "hello", "final": True}),
    (
        a.Tool(id="t1", name="Bash", status="ok", input={"command": "ls"}, ms=3),
        {"id": "t1", "name": "Bash", "status": "ok", "input": {"command": "ls"}, "ms": 3},
    ),
    (a.AgentPlan(items=[a.PlanItem(text="one")]), {"items": [{"text": "one", "status": "pending"}]}),
    (a.Subagent(id="s1", name="Explore", status="running"), {"id": "s1", "name": "Explore", "status": "running"}),
    (a.Turn(id="u1", result="failed", reason="no credit"), {"id": "u1", "result": "failed", "reason": "no credit"}),
    (a.ContextUsage(used=10, size=100), {"used": 10, "size": 100}),
    (a.ModelRetry(attempt=1, of=3, delay_ms=500, status=529), {"attempt": 1, "of": 3, "delayMs": 500, "status": 529}),
    (
        a.Worktree(branch="b", base="main", path="/t", status="kept", reason="1 commit"),
        {"branch": "b", "base": "main", "path": "/t", "status": "kept", "reason": "1 commit"},
    ),
    (
        a.Landed(id="land:s:1", act="push", ok=True, by="Ann", branch="b", commit="1", remote="origin"),
        {"id": "land:s:1", "act": "push", "ok": True, "by": "Ann", "branch": "b", "commit": "1", "remote": "origin"},
    ),
)


def forwarded(inner: dict[str, Any]) -> e.RunnerEvent:
    event = {"type": "PROVIDER_EVENT_FORWARDED", "sessionId": "s", "orgId": "demo", "ts": 9, "seq": 1}
    return decode_event(json.dumps({**event, "providerEvent": inner}))


@pytest.mark.parametrize(("event", "fields"), EACH, ids=lambda one: getattr(one, "TYPE", ""))
def test_each_goes_over_the_wire_and_reaches_people_under_its_own_name(
    event: a.AgentEvent, fields: dict[str, Any]
) -> None:
    inner = a.to_provider_event(event, "claude_code", 7)
    assert inner == {"type": event.TYPE, "providerId": "claude_code", "timestamp": 7, **fields}
    assert a.from_provider_event(inner) == event
    line = for_village(forwarded(inner), ORIGIN)[0]
    assert (line.event, line.payload.type, line.payload.payload) == (
        "work_stream_event",
        event.TYPE.replace(".", "_"),
        fields,
    )


def test_the_vocabulary_is_all_of_it() -> None:
    assert {type(event) for event, _ in EACH} == set(a.AGENT_EVENTS)


def test_a_status_also_updates_its_agent_with_reason_and_age() -> None:
    inner = a.to_provider_event(a.Status(status="waiting", since=5, for_="Bash: ls"), "claude_code", 7)
    (update,) = [one.payload for one in for_village(forwarded(inner), ORIGIN) if one.event == "agent_update"]
    assert (update.agent_id, update.status, update.reason, update.since) == ("a1", "waiting", "Bash: ls", 5)


@pytest.mark.parametrize(
    ("event", "kept"),
    [
        (a.Turn(id="u1", result="failed", reason="the key sk-1 is wrong"), {"reason": LEFT_OUT}),
        (a.Status(status="idle", for_="its turn failed: the key"), {"for": LEFT_OUT}),
        (a.Turn(id="u1", result="completed"), {}),
        (a.Status(status="unknown", for_="not connected"), {"for": "not connected"}),
    ],
)
def test_why_a_turn_failed_is_left_out_where_texts_are(event: a.AgentEvent, kept: dict[str, Any]) -> None:
    inner = a.to_provider_event(event, "claude_code", 7)
    assert provider_event(inner) == ({**inner, **kept}, LEFT_OUT in kept.values())


def test_a_turn_that_failed_is_one_line_with_its_reason() -> None:
    inner = a.to_provider_event(a.Turn(id="u1", result="failed", reason="no credit"), "claude_code", 7)
    assert readable(forwarded(inner)) == "turn failed: no credit"


@pytest.mark.parametrize(
    "inner",
    [
        {"type": "agent.status", "status": "dancing"},
        {"type": "agent.status"},
        {"type": "agent.tool", "id": 5},
        {"type": "agent.nothing"},
        {"type": "other"},
    ],
)
def test_what_is_not_as_agreed_is_shown_as_it_is_and_updates_no_agent(inner: dict[str, Any]) -> None:
    event = forwarded({**inner, "providerId": "x", "timestamp": 1})
    assert a.from_provider_event({**inner, "providerId": "x", "timestamp": 1}) is None
    assert [one.event for one in for_village(event, ORIGIN)] == ["work_stream_event", "work_stream"]
    assert readable(event) == f"provider event {inner['type']}"
