"""Links in calls: they open one approval for one person, never decide by being looked at, and decide once."""

from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
import trio

from tests.integration.calls.desk import PAGE, Desk, open_desk
from tests.support.people import rest
from townwatch.store import audit, members, users
from townwatch.store.calls.tables import call_links


@attrs.define(eq=False)
class Called:
    """A person who was called, and has the link alone."""

    desk: Desk
    link: str
    http: httpx.AsyncClient

    async def look(self) -> httpx.Response:
        return await self.http.post("/api/links/look", json={"link": self.link})

    async def say(self, decision: str, origin: str | None = PAGE, **more: Any) -> httpx.Response:
        headers = {} if origin is None else {"origin": origin}
        body = {"link": self.link, "decision": decision, "holdMs": 0, **more}
        return await self.http.post("/api/links/decide", json=body, headers=headers)

    async def take_back(self) -> httpx.Response:
        return await self.http.post("/api/links/take-back", json={"link": self.link}, headers={"origin": PAGE})


async def called(desk: Desk, approval_id: str, seq: int, topic: str = "link", **asked: Any) -> str:
    """Ask, and return the link of the call that comes of it."""
    before = len(desk.receiver.heard)
    await desk.ask(approval_id, seq, **asked)
    wanted = f"/{topic}"
    with trio.fail_after(30):
        while True:
            new = [one.event for one in desk.receiver.heard[before:] if f"/{one.event['topic']}" == wanted]
            if new:
                return new[0]["click"].partition("#")[2]
            await trio.sleep(0.02)


