"""Whom the next leader takes for the client that it says it is: none with another one's private id, without its rights,
or with something made up.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from sqlalchemy import Connection, func, select, update
from trio_websocket import ConnectionClosed, WebSocketConnection

from tests.integration.cluster.test_standby import on
from tests.integration.service.test_promises import event, held, started
from tests.support import postgres
from tests.support.people import person, raw, rest
from tests.support.service import Town, open_town
from townwatch.actors import replay
from townwatch.actors.people import returning
from townwatch.app.returning.keeper import hash_of
from townwatch.store.showing import kept_sockets
from townwatch.store.showing.kept_sockets import MOST_LOST, Changes, KeptRow
from townwatch.store.tables import kept_sockets as rows

pytestmark = pytest.mark.timeout(120)
PATH = "/socket.io/?EIO=4&transport=websocket"


@attrs.define(eq=False)
class Client:
    """A Socket.IO client by hand. `said`: the answer to its CONNECT; None where the connection was closed instead."""

    socket: WebSocketConnection
    said: dict[str, Any] | None = None
    refused: Any = None
    offset: str | None = None
    events: list[tuple[str, Any]] = attrs.field(factory=list)

    async def message(self) -> str:
        with trio.fail_after(20):
            while (text := await self.socket.get_message()) == "2":
                await self.socket.send_message("3")
        return text

    async def connect(self, auth: dict[str, Any]) -> None:
        await self.message()
        await self.socket.send_message("40" + json.dumps(auth))
        try:
            text = await self.message()
        except ConnectionClosed:
            return
        self.said, self.refused = (
            (json.loads(text[2:]), None) if text.startswith("40") else (None, json.loads(text[2:]))
        )

    async def emit(self, name: str, payload: Any) -> Any:
        await self.socket.send_message("421" + json.dumps([name, payload]))
        while not (text := await self.message()).startswith("431"):
            self.heard(text)
        return json.loads(text[3:])[0]

    def heard(self, text: str) -> None:
        found = json.loads(text[text.index("[") :])
        if text.startswith("42["):
            self.offset = found[-1]
            self.events.append((found[0], found[1]))

    async def until(self, name: str, seq: int) -> list[int]:
        """The seq of each event of this name, up to this one."""
        while not any(one == name and said.get("seq") == seq for one, said in self.events):
            self.heard(await self.message())
        return [said["seq"] for one, said in self.events if one == name]


@asynccontextmanager
async def client(town: Town, token: str | None, **auth: Any) -> AsyncIterator[Client]:
    async with raw(town, PATH) as socket:
        found = Client(socket)
        await found.connect({**({} if token is None else {"token": token}), **auth})
        yield found


@attrs.define(eq=False)
class Known:
    """What a client has of the process that is gone."""

    pid: str
    sid: str
    offset: str | None
    ada: str
    bob: str


def touched(seq: int) -> dict[str, Any]:
    return event("FILE_TOUCHED", seq, path="a", reason="write")


async def joined(town: Town, token: str) -> Known:
    """Ada was connected, in the village, and saw an event."""
    async with client(town, token) as ada, town.runner() as runner:
        assert ada.said is not None
        assert (await ada.emit("join_village", {"villageId": "demo"}))["ok"]
        await runner.send(started(), touched(2))
        await ada.until("work_stream_event", 2)
        return Known(ada.said["pid"], ada.said["sid"], ada.offset, token, "")


@asynccontextmanager
async def taken_over(folder: Path, url: str, between: Any = None) -> AsyncIterator[tuple[Town, Known]]:
    """The process that follows one to which Ada was connected. `between(connection)` changes the tables meanwhile."""
    async with open_town(folder, partial(on, url)) as town:
        token, bob = await person(town, "ada", "operator"), await person(town, "bob", "operator")
        known = await joined(town, token)
        known.bob = bob
    async with open_town(folder, partial(on, url)) as town:
        if between is not None:
            await town.service.database.call(between)
        yield town, known


def is_back(one: Client, known: Known) -> bool:
    return one.said is not None and one.said == {"sid": known.sid, "pid": known.pid}


def is_new(one: Client, known: Known) -> bool:
    return one.said is not None and known.sid != one.said["sid"] and known.pid != one.said["pid"]


async def test_who_was_connected_is_back_and_misses_nothing(tmp_path: Path, postgres_server: str) -> None:
    url = postgres.fresh_schema(postgres_server, "kept")
    async with taken_over(tmp_path, url) as (town, known), town.runner([held(2)]) as runner:
        await runner.send(touched(3))
        await runner.acked(3)
        async with client(town, known.ada, pid=known.pid, offset=known.offset) as ada:
            assert is_back(ada, known)
            assert (await ada.emit("leave_agent", {"agentId": "none"}))["ok"]  # it is in its rooms
            await runner.send(touched(4))
            assert await ada.until("work_stream_event", 4) == [3, 4]
            async with client(town, known.ada, pid=known.pid, offset=ada.offset) as again:  # the old one is cut
                assert is_back(again, known)
                await runner.send(touched(5))
                assert await again.until("work_stream_event", 5) == [5]
                with trio.fail_after(10):
                    while await town.service.database.read(connected_and_lost) != [1, 0]:
                        await trio.sleep(0.05)


async def test_the_private_id_of_another_person_is_worth_nothing(tmp_path: Path, postgres_server: str) -> None:
    url = postgres.fresh_schema(postgres_server, "thief")
    async with taken_over(tmp_path, url) as (town, known):
        for token in (known.bob, known.bob):
            async with client(town, token, pid=known.pid, offset=known.offset) as thief:
                assert not is_back(thief, known)
        assert is_new(thief, known), (thief, known)
        assert not thief.events
        async with client(town, None, pid=known.pid) as stranger:
            assert is_new(stranger, known)


async def test_who_may_no_longer_is_not_back(tmp_path: Path, postgres_server: str) -> None:
    url = postgres.fresh_schema(postgres_server, "revoked")
    async with taken_over(tmp_path, url) as (town, known):
        async with rest(town, town.token) as http:
            assert (await http.delete("/api/villages/demo/members/user_ada")).status_code in (200, 204)
        async with client(town, known.ada, pid=known.pid, offset=known.offset) as ada:
            assert ada.said is None and ada.refused is None  # closed: it comes again
        async with client(town, known.ada, pid=known.pid, offset=known.offset) as ada:
            assert is_new(ada, known)
            assert (await ada.emit("join_village", {"villageId": "demo"}))["error"]["code"] == "E_FORBIDDEN"
        async with rest(town, town.token) as http:
            assert (await http.post("/api/people/user_ada/sign-out")).status_code in (200, 204, 404, 405)


async def test_a_token_that_is_worth_nothing_does_not_come_back(tmp_path: Path, postgres_server: str) -> None:
    url = postgres.fresh_schema(postgres_server, "token")
    async with taken_over(tmp_path, url) as (town, known):
        async with client(town, known.ada[:-4] + "AAAA", pid=known.pid, offset=known.offset) as ada:
            assert ada.said is None and ada.refused["data"] == {"code": "WS_INVALID_TOKEN"}
        async with client(town, known.ada, pid=known.pid, offset=known.offset) as ada:  # whose it is was not hurt
            assert is_back(ada, known)


def made_up(known: Known) -> list[tuple[Any, Any]]:
    assert known.offset is not None
    epoch, number, _mark = known.offset.split(".")
    here = f"{epoch}.{number}"
    offsets = [
        f"{here}.x",
        here,
        f"{here}.ffffff",
        f"{here}.0~1~fffff",
        "." * 5000,
        {"a": 1},
        7,
        "",
        f"{here}.1v1-1~9999",
    ]
    return [(known.pid, one) for one in offsets] + [("x" * 65, known.offset), ([known.pid], known.offset), ("", None)]


async def test_what_is_made_up_begins_anew(tmp_path: Path, postgres_server: str) -> None:
    url = postgres.fresh_schema(postgres_server, "made_up")
    async with taken_over(tmp_path, url) as (town, known):
        for pid, offset in made_up(known):
            async with client(town, known.ada, pid=pid, offset=offset) as one:
                assert is_new(one, known), (pid, offset)
        assert await town.service.database.read(connected_and_lost) == [0, 1]


async def test_one_private_id_is_one_client(tmp_path: Path, postgres_server: str) -> None:
    url = postgres.fresh_schema(postgres_server, "twice")
    async with taken_over(tmp_path, url) as (town, known):
        found: list[bool] = []

        async def come() -> None:
            async with client(town, known.ada, pid=known.pid, offset=known.offset) as one:
                found.append(is_back(one, known))
                await trio.sleep(0.3)

        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(come)
        assert len(found) == 4
        async with client(town, known.ada, pid=known.pid, offset=known.offset) as one:
            assert one.said is not None
        assert len(town.service.server.manager.get_rooms(known.sid, "/")) in (0, 3)


async def test_who_goes_while_it_is_shown_what_it_missed_begins_anew(
    tmp_path: Path, postgres_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What shows it goes on for a while: it let the next client of the same id into its rooms before that had caught
    up, which then got what is new before what it had missed.
    """
    asked, go_on = trio.Event(), trio.Event()
    show = returning.show_missed

    async def slowly(*about: Any) -> None:
        asked.set()
        await go_on.wait()
        await show(*about)

    monkeypatch.setattr(returning, "show_missed", slowly)
    url = postgres.fresh_schema(postgres_server, "slowly")
    async with taken_over(tmp_path, url) as (town, known), town.runner([held(2)]) as runner:
        async with client(town, known.ada, pid=known.pid, offset=known.offset) as ada:
            assert is_back(ada, known)
            with trio.fail_after(20):
                await asked.wait()
        async with client(town, known.ada, pid=known.pid, offset=known.offset) as ada:
            assert is_new(ada, known)
            go_on.set()
            await runner.send(touched(3))
            await runner.acked(3)
            await ada.emit("leave_agent", {"agentId": "none"})
            assert not ada.events  # it has not joined yet


