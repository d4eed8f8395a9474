"""Guessers are bounded and cannot keep the owner out; an IPv6 network is one party; proxied clients see no metrics."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest

from tests.support.people import Refused, connected, person
from tests.support.service import Town, open_town
from townwatch.access.passwords import Passwords
from townwatch.access.subject import ALL_SCOPES
from townwatch.config.settings import LimitsSettings, Settings
from townwatch.contracts.networks import network_of
from townwatch.store import users

EMAIL, PASSWORD = "ada@example.org", "correct horse battery"
HOME = "192.0.2.1"


def behind_a_proxy(settings: Settings) -> Settings:
    """So that a test can come from anywhere."""
    limits = attrs.evolve(LimitsSettings(), connections_per_address=1)
    server = attrs.evolve(settings.server, trusted_proxies=["127.0.0.1"])
    return attrs.evolve(settings, server=server, limits=limits)


@attrs.define
class Door:
    town: Town
    http: httpx.AsyncClient

    async def sign_in(self, address: str, password: str = PASSWORD, device: str | None = None) -> httpx.Response:
        body = {"email": EMAIL, "password": password, **({} if device is None else {"device": device})}
        return await self.http.post("/api/auth/password", json=body, headers={"x-forwarded-for": address})

    async def besiege(self) -> int:
        """Guess from ever new addresses until the account takes no more; how many guesses were looked at."""
        for number in range(200):
            answer = await self.sign_in(f"198.51.{number}.7", f"guess number {number}")
            if answer.status_code == 429:
                assert "passwords_from_new_places" in answer.json()["error"]["message"]
                return number
            assert answer.status_code == 401
        raise AssertionError("200 guesses from 200 addresses were looked at")


@asynccontextmanager
async def open_door(path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Door]:
    """Ada has a password; checking one costs nothing, so that the clock does not fill the buckets meanwhile."""

    async def matches(_self: Passwords, stored: str | None, password: str) -> bool:
        return stored is not None and password == PASSWORD

    monkeypatch.setattr(Passwords, "matches", matches)
    async with open_town(path, behind_a_proxy) as town, httpx.AsyncClient(base_url=town.url) as http:
        stored = await Passwords().hash(PASSWORD)
        await town.service.database.call(
            lambda connection: users.create(connection, "Ada", 1, email=EMAIL, password_hash=stored)
        )
        yield Door(town, http)


async def test_guesses_from_everywhere_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_door(tmp_path, monkeypatch) as door:
        assert 20 <= await door.besiege() <= 60


async def test_the_owner_signs_in_from_where_they_did_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_door(tmp_path, monkeypatch) as door:
        assert (await door.sign_in(HOME)).status_code == 200
        await door.besiege()
        assert (await door.sign_in(HOME)).status_code == 200
        assert (await door.sign_in("203.0.113.9")).status_code == 429  # a new place, without its device


async def test_the_owners_device_is_known_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_door(tmp_path, monkeypatch) as door:
        device = (await door.sign_in(HOME)).json()["device"]
        await door.besiege()
        assert (await door.sign_in("203.0.113.9", device=device)).status_code == 200
        guesses = [(await door.sign_in(f"203.0.{n}.9", f"guess {n}", device)).status_code for n in range(6)]
        assert guesses[-1] == 429  # a stolen one is one place, wherever it is shown


async def test_a_guesser_in_the_same_network_does_not_keep_the_device_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_door(tmp_path, monkeypatch) as door:
        device = (await door.sign_in(HOME)).json()["device"]
        guesses = [(await door.sign_in(HOME, f"guess {n}")).status_code for n in range(6)]
        assert guesses[-1] == 429
        assert (await door.sign_in(HOME, device=device)).status_code == 200


async def test_a_devices_token_is_good_for_its_account_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_door(tmp_path, monkeypatch) as door:
        device = (await door.sign_in(HOME)).json()["device"]
        me = await door.http.get("/api/me", headers={"authorization": f"Bearer {device}"})
        assert me.status_code == 401
        sign_in = door.town.service.sign_in
        assert sign_in.known_device(" ADA@example.org", device) is not None
        assert sign_in.known_device("bob@example.org", device) is None
        token = (await door.sign_in(HOME)).json()["token"]
        for other in (token, "", "a.b.c", device[:-4] + "AAAA"):
            assert sign_in.known_device(EMAIL, other) is None


async def test_an_ipv6_network_is_one_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_door(tmp_path, monkeypatch) as door:
        guesses = [(await door.sign_in(f"2001:db8:1:2::{n:x}", f"guess {n}")).status_code for n in range(14)]
        assert guesses[:5] == [401] * 5 and 429 in guesses[5:]
        assert (await door.sign_in("2001:db8:1:3::1", "another")).status_code == 401
        codes = [
            await door.http.post(
                "/api/auth/exchange", json={"code": "twc_x"}, headers={"x-forwarded-for": f"2001:db8:9:9::{n:x}"}
            )
            for n in range(60)
        ]
        assert 429 in [one.status_code for one in codes]
        async with connected(door.town, "socketio", None, x_forwarded_for="2001:db8:5:5::1"):
            with pytest.raises(BaseExceptionGroup) as refused:
                async with connected(door.town, "socketio", None, x_forwarded_for="2001:db8:5:5:ffff::2"):
                    pass
            assert refused.group_contains(Refused)


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("[2001:DB8:1:2::9]", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2002:c000:0207::1", "192.0.2.7"),
        ("64:ff9b::192.0.2.7", "192.0.2.7"),
        ("unknown", "unknown"),
        ("", ""),
        (None, ""),
    ],
)
def test_the_key_of_an_address(address: str | None, key: str) -> None:
    assert network_of(address) == key


def with_hosts(settings: Settings) -> Settings:
    return attrs.evolve(settings, server=attrs.evolve(settings.server, allowed_hosts=["town.example"]))


async def test_the_metrics_are_for_programs_of_this_machine(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, httpx.AsyncClient(base_url=town.url) as http:
        assert (await http.get("/metrics")).status_code == 200
        proxied: list[dict[str, Any]] = [
            {"x-forwarded-for": "8.8.8.8"},
            {"forwarded": "for=8.8.8.8"},
            {"x-real-ip": "8.8.8.8"},
            {"via": "1.1 proxy"},
        ]
        for headers in proxied:
            assert (await http.get("/metrics", headers=headers)).status_code == 401, headers
            token = {"authorization": f"Bearer {town.token}"}
            assert (await http.get("/metrics", headers=headers | token)).status_code == 200
        viewer = await person(town, "ada", "owner", scopes=ALL_SCOPES)
        refused = await http.get("/metrics", headers={**proxied[0], "authorization": f"Bearer {viewer}"})
        assert refused.status_code == 403


@pytest.mark.parametrize("change", [behind_a_proxy, with_hosts])
async def test_behind_a_proxy_that_is_configured_the_metrics_need_a_token(tmp_path: Path, change: Any) -> None:
    async with open_town(tmp_path, change) as town, httpx.AsyncClient(base_url=town.url) as http:
        assert (await http.get("/metrics")).status_code == 401
        owners = {"authorization": f"Bearer {town.token}"}
        assert (await http.get("/metrics", headers=owners)).status_code == 200
