"""An answer arrives whole, however long it is and however slowly it is read; a reader that stops is cut."""

import select
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import attrs
import pytest
import trio

from tests.support.certificates import Authority
from tests.support.downloads import Reading, ask, connect, read, write_session
from tests.support.service import Town, open_town
from townwatch.config.settings import Settings
from townwatch.store import audit
from townwatch.store.audit import Entry
from townwatch.transports.http import recording

SIZES = (500_000, 1_100_000, 5_000_000, 20_000_000)
STALL = 3.0


@attrs.define
class Served:
    """A service over plain HTTP or TLS, with sessions that printed so many bytes."""

    town: Town
    ca: str | None

    def connect(self, **options: int) -> socket.socket:
        return connect(self.town.url, self.ca, **options)

    def get(self, path: str, pause: Callable[[int], float] = lambda _: 0.0, **options: int) -> Reading:
        with self.connect(**options) as sock:
            ask(sock, path, self.town.token)
            return read(sock, pause)

    def recording(self, session_id: str) -> bytes:
        context = self.town.service.context
        state = context.board.session(session_id)
        assert state is not None
        return b"".join(recording.cast(context.journal_log, state))

    def lines(self, session_id: str) -> bytes:
        context = self.town.service.context
        state = context.board.session(session_id)
        assert state is not None
        return b"".join(recording.lines(context.journal_log, state, 0))


@asynccontextmanager
async def serve(path: Path, tls: bool, *sizes: int) -> AsyncGenerator[Served]:
    for size in sizes:
        write_session(path / "state", f"s{size}", size)
    authority = Authority(path / "ca") if tls else None
    pair = authority.issue("127.0.0.1", server=True) if authority else None

    def changes(found: Settings) -> Settings:
        server = attrs.evolve(found.server, stall_timeout=STALL)
        if pair:
            server = attrs.evolve(server, tls_certificate=pair.certificate, tls_key=pair.key)
        return attrs.evolve(found, server=server)

    async with open_town(path / "state", changes) as town:
        yield Served(town, authority.file if authority else None)


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def tls(request: pytest.FixtureRequest) -> bool:
    return request.param


def slow_at_first(read_so_far: int) -> float:
    return 0.01 if read_so_far < 1_500_000 else 0.0


@pytest.mark.timeout(240)
async def test_every_byte_of_every_size_arrives_at_a_slow_reader(tmp_path: Path, tls: bool) -> None:
    async with serve(tmp_path, tls, *SIZES) as served:
        for size in SIZES:
            for name, whole in (("recording.cast", served.recording), ("events.ndjson", served.lines)):
                path = f"/api/runner/sessions/s{size}/{name}"
                got = await trio.to_thread.run_sync(partial(served.get, path, slow_at_first, buffer=32_768))
                assert (got.status, got.whole) == (200, True), (path, len(got.body))
                assert got.body == await trio.to_thread.run_sync(whole, f"s{size}")


async def test_answers_with_a_length_arrive_whole_too(tmp_path: Path, tls: bool) -> None:
    """Lists, the audit export and static files know their length before they are sent."""
    async with serve(tmp_path, tls, 5_000_000) as served:
        note = Entry(at_ms=1, kind="user", action="test.note", village_id="demo", details={"text": "x" * 1000})
        await served.town.service.database.call(lambda c: [audit.add(c, note) for _ in range(3000)])
        for path in (
            "/api/villages/demo/audit/export?limit=5000",
            "/api/runner/sessions/s5000000/events?limit=1000",
            "/api/openapi.json",
            "/vendor/xterm/xterm.js",
            "/",
        ):
            quick = await trio.to_thread.run_sync(partial(served.get, path))
            got = await trio.to_thread.run_sync(partial(served.get, path, lambda _: 0.01, buffer=16_384))
            assert got.whole, path
            assert (got.status, got.body) == (quick.status, quick.body), path


@pytest.mark.timeout(120)
async def test_a_reader_slower_than_the_stall_limit_gets_everything_while_it_goes_on(tmp_path: Path, tls: bool) -> None:
    def crawl(read_so_far: int) -> float:
        return STALL / 8 if read_so_far < 1_000_000 else 0.0

    async with serve(tmp_path, tls, 5_000_000) as served:
        path = "/api/runner/sessions/s5000000/recording.cast"
        got = await trio.to_thread.run_sync(partial(served.get, path, crawl, buffer=32_768))
        assert got.whole
        assert got.body == served.recording("s5000000")


async def test_a_reader_that_stops_is_cut_and_its_place_is_free_again(tmp_path: Path, tls: bool) -> None:
    async with serve(tmp_path, tls, 5_000_000) as served:
        path = "/api/runner/sessions/s5000000/recording.cast"
        stopped = [await trio.to_thread.run_sync(partial(served.connect, buffer=32_768)) for _ in range(6)]
        try:
            for sock in stopped:
                ask(sock, path, served.town.token)
            for sock in stopped:
                await trio.to_thread.run_sync(_until_cut, sock)
        finally:
            for sock in stopped:
                sock.close()
        got = await trio.to_thread.run_sync(served.get, path)
        assert (got.status, got.whole) == (200, True)


def _until_cut(sock: socket.socket) -> None:
    """Reads nothing."""
    watch = select.poll()
    watch.register(sock, select.POLLERR | select.POLLHUP)
    assert watch.poll(30_000), "the connection was not cut"


async def test_a_client_that_ends_its_side_after_the_request_gets_the_answer(tmp_path: Path) -> None:
    async with serve(tmp_path, False, 500_000) as served:
        for path in ("/api/villages", "/api/runner/sessions/s500000/recording.cast", "/readyz"):

            def half_closed(path: str = path) -> Reading:
                with served.connect() as sock:
                    ask(sock, path, served.town.token)
                    sock.shutdown(socket.SHUT_WR)
                    return read(sock)

            got = await trio.to_thread.run_sync(half_closed)
            assert (got.status, got.whole) == (200, True), path
