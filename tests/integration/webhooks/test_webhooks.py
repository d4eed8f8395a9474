"""Webhooks, through a composed service, to a receiver on a real socket that answers, fails, hangs and lies."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
import trio

from tests.integration.service.test_promises import asked, event, started
from tests.support.people import person, rest
from tests.support.receiver import Receiver, open_receiver
from tests.support.service import ScriptedRunner, Town, open_town
from tests.support.villages import make_village
from townwatch.config.settings import Settings, WebhookSettings

ALL = "/api/villages/demo/webhooks"
EVERY = ["approval.requested", "approval.resolved", "session.ended", "session.failed", "alert.opened"]
USAGE = {"agentSeconds": 1, "terminalKb": 1, "filesTouched": 0, "commandsRun": 0, "approvalsRequested": 1}


@attrs.define(eq=False)
class Desk:
    """A service, its owner, a runner, a receiver."""

    town: Town
    http: httpx.AsyncClient
    runner: ScriptedRunner
    receiver: Receiver

    async def hook(self, path: str, kinds: list[str] = EVERY) -> tuple[str, str]:
        """Make a webhook; return its path in the API and its secret."""
        made = await self.http.post(ALL, json={"url": f"{self.receiver.url}{path}", "kinds": kinds})
        assert made.status_code == 201, made.text
        return f"{ALL}/{made.json()['webhook']['webhookId']}", made.json()["secret"]

    async def deliveries(self, hook: str, **query: Any) -> list[dict[str, Any]]:
        return (await self.http.get(f"{hook}/deliveries", params=query)).json()["items"]

    async def settled(self, hook: str, wanted: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
        """The deliveries of a webhook, when they are as wanted."""
        with trio.fail_after(30):
            while not wanted(found := await self.deliveries(hook)):
                await trio.sleep(0.02)
        return found

    async def test(self, hook: str) -> str:
        answer = await self.http.post(f"{hook}/test")
        assert answer.status_code == 200, answer.text
        return answer.json()["deliveryId"]


@asynccontextmanager
async def open_desk(path: Path, **options: Any) -> AsyncIterator[Desk]:
    values = {"private_networks": ["127.0.0.0/8"], "retry_seconds": 0.05, "seconds": 1.0, "attempts": 3, **options}

    def change(found: Settings) -> Settings:
        return attrs.evolve(found, webhooks=WebhookSettings(**values))

    with open_receiver() as receiver:
        async with open_town(path, change) as town, rest(town, town.token) as http, town.runner() as runner:
            yield Desk(town, http, runner, receiver)


def states(found: list[dict[str, Any]]) -> list[str]:
    return [one["state"] for one in found]


async def test_what_happens_in_a_village_is_told_as_signed_cloud_events(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        await make_village(desk.town, "other")
        others = {"url": f"{desk.receiver.url}/other", "kinds": EVERY}
        assert (await desk.http.post(ALL.replace("demo", "other"), json=others)).status_code == 201
        await desk.runner.send(started("early"))
        await desk.runner.send(asked("a0", 2, "early"))
        await desk.runner.acked(2)
        hook, secret = await desk.hook("/all")
        alert = {"alertId": "al1", "severity": "error", "category": "build", "title": "red", "description": "x" * 3000}
        await desk.runner.send(
            started(),
            asked("a1", 2),
            event("APPROVAL_RESOLVED", 3, approvalId="a1", decision="allow", resolvedBy="Owner"),
            event("ALERT_RAISED", 4, **alert),
            event("SESSION_ENDED", 5, finalState="FAILED", exitCode=3, totalDurationMs=7, totalUsage=USAGE),
        )
        heard = await desk.receiver.until(lambda all_: len(all_) >= 5)
        told = {one.event["type"].removeprefix("townwatch."): one for one in heard}
        assert set(told) == set(EVERY), "each of the kinds, and nothing of what was before"
        for one in heard:
            assert one.signed_with(secret)
            assert one.headers["content-type"] == "application/cloudevents+json"
            assert (one.event["specversion"], one.event["id"], one.event["subject"]) == ("1.0", one.id, "s1")
            assert one.event["source"] == "/villages/demo"
            assert one.event["data"]["village"] == "demo" and one.event["data"]["sessionId"] == "s1"
        assert told["approval.requested"].event["data"]["approvalId"] == "a1"
        assert told["approval.resolved"].event["data"]["decision"] == "allow"
        ended = told["session.ended"].event["data"]
        assert (ended["outcome"], ended["exitCode"]) == ("failed", 3)
        assert "2000 characters more" in told["alert.opened"].event["data"]["description"]
        assert states(await desk.settled(hook, lambda all_: "waiting" not in states(all_))) == ["delivered"] * 5
        assert not desk.receiver.at("/other"), "another village's webhook is told nothing of it"


async def test_a_failed_message_is_tried_again_with_its_id_and_is_a_dead_letter_in_the_end(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        desk.receiver.modes["/x"] = "fail"
        hook, _ = await desk.hook("/x")
        delivery = await desk.test(hook)
        (dead,) = await desk.settled(hook, lambda all_: states(all_) == ["dead"])
        assert (dead["attempts"], dead["status"], dead["error"]) == (3, 500, "the receiver answered 500")
        assert len({one.id for one in desk.receiver.at("/x")}) == 1
        assert (await desk.http.get(hook)).json()["dead"] == 1
        desk.receiver.modes["/x"] = "ok"
        again = await desk.http.post(f"{hook}/deliveries/{delivery}/resend")
        assert again.status_code == 200
        await desk.settled(hook, lambda all_: states(all_) == ["delivered"])
        assert [one.id for one in desk.receiver.at("/x")] == [dead["messageId"]] * 4


@pytest.mark.parametrize("mode", ["hang", "trickle", "flood"])
async def test_a_receiver_that_does_not_end_stalls_no_other(tmp_path: Path, mode: str) -> None:
    async with open_desk(tmp_path, seconds=1.0, attempts=2) as desk:
        desk.receiver.modes["/bad"] = mode
        bad, _ = await desk.hook("/bad")
        good, _ = await desk.hook("/good")
        for _ in range(6):
            await desk.test(bad)
        await desk.receiver.until(lambda _all: bool(desk.receiver.at("/bad")))
        await desk.test(good)
        await desk.settled(good, lambda all_: states(all_) == ["delivered"])
        assert "delivered" not in states(await desk.deliveries(bad))
        found = await desk.settled(bad, lambda all_: any(one.get("error") for one in all_))
        told = {one["error"] for one in found if one.get("error")}
        assert all("no answer within 1 s" in one or "longer than 65536 bytes" in one for one in told), told


async def test_redirects_are_not_followed(tmp_path: Path) -> None:
    async with open_desk(tmp_path, attempts=1) as desk:
        desk.receiver.modes["/x"] = "redirect"
        hook, _ = await desk.hook("/x")
        await desk.test(hook)
        (dead,) = await desk.settled(hook, lambda all_: states(all_) == ["dead"])
        assert dead["error"] == "the receiver answered 307, and redirects are not followed"
        assert not desk.receiver.at("/elsewhere")


async def test_a_receiver_that_wants_no_more_is_switched_off(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        desk.receiver.modes["/x"] = "gone"
        hook, _ = await desk.hook("/x")
        await desk.test(hook)
        await desk.settled(hook, lambda all_: states(all_) == ["dead"])
        shown = (await desk.http.get(hook)).json()
        assert (shown["enabled"], "410" in shown["trouble"]) == (False, True)
        assert (await desk.http.post(f"{hook}/test")).status_code == 409
        desk.receiver.modes["/x"] = "ok"
        assert (await desk.http.patch(hook, json={"enabled": True})).json()["enabled"]
        await desk.test(hook)
        await desk.settled(hook, lambda all_: "delivered" in states(all_))


async def test_both_secrets_sign_while_one_takes_over_from_the_other(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        hook, first = await desk.hook("/x")
        second = (await desk.http.post(f"{hook}/secret", json={"overlapHours": 1})).json()["secret"]
        await desk.test(hook)
        (one,) = await desk.receiver.until(lambda all_: len(all_) == 1)
        assert one.signed_with(first) and one.signed_with(second)
        third = (await desk.http.post(f"{hook}/secret", json={"overlapHours": 0})).json()["secret"]
        await desk.test(hook)
        _, two = await desk.receiver.until(lambda all_: len(all_) == 2)
        assert two.signed_with(third) and not two.signed_with(second) and not two.signed_with(first)


async def test_private_addresses_are_refused_when_they_are_named_and_when_a_name_leads_there(tmp_path: Path) -> None:
    async with open_desk(tmp_path, private_networks=[], attempts=1) as desk:
        refused = await desk.http.post(ALL, json={"url": f"{desk.receiver.url}/x", "kinds": EVERY})
        assert refused.status_code == 400 and "private network" in refused.json()["error"]["message"]
        port = desk.receiver.url.rpartition(":")[2]
        named = await desk.http.post(ALL, json={"url": f"http://localhost:{port}/x", "kinds": EVERY})
        hook = f"{ALL}/{named.json()['webhook']['webhookId']}"
        await desk.test(hook)
        (dead,) = await desk.settled(hook, lambda all_: states(all_) == ["dead"])
        assert "private network" in dead["error"] and not desk.receiver.heard


async def test_secrets_are_shown_once_and_are_in_no_file_as_they_are(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        hook, secret = await desk.hook("/x")
        shown = (await desk.http.get(hook)).text + (await desk.http.get(ALL)).text
        assert "whsec_" not in shown
        kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        assert secret.encode() not in kept and secret.removeprefix("whsec_").encode() not in kept


async def test_they_are_the_owners_of_their_village_alone(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        hook, _ = await desk.hook("/x")
        operator = await person(desk.town, "operator", "operator")
        stranger = await person(desk.town, "stranger")
        for token, status in ((operator, 403), (stranger, 404)):
            async with rest(desk.town, token) as http:
                for path in (ALL, hook, f"{hook}/deliveries"):
                    assert (await http.get(path)).status_code == status
        other = await desk.http.post("/api/villages", json={"villageId": "other", "name": "Other"})
        assert other.status_code == 201
        assert (await desk.http.get(hook.replace("demo", "other"))).status_code == 404


async def test_a_full_queue_is_counted_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from townwatch.store.calls import deliveries

    monkeypatch.setattr(deliveries, "QUEUE", 2)
    async with open_desk(tmp_path, retry_seconds=3600.0) as desk:
        desk.receiver.modes["/x"] = "fail"
        hook, _ = await desk.hook("/x", ["approval.requested"])
        await desk.runner.send(started(), *(asked(f"a{n}", n) for n in range(2, 7)))
        with trio.fail_after(30):
            while (shown := (await desk.http.get(hook)).json())["dropped"] < 3:
                await trio.sleep(0.02)
        assert (shown["waiting"], shown["dropped"]) == (2, 3)
        assert (await desk.http.post(f"{hook}/test")).status_code == 409
