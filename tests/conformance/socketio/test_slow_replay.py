"""What a client missed may be more than waits for a slow one: it gets all of it, at its own pace."""

import json
from typing import Any

import trio

from tests.support.wire import receive, socketio_place
from townwatch.transports.socketio import EngineSettings, TrioServer

BACKLOG = 300_000
EVENTS, TEXT = 400, "x" * 50_000
"""20 MB: more than the kernel keeps for a reader that does not read, and far more than the backlog."""


sent: list[int] = []


def application(server: TrioServer) -> None:
    async def replay(sid: str) -> str:
        sent.clear()
        async with server.catch_up(sid) as catching_up:
            for number in range(EVENTS):
                payload = json.dumps({"number": number, "text": TEXT}).encode()
                await catching_up.room(len(payload))
                catching_up.send("e", payload)
                sent.append(number)
        return "done"

    on: Any = server.on
    on("replay", replay)


async def test_over_a_websocket_that_is_read_late() -> None:
    async with place() as found, found.websocket() as socket:
        await receive(socket)
        await socket.send_message("40")
        await receive(socket)
        await socket.send_message('421["replay"]')
        before = -1
        with trio.fail_after(5):  # until the service waits for us
            while len(sent) != before:
                before = len(sent)
                await trio.sleep(0.25)
        assert 0 < before < EVENTS
        with trio.fail_after(20):
            numbers = [json.loads((await receive(socket))[2:])[1]["number"] for _ in range(EVENTS)]
            assert numbers == list(range(EVENTS))
            assert await receive(socket) == '431["done"]'


def place() -> Any:
    return socketio_place(application, EngineSettings(backlog=BACKLOG))
