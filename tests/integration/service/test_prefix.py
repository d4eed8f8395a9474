"""The service below a path of a reverse proxy that keeps the path, or strips it: every door works through it."""

from pathlib import Path

import attrs
import httpx
import pytest

from tests.support.doorway import websocket
from tests.support.people import rest
from tests.support.proxy import prefix_proxy
from tests.support.service import open_town
from townwatch.config.settings import ConfigError, Settings
from townwatch.net.service_url import runner_endpoint, service_base
from townwatch.runner.link import enrolment
from townwatch.runner.link.api_client import Service

PREFIX = "/tw"


def below(settings: Settings) -> Settings:
    return attrs.evolve(settings, server=attrs.evolve(settings.server, path=PREFIX))


@pytest.mark.parametrize("strips", [False, True], ids=["keeps", "strips"])
async def test_every_door_is_below_the_path(tmp_path: Path, strips: bool) -> None:
    async with open_town(tmp_path / "town", below) as town, rest(town, town.token) as admin:
        link = await town.service.link()
        assert link.startswith(f"{town.url}{PREFIX}/?code=")
        assert (await admin.post("/api/auth/link")).json()["path"].startswith(f"{PREFIX}/?code=")
        code = (await admin.post("/api/runners/enrolments", json={"villageId": "demo"})).json()["code"]
        async with (
            prefix_proxy(int(town.url.rpartition(":")[2]), PREFIX, strips=strips) as port,
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http,
        ):
            page = await http.get(f"{PREFIX}/")
            assert page.status_code == 200 and 'src="js/main.js"' in page.text
            assert (await http.get(f"{PREFIX}/js/main.js")).status_code == 200
            assert (await http.get(f"{PREFIX}/manifest.webmanifest")).json()["start_url"] == "./"
            assert (await http.get(f"{PREFIX}/api/docs")).status_code == 200
            described = (await http.get(f"{PREFIX}/api/openapi.json")).json()["servers"]
            assert [one["url"] for one in described] == [PREFIX]
            wires = (await http.get(f"{PREFIX}/api/asyncapi.json")).json()["servers"]
            assert wires["service"]["pathname"] == PREFIX
            me = await http.get(f"{PREFIX}/api/me", headers={"authorization": f"Bearer {town.token}"})
            assert me.status_code == 200
            assert (await http.get("/api/status")).status_code == 404  # of the proxy: nothing is beside the path
            async with websocket(port, f"{PREFIX}/socket.io/?EIO=4&transport=websocket") as socket:
                assert (await socket.get_message()).startswith('0{"sid"')
            async with websocket(port, f"{PREFIX}/ws") as socket:
                assert "type" in await socket.get_message()
            service = Service.at(f"http://127.0.0.1:{port}{PREFIX}")
            joined = await enrolment.join(tmp_path / "machine", service, code, name="box")
            assert joined.url == f"ws://127.0.0.1:{port}{PREFIX}/runner"
            async with websocket(port, f"{PREFIX}/runner", {"authorization": f"Bearer {joined.token}"}) as socket:
                await socket.send_message(
                    f'{{"type": "hello", "runnerId": "{joined.runner_id}", "name": "box", "version": "1"}}'
                )
                assert '"welcome"' in await socket.get_message()


async def test_a_browser_is_sent_to_the_slash_at_its_end(tmp_path: Path) -> None:
    async with open_town(tmp_path, below) as town, httpx.AsyncClient(base_url=town.url) as http:
        sent = await http.get(f"{PREFIX}?code=x")
        assert (sent.status_code, sent.headers["location"]) == (308, f"{PREFIX}/?code=x")
        assert (await http.get("/twice")).status_code == 404
        assert (await http.get("/api/status")).status_code == 200  # without a proxy, as before


@pytest.mark.parametrize("path", ["tw", "/tw/", "/", "/a b", "//tw", "/../tw", "/tw?x"])
async def test_a_path_that_is_none_stops_the_start(tmp_path: Path, path: str) -> None:
    with pytest.raises(ConfigError, match=r"\[server\] path"):
        async with open_town(tmp_path, lambda s: attrs.evolve(s, server=attrs.evolve(s.server, path=path))):
            pass


def test_an_address_keeps_its_path_and_loses_what_is_no_part_of_it() -> None:
    for written in ("https://town.example/tw", "https://town.example/tw/?code=x", "wss://town.example/tw/runner"):
        assert service_base(written) == "https://town.example/tw"
    assert service_base("town.example/#/v/demo") == "https://town.example"
    assert runner_endpoint("https://town.example") == "wss://town.example/runner"
    assert runner_endpoint("wss://town.example/tw/runner") == "wss://town.example/tw/runner"
