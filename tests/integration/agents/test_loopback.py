"""The runner's loopback port: whose a request is, by header or by path, and what it came as."""

import httpx
import trio

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
