"""One-time codes are good as long as their person's rights are, and end with a new password."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.people import person, rest
from tests.support.service import Town, open_town
from tests.support.villages import key_of, make_village
from townwatch.access.passwords import Passwords
from townwatch.app.identity import new_enrolment
from townwatch.store import members, users

ADA = "user_ada"
OLD, NEW = "correct horse battery", "another horse battery"


async def demoted(town: Town, admin: httpx.AsyncClient) -> None:
    changed = await admin.put(f"/api/villages/acme/members/{ADA}", json={"role": "operator"})
    assert changed.status_code == 200


async def removed(town: Town, admin: httpx.AsyncClient) -> None:
    assert (await admin.delete(f"/api/villages/acme/members/{ADA}")).status_code == 200


async def village_gone(town: Town, admin: httpx.AsyncClient) -> None:
    assert (await admin.delete("/api/villages/acme")).status_code == 200


async def nothing(town: Town, admin: httpx.AsyncClient) -> None:
    pass


Harm = Callable[[Town, httpx.AsyncClient], Awaitable[Any]]


@pytest.mark.parametrize("happened", [demoted, removed, village_gone, nothing])
async def test_a_code_for_runners_is_good_as_long_as_its_person_may_make_one(tmp_path: Path, happened: Harm) -> None:
    async with open_town(tmp_path) as town, rest(town, town.token) as admin, rest(town) as http:
        await make_village(town, "acme")
        ada = await person(town, "ada", "owner", "acme")
        async with rest(town, ada) as hers:
            made = await hers.post("/api/runners/enrolments", json={"villageId": "acme"})
            assert made.status_code == 201, made.text
        await happened(town, admin)
        joined = await http.post("/api/runners/join", json={"code": made.json()["code"], "name": "hers"})
        assert joined.status_code == (201 if happened is nothing else 401), joined.text


async def test_a_code_of_who_is_no_administrator_any_more_takes_no_runner_in(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, rest(town) as http:
        ada = await person(town, "ada")
        await town.service.database.call(users.set_admin, ADA, True)
        async with rest(town, ada) as hers:
            codes = [(await hers.post("/api/runners/enrolments", json={})).json()["code"] for _ in range(2)]
        assert (await http.post("/api/runners/join", json={"code": codes[0], "name": "r"})).status_code == 201
        await town.service.database.call(users.set_admin, ADA, False)
        assert (await http.post("/api/runners/join", json={"code": codes[1], "name": "r"})).status_code == 401


async def test_a_code_that_is_made_on_the_machine_needs_no_person(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, rest(town) as http:
        ada, key = await person(town, "ada", "owner"), await key_of(town, "demo")
        assert ada
        code = await new_enrolment(town.service.settings, village="demo", name=None)
        await town.service.database.call(users.set_admin, ADA, True)
        await town.service.database.call(users.set_admin, "user_owner", False)
        await town.service.database.call(members.remove, key, "user_owner")
        joined = await http.post("/api/runners/join", json={"code": code, "name": "r"})
        assert (joined.status_code, joined.json()["villageId"]) == (201, "demo")


async def test_a_new_password_ends_the_links_that_were_made_before(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, rest(town) as http:
        await person(town, "ada", "owner")
        await town.service.database.call(users.set_password_hash, ADA, await Passwords().hash(OLD))
        async with rest(town, (await town.service.sign_in.reissue(ADA)).token) as stolen:
            link = (await stolen.post("/api/auth/link")).json()["code"]
        async with rest(town, (await town.service.sign_in.reissue(ADA)).token) as hers:
            changed = await hers.put("/api/me/password", json={"current": OLD, "password": NEW})
            assert changed.status_code == 200, changed.text
        assert (await http.post("/api/auth/exchange", json={"code": link})).status_code == 401
