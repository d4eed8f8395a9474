"""A person is locked out: over REST, on the command line; what they have opens nothing, what is open closes."""

from pathlib import Path

import httpx
import pytest
import trio

from tests.integration.service.test_user_command import user_add
from tests.support.people import KINDS, Kind, Refused, connected, person, rest
from tests.support.service import Town, open_town
from townwatch.access.bootstrap import OWNER_ID
from townwatch.access.grants import enrol, grant_api_token, issue_enrolment_code
from townwatch.access.passwords import Passwords
from townwatch.access.subject import ALL_SCOPES, WrongSecret
from townwatch.store import audit, users

SOON = 1.0
ADA = "user_ada"


async def user(town: Town, *words: str) -> tuple[int, str]:
    """`townwatch user …`: the exit status and what it said."""
    done = await user_add(town.state, *words, command=())
    return done.returncode, (done.stdout + done.stderr).decode()


@pytest.mark.parametrize("by", ["rest", "command line"])
@pytest.mark.parametrize("kind", KINDS)
async def test_live_connections_end_within_a_second(tmp_path: Path, kind: Kind, by: str) -> None:
    async with open_town(tmp_path / "town") as town, rest(town, town.token) as admin:
        ada, bob = await person(town, "ada", "owner"), await person(town, "bob", "owner")
        async with connected(town, kind, ada) as live, connected(town, kind, bob) as other:
            if by == "rest":
                assert (await admin.post(f"/api/users/{ADA}/disable")).status_code == 200
            else:
                assert await user(town, "disable", ADA) == (0, "Ada is locked out\n")
            with trio.fail_after(SOON):
                await live.closed()
                while town.service.context.directory.of_user(ADA):
                    await trio.sleep(0.01)
            assert len(town.service.context.directory.of_user("user_bob")) == 1
            if kind == "socketio":
                assert (await other.emit("join_village", {"villageId": "demo"}))["ok"]
        with pytest.raises(BaseExceptionGroup) as refused:
            async with connected(town, kind, ada):
                pass
        assert refused.group_contains(Refused)


@pytest.mark.parametrize("by", ["oneself", "an administrator"])
async def test_who_is_signed_out_everywhere_has_no_connection_and_no_sign_in(tmp_path: Path, by: str) -> None:
    async with open_town(tmp_path) as town, rest(town, town.token) as admin:
        ada, bob = await person(town, "ada", "owner"), await person(town, "bob", "owner")
        sign_in, now = town.service.sign_in, town.service.context.clock.now_ms()
        other, link = (await sign_in.reissue(ADA)).token, await sign_in.issue_code(ADA)
        program = (await town.service.database.call(grant_api_token, ADA, "ci", ALL_SCOPES, now)).token
        async with rest(town, bob) as bobs, rest(town, other) as adas, rest(town, program) as programs:
            assert (await bobs.post(f"/api/users/{ADA}/sign-out")).status_code == 403
            assert (await programs.post("/api/auth/logout-everywhere")).status_code == 403
            async with connected(town, "socketio", ada) as live, connected(town, "socketio", bob):
                if by == "oneself":
                    again = (await adas.post("/api/auth/logout-everywhere")).json()["token"]
                else:
                    assert (await admin.post(f"/api/users/{ADA}/sign-out")).status_code == 200
                    again = (await sign_in.reissue(ADA)).token
                with trio.fail_after(SOON):
                    await live.closed()
                assert len(town.service.context.directory.of_user("user_bob")) == 1
            assert [(await one.get("/api/me")).status_code for one in (adas, programs)] == [401, 200]
            assert (await adas.post("/api/auth/exchange", json={"code": link})).status_code == 401
            async with rest(town, again) as back:
                assert (await back.get("/api/me")).status_code == 200


