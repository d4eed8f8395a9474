"""Budgets that sessions share, with a service and a real runner: leases, a warning, a pause, a question, a raise."""

import json
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
import trio

from tests.integration.policy.test_budgets import over
from tests.integration.runner.conftest import Far
from tests.integration.service.test_promises import USAGE, event, started
from tests.support.people import rest
from tests.support.service import open_town
from townwatch.runner.session.session import Session

USE = f"{sys.executable} -P -m townwatch usage"
BUDGETS = "/api/villages/demo/budgets"
SESSIONS = "/api/runner/sessions"


@attrs.define(eq=False)
class Shop:
    far: Far

    async def budget(self, **terms: Any) -> dict[str, Any]:
        made = await self.far.http.post(BUDGETS, json=terms)
        assert made.status_code == 201, made.text
        await over(lambda: any(one.budget_id == made.json()["budgetId"] for one in self.shared()))
        return made.json()

    def shared(self) -> list[Any]:
        return self.far.runner.policies.of("demo").shared

    async def account(self, budget_id: str, subject: str | None = None) -> dict[str, Any]:
        items = (await self.far.http.get(BUDGETS)).json()["items"]
        (found,) = [one for one in items if one["budgetId"] == budget_id]
        return next(one for one in found["accounts"] if subject in (None, one["subject"]))

    async def used(self, budget_id: str, used: float) -> dict[str, Any]:
        with trio.fail_after(20):
            while (found := await self.account(budget_id))["used"] != pytest.approx(used):
                await trio.sleep(0.05)
        return found

    async def question(self, session: Session) -> dict[str, Any]:
        with trio.fail_after(30):
            while True:
                for one in (await self.far.http.get("/api/approvals?villageId=demo")).json()["items"]:
                    if one["sessionId"] == session.plan.session_id and one["category"] == "budget":
                        return one
                await trio.sleep(0.05)

    async def answer(self, one: dict[str, Any], http: httpx.AsyncClient | None = None, **body: Any) -> httpx.Response:
        path = f"{SESSIONS}/{one['sessionId']}/approvals/{one['approvalId']}"
        return await (http or self.far.http).post(path, json=body)

    async def alerts(self, session: Session) -> list[str]:
        return [one["title"] for one in await self.far.events(session) if one["type"] == "ALERT_RAISED"]


@pytest.fixture
async def shop(far: Far) -> AsyncIterator[Shop]:
    yield Shop(far)


async def test_two_sessions_share_a_budget_and_one_answer_lets_both_go_on(shop: Shop) -> None:
    budget = await shop.budget(scope="village", unit="usd", amount=1)
    script = f"while read line; do {USE} --input-tokens 1 --cost-usd $line; done"
    first, second = shop.far.start(script), shop.far.start(script)
    for session, bill in ((first, 0.3), (second, 0.25), (first, 0.3)):
        await session.started.wait()
        before = (await shop.account(budget["budgetId"]))["used"]
        await session.type(f"{bill}\n")
        account = await shop.used(budget["budgetId"], before + bill)
    assert (account["state"], account["of"], account["unknownSessions"]) == ("warned", 1, 0)
    with trio.fail_after(20):
        while not (titles := await shop.alerts(first) + await shop.alerts(second)):
            await trio.sleep(0.05)
    assert titles == ["The village's budget is nearly used up"]

    await second.type("0.2\n")
    one = await shop.question(second)
    await shop.question(first)  # it has spent nothing since, and nothing is left that it could spend
    assert one["context"]["budget"] == {
        "limit": "usd", "used": pytest.approx(1.05), "of": 1, "more": 1, "budgetId": budget["budgetId"],
    }  # fmt: skip
    assert one["answer"]["role"] == "owner"
    shown = (await shop.far.http.get(f"{SESSIONS}/{second.plan.session_id}")).json()
    assert (shown["state"], shown["reason"]) == ("PAUSED_BY_HUMAN", "waits for its part of the village's budget")

    assert (await shop.answer(one, decision="allow")).status_code == 200
    await over(lambda: not second.budget.used_up and not first.budget.used_up)
    account = await shop.account(budget["budgetId"])
    assert (account["of"], account["raised"]) == (2, 1)
    with trio.fail_after(20):  # the other one's question is withdrawn
        while (await shop.far.http.get("/api/approvals?villageId=demo")).json()["items"]:
            await trio.sleep(0.05)
    entries = (await shop.far.http.get("/api/villages/demo/audit")).json()["items"]
    assert [one["details"]["amount"] for one in entries if one["action"] == "budget.raise"] == [1]
    for session in (first, second):
        await session.stop(graceful=False)


