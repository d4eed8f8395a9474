"""The Socket.IO protocol suite (https://github.com/socketio/socket.io-protocol), restated; pings are answered."""

import gc
import json
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from socketio import exceptions
from trio_websocket import WebSocketConnection

from tests.support.wire import Place, closed, receive, socketio_place
from townwatch.transports.socketio import NO_ACK, TrioServer


def application(server: TrioServer) -> None:
    """What the suite's server does, in both of its namespaces."""
    on: Any = server.on

    for space in ("/", "/custom"):

        async def connect(sid: str, _environ: dict[str, Any], auth: Any, space: str = space) -> None:
            await server.emit("auth", auth if auth is not None else {}, to=sid, namespace=space)

        async def message(sid: str, *args: Any, space: str = space) -> None:
            await server.emit("message-back", args, to=sid, namespace=space)

        async def with_ack(_sid: str, *args: Any) -> Any:
            return args

        async def without_ack(_sid: str, *_args: Any) -> Any:
            return NO_ACK

        on("connect", connect, namespace=space)
        on("message", message, namespace=space)
        on("message-with-ack", with_ack, namespace=space)
        on("never", without_ack, namespace=space)


@asynccontextmanager
async def place(**options: Any) -> AsyncIterator[Place]:
    async with socketio_place(application, **options) as found:
        yield found


@asynccontextmanager
async def connected(found: Place) -> AsyncIterator[WebSocketConnection]:
    """In the main namespace, its first event read."""
    async with found.websocket() as socket:
        await receive(socket)
        await socket.send_message("40")
        assert (await receive(socket)).startswith('40{"sid":"')
        assert await receive(socket) == '42["auth",{}]'
        yield socket


# --- connect


@pytest.mark.parametrize(
    ("packet", "prefix", "auth"),
    [
        ("40", "40", "{}"),
        ('40{"token":"123"}', "40", '{"token":"123"}'),
        ("40/custom,", "40/custom,", "{}"),
        ("40/custom", "40/custom,", "{}"),
        ('40/custom?a=b,{"token":"abc"}', "40/custom,", '{"token":"abc"}'),
    ],
)
async def test_a_namespace_is_connected_with_its_payload(packet: str, prefix: str, auth: str) -> None:
    async with place() as found, found.websocket() as socket:
        await receive(socket)
        await socket.send_message(packet)
        answer = await receive(socket)
        assert answer.startswith(prefix + "{")
        assert list(json.loads(answer[len(prefix) :])) == ["sid"]
        assert await receive(socket) == f'42{prefix[2:]}["auth",{auth}]'


async def test_a_namespace_that_is_not_there_is_an_error_with_data() -> None:
    async with place() as found, found.websocket() as socket:
        await receive(socket)
        await socket.send_message("40/random,")
        assert await receive(socket) == '44/random,{"message":"Invalid namespace"}'


async def test_who_leaves_before_it_connects_is_not_kept_until_its_time_is_over() -> None:
    async with place() as found:
        async with found.websocket() as socket:
            await receive(socket)
            (session,) = found.server.engine.sessions.values()
            kept = weakref.ref(session)
            del session
        with trio.fail_after(5):
            while kept() is not None:
                gc.collect()
                await trio.sleep(0.02)


async def test_who_does_not_connect_is_closed() -> None:
    async with place(connect_timeout=0.3) as found, found.websocket() as socket:
        await receive(socket)
        assert await closed(socket)


@pytest.mark.parametrize("packet", ["4abc", "40{", '40"x"', "40[]", '44{"message":"x"}', "49", "4", '42["x"]'])
async def test_what_is_no_connect_closes_the_connection(packet: str) -> None:
    async with place() as found, found.websocket() as socket:
        await receive(socket)
        await socket.send_message(packet)
        assert await closed(socket, 2)


# --- disconnect


async def test_leaving_one_namespace_keeps_the_other() -> None:
    async with place() as found, connected(found) as socket:
        await socket.send_message("40/custom")
        assert (await receive(socket)).startswith("40/custom,")
        assert await receive(socket) == '42/custom,["auth",{}]'
        await socket.send_message("41")
        await socket.send_message('42/custom,["message","message to main namespace"]')
        assert await receive(socket) == '42/custom,["message-back","message to main namespace"]'


