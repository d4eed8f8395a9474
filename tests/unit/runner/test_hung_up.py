"""A service that hangs up in the middle of the handshake: it died there, and its next life is to be found at once."""

import socket
import struct
from functools import partial
from pathlib import Path

import pytest
import trio

from townwatch.contracts import link as wire
from townwatch.runner.identity import Identity
from townwatch.runner.link.link import Link
from townwatch.runner.spool.spool import Spool


async def no_commands(command: wire.Command) -> wire.Result:
    raise AssertionError(command)


@pytest.mark.parametrize("reset", [True, False])
async def test_it_dials_again_at_once(tmp_path: Path, reset: bool) -> None:
    spool = Spool(tmp_path / "spool.db")
    came = 0

    async def hang_up(stream: trio.SocketStream) -> None:
        nonlocal came
        await stream.receive_some()  # the request
        came += 1
        if reset:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await stream.aclose()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, hang_up, 0, host="127.0.0.1"))
        port = listeners[0].socket.getsockname()[1]
        known = Identity(runner_id="r1", token="t", url=f"ws://127.0.0.1:{port}/runner")
        link = Link(known, lambda: wire.Hello(runner_id="r1", name="r1", version="1"), spool, no_commands)
        nursery.start_soon(link.run)
        with trio.fail_after(10):  # less than one handshake's own deadline
            while came < 3:
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    spool.close()
