"""What a peer sends without a pause is taken in turns with all else, and what strangers keep in memory is bounded."""

import select
import socket
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs
import httpx
import pytest
import trio

from tests.support.people import rest
from tests.support.raw_websocket import frame, opening
from tests.support.service import Town, open_town
from townwatch.app import resources
from townwatch.transports.edge.settings import EdgeSettings
from townwatch.transports.websocket.deflate import deflate
from townwatch.transports.websocket.frames import PING, TEXT

MANY = 2000
POLLING = "/socket.io/?EIO=4&transport=polling"


@attrs.define(eq=False)
class Passes(trio.abc.Instrument):
    """Counts the passes of the loop."""

    count: int = 0

    def before_io_wait(self, timeout: float) -> None:
        self.count += 1


async def flooded(town: Town, sent: bytes, last: bytes, *before: tuple[bytes, bytes]) -> tuple[int, bytes]:
    """(passes of the loop until the last answer, or the end; all answers). The bytes are there before the loop looks.
    `before`: what is said first, and what is waited for.
    """
    where, found, passes = urlsplit(town.url), b"", Passes()
    with closing(socket.create_connection((where.hostname, where.port))) as one:
        one.setblocking(False)
        for said, awaited in before:
            one.send(said)
            with trio.fail_after(20):
                while awaited not in found:
                    await trio.lowlevel.wait_readable(one)
                    found += one.recv(1 << 20)
        one.setblocking(True)
        one.sendall(sent)
        one.setblocking(False)
        trio.lowlevel.add_instrument(passes)
        try:
            with trio.fail_after(60):
                while last not in found:
                    await trio.lowlevel.wait_readable(one)
                    data = one.recv(1 << 20)
                    found += data
                    if not data:
                        break
        finally:
            trio.lowlevel.remove_instrument(passes)
    return passes.count, found


@pytest.mark.parametrize("path", ["/ws", "/runner", "/healthz", "/nothing"])
async def test_requests_behind_one_another_do_not_keep_the_loop(tmp_path: Path, path: str) -> None:
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    last = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
    async with open_town(tmp_path) as town:
        passes, found = await flooded(town, request * 500 + last, b"the end alone")
        assert found.count(b"HTTP/1.1 ") == 501
        assert passes >= 501 // 32


async def test_a_body_of_tiny_chunks_does_not_keep_the_loop(tmp_path: Path) -> None:
    head = b"POST /api/auth/exchange HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    head += b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with open_town(tmp_path) as town:
        passes, found = await flooded(town, head + b"1\r\nx\r\n" * MANY + b"0\r\n\r\n", b"E_")
        assert found.startswith(b"HTTP/1.1 400")
        assert passes >= MANY // 32


async def test_a_body_that_never_ends_is_over_in_its_time_however_fast_it_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its sender, in a thread, never pauses: nobody ever waits for it."""
    monkeypatch.setattr(resources, "EdgeSettings", partial(EdgeSettings, body_timeout=1.0))
    head = b"POST /api/auth/exchange HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = (b"1;" + b"e" * 16_000 + b"\r\nx\r\n") * 16
    async with open_town(tmp_path) as town:
        where = urlsplit(town.url)

        def send() -> bytes:
            with closing(socket.create_connection((where.hostname, where.port), timeout=30)) as one:
                one.sendall(head)
                with suppress(OSError):
                    while not select.select([one], [], [], 0)[0]:
                        one.sendall(chunks)
                return one.recv(65536)

        with trio.fail_after(60):
            assert (await trio.to_thread.run_sync(send)).startswith(b"HTTP/1.1 408")


async def test_small_frames_that_are_large_when_inflated_do_not_keep_the_loop(tmp_path: Path) -> None:
    request = opening("/socket.io/?EIO=4&transport=websocket", "Sec-WebSocket-Extensions: permessage-deflate")
    bomb = frame(TEXT, deflate(b'42["nothing","' + b"a" * 900_000 + b'"]', 9), rsv=4)
    assert len(bomb) < 2000
    async with open_town(tmp_path) as town:
        before = (request, b'"sid"'), (frame(TEXT, b"40"), b'40{"sid"')
        passes, _ = await flooded(town, bomb * 40 + frame(PING, b"the last"), b"the last", *before)
        assert passes >= 40


async def polling(http: httpx.AsyncClient, **headers: str) -> str:
    """The id of a new session."""
    text = (await http.get(POLLING, headers=headers)).text
    return text.partition('"sid":"')[2].partition('"')[0]


async def test_a_stranger_posts_no_more_than_a_token_needs(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, rest(town) as http:
        sid = await polling(http)
        assert (await http.post(f"{POLLING}&sid={sid}", content="6\x1e" * 10_000)).status_code == 413
        assert (await http.post(f"{POLLING}&sid={sid}", content="40")).status_code == 200
        await http.get(f"{POLLING}&sid={sid}")  # it was let in
        assert (await http.post(f"{POLLING}&sid={sid}", content="6\x1e" * 10_000 + "6")).status_code == 200


async def test_pongs_that_nobody_asked_for_take_no_memory(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, rest(town) as http:
        heartbeat: Any = town.service.server.engine.heartbeat
        sid = await polling(http)
        before = len(heartbeat._pings)
        for _ in range(3):
            assert (await http.post(f"{POLLING}&sid={sid}", content="\x1e".join("3" * 4000))).status_code == 200
        assert len(heartbeat._pings) == before


async def test_sessions_that_join_nothing_are_bounded_in_memory_and_the_oldest_makes_room(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, rest(town) as http:
        strangers: Any = town.service.server._strangers
        strangers._most = 100_000
        joined = await polling(http)
        assert (await http.post(f"{POLLING}&sid={joined}", content="40")).status_code == 200
        await http.get(f"{POLLING}&sid={joined}")
        sids = [await polling(http, **{"x-large": "x" * 20_000}) for _ in range(20)]
        assert len(strangers) <= 5
        assert (await http.post(f"{POLLING}&sid={sids[0]}", content="40")).status_code == 400
        for sid in (joined, sids[-1]):
            assert (await http.post(f"{POLLING}&sid={sid}", content="6")).status_code == 200
