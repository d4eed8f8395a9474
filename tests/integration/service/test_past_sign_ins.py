"""Past sign-ins: how and from where a person came in, what still opens the service, and ending one by itself."""

from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
import trio

from tests.support.people import KINDS, Kind, connected, person, rest, sign_in
from tests.support.service import Town, open_town
from townwatch.access.bootstrap import OWNER_ID
from townwatch.access.grants import grant_api_token
from townwatch.access.passwords import Passwords
from townwatch.access.subject import ALL_SCOPES
from townwatch.app.identity import owner_sign_in
from townwatch.config.settings import Settings
from townwatch.store import audit, sign_ins, users
from townwatch.store.sign_ins import DAY_MS, MOST, SignInRow

SOON = 1.0
PHONE = {"user-agent": "A phone"}


async def listed(http: httpx.AsyncClient, token: str, path: str = "/api/me/sign-ins") -> list[dict[str, Any]]:
    answer = await http.get(path, headers={"authorization": f"Bearer {token}"})
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


async def test_every_way_in_is_listed_with_its_place(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, rest(town) as http:
        call, service = town.service.database.call, town.service
        await person(town, "ada", "owner")
        await call(users.set_password_hash, "user_ada", await Passwords().hash("correct horse battery"))
        now = service.context.clock.now_ms()

        def address(connection: Any) -> None:
            connection.execute(users.users.update().where(users.users.c.user_id == "user_ada").values(email="a@b.c"))

        await call(address)
        code = await service.sign_in.issue_code("user_ada")
        first = (await http.post("/api/auth/exchange", json={"code": code}, headers=PHONE)).json()["token"]
        body = {"email": "a@b.c", "password": "correct horse battery"}
        desk = {"user-agent": "A\x7f desk"}
        second = (await http.post("/api/auth/password", json=body, headers=desk)).json()["token"]
        program = (await call(grant_api_token, "user_ada", "ci", ALL_SCOPES, now)).token
        for _ in range(3):
            await listed(http, program)
        found = await listed(http, second)
        assert [(one["way"], one["tokenName"], one["current"], one["valid"]) for one in found] == [
            ("token", "ci", False, True), ("password", None, True, True), ("link", None, False, True),
        ]  # fmt: skip
        assert [(one["address"], one["userAgent"]) for one in found[1:]] == [
            ("127.0.0.1", "A desk"), ("127.0.0.1", "A phone"),
        ]  # fmt: skip
        # of a token, the row is a place: another program makes another one, and ending either ends the token
        await http.get("/api/me", headers={"authorization": f"Bearer {program}", **PHONE})
        assert [one["way"] for one in await listed(http, second)][:2] == ["token", "token"]
        ended = await http.delete(
            f"/api/me/sign-ins/{found[0]['signInId']}", headers={"authorization": f"Bearer {second}"}
        )
        assert ended.status_code == 200
        assert [one["valid"] for one in await listed(http, second)] == [False, False, True, True]
        # a new password ends the sign-ins, and answers one
        third = await http.put(
            "/api/me/password",
            json={"password": "battery horse correct", "current": "correct horse battery"},
            headers={"authorization": f"Bearer {first}"},
        )
        found = await listed(http, third.json()["token"])
        assert [(one["way"], one["valid"]) for one in found] == [
            ("renewed", True), ("token", False), ("token", False), ("password", False), ("link", False),
        ]  # fmt: skip
        assert all(one["endedAt"] for one in found[1:])


async def test_a_command_on_the_machine_of_the_service_is_listed_as_such(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, rest(town) as http:
        token = (await owner_sign_in(town.service.settings)).token
        (newest, *_) = await listed(http, token)
        assert (newest["way"], newest["address"], newest["current"]) == ("machine", None, True)


@pytest.mark.parametrize("by", ["oneself", "an administrator"])
@pytest.mark.parametrize("kind", KINDS)
async def test_one_sign_in_is_ended_and_its_connections_with_it(tmp_path: Path, kind: Kind, by: str) -> None:
    async with open_town(tmp_path) as town, rest(town, town.token) as admin, rest(town) as http:
        lost = await sign_in(town, "ada", "owner")
        kept = (await town.service.sign_in.reissue("user_ada")).token
        mine = f"Bearer {kept}"
        (row,) = [one for one in await listed(http, kept) if one["way"] == "link"]
        bob = await sign_in(town, "bob", "owner")
        for path in ("/api/me/sign-ins", "/api/users/user_bob/sign-ins"):
            refused = await http.delete(f"{path}/{row['signInId']}", headers={"authorization": f"Bearer {bob}"})
            assert refused.status_code == (404 if "/me/" in path else 403)
        async with connected(town, kind, lost) as live, connected(town, kind, kept):
            if by == "oneself":
                path, asking = f"/api/me/sign-ins/{row['signInId']}", {"authorization": mine}
                assert (await http.delete(path, headers=asking)).status_code == 200
            else:
                path = f"/api/users/user_ada/sign-ins/{row['signInId']}"
                assert (await admin.delete(path)).status_code == 200
            with trio.fail_after(SOON):
                await live.closed()
                while len(town.service.context.directory.of_user("user_ada")) > 1:
                    await trio.sleep(0.01)
        assert (await http.get("/api/me", headers={"authorization": f"Bearer {lost}"})).status_code == 401
        shown = {one["way"]: one["valid"] for one in await listed(http, town.token, "/api/users/user_ada/sign-ins")}
        assert shown == {"link": False, "renewed": True}
        (entry,) = (await town.service.database.read(audit.page, audit.Filter(villages=None, action="auth.sign_in_end"))
                    if by == "oneself"
                    else await town.service.database.read(
                        audit.page, audit.Filter(villages=None, action="user.sign_in_end"))).items  # fmt: skip
        assert (entry.target, entry.details["way"] if entry.details else None) == (row["signInId"], "link")
        assert (await admin.get("/api/users/user_none/sign-ins")).status_code == 404


async def test_the_list_is_bounded_and_forgets_what_was_over_long_ago(tmp_path: Path) -> None:
    def short(settings: Settings) -> Settings:
        return attrs.evolve(settings, people=attrs.evolve(settings.people, sign_ins_kept_days=2))

    async with open_town(tmp_path, short) as town, rest(town) as http:
        now = town.service.context.clock.now_ms()

        def many(connection: Any) -> None:
            times = [(f"in_{number:04}", now - DAY_MS - number, now - DAY_MS) for number in range(MOST)]
            times += [("in_valid", now - DAY_MS * 2, now + DAY_MS), ("in_old", now - DAY_MS * 9, now - DAY_MS * 8)]
            rows = [attrs.asdict(_row(*one)) for one in times]
            connection.execute(sign_ins.sign_ins.insert(), rows)

        await town.service.database.call(many)
        found = await town.service.database.read(sign_ins.of_user, OWNER_ID, now, 2 * DAY_MS)
        assert "in_old" not in {one.row.sign_in_id for one in found}  # shown no more, whether it is deleted or not
        token = (await town.service.sign_in.reissue(OWNER_ID)).token
        found = await town.service.database.read(sign_ins.of_user, OWNER_ID, now, 10 * DAY_MS)
        names = {one.row.sign_in_id for one in found}
        assert len(found) == MOST
        assert "in_valid" in names and "in_old" not in names and f"in_{MOST - 1:04}" not in names
        page = await http.get("/api/me/sign-ins?limit=200", headers={"authorization": f"Bearer {token}"})
        assert len(page.json()["items"]) == 200 and page.json()["next"]


def _row(sign_in_id: str, at: int, until: int) -> SignInRow:
    return SignInRow(
        sign_in_id=sign_in_id, user_id=OWNER_ID, token_id=sign_in_id, way="link", address=None, user_agent=None,
        created_ms=at, expires_ms=until,
    )  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
async def test_administrator_rights_are_given_and_taken_and_live_connections_follow(tmp_path: Path, kind: Kind) -> None:
    async with open_town(tmp_path) as town, rest(town, town.token) as admin:
        ada = await sign_in(town, "ada")
        path = "/api/users/user_ada/administrator"
        join = ("join_village", {"villageId": "demo"})

        async def sees() -> bool:
            if kind == "socketio":
                return (await live.emit(*join))["ok"]
            async with rest(town, ada) as hers:
                return (await hers.get("/api/villages/demo")).status_code == 200

        async with connected(town, kind, ada) as live, rest(town, ada) as hers:
            assert not await sees()
            assert (await hers.put(path, json={"admin": True})).status_code == 403
            assert (await admin.put(path, json={"admin": True})).status_code == 200
            assert await sees() and (await hers.get("/api/users")).status_code == 200
            # one of two may take the other's rights, and the last one's stay
            assert (await hers.put(f"/api/users/{OWNER_ID}/administrator", json={"admin": False})).status_code == 200
            assert (await admin.get("/api/users")).status_code == 403
            refused = await hers.put(path, json={"admin": False})
            assert refused.status_code == 409 and "last administrator" in refused.json()["error"]["message"]
            assert (await hers.put(f"/api/users/{OWNER_ID}/administrator", json={"admin": True})).status_code == 200
            assert (await admin.put(path, json={"admin": False})).status_code == 200
            with trio.fail_after(SOON):
                while kind == "socketio" and _rooms(town):
                    await trio.sleep(0.01)
            assert not await sees()
            program = (
                await town.service.database.call(
                    grant_api_token, OWNER_ID, "ci", ALL_SCOPES, town.service.context.clock.now_ms()
                )
            ).token
            async with rest(town, program) as programs:
                assert (await programs.put(path, json={"admin": True})).status_code == 403
        entries = await town.service.database.read(audit.page, audit.Filter(villages=None, action="user.administrator"))
        assert [(one.target, one.details) for one in entries.items] == [
            ("user_ada", {"admin": False}), (OWNER_ID, {"admin": True}), (OWNER_ID, {"admin": False}),
            ("user_ada", {"admin": True}),
        ]  # fmt: skip


def _rooms(town: Town) -> list[str]:
    return [room for one in town.service.context.directory.of_user("user_ada") for room in one.rooms()]
