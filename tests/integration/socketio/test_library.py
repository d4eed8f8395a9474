"""Socket.IO as a library: an application of python-socketio's, ported, and its own client."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import socketio
import trio

from tests.support.raw_websocket import KEY
from tests.support.wire import Place, receive, socketio_place
from townwatch.transports.socketio import ASGIApp, EngineSettings, RecoverySettings, TrioServer

CLIENT = Path(__file__).parent / "listener.py"
ONLY = {"contracts", "transports"}
"""Packages of ours that the library may bring."""


def test_it_is_imported_without_the_service() -> None:
    code = """
import sys, json
import townwatch.transports.socketio
print(json.dumps(sorted(sys.modules)))
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = json.loads(answer.stdout)
    ours = {name.split(".")[1] for name in modules if name.startswith("townwatch.")}
    assert ours == ONLY
    assert not {"sqlalchemy", "townwatch.transports.socketio.handlers", "townwatch.transports.http"} & set(modules)


@pytest.mark.parametrize(
    ("keywords", "expected"),
    [
        ({"cors_allowed_origins": "https://a.example"}, {"origins": ("https://a.example",)}),
        ({"cors_allowed_origins": ["https://a.example", "*"]}, {"origins": ("https://a.example", "*")}),
        ({"ping_interval": (20, 5), "ping_timeout": 7}, {"ping_interval": 25.0, "ping_timeout": 7.0}),
        ({"max_http_buffer_size": 5000}, {"max_payload": 5000}),
        ({"transports": "websocket"}, {"transports": ("websocket",)}),
        ({"allow_upgrades": False, "cors_credentials": False}, {"upgrades": False, "credentials": False}),
        ({"async_mode": "asgi", "logger": True, "engineio_logger": False, "monitor_clients": True, "cookie": None}, {}),
    ],
)
def test_the_keywords_of_async_server_are_taken(keywords: dict[str, Any], expected: dict[str, Any]) -> None:
    settings = TrioServer(**keywords).engine.settings
    assert {name: getattr(settings, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"async_mode": "aiohttp"}, "async_mode='aiohttp': this server runs on trio"),
        ({"async_handlers": True}, "one after another; start long work in a background task"),
        ({"client_manager": object()}, "rooms are those of this process"),
        ({"cookie": "io"}, "set one with the hook initial_headers"),
        ({"cors_allowed_origins": []}, "it would let every page connect"),
        ({"cors_allowed_origins": print}, "decide in the hook allow_request"),
        ({"serializer": object}, "there are 'default' and 'msgpack'"),
        ({"engine": EngineSettings(), "ping_timeout": 3}, "give them in engine=EngineSettings"),
        ({"pingTimeout": 3}, "unexpected keyword argument 'pingTimeout'"),
    ],
)
def test_a_keyword_that_is_not_taken_says_what_replaces_it(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError) as caught:
        TrioServer(**keywords)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(TypeError, match=r"wrap an ASGI application with .*ASGIApp"):
        TrioServer().attach(object())


class Orders(socketio.AsyncNamespace):
    """As python-socketio's documentation writes it: no auth, no reason."""

    def __init__(self, namespace: str, server: TrioServer) -> None:
        super().__init__(namespace)
        self.own, self.gone = server, trio.Event()

    def on_connect(self, sid: str, environ: dict[str, Any]) -> None:
        assert environ["QUERY_STRING"]

    async def on_disconnect(self, sid: str) -> None:
        self.gone.set()

    async def on_where(self, sid: str) -> dict[str, Any]:
        manager = self.own.manager
        await self.own.enter_room(sid, "kitchen", namespace="/orders")
        ((found, engine_sid),) = manager.get_participants("/orders", "kitchen")
        return {
            "me": found == sid == manager.sid_from_eio_sid(engine_sid, "/orders"),
            "rooms": manager.get_rooms(sid, "/orders"),
            "connected": manager.is_connected(sid, "/orders") and not manager.is_connected("nobody", "/orders"),
            "all": list(manager.rooms["/orders"]) == [None, sid, "kitchen"],
            "environ": self.own.environ[engine_sid]["REQUEST_METHOD"] + self.own.environ[sid]["REQUEST_METHOD"],
        }


async def test_a_namespace_as_a_class_its_rooms_and_environ() -> None:
    spaces: list[Orders] = []

    def prepare(server: TrioServer) -> None:
        spaces.append(Orders("/orders", server))
        server.register_namespace(spaces[0])

    async with socketio_place(prepare) as place:
        async with place.websocket() as socket:
            await receive(socket)
            await socket.send_message("40/orders,")
            sid = json.loads((await receive(socket)).removeprefix("40/orders,"))["sid"]
            await socket.send_message('42/orders,1["where"]')
            (answer,) = json.loads((await receive(socket)).removeprefix("43/orders,1"))
            assert answer == {
                "me": True, "rooms": [sid, "kitchen"], "connected": True, "all": True, "environ": "GETGET"
            }  # fmt: skip
        with trio.fail_after(3):
            await spaces[0].gone.wait()
        assert place.server.environ == {} and place.server.manager.get_namespaces() == []