async def test_nothing_that_they_have_lets_them_in(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, rest(town, town.token) as admin, rest(town) as http:
        await person(town, "ada", "owner")
        call, sign_in = town.service.database.call, town.service.sign_in
        now = town.service.context.clock.now_ms()
        await call(users.set_password_hash, ADA, await Passwords().hash("correct horse battery"))
        api = (await call(grant_api_token, ADA, "ci", ALL_SCOPES, now)).token
        signed_in, link = (await sign_in.reissue(ADA)).token, await sign_in.issue_code(ADA)
        machine = await call(issue_enrolment_code, ADA, now, village_id="demo")

        async def me(token: str) -> int:
            return (await http.get("/api/me", headers={"authorization": f"Bearer {token}"})).status_code

        assert [await me(api), await me(signed_in)] == [200, 200]
        assert (await admin.post(f"/api/users/{ADA}/disable")).status_code == 200
        assert [await me(api), await me(signed_in)] == [401, 401]
        assert (await http.post("/api/auth/exchange", json={"code": link})).status_code == 401
        joined = await http.post("/api/runners/join", json={"code": machine, "name": "hers"})
        assert joined.status_code == 401

        assert (await admin.post(f"/api/users/{ADA}/enable")).status_code == 200
        assert [await me(api), await me(signed_in)] == [200, 401]  # a sign-in that ended stays ended
        assert (await http.post("/api/auth/exchange", json={"code": link})).status_code == 401
        with pytest.raises(WrongSecret):
            await call(enrol, machine, "hers", now)
        done = (await town.service.database.read(audit.page, audit.Filter(villages=None))).items
        assert [(one.action, one.target) for one in done][:2] == [("user.enable", ADA), ("user.disable", ADA)]


async def test_not_oneself_and_not_the_last_administrator(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, rest(town, town.token) as admin:
        me: str = (await admin.get("/api/me")).json()["userId"]
        refused = await admin.post(f"/api/users/{me}/disable")
        assert (refused.status_code, "yourself" in refused.json()["error"]["message"]) == (409, True)
        status, said = await user(town, "disable", me)
        assert (status, "last administrator" in said) == (2, True)
        assert (await admin.post("/api/users/user_nobody/disable")).status_code == 404
        token = await person(town, "ada", "viewer")
        await town.service.database.call(users.set_admin, ADA, True)
        async with rest(town, token) as adas:
            assert (await adas.post(f"/api/users/{me}/disable")).status_code == 200
            status, said = await user(town, "disable", ADA)
            assert (status, "last administrator" in said) == (2, True)
            assert (await admin.get("/api/me")).status_code == 401


async def test_administrators_see_everybody_and_who_is_locked_out(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, rest(town, town.token) as admin:
        token = await person(town, "ada", "owner")
        async with rest(town, token) as adas:
            assert (await adas.get("/api/users")).status_code == 403
        assert (await admin.post(f"/api/users/{ADA}/disable")).status_code == 200
        listed = {one["userId"]: one for one in (await admin.get("/api/users")).json()["items"]}
        assert (listed[ADA]["name"], listed[ADA]["disabled"]) == ("Ada", True)
        status, said = await user(town, "list")
        assert status == 0
        assert f"{ADA}\t-\tAda\tlocked out\n" in said
        assert (await user(town, "enable", "nobody@example.org"))[0] == 2


async def test_two_administrators_at_once_never_lock_each_other_out(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town:
        tokens = {name: await person(town, name) for name in ("ada", "bob")}
        for name in tokens:
            await town.service.database.call(users.set_admin, f"user_{name}", True)
        await town.service.database.call(users.set_disabled, "user_owner", True)
        said: list[int] = []

        async def lock(by: str, whom: str) -> None:
            async with httpx.AsyncClient(base_url=town.url) as http:
                headers = {"authorization": f"Bearer {tokens[by]}"}
                said.append((await http.post(f"/api/users/user_{whom}/disable", headers=headers)).status_code)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(lock, "ada", "bob")
            nursery.start_soon(lock, "bob", "ada")
        assert sorted(said)[0] == 200 and sorted(said)[1] in (401, 409)


async def test_an_administrator_invites_a_person_and_a_program_does_not(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, rest(town, town.token) as admin, rest(town) as http:
        asked = {"name": "Ada", "email": "ada@example.org", "villageId": "demo", "role": "operator"}
        made = (await admin.post("/api/users", json=asked)).json()
        signed_in = (await http.post("/api/auth/exchange", json={"code": made["code"]})).json()
        assert signed_in["user"] == {"userId": made["userId"], "name": "Ada"}
        hers = {"authorization": f"Bearer {signed_in['token']}"}
        assert [one["role"] for one in (await http.get("/api/me", headers=hers)).json()["villages"]] == ["operator"]
        assert (await http.post("/api/auth/exchange", json={"code": made["code"]})).status_code == 401

        taken = await admin.post("/api/users", json={"name": "Eve", "email": "ADA@example.org"})
        assert taken.status_code == 409 and "another address" in taken.json()["error"]["message"]
        assert (await admin.post("/api/users", json={"name": "Eve", "villageId": "nowhere"})).status_code == 404
        assert (await http.post("/api/users", json={"name": "Eve"}, headers=hers)).status_code == 403
        now = town.service.context.clock.now_ms()
        program = (await town.service.database.call(grant_api_token, OWNER_ID, "ci", ALL_SCOPES, now)).token
        refused = await http.post("/api/users", json={"name": "Eve"}, headers={"authorization": f"Bearer {program}"})
        assert refused.status_code == 403 and "makes new ways in" in refused.json()["error"]["message"]
        assert len(await town.service.database.read(users.everyone)) == 2
