"""A session's own token is good for asking, alerting and reporting usage for its own session, and nothing else."""

import json
import select
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from tests.integration.runner.conftest import Bench
from tests.support.people import KINDS, Refused, connected
from tests.support.service import open_town
from townwatch.cli import quick
from townwatch.contracts.decoding.runner_events import decode_event
from townwatch.runner.agents.otlp.plain import OTLP
from townwatch.runner.session import agent_socket
from townwatch.runner.session.agent_socket import ADDRESS_VARIABLE, SESSION_VARIABLE, TOKEN_VARIABLE
from townwatch.runner.session.session import Session

WAIT = ("sleep", "60")
ASK = {"category": "shell", "risk": "high", "summary": "rm -rf /"}
ALERT = {"severity": "warn", "category": "security", "title": "odd", "description": "very"}


async def say(session: Session, action: str, fields: dict[str, Any], **changed: str) -> dict[str, Any]:
    """From inside the session, or with something else than what it was given."""
    return await trio.to_thread.run_sync(quick.request, action, fields, {**session._env, **changed})


async def running(bench: Bench) -> Session:
    session = bench.start(*WAIT)
    with trio.fail_after(10):
        while session.lifecycle.state != "RUNNING":
            await trio.sleep(0.01)
    return session


@pytest.mark.parametrize(
    "action",
    ["approve", "decide", "deny", "start", "stop", "input", "pause", "resume", "drain", "resize", "SESSION_ENDED", ""],
)
async def test_there_is_no_other_action(bench: Bench, action: str) -> None:
    session = await running(bench)
    answer = await say(session, action, {"approvalId": "ap_1", "decision": "allow", "data": "x"})
    assert answer["ok"] is False and "none of ask, alert, usage" in answer["error"]
    assert session.lifecycle.state == "RUNNING"
    await session.stop(graceful=False)
    await bench.over(session)


async def test_it_is_for_its_own_session_while_that_lives(bench: Bench) -> None:
    mine, other = await running(bench), await running(bench)
    theirs = {SESSION_VARIABLE: other.plan.session_id}
    for action, fields in (("ask", ASK), ("alert", ALERT), ("usage", {"inputTokens": 5})):
        for changed in (theirs, {TOKEN_VARIABLE: other._env[TOKEN_VARIABLE]}, {TOKEN_VARIABLE: "é guess"}):
            answer = await say(mine, action, fields, **changed)
            assert answer == {"ok": False, "error": "token: is not this session's"}
    assert await say(mine, "alert", {**ALERT, "session": other.plan.session_id, "token": "x"}) == {
        "ok": False,
        "error": "token: is not this session's",
    }
    assert (await say(mine, "alert", {**ALERT, "sessionId": other.plan.session_id, "orgId": "elsewhere"}))["ok"]
    told = await bench.one(mine, "ALERT_RAISED")
    assert bench.events(other, "ALERT_RAISED") == []
    assert (told["sessionId"], told["orgId"]) == (mine.plan.session_id, "demo")
    for session in (mine, other):
        await session.stop(graceful=False)
        await bench.over(session)
    assert (await say(mine, "alert", ALERT))["ok"] is False


async def test_it_does_not_answer_what_it_asks(bench: Bench) -> None:
    session = await running(bench)
    answers: list[dict[str, Any]] = []

    async def ask() -> None:
        decided = {"decision": "allow", "resolvedBy": "owner", "approvalId": "ap_mine", "timeoutSeconds": 0.3}
        answers.append(await say(session, "ask", {**ASK, **decided}))

    await ask()
    asked = await bench.one(session, "APPROVAL_REQUESTED")
    assert asked["approval"]["approvalId"] != "ap_mine"
    assert asked["approval"].keys().isdisjoint({"decision", "resolvedBy"})
    assert (answers[0]["decision"], answers[0]["resolvedBy"]) == ("deny", "timeout")
    await session.stop(graceful=False)
    await bench.over(session)


async def test_it_opens_no_door_of_the_service(bench: Bench, tmp_path: Path) -> None:
    session = await running(bench)
    token = session._env[TOKEN_VARIABLE]
    async with open_town(tmp_path / "town") as town, httpx.AsyncClient(base_url=town.url) as http:
        headers = {"authorization": f"Bearer {token}"}
        for path in ("/api/me", "/api/approvals", "/api/villages", "/api/runner/sessions"):
            assert (await http.get(path, headers=headers)).status_code == 401
        for kind in KINDS:
            with pytest.raises(BaseExceptionGroup) as refused:
                async with connected(town, kind, token):
                    pass
            assert refused.group_contains(Refused)
        upgrade = {"connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13",
                   "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ=="}  # fmt: skip
        assert (await http.get("/runner", headers=headers | upgrade)).status_code == 401
    assert not any("tw_" in value or "twr_" in value for value in session._env.values())
    assert session._env[ADDRESS_VARIABLE].startswith("127.0.0.1:")
    await session.stop(graceful=False)
    await bench.over(session)


