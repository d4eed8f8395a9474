"""Parts of recordings shared by a link: what it shows, what it does not, and how it ends."""

from typing import Any

import pytest

from tests.support.cast import event
from townwatch.store import audit, members, users, villages
from townwatch.store.showing import clips

HOUR_MS = 3_600_000
USAGE = {"agentSeconds": 0, "terminalKb": 0, "filesTouched": 0, "commandsRun": 0, "approvalsRequested": 0}
SIZE = {"providerId": "codex", "type": "terminal_resized", "timestamp": 1, "cols": 40, "rows": 5}


async def prepare(rest: Any) -> None:
    await rest.session(
        event("SESSION_STARTED", 1, providerId="codex", providerVersion="1", workspacePath="/w"),
        event("PROVIDER_EVENT_FORWARDED", 2, providerEvent=SIZE),
        event("TERMINAL_CHUNK", 3, data="gone\r\n\x1b[2J\x1b[Hstill here\x1b]52;c;eA==\x07", stream="stdout"),
        event("TERMINAL_CHUNK", 4, data="\r\nfirst\x1b]52;c;eA==\x07", stream="stdout"),
        event("ALERT_RAISED", 5, alertId="a", severity="error", category="build", title="t", description="d"),
        event("TERMINAL_CHUNK", 6, data="after the part", stream="stdout"),
    )


async def shared(rest: Any, who: str = "operator", **more: Any) -> dict[str, Any]:
    body = {"fromSeq": 4, "toSeq": 5, "hours": 1, **more}
    made = await rest.post("/api/runner/sessions/s1/clips", body, who)
    assert made.status_code == 201, made.text
    return {**made.json(), "link": made.json()["path"].partition("#")[2]}


async def look(rest: Any, link: str, after: int = 0) -> Any:
    return await rest.post("/api/clips/look", {"link": link, "after": after}, None)


async def test_who_has_the_link_sees_that_part_and_the_screen_before_it(rest: Any) -> None:
    await prepare(rest)
    made = await shared(rest)
    assert made["path"].startswith("/clip.html#twp_")
    seen = (await look(rest, made["link"])).json()
    assert [(one["seq"], one["type"]) for one in seen["items"]] == [(4, "TERMINAL_CHUNK"), (5, "ALERT_RAISED")]
    assert seen["items"][0]["data"] == "\r\nfirst"
    assert seen["sharedBy"] == "Operator" and seen["next"] is None and seen["expiresAt"] == made["expiresAt"]
    assert (seen["screen"]["cols"], seen["screen"]["rows"]) == (40, 5)
    assert "still here" in seen["screen"]["data"] and "gone" not in seen["screen"]["data"]
    told = (await look(rest, made["link"])).text
    hidden = ('"closed"', '"s1"', rest.keys["closed"], "after the part", "/w", "\\u001b]52")
    assert [name for name in hidden if name in told] == []
    assert (await look(rest, made["link"], after=5)).json()["items"] == []
    assert (await look(rest, made["link"], after=4)).json()["screen"] is None
    # it is no token, and nothing but a part that there is can be shared
    assert (await rest.get("/api/runner/sessions/s1/events", made["link"])).status_code == 401
    for status, body in (
        (409, {"fromSeq": 5, "toSeq": 4}),
        (409, {"fromSeq": 1, "toSeq": 7}),
        (400, {"fromSeq": 1, "toSeq": 2, "hours": 721}),
    ):
        assert (await rest.post("/api/runner/sessions/s1/clips", body)).status_code == status
    secret = made["link"].encode()
    kept = await rest.database.read(clips.of_village, rest.keys["closed"], None, rest.cast.clock.now_ms())
    assert secret.decode() not in repr(kept) and kept[0].clip.hash != secret.decode()


async def test_its_maker_and_the_owners_list_and_end_it(rest: Any) -> None:
    await prepare(rest)
    made = await shared(rest)
    owners = await shared(rest, "owner")
    path = "/api/villages/closed/clips"
    assert {one["clipId"]: one["mine"] for one in (await rest.get(path)).json()["items"]} == {
        made["clipId"]: False, owners["clipId"]: True,
    }  # fmt: skip
    (mine,) = (await rest.get(f"{path}?sessionId=s1", "operator")).json()["items"]
    assert (mine["clipId"], mine["madeBy"], mine["fromSeq"], mine["toSeq"]) == (made["clipId"], "Operator", 4, 5)
    assert (await rest.get(f"{path}?sessionId=s2", "operator")).json()["items"] == []
    assert made["link"] not in (await rest.get(path)).text
    assert (await rest.ask("DELETE", f"{path}/{owners['clipId']}", who="operator")).status_code == 404
    assert (await rest.ask("DELETE", f"{path}/{made['clipId']}")).status_code == 200
    answer = await look(rest, made["link"])
    assert answer.status_code == 401 and "over" in answer.json()["error"]["message"]
    assert (await rest.ask("DELETE", f"{path}/{owners['clipId']}")).status_code == 200
    found = (await rest.database.read(audit.page, audit.Filter(villages=None, action="clip."))).items
    assert [(one.action, one.target) for one in found] == [
        ("clip.end", owners["clipId"]), ("clip.end", made["clipId"]),
        ("clip.share", owners["clipId"]), ("clip.share", made["clipId"]),
    ]  # fmt: skip


@pytest.mark.parametrize("by", ["time", "person", "role", "session", "village"])
async def test_it_ends(rest: Any, by: str) -> None:
    await prepare(rest)
    made = await shared(rest)
    assert (await look(rest, made["link"])).status_code == 200
    call, key = rest.database.call, rest.keys["closed"]
    match by:
        case "time":
            rest.cast.clock.now += HOUR_MS
        case "person":
            await call(users.set_disabled, "user_operator_1", True)
        case "role":
            await call(members.put, key, "user_operator_1", "viewer", 1)
        case "session":
            await rest.session(event("SESSION_ENDED", 7, finalState="COMPLETED", totalDurationMs=1, totalUsage=USAGE))
            assert (await rest.ask("DELETE", "/api/runner/sessions/s1")).status_code == 200
            assert await rest.database.read(clips.of_village, key, None, 0) == []
        case _:
            await call(villages.remove, key)
            assert await rest.database.read(clips.of_village, key, None, 0) == []
    assert (await look(rest, made["link"])).status_code == 401


async def test_links_are_not_guessed_and_a_village_has_so_many(rest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    await prepare(rest)
    monkeypatch.setattr(clips, "MOST", 2)
    await shared(rest)
    await shared(rest)
    refused = await rest.post("/api/runner/sessions/s1/clips", {"fromSeq": 4, "toSeq": 5})
    assert refused.status_code == 409 and "end some" in refused.json()["error"]["message"]
    said = [(await look(rest, f"twp_{number}")).status_code for number in range(60)]
    assert set(said) == {401, 429}
