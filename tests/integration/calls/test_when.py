"""When people are called: quiet hours, floods that become one call, and approvals that go to the next person."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.integration.calls.desk import Desk, open_desk
from tests.integration.service.test_promises import event
from townwatch.store.calls.tables import call_deliveries

SETTINGS = "/api/me/call-settings"
ESCALATION = "/api/villages/demo/escalation"


def quiet_now(minutes: int = 120) -> dict[str, Any]:
    """Quiet hours around this moment."""
    now = datetime.now(UTC)
    minute = now.hour * 60 + now.minute
    quiet = {"begins": (minute - minutes) % 1440, "ends": (minute + minutes) % 1440}
    return {"timeZone": "UTC", "quiet": quiet}


async def let_time_pass(desk: Desk, minutes: int) -> None:
    """Everything that waits is due so much earlier."""

    def earlier(connection: Any) -> None:
        table = call_deliveries
        mine = table.c.state == "waiting"
        connection.execute(table.update().where(mine).values(next_ms=table.c.next_ms - minutes * 60_000))

    await desk.town.service.database.call(earlier)
    for one in (await desk.http.get("/api/me/channels")).json()["items"]:
        await desk.http.patch(f"/api/me/channels/{one['channelId']}", json={"name": ""})  # rings the sender


def topics(desk: Desk) -> list[str]:
    return [one.event["topic"] for one in desk.receiver.heard]


async def test_quiet_hours_hold_calls_back_until_they_are_over(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        path = await desk.channel("ntfy", "/quiet")
        set_ = await desk.http.put(SETTINGS, json={**quiet_now(), "digestCalls": 0})
        assert set_.status_code == 200, set_.text
        await desk.begin()
        await desk.ask("a1", 2)
        (held,) = await _held(desk)
        assert 60 * 60_000 < held["nextAt"] - held["createdAt"] < 3 * 60 * 60_000
        assert (await desk.http.post(f"{path}/test")).status_code == 200, "a test is heard at any time"
        assert [one.event["title"] for one in await desk.heard("/")] == ["Townwatch calls"]
        await desk.http.put(SETTINGS, json={"timeZone": "UTC"})
        await let_time_pass(desk, 180)
        found = await desk.heard("/", 2)
        assert "asks to run a command" in found[1].event["title"]
        wrong = await desk.http.put(SETTINGS, json={"timeZone": "Moon/Base"})
        assert wrong.status_code == 409 and "no time zone" in wrong.json()["error"]["message"]
        assert (await desk.http.put(SETTINGS, json={"quiet": {"begins": 5}})).status_code == 400


async def _held(desk: Desk) -> list[dict[str, Any]]:
    def held(all_: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [
            one for one in all_ if one["kind"] == "approval.requested" and one["nextAt"] - one["createdAt"] > 60_000
        ]

    return held(await desk.until_calls(lambda all_: bool(held(all_))))


async def test_a_flood_is_one_call_that_sums_it_up(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        await desk.http.put(SETTINGS, json={"digestCalls": 2, "digestMinutes": 60})
        await desk.channel("ntfy", "/flood", kinds=["alert.opened", "approval.requested"])
        await desk.begin()
        alert = {"severity": "error", "category": "build", "description": "red"}
        await desk.runner.send(
            *(event("ALERT_RAISED", n, alertId=f"al{n}", title=f"red {n}", **alert) for n in range(2, 14))
        )
        (first,) = await desk.heard("/")
        assert first.event["title"] == "12 calls"
        lines = first.event["message"].split("\n")
        assert lines[0] == "runner_s1: error alert: red 2" and lines[-1] == "… and 4 more"
        await desk.ask("a1", 14)
        found = await desk.heard("/", 2)
        assert "asks to run a command" in found[1].event["title"], "there was room for one more"
        await desk.ask("a2", 15)
        await desk.until_calls(lambda all_: [one["state"] for one in all_].count("waiting") == 1)
        assert len(desk.receiver.heard) == 2
        states = {one["messageId"]: one["state"] for one in await desk.calls()}
        assert sorted(states.values()).count("delivered") == 13


async def test_an_approval_that_nobody_answers_goes_to_the_next_person(tmp_path: Path) -> None:
    """In the stated order, also in quiet hours; never to a person who may not answer any more."""
    async with (
        open_desk(tmp_path) as desk,
        desk.somebody("ada") as ada,
        desk.somebody("bob") as bob,
        desk.somebody("eve", "viewer") as eve,
    ):
        for name, who in (("ada", ada), ("bob", bob), ("eve", eve)):
            await desk.channel("ntfy", f"/{name}", who, kinds=["approval.escalated"])
        await ada.put(SETTINGS, json=quiet_now())
        await bob.put(SETTINGS, json={**quiet_now(), "quietEscalations": True})
        refused = await desk.http.put(ESCALATION, json={"people": ["user_eve"]})
        assert refused.status_code == 404 and "may answer" in refused.json()["error"]["message"]
        assert (await ada.put(ESCALATION, json={"minutes": 5})).status_code == 403
        order = {"minutes": 5, "people": ["user_ada", "user_bob"]}
        shown = (await desk.http.put(ESCALATION, json=order)).json()
        assert [(one["name"], one["reachable"]) for one in shown["people"]] == [("Ada", True), ("Bob", True)]
        await desk.begin()
        await desk.ask("a1", 2)
        waits = [(await desk.until_calls(bool, who))[0] for who in (ada, bob)]
        assert [round((one["nextAt"] - one["createdAt"]) / 60_000) for one in waits] == [5, 10]
        assert await desk.calls(eve) == []
        await desk.channel("ntfy", "/bell", kinds=[])
        await let_time_pass(desk, 6)
        (told,) = await desk.heard("/")
        assert told.event["topic"] == "ada"
        assert told.event["title"] == "No answer for 5 min: runner_s1 asks to run a command"
        await let_time_pass(desk, 6)
        (held,) = await desk.until_calls(lambda all_: all_[0]["nextAt"] > all_[0]["createdAt"] + 60_000, bob)
        assert held["state"] == "waiting", "Bob has said that quiet hours are for these, too"
        assert topics(desk) == ["ada"]


async def test_each_step_may_have_its_own_minutes(tmp_path: Path) -> None:
    async with (
        open_desk(tmp_path) as desk,
        desk.somebody("ada") as ada,
        desk.somebody("bob") as bob,
        desk.somebody("cleo") as cleo,
    ):
        for name, who in (("ada", ada), ("bob", bob), ("cleo", cleo)):
            await desk.channel("ntfy", f"/{name}", who, kinds=["approval.escalated"])
        waits = {"user_ada": 2, "user_bob": 0}
        order = {"minutes": 30, "people": ["user_ada", "user_bob", "user_cleo"], "waits": waits}
        refused = await desk.http.put(ESCALATION, json={**order, "waits": {"user_eve": 1}})
        assert (refused.status_code, refused.json()["error"]["details"]) == (400, {"field": "waits"})
        await desk.http.put(ESCALATION, json=order)
        shown = (await desk.http.get(ESCALATION)).json()["people"]
        assert [(one["wait"], one["after"]) for one in shown] == [(2, 2), (0, 2), (30, 32)]
        await desk.begin()
        await desk.ask("a1", 2)
        made = [(await desk.until_calls(bool, who))[0] for who in (ada, bob, cleo)]
        assert [round((one["nextAt"] - one["createdAt"]) / 60_000) for one in made] == [2, 2, 32]


async def test_without_an_order_the_owners_are_next_and_an_answer_ends_it(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk, desk.somebody("ada") as ada:
        await desk.channel("ntfy", "/ada", ada, kinds=["approval.escalated"])
        await desk.channel("ntfy", "/owner", kinds=["approval.escalated", "alert.opened"])
        shown = (await desk.http.get(ESCALATION)).json()
        assert (shown["minutes"], shown["ordered"]) == (10, False)
        assert [one["userId"] for one in shown["people"]] == ["user_owner"]
        await desk.begin()
        await desk.ask("a1", 2)
        await desk.ask("a2", 3)
        await desk.until_calls(lambda all_: len(all_) == 2)
        assert (
            await desk.http.post("/api/runner/sessions/s1/approvals/a1", json={"decision": "deny"})
        ).status_code == 200
        await let_time_pass(desk, 11)
        await desk.heard("/")
        found = await desk.until_calls(lambda all_: "waiting" not in {one["state"] for one in all_})
        assert sorted(one["state"] for one in found) == ["delivered", "void"]
        assert topics(desk) == ["owner"]
        await desk.http.put(ESCALATION, json={"minutes": 0})
        await desk.ask("a3", 4)
        alert = {"alertId": "al1", "severity": "error", "category": "build", "title": "red", "description": ""}
        await desk.runner.send(event("ALERT_RAISED", 5, **alert))
        found = await desk.until_calls(lambda all_: all_[0]["kind"] == "alert.opened")
        assert len(found) == 3, "what was asked before the alert calls nobody later"
