"""A second service on the same PostgreSQL relays to the first one, and goes on where that one ended. Where it cannot
relay, it stands by and says so at every door.
"""

import http.client
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
import trio.lowlevel

from tests.integration.service.test_promises import SESSIONS, asked, event, held, started
from tests.integration.service.test_tables_away import Answered, ask_now
from tests.support import postgres
from tests.support.service import open_town, quiet_settings
from tests.unit.store.conftest import open_postgres_log
from townwatch.access.bootstrap import LOCAL_RUNNER
from townwatch.actors.session import state as session_state
from townwatch.actors.session.state import SessionState
from townwatch.app.service import open_service
from townwatch.app.upkeep.restore import bring_up
from townwatch.app.warm_start import WarmStart
from townwatch.cluster.lease import ProcessLease
from townwatch.config.process import free_port
from townwatch.config.settings import Settings
from townwatch.contracts.codec import encode
from townwatch.contracts.records import LogRecord
from townwatch.runner import identity
from townwatch.store.database import Database
from townwatch.store.engine.fence import Term

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
    assert said.message.startswith("standby; an older one leads since 20")
    assert (await ask(port, "/healthz")).status == 200
    for path in ("/api/villages", "/socket.io/?EIO=4&transport=polling", "/metrics"):
        told = await ask(port, path)
        assert (told.status, told.body["error"]["code"]) == (503, "E_UNAVAILABLE")
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


async def test_a_standby_refuses_at_every_door_where_the_leader_takes_nothing_over(
    tmp_path: Path, postgres_server: str
) -> None:
    """A process of an older release leads, or one that copies the database."""
    url, port, leads = postgres.fresh_schema(postgres_server, "older"), free_port("127.0.0.1"), trio.Event()
    with ProcessLease(url, "an older one", 30) as lease:
        lease.prepare()
        term = lease.take()
        assert isinstance(term, Term)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stand_by, tmp_path, url, port, leads)
            await refuses_at_every_door(port)
            lease.release(term)
            with trio.fail_after(20):
                await leads.wait()
            assert (await readiness(port)).body["cluster"] == "leads"
            nursery.cancel_scope.cancel()


async def test_a_follower_takes_over_what_there_was_and_who_waits_at_its_port(
    tmp_path: Path, postgres_server: str
) -> None:
    url, port = postgres.fresh_schema(postgres_server, "standby"), free_port("127.0.0.1")
    first, second, leads = tmp_path / "first", tmp_path / "second", trio.Event()
    answers: list[Answered] = []

    async def ask_on(token: str) -> None:
        """From before the first one stops until the second one leads; none of these questions may fail."""
        while not leads.is_set():
            try:
                answers.append(await ask(port, SESSIONS, token))
            except (OSError, http.client.HTTPException):  # it was being answered when the first one stopped
                await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        async with open_town(first, partial(on, url)) as town:
            nursery.start_soon(stand_by, second, url, port, leads)
            with trio.fail_after(20):
                while (await readiness(port)).status != 200:
                    await trio.sleep(0.02)
            async with town.runner() as runner:
                await runner.send(started(), asked("a1", 2))
                await runner.acked(2)
            nursery.start_soon(ask_on, town.token)
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
        assert {one.status for one in answers} <= {200, 503}
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


def test_what_a_standby_read_counts_only_while_its_snapshot_is_the_same(tmp_path: Path, postgres_server: str) -> None:
    """Who a session belongs to, or what became of its worktree, is in its snapshot and in no event."""
    url = postgres.fresh_schema(postgres_server, "warm")
    Database.open(url).close()
    with open_postgres_log(url) as event_log:
        names = ("same", "changed", "goes_on")
        event_log.append([record_of(name, 1) for name in names])
        event_log.save_snapshots({f"session:{name}": (1, snapshot_of(name, "r1")) for name in names})
        warm = WarmStart(on(url, quiet_settings(tmp_path)), "standby")
        warm.prepare()
        assert set(warm.known(event_log)) == set(names)
        event_log.save_snapshots({"session:changed": (1, snapshot_of("changed", "r2"))})
        event_log.append([record_of("goes_on", 2)])
        states = warm.known(event_log)
        assert set(states) == {"same", "goes_on"}
        bring_up(event_log, event_log.heads(), states)
        assert {name: (state.runner_id, state.seq) for name, state in states.items()} == {
            "same": ("r1", 1),
            "changed": ("r2", 1),
            "goes_on": ("r1", 2),
        }
        warm.close()


def record_of(session: str, seq: int) -> LogRecord:
    body = encode(event("TERMINAL_CHUNK", seq, session, data="x", stream="stdout"))
    return LogRecord(session, seq, "demo", "TERMINAL_CHUNK", 1.0, body)


def snapshot_of(session: str, runner_id: str) -> bytes:
    return session_state.dump(
        SessionState(session_id=session, village_id="demo", agent_id="a", runner_id=runner_id, seq=1)
    )
