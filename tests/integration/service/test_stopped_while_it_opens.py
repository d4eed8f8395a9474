"""A service that is told to stop while it opens its tables leaves nothing open."""

import threading
from pathlib import Path

import pytest
import trio

from tests.support.service import quiet_settings
from townwatch.app.resources import edge_settings
from townwatch.app.waiting_room import StoppedWaiting, wait_for
from townwatch.contracts.faults import TablesUnavailable
from townwatch.store.database import Database
from townwatch.transports.edge.server import Edge


class Opening:
    """Away at first; then it opens, as slowly as it is told to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tries = 0
        self.begun, self.go_on, self.closed = (threading.Event() for _ in range(3))

    def __call__(self) -> Database:
        self.tries += 1
        if self.tries == 1:
            raise TablesUnavailable("away")
        self.begun.set()
        assert self.go_on.wait(30)
        return Database.open(self.path)

    def close(self, database: Database) -> None:
        database.close()
        self.closed.set()


async def until(event: threading.Event) -> None:
    with trio.fail_after(30):
        while not event.is_set():
            await trio.sleep(0.01)


@pytest.mark.parametrize("how", ["told", "cancelled"])
async def test_what_it_opens_when_nobody_waits_for_it_any_more_is_closed(tmp_path: Path, how: str) -> None:
    opening, told = Opening(tmp_path / "tables.db"), trio.Event()
    edge = Edge(edge_settings(quiet_settings(tmp_path)))
    edge.bind()
    ended: list[str] = []

    async def start() -> None:
        try:
            await wait_for(opening, edge, told, close_it=opening.close)
        except StoppedWaiting:
            ended.append("told")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(start)
        await until(opening.begun)
        if how == "told":
            told.set()
        else:
            nursery.cancel_scope.cancel()
    edge.close()
    opening.go_on.set()
    await until(opening.closed)
    assert ended == ([how] if how == "told" else [])


async def test_what_is_opened_in_time_stays_open(tmp_path: Path) -> None:
    opening = Opening(tmp_path / "tables.db")
    opening.go_on.set()
    edge = Edge(edge_settings(quiet_settings(tmp_path)))
    edge.bind()
    database = await wait_for(opening, edge, trio.Event(), close_it=opening.close)
    assert not opening.closed.is_set()
    database.close()
    edge.close()
