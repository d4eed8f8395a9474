"""The whole service behind each proxy of docs/proxies.md: page, REST, Socket.IO by every transport, runners, /ws."""

import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
import trio
import websocket

from tests.integration.proxies.programs import TITLES, Proxy, free_port, program, proxy
from tests.integration.proxies.variants import (
    BUFFERING,
    IMPATIENT,
    NO_HOST,
    NO_UPGRADE,
    Change,
    as_it_is,
    below_a_path,
    to_caddy,
)
from tests.support.service import Town, open_node_client, open_town
from townwatch.config.settings import Settings
from townwatch.runner import identity

pytestmark = pytest.mark.node
JOINS = [["join_village", {"villageId": "demo"}]]


@asynccontextmanager
async def behind(
    kind: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Change = as_it_is,
    *,
    public_url: bool = True,
    path: str = "",
) -> AsyncIterator[tuple[Town, Proxy]]:
    """A service, set as the page says, and a proxy before it."""
    program(kind)
    port = free_port()

    def changes(settings: Settings) -> Settings:
        url = f"https://localhost:{port}" if public_url else ""
        return attrs.evolve(
            settings, server=attrs.evolve(settings.server, public_url=url, trusted_proxies=["127.0.0.1"], path=path)
        )

    async with (
        open_town(folder / "state", changes) as town,
        proxy(kind, folder / "proxy", town.url, port, change) as found,
    ):
        monkeypatch.setenv("NODE_EXTRA_CA_CERTS", found.ca)
        yield town, found


def options(town: Town, found: Proxy, *transports: str, **more: Any) -> dict[str, Any]:
    """Of the official client, as a page of the proxy's origin uses it."""
    headers = {"origin": found.url}
    return {"token": town.token, "transports": list(transports), "joins": JOINS, "headers": headers, **more}


def dial(found: Proxy, path: str, *said: dict[str, Any], **headers: str) -> list[dict[str, Any]]:
    """Open a WebSocket by the proxy, say these things, and return the first answer to each and to the opening."""
    url = found.url.replace("https", "wss") + path
    where = [f"{name}: {value}" for name, value in headers.items()]
    options: dict[str, Any] = {"suppress_origin": True} if headers else {"origin": found.url}
    socket = websocket.create_connection(url, sslopt={"ca_certs": found.ca}, header=where, timeout=10, **options)
    try:
        answers = [] if said else [json.loads(socket.recv())]
        for one in said:
            socket.send(json.dumps(one))
            answers.append(json.loads(socket.recv()))
        return answers
    finally:
        socket.close()


def runners_words(town: Town) -> tuple[dict[str, Any], dict[str, str]]:
    known = identity.load(town.state)
    hello = {"type": "hello", "runnerId": known.runner_id, "name": "far", "version": "1", "sessions": []}
    return hello, {"Authorization": f"Bearer {known.token}"}


async def all_doors_are_open(town: Town, found: Proxy, path: str = "") -> None:
    """Page, REST, Socket.IO by each transport, `/ws` and `/runner`, below `path`."""
    trust = ssl.create_default_context(cafile=found.ca)
    async with httpx.AsyncClient(base_url=found.url + path, verify=trust, timeout=20) as http:
        assert "<title>" in (await http.get("/")).text
        me = {"authorization": f"Bearer {town.token}"}
        assert (await http.get("/api/villages", headers=me)).json()["items"][0]["villageId"] == "demo"
        unknown = (await http.get("/api/runner/sessions/a%2Fb", headers=me)).json()
        assert "session 'a/b'" in unknown["error"]["message"]
        long = {"data": "x" * 900_000, "mode": "raw"}  # refused for what it is, not for its size on the way
        answer = await http.post("/api/runner/sessions/none/input", json=long, headers=me)
        assert answer.json()["error"]["code"] == "E_NOT_FOUND"
    for transports in (["polling"], ["websocket"], ["polling", "websocket"]):
        given = options(town, found, *transports, path=f"{path}/socket.io")
        async with open_node_client(found.url, given) as page:
            assert page.lines[0]["connected"] == transports[-1]
            assert page.lines[-1] == {"joined": True}
    (greeting,) = await trio.to_thread.run_sync(dial, found, f"{path}/ws")
    assert greeting["event"] == "connected"
    hello, token = runners_words(town)
    (welcome,) = await trio.to_thread.run_sync(lambda: dial(found, f"{path}/runner", hello, **token))
    assert welcome["type"] == "welcome"