async def test_a_link_opens_its_approval_and_decides_it_once(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk, rest(desk.town) as http, desk.somebody("ada") as ada:
        await desk.channel("ntfy", "/link", ada)
        await desk.begin()
        called_ada = Called(desk, await called(desk, "a1", 2), http)
        for _ in range(2):
            seen = (await called_ada.look()).json()
            assert (seen["state"], seen["person"], seen["village"]) == ("waiting", "Ada", "demo")
            assert seen["approval"]["approvalId"] == "a1" and seen["approval"]["villageId"] == "demo"
        for method in ("GET", "HEAD", "OPTIONS"):
            for path in ("/api/links/look", "/api/links/decide", f"/answer.html?{called_ada.link}"):
                await http.request(method, path)
        for origin in (None, "https://evil.example", "https://town.example.evil.example"):
            refused = await called_ada.say("allow", origin)
            assert (refused.status_code, refused.json()["error"]["code"]) == (403, "E_ORIGIN")
        assert (await called_ada.look()).json()["state"] == "waiting"

        made = await called_ada.say("allow")
        assert made.status_code == 200, made.text
        told = await desk.runner.next("command")
        assert (told["approvalId"], told["decision"], told["resolvedBy"]) == ("a1", "allow", "Ada")
        again = await called_ada.say("deny")
        assert (again.status_code, again.json()["error"]["code"]) == (409, "E_USED")
        seen = (await called_ada.look()).json()
        assert (seen["state"], seen["mine"], seen["approval"]["decision"]) == ("decided", True, "allow")
        (entry,) = await entries(desk, "approval.decide")
        assert (entry.user_id, entry.kind, entry.target) == ("user_ada", "user", "a1")
        assert entry.details == {"by": "link", "channel": entry.details["channel"], "decision": "allow"}
        for path in ("/api/me", "/api/approvals", "/api/runner/sessions/s1"):
            headers = {"authorization": f"Bearer {called_ada.link}"}
            assert (await http.get(path, headers=headers)).status_code == 401, "it opens nothing else"
        kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        assert called_ada.link.encode() not in kept


async def entries(desk: Desk, action: str) -> list[Any]:
    found = await desk.town.service.database.read(audit.entries_after, 0, 1000, None)
    return [one for one in found if one.action == action]


async def test_an_allow_by_link_waits_and_can_be_taken_back(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk, rest(desk.town) as http:
        await desk.channel("ntfy", "/link")
        await desk.begin()
        one = Called(desk, await called(desk, "a1", 2), http)
        made = await one.say("allow", holdMs=60_000)
        assert made.json()["releaseAt"] > 0
        assert (await one.look()).json()["state"] == "held"
        assert (await one.take_back()).status_code == 200
        assert (await one.look()).json()["state"] == "waiting"
        assert (await one.say("deny")).status_code == 200
        assert (await desk.runner.next("command"))["decision"] == "deny"
        assert (await one.take_back()).status_code == 409
        assert [entry.details["by"] for entry in await entries(desk, "approval.take_back")] == ["link"]


async def test_of_many_at_once_with_two_links_one_decides(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk, rest(desk.town) as http, desk.somebody("ada") as ada:
        await desk.channel("ntfy", "/link")
        await desk.channel("ntfy", "/ada", ada)
        await desk.begin()
        link = await called(desk, "a1", 2)
        await desk.receiver.until(lambda all_: len(all_) >= 2)
        other = next(one.event["click"] for one in desk.receiver.heard if one.event["topic"] == "ada").partition("#")[2]
        answers: list[int] = []

        async def say(secret: str, decision: str) -> None:
            answers.append((await Called(desk, secret, http).say(decision)).status_code)

        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(say, link, "allow")
                nursery.start_soon(say, other, "deny")
        assert sorted(answers) == [200] + [409] * 7
        assert len(await entries(desk, "approval.decide")) == 1
        assert (await desk.http.get("/api/approvals")).json()["items"] == []


@pytest.mark.parametrize(
    "why", ["high", "question", "cut", "removed", "viewer", "locked", "signed out", "over", "channel"]
)
async def test_what_a_link_does_not_decide(tmp_path: Path, why: str) -> None:
    async with open_desk(tmp_path) as desk, rest(desk.town) as http, desk.somebody("ada") as ada:
        channel = await desk.channel("ntfy", "/link", ada)
        await desk.begin()
        asked: dict[str, dict[str, Any]] = {
            "high": {"risk": "high"},
            "question": {"category": "question"},
            "cut": {"truncated": True},
        }
        one = Called(desk, await called(desk, "a1", 2, **asked.get(why, {})), http)
        database, now = desk.town.service.database, desk.town.service.context.clock.now_ms()
        match why:
            case "removed":
                await database.call(members.remove, "demo", "user_ada")
            case "viewer":
                await database.call(members.put, "demo", "user_ada", "viewer", now)
            case "locked":
                await database.call(users.set_disabled, "user_ada", True)
            case "signed out":
                await database.call(users.void_tokens, "user_ada", now + 1000)
            case "over":
                await database.call(
                    lambda connection: connection.execute(call_links.update().values(expires_ms=now - 1))
                )
            case "channel":
                assert (await ada.delete(channel)).status_code == 200
            case _:
                pass
        seen, made = await one.look(), await one.say("allow")
        if why in asked:
            assert seen.json()["signIn"] and made.json()["error"]["code"] == "E_SIGN_IN"
        else:
            assert (seen.status_code, made.status_code) == (401, 401)
            assert seen.json()["error"]["message"] == "this link is over: sign in to see what waits"
        assert len((await desk.http.get("/api/approvals")).json()["items"]) == 1


async def test_a_rule_that_wants_people_who_signed_in_is_kept(tmp_path: Path) -> None:
    """Terms of a rule hold for links as on the page; a refused allow does not use the link up."""
    async with open_desk(tmp_path) as desk, rest(desk.town) as http:
        rule = {"id": "r", "effect": "ask", "command": "npm **", "answer": {"human": True}}
        put = await desk.http.put("/api/villages/demo/policy", json={"rules": [rule]})
        assert put.status_code == 200, put.text
        await desk.channel("ntfy", "/link")
        await desk.begin()
        one = Called(desk, await called(desk, "a1", 2), http)
        refused = await one.say("allow")
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "E_ANSWER_REFUSED"), refused.text
        assert (await one.say("deny")).status_code == 200


async def test_links_are_not_guessed(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk, rest(desk.town) as http:
        answers = [(await http.post("/api/links/look", json={"link": f"twl_{n}"})).status_code for n in range(60)]
        assert answers[:40] == [401] * 40 and 429 in answers[40:]
