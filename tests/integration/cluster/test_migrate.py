"""`townwatch migrate`: a village that lived on SQLite goes on in PostgreSQL, and back, with everything that it had."""

import sqlite3
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
import trio

from tests.integration.cluster.test_standby import on
from tests.integration.service.test_promises import SESSIONS, asked, event, held, started
from tests.integration.service.test_tables_away import ask
from tests.support import postgres
from tests.support.service import Town, open_town, quiet_settings
from townwatch.app.upkeep.migration import MigrationRefused, into_files, into_postgres
from townwatch.cluster.lease import ProcessLease
from townwatch.config.place import tables_elsewhere
from townwatch.contracts.records import LogRecord
from townwatch.store.engine.fence import Term
from townwatch.store.log.event_log import EventLog

pytestmark = pytest.mark.timeout(120)


async def everything(town: Town) -> dict[str, Any]:
    """What people see of it."""
    paths = (SESSIONS, f"{SESSIONS}/s1/events?limit=100", "/api/approvals", "/api/villages", "/api/runners")
    found = {path: (await ask(town, path)).body for path in paths}
    for runner in found["/api/runners"]["items"]:
        for name in ("status", "since", "lastSeenAt", "lastHeartbeatAt", "reason", "heard"):
            runner.pop(name, None)
    for session in found[SESSIONS]["items"]:
        for name in ("detached", "reason"):  # whether its runner is there now
            session.pop(name, None)
    return found


def same(now: dict[str, Any], before: dict[str, Any]) -> None:
    for path, was in before.items():
        for one, other in zip(now[path]["items"], was["items"], strict=True):
            assert {k: v for k, v in one.items() if v != other.get(k)} == {}, (path, other)


async def write(town: Town, first: int, last: int) -> None:
    async with town.runner([held(first - 1)] if first > 1 else []) as runner:
        if first == 1:
            await runner.send(started(), asked("a1", 2))
        await runner.send(
            *(event("FILE_TOUCHED", seq, path="a\\b\0c", reason="write") for seq in range(max(3, first), last + 1))
        )
        await runner.acked(last)


async def test_a_village_goes_on_in_postgresql_and_back_in_files(tmp_path: Path, postgres_server: str) -> None:
    url = postgres.fresh_schema(postgres_server, "there")
    settings = quiet_settings(tmp_path)
    async with open_town(tmp_path) as town:
        await write(town, 1, 5)
        token = town.token
    assert tables_elsewhere(tmp_path, "") is None
    async with open_town(tmp_path) as town:  # as any restart shows it: times are those of the log
        before = await everything(town)
    done = into_postgres(settings, url)
    assert (done.events, done.sessions) == (5, 1)
    assert done.tables["users"] == 1

    async with open_town(tmp_path, partial(on, url)) as town:
        town.token = token  # who was signed in is
        same(await everything(town), before)
        await write(town, 6, 8)
    for command in ("link", "ls"):  # it would open nothing
        told = await trio.run_process(
            [sys.executable, "-P", "-m", "townwatch", command, f"--state-dir={tmp_path}"],
            capture_stderr=True,
            check=False,
        )
        assert (told.returncode, b"has its tables in PostgreSQL" in told.stderr) == (2, True), (command, told)
        assert b"TOWNWATCH_DATABASE_URL" in told.stderr
    async with open_town(tmp_path, partial(on, url)) as town:
        before = await everything(town)

    with pytest.raises(MigrationRefused, match="move it away first"):
        into_files(on(url, settings))
    for file in ("journal.db", "townwatch.db"):
        (tmp_path / file).rename(tmp_path / f"{file}.before")
    assert into_files(on(url, settings)).events == 8
    async with open_town(tmp_path) as town:
        town.token = token
        same(await everything(town), before)
        await write(town, 9, 9)


async def test_nothing_is_overwritten_and_nothing_is_copied_under_a_running_service(
    tmp_path: Path, postgres_server: str
) -> None:
    url = postgres.fresh_schema(postgres_server, "used")
    async with open_town(tmp_path / "other", partial(on, url)):
        pass
    settings = quiet_settings(tmp_path / "mine")
    async with open_town(tmp_path / "mine") as town:
        await write(town, 1, 2)
        with pytest.raises(OSError, match="in use by another townwatch"):
            into_postgres(settings, url)
    with pytest.raises(MigrationRefused, match=r"has something already \(.*1 rows in users"):
        into_postgres(settings, url)
    with ProcessLease(url, "a service", 60) as lease:
        term = lease.take()
        assert isinstance(term, Term)
        with pytest.raises(MigrationRefused, match=r"a service leads since .* stop every service"):
            into_postgres(settings, url)
        lease.release(term)


async def test_what_cannot_be_copied_whole_is_not_copied(tmp_path: Path, postgres_server: str) -> None:
    url = postgres.fresh_schema(postgres_server, "whole")
    async with open_town(tmp_path) as town:
        await write(town, 1, 4)
    with closing(sqlite3.connect(tmp_path / "journal.db")) as file, file:
        file.execute("UPDATE event SET ts = 'yesterday' WHERE seq = 4")
    with pytest.raises(ValueError, match="cannot be read"):
        into_postgres(quiet_settings(tmp_path), url)
    with psycopg.connect(url) as connection:
        for table in ("log_event", "log_session", "users", "villages"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    with closing(sqlite3.connect(tmp_path / "journal.db")) as file, file:
        file.execute("UPDATE event SET ts = 4 WHERE seq = 4")
    assert into_postgres(quiet_settings(tmp_path), url).events == 4


async def test_a_service_that_had_its_tables_in_postgresql_gets_its_journal_there(
    tmp_path: Path, postgres_server: str
) -> None:
    url = postgres.fresh_schema(postgres_server, "half")
    async with open_town(tmp_path, partial(on, url)) as town:
        token = town.token
    with EventLog.open(tmp_path / "journal.db") as log:
        log.append([LogRecord("s1", 1, "demo", "SESSION_STARTED", 1.0, b'{"seq":1}')])
    done = into_postgres(on(url, quiet_settings(tmp_path)), url)
    assert (done.events, done.tables) == (1, {})
    async with open_town(tmp_path, partial(on, url)) as town:
        town.token = token
        assert (await ask(town, "/api/me")).status == 200
