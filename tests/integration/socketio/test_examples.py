"""The programs of examples/ that need no service run, and real clients talk to them."""

import json
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import trio

from tests.integration.proxies.programs import free_port
from tests.support.service import open_node_client

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.mark.node
async def test_the_program_of_the_page_runs(tmp_path: Path) -> None:
    page = (EXAMPLES.parent / "docs" / "socketio.md").read_text()
    code = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0]
    assert "EdgeSettings(port=8000)" in code
    port = free_port()
    (tmp_path / "page.py").write_text(code.replace("8000", str(port)))
    process = await trio.lowlevel.open_process([sys.executable, str(tmp_path / "page.py")], cwd=tmp_path)
    try:
        how = {"transports": ["websocket"], "joins": [["join", "tea"]], "reconnection": True}
        async with open_node_client(f"http://127.0.0.1:{port}", how) as client:
            if {"joined": True} not in client.lines:  # the program was not up yet, and the client came again
                await client.until(lambda line: "joined" in line)
            assert {"ack": {"ok": True}, "to": "join"} in client.lines
    finally:
        process.kill()
        await process.wait()


@asynccontextmanager
async def program(name: str) -> AsyncIterator[str]:
    """The example on a free port; its URL."""
    command = [sys.executable, str(EXAMPLES / name), "0"]
    process = await trio.lowlevel.open_process(command, stdout=-1, cwd=EXAMPLES)
    assert process.stdout is not None
    try:
        with trio.fail_after(30):
            line = b""
            while not line.endswith(b"\n"):
                piece = await process.stdout.receive_some()
                assert piece, f"{name} ended with {await process.wait()}"
                line += piece
        yield line.decode().strip()
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            await process.stdout.aclose()


async def python_client(url: str, name: str, text: str, transport: str) -> list[str]:
    command = [sys.executable, str(EXAMPLES / "chat_client.py"), url, name, "tea", text, transport]
    with trio.fail_after(30):
        return (await trio.run_process(command, capture_stdout=True)).stdout.decode().splitlines()


@pytest.mark.node
@pytest.mark.parametrize("name", ["chat_server.py", "chat_starlette.py"])
async def test_people_chat_from_python_and_javascript(name: str) -> None:
    if name == "chat_starlette.py":
        pytest.importorskip("hypercorn")
        pytest.importorskip("starlette")
    async with program(name) as url:
        if name == "chat_starlette.py":
            async with httpx.AsyncClient() as http:
                assert (await http.get(url)).text == "0 people are here\n"
        async with open_node_client(url, {"transports": ["websocket"]}) as nobody:
            assert "say who you are" in json.dumps(nobody.lines[-1])
        how = {"transports": ["polling", "websocket"], "auth": {"name": "Jo"}, "joins": [["join", "tea"]]}
        async with open_node_client(url, how) as page:
            assert {"ack": {"room": "tea", "people": 1}, "to": "join"} in page.lines
            for transport in ("websocket", "polling"):
                told = await python_client(url, "Ada", f"by {transport}", transport)
                assert told == ["joined {'room': 'tea', 'people': 2}", f"Ada: by {transport}"]
            assert [payload for _, payload in await page.events(2)] == [
                {"by": "Ada", "text": "by websocket"},
                {"by": "Ada", "text": "by polling"},
            ]
        async with open_node_client(url + "/clock", {"transports": ["polling"]}) as clock:
            assert await clock.events(3) == [("tick", 0), ("tick", 1), ("tick", 2)]
