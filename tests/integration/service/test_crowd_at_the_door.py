"""Many new connections in the same moment: whoever asks whether the service lives does not stand behind them all."""

import os
import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import attrs
import pytest
import trio
import trio.testing

from tests.support.service import open_town
from townwatch.config.settings import Settings

CROWD = 400
FEW = 30
PAGE = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
PART = b"GET / HTTP/1.1\r\nHost: local"
POLL = b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: localhost\r\n\r\n"
CONTROL = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@contextmanager
def at_once(url: str, *requests: bytes, source: str = "127.0.0.1") -> Iterator[list[socket.socket]]:
    """Connections that have sent their requests, all before the service's loop runs again."""
    with ExitStack() as stack:
        where = urlsplit(url)
        found: list[socket.socket] = []
        for request in requests:
            one = stack.enter_context(
                socket.create_connection((where.hostname, where.port), source_address=(source, 0))
            )
            one.sendall(request)
            found.append(one)
        yield found


async def answer(one: socket.socket) -> bytes:
    with trio.fail_after(30):
        await trio.lowlevel.wait_readable(one)
    return one.recv(65536)


async def test_a_question_for_its_health_is_answered_before_a_crowd_that_came_first(tmp_path: Path) -> None:
    async with open_town(tmp_path / "state") as town:
        with at_once(town.url, *[PAGE] * CROWD, HEALTH) as (*crowd, last):
            assert (await answer(last)).startswith(b"HTTP/1.1 200")
            answered, _, _ = select.select(crowd, [], [], 0)
            assert len(answered) < CROWD // 2
            for one in crowd:  # and each of the crowd is answered, too
                assert (await answer(one)).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("said", [PAGE, HEALTH], ids=["a page", "health"])
async def test_a_crowd_from_one_address_keeps_others_waiting_for_one_turn(tmp_path: Path, said: bytes) -> None:
    async with open_town(tmp_path / "state") as town:
        with (
            at_once(town.url, *[said] * (CROWD // 2), source="127.0.0.2") as crowd,
            at_once(town.url, said) as (one,),
            at_once(town.url, *[said] * (CROWD // 2), source="127.0.0.2") as later,
        ):
            assert (await answer(one)).startswith(b"HTTP/1.1 200")
            answered, _, _ = select.select([*crowd, *later], [], [], 0)
            assert len(answered) < CROWD // 4


def from_client(address: str) -> bytes:
    """A request that a proxy hands on."""
    return PAGE.replace(b"\r\n\r\n", f"\r\nX-Forwarded-For: 192.0.2.99, {address}\r\n\r\n".encode())


@pytest.mark.parametrize("trusted", [["127.0.0.1"], []], ids=["a proxy that is trusted", "made up by a client"])
async def test_behind_a_proxy_each_client_has_a_turn_and_not_the_proxy(tmp_path: Path, trusted: list[str]) -> None:
    def change(settings: Settings) -> Settings:
        return attrs.evolve(settings, server=attrs.evolve(settings.server, trusted_proxies=trusted))

    crowd = [from_client("198.51.100.1:40000")] * (CROWD // 2)
    async with open_town(tmp_path / "state", change) as town:
        with at_once(town.url, *crowd, from_client("203.0.113.5"), *crowd) as everyone:
            one = everyone.pop(CROWD // 2)
            assert (await answer(one)).startswith(b"HTTP/1.1 200")
            answered, _, _ = select.select(everyone, [], [], 0)
            assert (len(answered) < CROWD // 4) is bool(trusted)


async def test_connections_that_say_nothing_cost_no_task_each(tmp_path: Path) -> None:
    async with open_town(tmp_path / "state") as town:
        before = trio.lowlevel.current_statistics().tasks_living
        with at_once(town.url, *[b""] * CROWD, HEALTH) as (*_, last):
            assert (await answer(last)).startswith(b"HTTP/1.1 200")
            assert trio.lowlevel.current_statistics().tasks_living - before < CROWD // 4


@attrs.define(eq=False)
class Passes(trio.abc.Instrument):
    """Counts the steps of tasks in each pass of the loop."""

    steps: int = 0
    most: int = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.steps += 1
        self.most = max(self.most, self.steps)

    def before_io_wait(self, timeout: float) -> None:
        self.steps = 0


@contextmanager
def counted_passes() -> Iterator[Passes]:
    passes = Passes()
    trio.lowlevel.add_instrument(passes)
    yield passes
    trio.lowlevel.remove_instrument(passes)


def open_files() -> int:
    """Descriptors of this process: the service's and ours."""
    return len(os.listdir("/proc/self/fd"))


async def until_open(count: int) -> None:
    """Wait until so many connections of a crowd are open, at the service's end and at ours."""
    with trio.fail_after(20):
        while abs(open_files() - count) > FEW:
            await trio.sleep(0.01)


@pytest.mark.parametrize("said", [PAGE, PART, POLL, CONTROL], ids=["pages", "half a request", "polling", "/ws"])
async def test_a_crowd_that_goes_in_one_moment_ends_in_many_passes(tmp_path: Path, said: bytes) -> None:
    async with open_town(tmp_path / "state") as town:
        before = open_files()
        with at_once(town.url, *[said] * CROWD) as crowd:
            for one in crowd:
                if said is not PART:
                    await answer(one)
            await until_open(before + 2 * CROWD)
            await trio.testing.wait_all_tasks_blocked(0.01)
        with counted_passes() as passes:
            await until_open(before)
        assert passes.most < CROWD