async def test_a_start_that_a_budget_forbids_is_refused_and_says_who_may_raise_it(shop: Shop) -> None:
    budget = await shop.budget(scope="person", unit="sessions", amount=1, period="day")
    body = {
        "villageId": "demo", "providerId": "command", "command": ["sleep", "60"],
        "repoRef": {"provider": "local", "path": str(shop.far.directory)}, "task": {"title": "t", "goal": "g"},
    }  # fmt: skip
    started = await shop.far.http.post(SESSIONS, json=body)
    assert started.status_code == 201, started.text
    refused = await shop.far.http.post(SESSIONS, json=body)
    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (409, "E_BUDGET")
    assert (error["details"]["used"], error["details"]["of"], error["details"]["mayRaise"]) == (1, 1, "owner")
    assert f"townwatch budget raise {budget['budgetId']}" in error["message"]
    assert "begins anew at" in error["message"]
    subject = error["details"]["subject"]
    raised = await shop.far.http.post(f"{BUDGETS}/{budget['budgetId']}/raise", json={"amount": 1, "subject": subject})
    assert raised.status_code == 200, raised.text
    assert (await shop.far.http.post(SESSIONS, json=body)).status_code == 201
    for session in list(shop.far.runner.sessions.values()):
        await over(lambda session=session: session.lifecycle.state == "RUNNING")
        await session.stop(graceful=False)


async def test_a_session_that_the_service_cannot_reach_stops_at_its_lease(shop: Shop, tmp_path: Path) -> None:
    await shop.budget(scope="house", unit="tokens", amount=100)
    script = f"while read line; do {USE} --input-tokens 10; echo . >> bills; done"

    def has_part(session: Session) -> bool:
        """Whether the service has given it a part of the budget: before it has told its house, it has none."""
        found = shop.far.runner.allowances.of(session.plan.session_id)
        return found is not None and bool(found.allowances)

    session = shop.far.start(script)
    await session.started.wait()
    await over(lambda: has_part(session))
    shop.far.town.service.cut_runner(shop.far.runner.identity.runner_id, "for a test")
    other = shop.far.start(script)  # begins while nobody is told of it
    await other.started.wait()
    await other.type("\n" * 5)
    await over(lambda: other.budget.used_up)
    await session.type("\n" * 20)
    await over(lambda: session.budget.used_up)
    bills = (shop.far.directory / "bills").read_text().count(".")
    assert bills <= 10 + 2, "more than one tick past the budget, of each session"
    for one in (session, other):
        await one.stop(graceful=False)


async def test_what_has_no_price_is_unknown_and_said(shop: Shop) -> None:
    budget = await shop.budget(scope="village", unit="usd", amount=5)
    priced = shop.far.start(f"{USE} --input-tokens 7; {USE} --input-tokens 1000000 --model claude-sonnet-4-5; sleep 60")
    with trio.fail_after(30):
        while not (found := await shop.account(budget["budgetId"]))["used"]:
            await trio.sleep(0.05)
    assert (found["used"], found["listedUsd"], found["unknownSessions"]) == (6, 6, 1)
    shown = (await shop.far.http.get(f"{SESSIONS}/{priced.plan.session_id}")).json()["usage"]
    assert (shown["costUsd"], shown["listedUsd"], shown["unpricedTokens"]) == (6, 6, 7)
    assert shown["pricesAsOf"] == "2026-11-10"
    await shop.question(priced)
    assert (await shop.far.http.delete(f"{BUDGETS}/{budget['budgetId']}")).status_code == 200
    await over(lambda: not priced.budget.used_up)
    await priced.stop(graceful=False)


async def test_room_is_leased_once_only_when_what_was_used_before_is_counted(tmp_path: Path) -> None:
    """A runner says that it holds less at once; what its session used before may still be on its way."""

    def used(session: str, seq: int, usd: float) -> dict[str, Any]:
        units = {**USAGE, "inputTokens": 1, "outputTokens": 0, "costUsd": usd}
        return event("USAGE_TICK", seq, session, providerId="command", units=units, intervalMs=1)

    async with open_town(tmp_path) as town, rest(town, town.token) as http:
        features = ["shared_budgets", "policy_enforcement"]
        able = {"providers": ["command"], "maxConcurrentSessions": 4, "features": features}
        async with town.runner(capabilities=able) as runner:
            caps: dict[str, float] = {}

            async def told(wanted: Callable[[], bool], counted: dict[str, int], seconds: float = 5) -> bool:
                """Answer what comes, until it is as wanted; whether it became so."""
                with trio.move_on_after(seconds):
                    while not wanted():
                        message = await runner.next("allowances")
                        caps.update({s["sessionId"]: a["cap"] for s in message["sessions"] for a in s["allowances"]})
                        held = {"type": "allowances_held", "version": message["version"], "counted": counted}
                        await runner.say(json.dumps(held))
                return wanted()

            await runner.send(started("s1"), started("s2"))
            assert (await http.post(BUDGETS, json={"scope": "village", "unit": "usd", "amount": 10})).status_code == 201
            assert await told(lambda: caps.get("s1") == caps.get("s2") == 5, {})
            # s1 uses 5 and cannot tell yet; s2 uses 4, so that the service wants to give it of what s1 seems not to use
            await runner.send(used("s2", 2, 4.0))
            assert await told(lambda: caps["s1"] < 5, {"s1": 2})
            assert not await told(lambda: caps["s2"] > 5, {"s1": 2}, seconds=2)
            await runner.send(used("s1", 2, 5.0))
            assert not await told(lambda: caps["s2"] > 5, {"s1": 2}, seconds=2), "1 $ is left, and it has that"
