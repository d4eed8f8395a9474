"""Two releases on one PostgreSQL: each relays to the other one and takes over from it; and what a release does that
must not use the tables of a later one.

The later release is made by the test (`tests/support/later_release.py`); both run as processes of their own.
"""

import http.client
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

import attrs
import psycopg
import pytest
import trio

from tests.chaos.nemesis.pair import LEASE_SECONDS
from tests.chaos.nemesis.proxy import Proxy
from tests.chaos.nemesis.town import Member, Town as TownOfProcesses
from tests.integration.cluster.test_standby import ask
from tests.integration.service.test_promises import event, held, started
from tests.support import later_release, postgres
from tests.support.service import NodeClient, Town, open_node_client
from townwatch.config.process import free_port
from townwatch.runner import identity

pytestmark = [pytest.mark.node, pytest.mark.timeout(240)]
HOST = "127.0.0.1"


@attrs.define(eq=False)
class Release:
    """A process of a release. `state`: of the one that was first, which has the runner's name."""

    member: Member
    port: int

    async def says(self, what: str) -> None:
        """Wait until it is ready and says so of itself: leads, or relays to NAME."""
        with trio.fail_after(90):
            while True:
                with suppress(OSError, http.client.HTTPException):  # it starts, or goes
                    found = await ask(self.port, "/readyz")
                    if found.status == 200 and found.body["cluster"].startswith(what):
                        return
                await trio.sleep(0.1)

    @asynccontextmanager
    async def watched(self, token: str) -> AsyncIterator[NodeClient]:
        options = {"token": token, "transports": ["websocket"], "joins": [["join_village", {"villageId": "demo"}]]}
        async with open_node_client(f"http://{HOST}:{self.port}", options) as client:
            yield client

    @asynccontextmanager
    async def runner(self, state: Path, last: int) -> AsyncIterator[Any]:
        """The runner of a state directory, connected here; `last`: of its events that are acknowledged."""
        identity.save(state, attrs.evolve(identity.load(state), url=f"ws://{HOST}:{self.port}/runner"))
        async with Town(cast(Any, None), "", state).runner([held(last)] if last else []) as runner:
            yield runner


def release(folder: Path, url: str, name: str, **environment: str) -> Release:
    port = free_port(HOST)
    known = {
        "TOWNWATCH_DATABASE_URL": url,
        "TOWNWATCH_DATABASE_LEASE_SECONDS": str(LEASE_SECONDS),
        "TOWNWATCH_DATABASE_PROCESS_NAME": name,
    }
    member = Member(name, ["serve", f"--port={port}"], folder / name, {**known, **environment})
    member.folder.mkdir()
    return Release(member, port)


@asynccontextmanager
async def two(folder: Path, url: str, *, breaks: bool) -> AsyncIterator[tuple[Release, Release]]:
    """The present release, which leads, and a later one beside it."""
    now = release(folder, url, "now")
    later = release(folder, url, "later", **later_release.make(folder / "source", breaks=breaks))
    try:
        await now.member.start()
        await now.says("leads")
        await later.member.start()
        await later.says("relays to now")
        yield now, later
    finally:
        with trio.CancelScope(shield=True):
            await now.member.aclose()
            await later.member.aclose()


async def signed_in(now: Release) -> str:
    town = TownOfProcesses(now.member.folder, now.port, now.member, {}, Proxy(0), Proxy(0))
    await town.sign_in()
    return town.token


async def test_a_rolling_upgrade_and_back(
    tmp_path: Path, postgres_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.fresh_schema(postgres_server, "releases")
    monkeypatch.setenv("TOWNWATCH_DATABASE_URL", url)  # for the commands that are run beside the services
    async with two(tmp_path, url, breaks=False) as (now, later):
        token, state = await signed_in(now), now.member.state
        async with later.watched(token) as client, later.runner(state, 0) as runner:  # a later one relays to this one
            await runner.send(started())
            await runner.acked(1)
            await client.until(lambda line: line.get("event") == "agent_spawn")
        assert await now.member.stop() == 0
        await later.says("leads")
        assert later_tables(url)
        await now.member.start()
        await now.says("relays to later")
        async with now.watched(token) as client, now.runner(state, 1) as runner:  # this one relays to a later one
            await runner.send(touched(2))
            await runner.acked(2)
            await client.until(_touched)
        await later.member.kill()
        await now.says("leads")  # and leads with what a later one only added to the tables
        async with now.watched(token) as client, now.runner(state, 2) as runner:
            await runner.send(touched(3))
            await runner.acked(3)
            await client.until(_touched)
        sessions = (await ask(now.port, "/api/runner/sessions", token)).body["items"]
        assert [(one["sessionId"], one["lastEventSeq"]) for one in sessions] == [("s1", 3)]
        for one in (now, later):
            assert "trunk_broken" not in one.member.last_words()
            assert "relay_refused" not in one.member.last_words()


async def test_a_release_that_must_not_use_the_tables_relays_and_says_so_when_it_is_alone(
    tmp_path: Path, postgres_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.fresh_schema(postgres_server, "breaks")
    monkeypatch.setenv("TOWNWATCH_DATABASE_URL", url)
    async with two(tmp_path, url, breaks=True) as (now, later):
        token = await signed_in(now)
        assert await now.member.stop() == 0
        await later.says("leads")
        await now.member.start()
        await now.says("relays to later")
        assert (await ask(now.port, "/api/villages", token)).status == 200
        await said(now, "standby_not_prepared")
        assert await later.member.stop() == 0
        await said(now, "upgrade this process, or restore a backup from before the upgrade")
        assert now.member.process is not None and now.member.process.poll() is None
        await later.member.start()
        await later.says("leads")
        await now.says("relays to later")


async def said(release: Release, what: str) -> None:
    """Wait until its log has it."""
    with trio.fail_after(60):
        while what not in release.member.last_words():
            await trio.sleep(0.1)


def touched(seq: int) -> dict[str, Any]:
    return event("FILE_TOUCHED", seq, path="a", reason="write")


def _touched(line: dict[str, Any]) -> bool:
    return line.get("event") == "work_stream_event" and line["args"][0]["type"] == "file_edit"


def later_tables(url: str) -> bool:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT to_regclass('of_a_later_release') IS NOT NULL").fetchone()
    return bool(row and row[0])
