"""Signing in at a real provider, from the button to the token; and what must not lead in."""

import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import attrs
import httpx
import pytest

from tests.support.provider import CLIENT, PEOPLE, SECRET, Browser, open_provider
from tests.support.service import Town, open_town
from townwatch.config.settings import OidcGrant, Settings
from townwatch.store import audit, members, users

START = "/auth/oidc/start"
GRANTS = [
    OidcGrant(village="demo", role="viewer", group="staff"),
    OidcGrant(village="demo", role="operator", group="ops"),
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@attrs.define
class Place:
    town: Town
    browser: Browser
    issuer: str

    @property
    def start(self) -> str:
        return self.town.url + START

    async def sign_in(self, login: str, query: str = "") -> httpx.Response:
        return await self.browser.sign_in(self.start + query, login)

    async def token(self, landed: httpx.Response) -> dict[str, Any]:
        """What the page makes of the address it was sent to."""
        answer = await self.browser.http.post(
            self.town.url + "/api/auth/exchange", json={"code": query_of(landed)["code"]}
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def me(self, token: str) -> httpx.Response:
        headers = {"authorization": f"Bearer {token}"}
        return await self.browser.http.get(self.town.url + "/api/me", headers=headers)


def query_of(answer: httpx.Response) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(answer.url.query.decode()).items()}


@asynccontextmanager
async def open_place(
    path: Path,
    secret: str | None = SECRET,
    algorithm: str = "RS256",
    people: Mapping[str, Any] = PEOPLE,
    **options: Any,
) -> AsyncIterator[Place]:
    port, back = free_port(), "/auth/oidc/callback"
    with open_provider(f"http://127.0.0.1:{port}{back}", secret=secret, algorithm=algorithm, people=people) as issuer:

        def changes(found: Settings) -> Settings:
            oidc = attrs.evolve(found.oidc, issuer=issuer, client_id=CLIENT, client_secret=secret or "", **options)
            return attrs.evolve(found, server=attrs.evolve(found.server, port=port), oidc=oidc)

        async with open_town(path, changes) as town, httpx.AsyncClient(timeout=20) as http:
            yield Place(town, Browser(http), issuer)


@pytest.mark.parametrize(
    ("secret", "algorithm"),
    [(SECRET, "RS256"), (None, "RS256"), (SECRET, "ES256"), (SECRET, "EdDSA")],
    ids=["secret", "public", "ES256", "EdDSA"],
)
async def test_from_the_button_to_a_token(tmp_path: Path, secret: str | None, algorithm: str) -> None:
    async with open_place(tmp_path, secret, algorithm, label="Example ID") as place:
        methods = (await place.browser.http.get(place.town.url + "/api/auth/methods")).json()
        assert methods["provider"] == {"label": "Example ID", "start": START}
        landed = await place.sign_in("ada", "?then=%23/agent/runner_12345678")
        assert landed.status_code == 200
        assert (landed.url.path, landed.url.fragment) == ("/", "/agent/runner_12345678")
        assert "Townwatch" in landed.text
        signed_in = await place.token(landed)
        assert signed_in["user"]["name"] == "Ada Lovelace"
        assert (await place.me(signed_in["token"])).json()["villages"] == []
        again = await place.token(await place.sign_in("ada"))
        assert again["user"] == signed_in["user"]  # one person, however often they come
        entries = (await place.town.service.database.read(audit.page, audit.Filter(villages=None))).items
        assert [one.action for one in entries].count("auth.oidc") == 2


async def test_what_the_browser_is_sent_with(tmp_path: Path) -> None:
    async with open_place(tmp_path) as place:
        answer = await place.browser.http.get(place.start)
        query = parse_qs(urlsplit(answer.headers["location"]).query)
        assert answer.status_code == 302
        assert query["code_challenge_method"] == ["S256"]
        assert len(query["code_challenge"][0]) == 43
        assert len(query["state"][0]) >= 43 and len(query["nonce"][0]) >= 43
        assert query["redirect_uri"] == [place.town.url + "/auth/oidc/callback"]
        cookie = answer.headers["set-cookie"]
        assert all(part in cookie for part in ("HttpOnly", "SameSite=Lax", "Path=/auth/oidc", "Max-Age=600"))
        assert query["state"][0] not in cookie and query["nonce"][0] not in cookie  # sealed
        assert answer.headers["cache-control"] == "no-store"


async def test_a_code_works_once_and_only_in_the_browser_that_began(tmp_path: Path) -> None:
    async with open_place(tmp_path) as place:
        landed = await place.sign_in("ada")
        callback = next(str(seen.url) for seen in place.browser.seen if "/auth/oidc/callback" in str(seen.url))
        await place.token(landed)
        assert query_of(await place.browser.go(callback)) == {"sign-in": "stale"}  # replayed: the cookie is gone
        async with httpx.AsyncClient() as other:
            victim = Browser(other)
            assert query_of(await victim.go(callback)) == {"sign-in": "stale"}  # sign-in forgery
            await victim.go(place.start)
            assert query_of(await victim.go(callback)) == {"sign-in": "stale"}  # with an attempt of its own


async def test_the_answer_must_be_to_the_question_of_this_browser(tmp_path: Path) -> None:
    async with open_place(tmp_path) as place, httpx.AsyncClient() as other:
        await place.sign_in("ada")
        callback = next(str(seen.url) for seen in place.browser.seen if "/auth/oidc/callback" in str(seen.url))
        code = parse_qs(urlsplit(callback).query)["code"][0]
        begun = await other.get(place.start)
        state = parse_qs(urlsplit(begun.headers["location"]).query)["state"][0]
        cookie = begun.headers["set-cookie"].partition(";")[0]
        for query in (
            f"state={state}&code={code}&iss={place.issuer}",  # another's code under one's own state
            f"state={state}&code={code}",  # this provider always names itself
            f"state={state}&code={code}&iss=https://evil.example",
            f"state={state}&code=x&iss={place.issuer}",
            f"state={state}&state={state}&code={code}&iss={place.issuer}",
            f"state={state}&iss={place.issuer}",
            "",
        ):
            answer = await other.get(f"{place.town.url}/auth/oidc/callback?{query}", headers={"cookie": cookie})
            assert answer.headers["location"] in ("/?sign-in=stale", "/?sign-in=unavailable"), query


async def test_guessing_is_slowed_by_address(tmp_path: Path) -> None:
    async with open_place(tmp_path) as place:
        callback = place.town.url + "/auth/oidc/callback"
        told = [query_of(await place.browser.go(callback))["sign-in"] for _ in range(12)]
        assert told[:10] == ["stale"] * 10
        assert "busy" in told[10:]


async def test_roles_come_from_groups_at_each_sign_in(tmp_path: Path) -> None:
    async with open_place(tmp_path, grants=GRANTS, admin_group="ops", scopes=["openid", "profile", "groups"]) as place:
        ada = await place.token(await place.sign_in("ada"))
        me = (await place.me(ada["token"])).json()
        assert [(one["villageId"], one["role"]) for one in me["villages"]] == [("demo", "operator")]
        assert me["admin"] is True
        database = place.town.service.database
        await database.call(members.put, "demo", ada["user"]["userId"], "owner", 1)  # changed by hand
        place.browser.http.cookies.clear()
        await place.token(await place.sign_in("ada"))
        assert await database.read(members.role_of, "demo", ada["user"]["userId"]) == "operator"
        place.browser.http.cookies.clear()
        eve = await place.token(await place.sign_in("eve"))
        assert (await place.me(eve["token"])).json()["villages"] == []
        assert await database.read(members.role_of, "demo", "user_owner") == "owner"  # not the provider's, left alone


async def test_the_provider_never_takes_the_last_administrator(tmp_path: Path) -> None:
    async with open_place(tmp_path, admin_group="nobody", scopes=["openid", "profile", "groups"]) as place:
        database = place.town.service.database
        await database.call(users.link_identity, "user_owner", place.issuer, "ada", 1)
        owner = await place.token(await place.sign_in("ada"))
        assert owner["user"]["userId"] == "user_owner"
        assert (await place.me(owner["token"])).json()["admin"] is True
        assert await noted(place) == ["kept"]

        await database.call(users.create, "Another", 1, admin=True, user_id="another")
        place.browser.http.cookies.clear()
        await place.token(await place.sign_in("ada"))
        assert (await place.me(owner["token"])).json()["admin"] is False
        assert await noted(place) == ["taken", "kept"]


async def noted(place: Place) -> list[str]:
    """What the audit log says of administrator rights at sign-ins, the latest first."""
    entries = (await place.town.service.database.read(audit.page, audit.Filter(villages=None))).items
    return [one.details["administrator"] for one in entries if one.action == "auth.oidc"]


@pytest.mark.parametrize("login", ["bob", "eve"])
async def test_only_verified_addresses_of_allowed_domains(tmp_path: Path, login: str) -> None:
    async with open_place(tmp_path, allowed_domains=["example.org"]) as place:
        assert query_of(await place.sign_in(login)) == {"sign-in": "refused"}
        assert await place.town.service.database.read(users.count) == 1
        place.browser.http.cookies.clear()
        assert "code" in query_of(await place.sign_in("ada"))


async def test_an_address_is_no_way_into_another_account(tmp_path: Path) -> None:
    async with open_place(tmp_path) as place:
        database = place.town.service.database
        await database.call(users.create, "The real Ada", 1, email="ada@example.org", user_id="real")
        signed_in = await place.token(await place.sign_in("ada"))
        assert signed_in["user"]["userId"] != "real"
        await database.call(users.set_disabled, signed_in["user"]["userId"], True)
        place.browser.http.cookies.clear()
        assert query_of(await place.sign_in("ada")) == {"sign-in": "refused"}
        assert (await place.me(signed_in["token"])).status_code == 401


@pytest.mark.parametrize(
    "email", ["a@b.example\nBcc: x@example.org", "a" * 308 + "@example.org" + ".evil.example", "a@x@example.org"]
)
async def test_what_is_no_address_is_none_and_never_cut_to_be_one(tmp_path: Path, email: str) -> None:
    people = {"ada": {"name": "Ada", "email": email, "email_verified": True, "groups": []}}
    async with open_place(tmp_path, people=people, allowed_domains=["example.org"]) as place:
        assert query_of(await place.sign_in("ada")) == {"sign-in": "refused"}
        assert await place.town.service.database.read(users.count) == 1


async def test_no_newcomers(tmp_path: Path) -> None:
    async with open_place(tmp_path, newcomers=False) as place:
        assert query_of(await place.sign_in("ada")) == {"sign-in": "refused"}
        database = place.town.service.database
        await database.call(users.create, "Ada", 1, user_id="ada")
        await database.call(users.link_identity, "ada", place.issuer, "ada", 1)
        signed_in = await place.token(await place.sign_in("ada"))
        assert signed_in["user"]["userId"] == "ada"


async def test_somebody_who_thinks_better_of_it(tmp_path: Path) -> None:
    async with open_place(tmp_path) as place:
        assert query_of(await place.browser.abort(place.start)) == {"sign-in": "declined"}


@pytest.mark.parametrize(
    "then", ["https://evil.example", "//evil.example", "/x", "#\r\nset-cookie: x=y", "#" + "x" * 301, "javascript:1"]
)
async def test_back_is_always_to_the_page(tmp_path: Path, then: str) -> None:
    async with open_place(tmp_path) as place:
        landed = await place.browser.sign_in(str(httpx.URL(place.start, params={"then": then})), "ada")
        callback = place.browser.seen[-2]
        assert urlsplit(callback.headers["location"]).netloc == ""
        assert callback.headers["location"].startswith("/?code=")
        assert "x" not in callback.cookies
        assert str(landed.url).startswith(place.town.url + "/?code=")


async def test_signing_out_ends_the_token_here_and_says_where_to_end_it_there(tmp_path: Path) -> None:
    async with open_place(tmp_path) as place:
        token = (await place.token(await place.sign_in("ada")))["token"]
        headers = {"authorization": f"Bearer {token}"}
        answer = await place.browser.http.post(place.town.url + "/api/auth/logout", headers=headers)
        assert answer.json()["providerUrl"].startswith(f"{place.issuer}/session/end?client_id={CLIENT}")
        assert (await place.me(token)).status_code == 401


async def test_a_provider_that_is_away_keeps_nobody_else_out(tmp_path: Path) -> None:
    def changes(found: Settings) -> Settings:
        oidc = attrs.evolve(found.oidc, issuer=f"http://127.0.0.1:{free_port()}", client_id=CLIENT)
        return attrs.evolve(found, oidc=oidc)

    async with open_town(tmp_path, changes) as town, httpx.AsyncClient() as http:
        answer = await http.get(town.url + START)
        assert answer.headers["location"] == "/?sign-in=unavailable"
        assert (await http.get(town.url + "/api/me", headers={"authorization": f"Bearer {town.token}"})).is_success


async def test_without_a_provider_there_is_no_button_and_no_door(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, httpx.AsyncClient() as http:
        assert (await http.get(town.url + "/api/auth/methods")).json()["provider"] is None
        assert (await http.get(town.url + START)).status_code == 404
        assert json.loads((await http.get(town.url + START)).content)["error"]["code"] == "E_NOT_FOUND"
