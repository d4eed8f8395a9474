"""The runner's loopback port: whose a request is, by header or by path, and what it came as."""

from contextlib import suppress
from urllib.parse import urlsplit

import httpx
import pytest
import trio

from townwatch.runner.agents import http as module
from townwatch.runner.agents.adapter import HttpAnswer, HttpRequest
from townwatch.runner.agents.http import AgentHttp


async def test_the_token_is_a_header_or_in_the_path() -> None:
    port, heard = AgentHttp(), list[tuple[str, str, bytes]]()

    async def handle(request: HttpRequest) -> HttpAnswer:
        heard.append((request.path, request.content_type, request.body))
        return HttpAnswer()

    async with trio.open_nursery() as nursery:
        await nursery.start(port.run)
        port.serve("s1", "right", handle)
        base = port.base_url("s1")
        async with httpx.AsyncClient(trust_env=False, timeout=30) as http:

            async def status(path: str, token: str | None = None) -> int:
                headers = {"content-type": "application/x-protobuf"}
                if token is not None:
                    headers["authorization"] = f"Bearer {token}"
                return (await http.post(f"{base}{path}", content=b"x", headers=headers)).status_code

            assert await status("/v1/logs", "right") == 200
            assert await status("/as/right/v1/logs") == 200
            assert await status("/as/wrong/v1/logs") == 401
            assert await status("/as/wrong/v1/logs", "right") == 401  # one place, one answer
            assert await status("/as//v1/logs") == 401
            assert await status("/as/right") == 200
            assert await status("/v1/logs") == 401
            port.forget("s1")
            assert await status("/as/right/v1/logs") == 401
        nursery.cancel_scope.cancel()
    assert heard == [("/v1/logs", "application/x-protobuf", b"x")] * 2 + [("/", "application/x-protobuf", b"x")]


async def test_nothing_of_a_strangers_body_is_read_and_all_bodies_together_are_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "ALL_BODIES_BYTES", 3 << 20)
    port, release = AgentHttp(), trio.Event()

    async def handle(request: HttpRequest) -> HttpAnswer:
        await release.wait()
        return HttpAnswer()

    async def post(path: str, size: int) -> bytes:
        where = urlsplit(port.base_url("s1"))
        stream = await trio.open_tcp_stream(where.hostname or "", where.port or 0)
        async with stream:
            head = f"POST {where.path}{path} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n"
            with suppress(trio.BrokenResourceError):
                await stream.send_all(head.encode())
                if path.startswith("/as/right"):
                    await stream.send_all(bytes(size))
            return await stream.receive_some(65536)

    async with trio.open_nursery() as nursery:
        await nursery.start(port.run)
        port.serve("s1", "right", handle)
        with trio.fail_after(4):  # before its body would have to be there
            assert (await post("/as/wrong/v1/logs", 1 << 20)).startswith(b"HTTP/1.1 401")
        nursery.start_soon(post, "/as/right/v1/logs", 2 << 20)
        with trio.fail_after(20):
            while port._under_way < 2 << 20:
                await trio.sleep(0.01)
            assert (await post("/as/right/v1/logs", 2 << 20)).startswith(b"HTTP/1.1 503")
            assert (await post("/as/wrong/v1/logs", 0)).startswith(b"HTTP/1.1 401")
            release.set()
            while port._under_way:
                await trio.sleep(0.01)
            assert (await post("/as/right/v1/logs", 2 << 20)).startswith(b"HTTP/1.1 200")
        nursery.cancel_scope.cancel()
