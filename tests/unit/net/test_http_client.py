"""The HTTP client, over real sockets. That servers trickle, flood or redirect is in tests/unit/access/test_fetch.py."""

import gzip
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from townwatch.net.http_client import NotAnswered, exchange


@asynccontextmanager
async def server(answer: bytes, heard: list[bytes] | None = None) -> AsyncIterator[str]:
    """Reads one piece of every connection, answers and hangs up."""

    async def serve(stream: trio.SocketStream) -> None:
        async with stream:
            data = await stream.receive_some()
            if heard is not None:
                heard.append(bytes(data))
            await stream.send_all(answer)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, serve, 0)
        yield f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


async def ask(url: str, **options: object) -> bytes:
    return (await exchange("GET", url, seconds=20, max_bytes=1000, **options)).body  # type: ignore[arg-type]


async def test_an_answer_is_not_asked_for_compressed_and_never_inflated() -> None:
    bomb = gzip.compress(b"0" * 100_000)
    heard: list[bytes] = []
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n".encode()
    async with server(head + bomb, heard) as url:
        assert await ask(url) == bomb
    assert b"accept-encoding: identity\r\n" in heard[0].lower()


@pytest.mark.parametrize("proxies", [True, False])
async def test_proxies_of_the_environment_are_not_for_this_machine(
    proxies: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    async with server(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") as url:
        assert await ask(url, proxies=proxies) == b"ok"


async def test_proxies_count_for_other_machines_only_where_they_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[bytes] = []
    async with server(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", heard) as url:
        monkeypatch.setenv("http_proxy", url)
        assert await ask("http://elsewhere.invalid/x", proxies=True) == b"ok"
        assert heard[0].startswith(b"GET http://elsewhere.invalid/x HTTP/1.1\r\n")
        with pytest.raises(NotAnswered):
            await ask("http://elsewhere.invalid/x")


async def test_nothing_listens_there() -> None:
    with trio.socket.socket() as bound:
        await bound.bind(("127.0.0.1", 0))
        with pytest.raises(NotAnswered, match=r"127\.0\.0\.1"):
            await ask(f"http://127.0.0.1:{bound.getsockname()[1]}")


@pytest.mark.parametrize("url", ["", "nothing", "http://", "http://[::1", "ftp://127.0.0.1/", "http://a b/"])
async def test_an_address_that_is_none_is_a_failure_like_others(url: str) -> None:
    with pytest.raises(NotAnswered):
        await ask(url)


async def test_a_service_and_a_runner_start_without_httpx() -> None:
    modules = "townwatch.cli.main, townwatch.cli.runner, townwatch.runner.runner, townwatch.app.service"
    script = f"import sys, {modules}; sys.exit('httpx' in sys.modules)"
    assert (await trio.run_process([sys.executable, "-P", "-c", script], check=False)).returncode == 0
