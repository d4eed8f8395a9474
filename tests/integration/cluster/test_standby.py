"""A second service on the same PostgreSQL stands by, says so at every door, and goes on where the first one ended."""

from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from tests.integration.service.test_promises import SESSIONS, asked, event, held, started
from tests.integration.service.test_tables_away import Answered, ask_now
from tests.support import postgres
from tests.support.service import open_town, quiet_settings
from townwatch.access.bootstrap import LOCAL_RUNNER
from townwatch.app.service import open_service
from townwatch.config.process import free_port
from townwatch.config.settings import Settings
from townwatch.runner import identity

pytestmark = pytest.mark.timeout(120)


def on(url: str, settings: Settings, **server: Any) -> Settings:
    database = attrs.evolve(settings.database, url=url, lease_seconds=2.0, process_name="first")
    return attrs.evolve(settings, database=database, server=attrs.evolve(settings.server, **server))


async def stand_by(state: Path, url: str, port: int, leads: trio.Event) -> None:
    async with open_service(on(url, quiet_settings(state), port=port)):
        leads.set()
        await trio.sleep_forever()


async def ask(port: int, path: str, token: str | None = None) -> Answered:
    return await trio.to_thread.run_sync(ask_now, f"http://127.0.0.1:{port}{path}", "GET", token)


async def readiness(port: int) -> Answered:
    """What /readyz says, once the port is bound and the service waits."""
    with trio.fail_after(20):
        while True:
            try:
                return await ask(port, "/readyz")
            except OSError:
                await trio.sleep(0.02)


async def refuses_at_every_door(port: int) -> None:
    said = await readiness(port)
    assert (said.status, said.headers["retry-after"]) == (503, "1")
    assert said.message.startswith("standby; first leads since 20")
    assert (await ask(port, "/healthz")).status == 200
    for path in ("/api/villages", "/socket.io/?EIO=4&transport=polling", "/metrics"):
        told = await ask(port, path)
        assert (told.status, told.body["error"]["code"], told.headers["retry-after"]) == (503, "E_UNAVAILABLE", "1")
    for path in ("/runner", "/socket.io/?EIO=4&transport=websocket", "/ws"):
        assert (await knock(port, path)).startswith(b"HTTP/1.1 503 ")


async def knock(port: int, path: str) -> bytes:
    """The answer to a WebSocket's handshake."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        lines = (f"GET {path} HTTP/1.1", "Host: localhost", "Upgrade: websocket", "Connection: Upgrade")
        key = ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "", "")
        await stream.send_all("\r\n".join((*lines, *key)).encode())
        with trio.fail_after(10):
            return await stream.receive_some(4096)


async def test_a_standby_refuses_at_every_door_and_takes_over_what_there_was(
    tmp_path: Path, postgres_server: str
) -> None:
    url, port = postgres.fresh_schema(postgres_server, "standby"), free_port("127.0.0.1")
    first, second, leads = tmp_path / "first", tmp_path / "second", trio.Event()
    async with trio.open_nursery() as nursery:
        async with open_town(first, partial(on, url)) as town:
            nursery.start_soon(stand_by, second, url, port, leads)
            await refuses_at_every_door(port)
            async with town.runner() as runner:
                await runner.send(started(), asked("a1", 2))
                await runner.acked(2)
            assert not leads.is_set()
        with trio.fail_after(20):
            await leads.wait()
        # The first one released its lease. Its events, who was signed in, and whose its runner was, are here.
        sessions = (await ask(port, SESSIONS, town.token)).body["items"]
        assert [(one["sessionId"], one["lastEventSeq"]) for one in sessions] == [("s1", 2)]
        waiting = (await ask(port, "/api/approvals", town.token)).body["items"]
        assert [one["approvalId"] for one in waiting] == ["a1"]
        assert identity.load(second).runner_id.startswith(f"{LOCAL_RUNNER}_")
        identity.save(first, attrs.evolve(identity.load(first), url=f"ws://127.0.0.1:{port}/runner"))
        async with town.runner([held(2)]) as runner:
            assert [one["resumeFrom"] for one in runner.welcome["sessions"]] == [3]
            await runner.send(event("FILE_TOUCHED", 3, path="a", reason="write"))
            await runner.acked(3)
        nursery.cancel_scope.cancel()


async def test_a_journal_in_a_file_is_not_passed_over_for_an_empty_log_in_postgresql(
    tmp_path: Path, postgres_server: str
) -> None:
    async with open_town(tmp_path) as town, town.runner() as runner:
        await runner.send(started())
        await runner.acked(1)
    with pytest.raises(OSError, match="townwatch migrate"):
        async with open_town(tmp_path, partial(on, postgres.fresh_schema(postgres_server, "beside"))):
            pass
