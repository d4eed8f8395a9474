"""The tables database is taken away and brought back under a whole service: it says so, refuses, and goes on."""

import json
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
import trio_websocket

from tests.support import postgres
from tests.support.cast import event
from tests.support.doorway import websocket_url
from tests.support.service import Town, open_node_client, open_town
from townwatch.config.settings import Settings
from townwatch.runner import identity

pytestmark = pytest.mark.timeout(120)

APPROVAL: dict[str, Any] = {
    "approvalId": "a1", "sessionId": "s1", "orgId": "demo", "requestedAt": 1, "category": "shell", "risk": "low",
    "summary": "x", "details": {},
}  # fmt: skip
Changes = Callable[[Settings], Settings]


@attrs.frozen
class Answered:
    status: int
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def message(self) -> str:
        return self.body["error"]["message"]


def ask_now(url: str, method: str = "GET", token: str | None = None, body: Any = None) -> Answered:
    request = urllib.request.Request(url, method=method, data=None if body is None else json.dumps(body).encode())
    request.add_header("content-type", "application/json")
    if token is not None:
        request.add_header("authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=40) as answer:
            return Answered(answer.status, _lower(answer.headers), json.loads(answer.read() or b"{}"))
    except urllib.error.HTTPError as error:
        return Answered(error.code, _lower(error.headers), json.loads(error.read() or b"{}"))


def _lower(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


async def ask(town: Town, path: str, method: str = "GET", body: Any = None) -> Answered:
    return await trio.to_thread.run_sync(ask_now, f"{town.url}{path}", method, town.token, body)


async def ready(town: Town, status: int) -> Answered:
    """Until /readyz answers with this status."""
    with trio.move_on_after(30):
        while (found := await ask(town, "/readyz")).status != status:
            await trio.sleep(0.05)
        return found
    raise AssertionError(f"/readyz is not {status}: {(await ask(town, '/readyz')).body}")


@contextmanager
def locked(state: Path) -> Generator[None]:
    """Another program writes to the SQLite tables, and does not end."""
    other = sqlite3.connect(state / "townwatch.db", isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        yield
    finally:
        other.close()


# --- SQLite ----------------------------------------------------------------------------------------------------------


async def test_a_locked_database_is_503_with_the_reason_for_readiness_and_for_what_needs_it(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town:
        await ready(town, 200)
        with locked(tmp_path):
            unready = await ready(town, 503)
            assert "locked by another program" in unready.message
            assert unready.body["error"]["details"]["ready"] is False
            assert (await ask(town, "/healthz")).status == 200
            refused = await ask(town, "/api/villages", "POST", {"villageId": "v2", "name": "Second"})
            assert (refused.status, refused.body["error"]["code"]) == (503, "E_UNAVAILABLE")
            assert int(refused.headers["retry-after"]) >= 1
            assert "locked" in refused.message
            assert (await ask(town, "/api/me")).status == 200  # reading does not wait for a writer
        await ready(town, 200)
        assert (await ask(town, "/api/villages", "POST", {"villageId": "v2", "name": "Second"})).status == 201


async def test_runners_deliver_while_the_tables_are_locked(tmp_path: Path) -> None:
    """Sessions need the tables for decisions only: events are acknowledged meanwhile, nothing crashes over it."""
    async with open_town(tmp_path) as town, town.runner() as runner:
        await runner.send(event("SESSION_STARTED", 1, providerId="command", providerVersion="1", workspacePath="/w"))
        await runner.acked(1)
        await ready(town, 200)
        with locked(tmp_path):
            await ready(town, 503)
            await runner.send(event("APPROVAL_REQUESTED", 2, approval=APPROVAL))
            await runner.acked(2)
            await runner.send(event("APPROVAL_RESOLVED", 3, approvalId="a1", decision="deny"))
            await runner.acked(3)
            await runner.send(event("FILE_TOUCHED", 4, path="a", reason="write"))
            await runner.acked(4)
        await ready(town, 200)


async def test_a_tables_file_that_was_removed_takes_no_more_writes(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town:
        await ready(town, 200)
        (tmp_path / "townwatch.db").unlink()
        unready = await ready(town, 503)
        assert "townwatch.db cannot be found" in unready.message
        refused = await ask(town, "/api/villages", "POST", {"villageId": "v2", "name": "Second"})
        assert refused.status == 503
        assert (await ask(town, "/healthz")).status == 200


async def test_an_official_client_that_connects_while_the_tables_are_away_is_connected_again(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town:
        options = {"token": town.token, "transports": ["websocket"], "reconnection": True}
        async with open_node_client(town.url, options) as client:
            town.service.database.outage.watched = True
            town.service.database.outage.lasting = "taken away by the test"
            await client.cut()
            postponed = [await client.until(lambda line: "disconnected" in line) for _ in range(3)]
            assert not [line for line in client.lines if "error" in line]
            assert len(postponed) == 3
            town.service.database.outage.lasting = None
            await client.until(lambda line: "connected" in line)


async def test_polling_clients_come_back_too(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town:
        options = {"token": town.token, "transports": ["polling"], "reconnection": True}
        async with open_node_client(town.url, options) as client:
            town.service.database.outage.lasting = "taken away by the test"
            await client.cut()
            for _ in range(3):
                await client.until(lambda line: "disconnected" in line)
            town.service.database.outage.lasting = None
            await client.until(lambda line: "connected" in line)


async def test_the_control_plane_and_the_runner_door_say_come_back(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town:
        known = identity.load(tmp_path)
        town.service.database.outage.lasting = "taken away by the test"
        ws = town.url.replace("http", "ws", 1) + "/ws"
        async with websocket_url(ws) as socket:
            await socket.send_message(json.dumps({"type": "authenticate", "token": town.token}))
            with trio.fail_after(10), pytest.raises(trio_websocket.ConnectionClosed) as closed:
                while True:
                    await socket.get_message()
            assert closed.value.reason is not None
            assert closed.value.reason.code == 1013
        with pytest.raises(trio_websocket.ConnectionRejected) as rejected:
            async with websocket_url(known.url, known.token):
                pass
        assert rejected.value.status_code == 503
        assert b"retry-after" in {name.lower() for name, _ in rejected.value.headers or ()}
        town.service.database.outage.lasting = None
        async with town.runner() as runner:
            await runner.send(event("FILE_TOUCHED", 1, path="a", reason="write"))
            await runner.acked(1)


# --- PostgreSQL ------------------------------------------------------------------------------------------------------


@pytest.fixture
def server() -> Generator[postgres.Server]:
    if postgres.binaries() is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    with postgres.server() as running:
        yield running


def on(url: str) -> Changes:
    return lambda s: attrs.evolve(s, database=attrs.evolve(s.database, url=url))


async def test_postgresql_stops_and_comes_back_under_the_service(tmp_path: Path, server: postgres.Server) -> None:
    async with open_town(tmp_path, on(server.fresh_schema("s1"))) as town:
        await ready(town, 200)
        options = {"token": town.token, "transports": ["websocket"], "reconnection": True}
        async with open_node_client(town.url, options) as client:
            await trio.to_thread.run_sync(server.stop)
            unready = await ready(town, 503)
            assert "cannot be reached" in unready.message
            refused = await ask(town, "/api/me")
            assert (refused.status, refused.body["error"]["code"]) == (503, "E_UNAVAILABLE")
            assert "retry-after" in refused.headers
            assert (await ask(town, "/healthz")).status == 200
            await client.cut()
            await client.until(lambda line: "disconnected" in line)
            await client.until(lambda line: "disconnected" in line)
            await trio.to_thread.run_sync(server.start)
            await client.until(lambda line: "connected" in line)
            assert not [line for line in client.lines if "error" in line]
        await ready(town, 200)
        assert (await ask(town, "/api/me")).status == 200


async def test_a_postgresql_that_hangs_holds_no_request(tmp_path: Path, server: postgres.Server) -> None:
    async with open_town(tmp_path, on(server.fresh_schema("s2"))) as town:
        await ready(town, 200)
        server.freeze()
        try:
            message = (await ready(town, 503)).message  # of the first call that hung: a probe's, or a watch's
            assert "does not answer" in message or "cannot be reached" in message
            assert (await ask(town, "/api/me")).status == 503
        finally:
            server.thaw()
        await ready(town, 200)
        assert (await ask(town, "/api/me")).status == 200