async def test_background_tasks_wait_for_the_server_can_be_awaited_and_end_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server, seen = TrioServer(), list[str]()

    async def work(text: str) -> None:
        await server.sleep(0)
        seen.append(text)

    early, failing = server.start_background_task(work, "early"), server.start_background_task(lambda: 1 / 0)
    async with server.serving():
        with trio.fail_after(3):
            await early.join()
            await failing.join()
            late, endless = (
                server.start_background_task(work, text="late"),
                server.start_background_task(server.sleep, 99),
            )
            await late.join()
            assert not endless.done()
            endless.cancel()
            await endless.join()
    assert seen == ["early", "late"] and endless.done()


async def test_hooks_decide_who_connects_and_add_headers() -> None:
    async def allow(request: Any) -> str | bool:
        return request.header("x-who") == "friend" or "friends only"

    def first(headers: dict[str, str], _request: Any) -> None:
        headers["set-cookie"] = "io=1; HttpOnly"

    def each(headers: dict[str, str], _request: Any) -> None:
        headers["x-served-by"] = "tea"

    hooks: dict[str, Any] = {"allow_request": allow, "initial_headers": first, "headers": each}
    async with socketio_place(lambda server: server.on("connect", lambda *_: None), **hooks) as place:
        url = f"http://{place.host}/socket.io/?EIO=4&transport=polling"
        refused = await place.http.get(url)
        assert (refused.status_code, refused.json()) == (403, {"code": 4, "message": "friends only"})
        let_in = await place.http.get(url, headers={"x-who": "friend"})
        assert (let_in.headers["set-cookie"], let_in.headers["x-served-by"]) == ("io=1; HttpOnly", "tea")
        sid = json.loads(let_in.text[1:])["sid"]
        later = await place.http.post(f"{url}&sid={sid}", content="40")
        assert later.headers["x-served-by"] == "tea" and "set-cookie" not in later.headers
        handshake = {"connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
        key = {"sec-websocket-key": "MDEyMzQ1Njc4OWFiY2RlZg=="}
        socket = await place.http.get(
            f"http://{place.host}/socket.io/?EIO=4&transport=websocket", headers=handshake | key
        )
        assert socket.status_code == 403


async def test_a_hook_sets_several_cookies() -> None:
    def first(headers: dict[str, Any], _request: Any) -> None:
        headers["set-cookie"] = ["io=1; HttpOnly", "theme=dark"]

    async with socketio_place(shop, initial_headers=first) as place:
        polled = await place.get("EIO=4&transport=polling")
        assert polled.headers.get_list("set-cookie") == ["io=1; HttpOnly", "theme=dark"]
        ask = f"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {place.host}\r\nUpgrade: websocket\r\n"
        ask += f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
        host, _, port = place.host.partition(":")
        async with await trio.open_tcp_stream(host, int(port)) as stream:
            await stream.send_all(ask.encode())
            head = (await stream.receive_some()).lower()
        assert b" 101 " in head and b"set-cookie: io=1; httponly\r\nset-cookie: theme=dark\r\n" in head


def shop(server: TrioServer) -> None:
    @server.event
    async def connect(sid: str, environ: dict[str, Any]) -> None:
        await server.enter_room(sid, "shop")

    @server.event
    async def many(sid: str, count: int) -> int:
        for number in range(count):
            await server.emit("one", {"n": number}, room="shop")
        server.publish("whole", b'{"n":-1}', ["shop"])
        return count


async def listen(place: Place, query: str, *options: str) -> dict[str, Any]:
    """What python-socketio's client got, in a program of its own."""
    command = [sys.executable, str(CLIENT), f"http://{place.host}{query}", *options]
    with trio.fail_after(40):
        done = await trio.run_process(command, capture_stdout=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("parser", ["json", "msgpack"])
async def test_pythons_clients_poll_many_events_and_can_do_without_the_recovery_offset(parser: str) -> None:
    async with socketio_place(shop, EngineSettings(), RecoverySettings(), parser=parser) as place:
        for transport in ("polling", "websocket"):
            plain = await listen(place, "?recovery=0", transport, parser)
            assert plain == {"arguments": [1], "numbers": [*range(100), -1], "answered": 100}
        numbered = await listen(place, "", "websocket", parser)
        assert numbered["arguments"] == [2]  # the offset, as with the official server


async def test_it_says_where_it_cannot_run() -> None:
    import asyncio

    server = TrioServer()

    async def call() -> None:
        await ASGIApp(server)({"type": "http", "path": "/socket.io/"}, None, None)

    with pytest.raises(RuntimeError, match="hypercorn --worker-class trio"):
        await trio.to_thread.run_sync(asyncio.run, call())
    with pytest.raises(RuntimeError, match="is not running"):
        await call()