async def test_who_goes_in_the_middle_of_a_join_begins_anew(
    tmp_path: Path, postgres_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The village has still to let it in, by its id: the next client of that id was in the room before it had been
    shown what it had missed.
    """
    asked = trio.Event()

    async def slowly(*_about: Any, **_more: Any) -> None:
        asked.set()
        await trio.sleep_forever()

    async with open_town(tmp_path, partial(on, postgres.fresh_schema(postgres_server, "in_a_join"))) as town:
        token = await person(town, "ada", "operator")
        known = await joined(town, token)
        async with client(town, token, pid=known.pid, offset=known.offset) as ada:
            assert is_back(ada, known)
            monkeypatch.setattr(replay, "missed", slowly)
            request = {"villageId": "demo", "since": {"s1": 1}}
            await ada.socket.send_message("421" + json.dumps(["join_village", request]))
            with trio.fail_after(20):
                await asked.wait()
        await trio.sleep(0.5)  # what is kept of it was written by then
        async with client(town, token, pid=known.pid, offset=known.offset) as ada:
            assert is_new(ada, known)


async def test_who_left_for_good_or_stays_away_too_long_is_not_kept(tmp_path: Path, postgres_server: str) -> None:
    url = postgres.fresh_schema(postgres_server, "for_good")

    def long_ago(connection: Connection) -> None:
        kept_sockets.begin(connection, 1000)
        connection.execute(update(rows).values(lost_ms=1000))

    async with taken_over(tmp_path, url, long_ago) as (town, known):
        async with client(town, known.ada, pid=known.pid, offset=known.offset) as ada:
            assert is_new(ada, known)
            assert ada.said is not None
            assert (await ada.emit("join_village", {"villageId": "demo"}))["ok"]
            pid = ada.said["pid"]
            await ada.socket.send_message("41")
        with trio.fail_after(10):
            while await town.service.database.read(kept_sockets.find, hash_of(pid)) is not None:
                await trio.sleep(0.05)


async def test_so_many_are_kept_of_one_person(tmp_path: Path, postgres_server: str) -> None:
    url = postgres.fresh_schema(postgres_server, "many")
    async with open_town(tmp_path, partial(on, url)) as town:
        hashes = [f"h{n}" for n in range(MOST_LOST + 5)]
        saved = [KeptRow(pid_hash=one, owner="user:ada", body="{}", saved_ms=n) for n, one in enumerate(hashes)]
        other = KeptRow(pid_hash="other", owner="user:bob", body="{}", saved_ms=1)
        await town.service.database.call(kept_sockets.write, Changes(saved=[*saved, other]), 1)
        for n, one in enumerate(hashes):
            await town.service.database.call(kept_sockets.write, Changes(lost=[one]), 2 + n)
        assert await town.service.database.read(connected_and_lost) == [1, MOST_LOST]
        assert await town.service.database.read(kept_sockets.find, "h4") is None
        await town.service.database.call(kept_sockets.expire, 2 + 10)
        assert await town.service.database.read(connected_and_lost) == [1, MOST_LOST - 5]


def connected_and_lost(connection: Connection) -> list[int]:
    counts = select(func.count()).select_from(rows)
    return [
        connection.execute(counts.where(rows.c.lost_ms.is_(None))).scalar_one(),
        connection.execute(counts.where(rows.c.lost_ms.is_not(None))).scalar_one(),
    ]