async def test_no_variable_leads_to_the_service_or_holds_its_secrets(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    inherited = {
        "TOWNWATCH_STATE_DIR": "/where/the/state/is",
        "TOWNWATCH_DATABASE_URL": "postgresql+psycopg://townwatch:hunter22@db/townwatch",
        "TOWNWATCH_OIDC_CLIENT_SECRET": "a secret of the service",
        "TOWNWATCH_KEPT": "12345678",
        "TOWNWATCH_ASK_TOKEN": "the token of a session around this one",
        "NOTIFY_SOCKET": "/run/systemd/notify",
        "CREDENTIALS_DIRECTORY": "/run/credentials/townwatch.service",
        "STATE_DIRECTORY": "/var/lib/townwatch",
    }
    for name, value in inherited.items():
        monkeypatch.setenv(name, value)
    session = bench.start("sh", "-c", "env; echo end")
    await bench.over(session)
    text = bench.output(session)
    assert "TOWNWATCH_ASK=127.0.0.1:" in text and "end" in text
    assert "TOWNWATCH_OTLP=http://127.0.0.1:" in text  # of the runner, as the other one
    own = {ADDRESS_VARIABLE, SESSION_VARIABLE, TOKEN_VARIABLE, OTLP}
    assert {line.partition("=")[0] for line in text.split("\r\n") if line.startswith("TOWNWATCH_")} == own
    assert not any(value in text for value in inherited.values()), text


@pytest.mark.parametrize(
    "forged",
    [
        {"sessionId": "other"},
        {"approvalId": "ap_of_another"},
        {"agentId": "other", "orgId": "elsewhere", "runnerId": "r2"},
        {"seq": 1, "type": "APPROVAL_RESOLVED", "decision": "allow", "resolvedBy": "owner"},
    ],
)
async def test_ids_that_a_request_brings_along_change_nothing(bench: Bench, forged: dict[str, Any]) -> None:
    session = await running(bench)
    assert (await say(session, "alert", {**ALERT, **forged}))["ok"]
    told = await bench.one(session, "ALERT_RAISED")
    assert (told["sessionId"], told["orgId"]) == (session.plan.session_id, "demo")
    assert {"decision", "resolvedBy", "approvalId", "runnerId"}.isdisjoint(told)
    assert bench.events(session, "APPROVAL_RESOLVED") == []
    await session.stop(graceful=False)
    await bench.over(session)


async def test_it_is_over_with_its_session_and_is_not_the_next_ones(bench: Bench) -> None:
    ended = await running(bench)
    await ended.stop(graceful=False)
    await bench.over(ended)
    later = await running(bench)
    for changed in ({}, {SESSION_VARIABLE: later.plan.session_id}):
        for action, fields in (("ask", ASK), ("alert", ALERT), ("usage", {"inputTokens": 5})):
            answer = await say(ended, action, fields, **changed)
            assert answer == {"ok": False, "error": "token: is not this session's"}
    assert bench.events(later, "ALERT_RAISED") == bench.events(later, "APPROVAL_REQUESTED") == []
    await later.stop(graceful=False)
    await bench.over(later)


async def test_who_asked_before_the_session_ended_is_denied(bench: Bench) -> None:
    session = await running(bench)
    answers: list[dict[str, Any]] = []

    async def ask() -> None:
        answers.append(await say(session, "ask", ASK))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await bench.one(session, "APPROVAL_REQUESTED")
        await session.stop(graceful=False)
    await bench.over(session)
    assert (answers[0]["decision"], answers[0]["resolvedBy"]) == ("deny", "session end")


@pytest.mark.parametrize("token", ["", " ", "x" * 60_000, "\u0000", "é"])
async def test_no_other_token_is_taken(bench: Bench, token: str) -> None:
    session = await running(bench)
    if token:
        answer = await say(session, "alert", ALERT, **{TOKEN_VARIABLE: token})
        assert answer == {"ok": False, "error": "token: is not this session's"}
    for changed in ({SESSION_VARIABLE: "nowhere"}, {SESSION_VARIABLE: "__class__"}):
        assert (await say(session, "alert", ALERT, **changed))["ok"] is False
    assert bench.events(session, "ALERT_RAISED") == []
    await session.stop(graceful=False)
    await bench.over(session)


async def test_numbers_that_no_event_can_hold_do_not_keep_it_from_ending(bench: Bench) -> None:
    session = await running(bench)
    for fields in ({"inputTokens": 10**300, "outputTokens": 1e308}, {"costUsd": 1e308}, {"costUsd": 1e308}):
        assert (await say(session, "usage", fields))["ok"]
    await session.stop(graceful=False)
    await bench.over(session)
    (ended,) = bench.events(session, "SESSION_ENDED")
    used = ended["totalUsage"]
    assert 0 < used["inputTokens"] < 2**53 and 0 < used["outputTokens"] < 2**53 and 0 < used["costUsd"] < 1e12
    decode_event(json.dumps(ended).encode())


async def test_strangers_do_not_hold_the_port_and_a_session_waits_for_so_many_answers(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_socket, "MAX_STRANGERS", 20)
    monkeypatch.setattr(agent_socket, "MAX_WAITING", 3)
    session = await running(bench)
    host, _, port = session._env[ADDRESS_VARIABLE].partition(":")
    with ExitStack() as stack:
        strangers = [stack.enter_context(socket.create_connection((host, int(port)))) for _ in range(60)]
        assert (await say(session, "alert", ALERT))["ok"]
        with trio.fail_after(4):  # before their time is over
            while len(select.select(strangers, [], [], 0)[0]) < 40:
                await trio.sleep(0.02)
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(say, session, "ask", ASK)
        with trio.fail_after(10):
            while len(bench.events(session, "APPROVAL_REQUESTED")) < 3:
                await trio.sleep(0.02)
        answer = await say(session, "ask", ASK)
        assert answer["ok"] is False and "wait for their answers" in answer["error"]
        await session.stop(graceful=False)
    await bench.over(session)