async def test_leaving_a_custom_namespace_keeps_the_main_one() -> None:
    async with place() as found, connected(found) as socket:
        await socket.send_message("40/custom")
        await receive(socket)
        await receive(socket)
        await socket.send_message("41/custom,")
        await socket.send_message('42["message","still here"]')
        assert await receive(socket) == '42["message-back","still here"]'


# --- messages


async def test_plain_arguments_come_back() -> None:
    async with place() as found, connected(found) as socket:
        await socket.send_message('42["message",1,"2",{"3":[true]}]')
        assert await receive(socket) == '42["message-back",1,"2",{"3":[true]}]'


async def test_binary_arguments_come_back() -> None:
    async with place() as found, connected(found) as socket:
        head = '452-["message",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]'
        await socket.send_message(head)
        await socket.send_message(b"\x01\x02\x03")
        await socket.send_message(b"\x04\x05\x06")
        assert await receive(socket) == head.replace("message", "message-back")
        assert await receive(socket) == b"\x01\x02\x03"
        assert await receive(socket) == b"\x04\x05\x06"


async def test_an_acknowledgement_has_the_clients_id() -> None:
    async with place() as found, connected(found) as socket:
        await socket.send_message('42456["message-with-ack",1,"2",{"3":[false]}]')
        assert await receive(socket) == '43456[1,"2",{"3":[false]}]'


async def test_a_binary_acknowledgement() -> None:
    async with place() as found, connected(found) as socket:
        head = '452-789["message-with-ack",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]'
        await socket.send_message(head)
        await socket.send_message(b"\x01")
        await socket.send_message(b"\x02")
        assert await receive(socket) == '462-789[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]'
        assert await receive(socket) == b"\x01"
        assert await receive(socket) == b"\x02"


async def test_a_handler_may_leave_an_acknowledgement_unanswered() -> None:
    async with place() as found, connected(found) as socket:
        await socket.send_message('421["never"]')
        await socket.send_message('422["message-with-ack"]')
        assert await receive(socket) == "432[]"


async def test_the_server_asks_and_gets_the_clients_answer() -> None:
    async with place() as found, connected(found) as socket:
        (sid,) = found.server.space("/").sockets
        answers: list[Any] = []

        async def ask() -> None:
            answers.append(await found.server.call("question", {"a": 1}, to=sid, timeout=2))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            question = await receive(socket)
            assert question.startswith("42") and question.endswith('["question",{"a":1}]')
            await socket.send_message(f'43{question[2 : question.index("[")]}["yes"]')
        assert answers == ["yes"]


async def test_who_hangs_up_keeps_nobody_waiting_for_their_answer() -> None:
    async with place() as found:
        gave_up = trio.Event()

        async def ask(sid: str) -> None:
            with pytest.raises(exceptions.TimeoutError):
                await found.server.call("question", to=sid, timeout=None)
            gave_up.set()

        async with trio.open_nursery() as nursery:
            async with connected(found) as socket:
                (sid,) = found.server.space("/").sockets
                nursery.start_soon(ask, sid)
                assert '["question"]' in await receive(socket)
            with trio.fail_after(5):
                await gave_up.wait()


@pytest.mark.parametrize(
    "packet",
    [
        "4abc",
        "42{}",
        '42abc["x"]',
        '42["disconnect"]',
        '42["connect_error"]',
        "42[]",
        "42",
        '44{"message":"x"}',
        "49",
        '42/unknown,["x"]',
        "9",
        "",
        "40",
        "43{}",
        '459-["x"]x',
        '4511-["x",{"_placeholder":true,"num":0}]',
        '42["x",NaN]',
    ],
)
async def test_a_malformed_packet_closes_the_connection(packet: str) -> None:
    async with place() as found, connected(found) as socket:
        await socket.send_message(packet)
        assert await closed(socket, 2)


@pytest.mark.parametrize("first", [b"\x01", '451-["x",{"_placeholder":true,"num":1}]'])
async def test_attachments_that_do_not_belong_close_the_connection(first: str | bytes) -> None:
    async with place() as found, connected(found) as socket:
        await socket.send_message(first)
        if isinstance(first, str):
            await socket.send_message(b"\x01")
        assert await closed(socket, 2)