@pytest.mark.parametrize("kind", TITLES)
async def test_all_doors_are_open_behind_it(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with behind(kind, tmp_path, monkeypatch) as (town, found):
        await all_doors_are_open(town, found)


@pytest.mark.parametrize("kind", TITLES)
async def test_all_doors_are_open_below_a_path(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with behind(kind, tmp_path, monkeypatch, below_a_path(kind), path="/tw") as (town, found):
        await all_doors_are_open(town, found, "/tw")
        trust = ssl.create_default_context(cafile=found.ca)
        async with httpx.AsyncClient(base_url=found.url, verify=trust, timeout=20, follow_redirects=True) as http:
            assert "<title>" in (await http.get("/tw")).text


@pytest.mark.parametrize("kind", BUFFERING)
async def test_buffering_closes_no_door(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with behind(kind, tmp_path, monkeypatch, BUFFERING[kind]) as (town, found):
        await all_doors_are_open(town, found)


async def test_a_page_polls_where_caddy_buffers_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `buffer_responses` Caddy lets no WebSocket through: it waits for the end of an answer that has none."""
    async with behind("caddy", tmp_path, monkeypatch, to_caddy("buffer_responses")) as (town, found):
        given = options(town, found, "polling", "websocket", tryAll=True)
        async with open_node_client(found.url, given) as page:
            assert page.lines[0]["connected"] == "polling" and page.lines[-1] == {"joined": True}


@pytest.mark.parametrize("kind", NO_UPGRADE)
async def test_without_upgrade_a_page_polls_and_websockets_say_why(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with behind(kind, tmp_path, monkeypatch, NO_UPGRADE[kind]) as (town, found):
        async with open_node_client(found.url, options(town, found, "websocket", "polling", tryAll=True)) as page:
            assert "polling" in json.dumps(page.lines) and page.lines[-1] == {"joined": True}
        with pytest.raises(websocket.WebSocketBadStatusException) as refused:
            await trio.to_thread.run_sync(dial, found, "/ws")
        assert refused.value.status_code == 426
        assert b"is a WebSocket: connect with a WebSocket client" in refused.value.resp_body


@pytest.mark.parametrize("public_url", [True, False])
@pytest.mark.parametrize("kind", NO_HOST)
async def test_without_host_pages_connect_where_the_public_url_is_known(
    kind: str, public_url: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with behind(kind, tmp_path, monkeypatch, NO_HOST[kind], public_url=public_url) as place:
        town, found = place
        async with open_node_client(found.url, options(town, found, "websocket")) as page:
            assert page.lines[-1].get("joined", False) is public_url
        if public_url:
            (greeting,) = await trio.to_thread.run_sync(dial, found, "/ws")
            assert greeting["event"] == "connected"
        else:
            with pytest.raises(websocket.WebSocketBadStatusException) as refused:
                await trio.to_thread.run_sync(dial, found, "/ws")
            assert refused.value.status_code == 403


@pytest.mark.parametrize("kind", IMPATIENT)
async def test_a_proxy_that_cuts_the_silent_costs_nothing(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        behind(kind, tmp_path, monkeypatch, IMPATIENT[kind]) as (town, found),
        open_node_client(found.url, options(town, found, "websocket", reconnection=True)) as page,
    ):
        again = await page.until(lambda line: "connected" in line and line is not page.lines[0])
        assert again["recovered"] is True and {"disconnected": "transport close"} in page.lines
