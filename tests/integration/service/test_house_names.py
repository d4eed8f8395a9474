"""A house is given a name: in every list, on the pages that are open, and after a restart; its id stays."""

import json
from pathlib import Path
from typing import Any

import trio

from tests.support.cast import event
from tests.support.people import Live, connected, rest, sign_in
from tests.support.service import open_town
from tests.support.villages import connect, enrol
from townwatch.store import audit

PATH = "/src/app"


async def named(live: Live, name: str) -> dict[str, Any]:
    """The news of a house that is called so."""
    with trio.fail_after(10):
        while True:
            text = await live.next()
            if isinstance(text, str) and '"house.activity"' in text:
                said = json.loads(text[text.index("[") :])[1]
                if said.get("name") == name:
                    return said


async def test_a_house_is_renamed_everywhere_and_stays_so(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, rest(town, town.token) as owner:
        joined = await enrol(town, "demo", "machine")
        async with connect(town, joined) as runner:
            started = event("SESSION_STARTED", 1, "s1", providerId="command", providerVersion="1", workspacePath=PATH)
            await runner.send({**started, "orgId": "demo", "repoRef": {"provider": "local", "path": PATH}})
            await runner.acked(1)
        (house,) = (await owner.get("/api/villages/demo/houses")).json()["items"]
        assert house["name"] == "app"
        path = f"/api/villages/demo/houses/{house['repoId']}"
        async with connected(town, "socketio", town.token) as live:
            await live.emit("join_village", {"villageId": "demo"})
            answer = await owner.patch(path, json={"name": "The bakery"})
            assert (answer.status_code, answer.json()["name"]) == (200, "The bakery")
            assert (await named(live, "The bakery"))["repoId"] == house["repoId"]
            (listed,) = (await owner.get("/api/villages/demo/houses")).json()["items"]
            same = ("houseId", "repoId", "villageId", "repoPath")
            assert [listed[one] for one in (*same, "name")] == [*(house[one] for one in same), "The bakery"]
            operator = await sign_in(town, "ada", "operator")
            async with rest(town, operator) as theirs:
                assert (await theirs.patch(path, json={"name": "x"})).status_code == 403
            for wrong in ({"name": ""}, {"name": "x" * 201}, {}):
                assert (await owner.patch(path, json=wrong)).status_code == 400
            assert (await owner.patch(f"{path}x", json={"name": "x"})).status_code == 404
            entries = await town.service.database.read(audit.page, audit.Filter(villages=None, action="house."))
            assert [(one.target, one.details) for one in entries.items] == [(house["repoId"], {"name": "The bakery"})]
    async with open_town(tmp_path) as town, rest(town, town.token) as owner:
        (listed,) = (await owner.get("/api/villages/demo/houses")).json()["items"]
        assert listed["name"] == "The bakery"
        async with connected(town, "socketio", town.token) as live:
            await live.emit("join_village", {"villageId": "demo"})
            assert (await owner.patch(path, json={"name": None})).json()["name"] == "app"
            await named(live, "app")
