"""Clients that nobody here wrote × transport × namespace × parser × compression; each tells the same story:

a refusal with data, auth, acknowledgements both ways, binary, long texts, a room, a connection that is cut, recovery
(where the client has it) or a plain reconnect, and a disconnect.
"""

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import trio
from socketio.exceptions import ConnectionRefusedError

from tests.browser.conftest import CHROMIUM_ARGS, chromium_path
from tests.support.service import JS, node
from tests.support.wire import Place, socketio_place
from townwatch.transports.socketio import EngineSettings, RecoverySettings, TrioServer

SECONDS = 60
TRANSPORTS = (["polling"], ["websocket"], ["polling", "websocket"])
SPACES = ("/", "/orders")


def application(server: TrioServer) -> None:
    """What the story needs, in every namespace."""
    for space in SPACES:
        _in_namespace(server, space)


def _in_namespace(server: TrioServer, space: str) -> None:
    on = cast(Any, server).on

    async def connect(sid: str, _environ: dict[str, Any], auth: dict[str, Any]) -> None:
        if auth.get("token") != "right":
            raise ConnectionRefusedError("unauthorized", {"code": "E_TOKEN"})
        await server.emit("welcome", auth, to=sid, namespace=space)

    async def echo(_sid: str, value: Any) -> Any:
        return value

    async def join(sid: str, room: str) -> bool:
        await server.enter_room(sid, room, namespace=space)
        return True

    async def tell(_sid: str, room: str, text: str) -> bool:
        await server.emit("news", text, room=room, namespace=space)
        return True

    async def ask_me(sid: str) -> None:
        answer = await server.call("question", 41, to=sid, namespace=space, timeout=10)
        await server.emit("answered", answer, to=sid, namespace=space)

    async def cut_me(sid: str) -> bool:
        async def cut() -> None:
            await trio.sleep(0.05)  # the acknowledgement first
            await server.close_transport(sid, namespace=space)
            await server.emit("news", "missed", room="room", namespace=space)

        server.start_background_task(cut)
        return True

    async def lose_me(sid: str) -> bool:
        async def lose() -> None:
            await trio.sleep(0.05)
            server.space(space).sockets[sid].client.session.ended("transport error", noop=True)
            await server.emit("news", "missed", room="room", namespace=space)

        server.start_background_task(lose)
        return True

    handlers = (("connect", connect), ("echo", echo), ("join", join), ("tell", tell), ("ask me", ask_me))
    for name, handler in (*handlers, ("cut me", cut_me), ("lose me", lose_me)):
        on(name, handler, namespace=space)


@asynccontextmanager
async def place(parser: str) -> AsyncIterator[Place]:
    settings = EngineSettings(origins=("null",))  # the page that the story runs in has no address
    async with socketio_place(application, settings, RecoverySettings(), parser=parser) as found:
        yield found


def judge(found: dict[str, Any], transports: list[str], *, recovers: bool) -> None:
    """The story's outcome."""
    wanted: dict[str, Any] = {
        "welcome": {"token": "right"},
        "transport": transports[-1],
        "echo": {"a": [1, "é🙂", None, 1.5]},
        "binary": sum(index % 256 for index in range(3000)),
        "long": 10_000,
        "answered": 42,
        "same": recovers,
        "events": ["first", "missed", "last"] if recovers else ["first", "last"],
    }
    assert {name: found[name] for name in wanted} == wanted
    if recovers:
        assert found["refusal"] == ["unauthorized", {"code": "E_TOKEN"}]
        assert (found["recovered"], found["reason"]) == (True, "io client disconnect")
    else:
        assert found["refusal"] == {"message": "unauthorized", "data": {"code": "E_TOKEN"}}


async def run(command: list[str], folder: Path | None = None) -> dict[str, Any]:
    with trio.fail_after(SECONDS):
        done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def official(transports: list[str], space: str, *, deflate: bool = False) -> dict[str, Any]:
    options: dict[str, Any] = {"transports": transports}
    if deflate:
        options["perMessageDeflate"] = {"threshold": 0}
    return {"namespace": space, "upgrades": len(transports) > 1, "io": options}


@pytest.mark.node
@pytest.mark.parametrize("transports", TRANSPORTS, ids="+".join)
@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("parser", ["json", "msgpack"])
@pytest.mark.parametrize("deflate", [False, True], ids=["plain", "deflate"])
async def test_the_official_client_in_node(transports: list[str], space: str, parser: str, *, deflate: bool) -> None:
    options = {**official(transports, space, deflate=deflate), "msgpack": parser == "msgpack"}
    async with place(parser) as found:
        command = [node(), "matrix.mjs", f"http://{found.host}", json.dumps(options)]
        judge(await run(command, JS), transports, recovers=True)


@pytest.mark.node
@pytest.mark.parametrize("transports", TRANSPORTS, ids="+".join)
@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("parser", ["json", "msgpack"])
async def test_the_official_client_in_chromium(transports: list[str], space: str, parser: str) -> None:
    """Chromium offers permessage-deflate by itself."""
    path = chromium_path()
    if path is None:
        pytest.skip("no Chromium: apt-get install chromium, or name one in TOWNWATCH_CHROMIUM")
    node()  # skips where the npm packages are missing
    bundle = "socket.io.msgpack.min.js" if parser == "msgpack" else "socket.io.min.js"
    async with place(parser) as found:
        arguments = [path, f"http://{found.host}", official(transports, space), bundle]
        judge(await trio.to_thread.run_sync(_in_chromium, *arguments), transports, recovers=True)


def _in_chromium(path: str, url: str, options: dict[str, Any], bundle: str) -> dict[str, Any]:
    sync_api = pytest.importorskip("playwright.sync_api")
    story = (JS / "matrix_scenario.js").read_text().replace("export async", "async")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_ARGS)
        page = browser.new_page()
        page.add_script_tag(path=str(JS / "node_modules/socket.io-client/dist" / bundle))
        page.add_script_tag(content=story)
        found = page.evaluate("([url, options]) => scenario(io, url, options)", [url, options])
        browser.close()
    return found


@pytest.mark.parametrize("kind", ["threads", "asyncio"])
@pytest.mark.parametrize("transports", TRANSPORTS, ids="+".join)
@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("serializer", ["default", "msgpack"])
async def test_the_clients_of_python_socketio(kind: str, transports: list[str], space: str, serializer: str) -> None:
    options = {"namespace": space, "transports": transports, "serializer": serializer}
    program = str(Path(__file__).with_name("python_client.py"))
    async with place("msgpack" if serializer == "msgpack" else "json") as found:
        story = await run([sys.executable, program, kind, f"http://{found.host}", json.dumps(options)])
        judge(story, transports, recovers=False)
