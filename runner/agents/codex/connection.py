"""The connection to a session's own Codex server: its socket, its greeting, and what it said where there is none."""

from typing import Any

import trio
import trio_websocket

from townwatch.runner.agents import shared_files
from townwatch.runner.agents.adapter import AdapterOff
from townwatch.runner.agents.codex.launch import Files
from townwatch.runner.agents.jsonrpc import Rpc, RpcError

SOCKET_SECONDS, ANSWER_SECONDS = 30.0, 30.0
"""The command line that starts the server gives up before that, and says so."""
LOG_CHARS = 300


async def connect(files: Files) -> trio.SocketStream:
    """Connect to the server's socket once it is there. Raises `AdapterOff`.

    Codex puts the socket itself in a private directory with a short path, and a link to it where it was told: a
    unix socket's path has 108 bytes at most.
    """
    reason = ""
    with trio.move_on_after(SOCKET_SECONDS):
        while True:
            try:
                found = await trio.to_thread.run_sync(shared_files.connect, files.socket)
                return trio.SocketStream(trio.socket.from_stdlib_socket(found))
            except OSError as error:  # not there yet, or not yet a link to the short path
                reason = str(error)
            if await trio.to_thread.run_sync(shared_files.find, files.alone.parent, files.alone.name):
                raise AdapterOff(f"Codex's app-server cannot be started: {await _last_words(files)}")
            await trio.sleep(0.05)
    raise AdapterOff(f"Codex's app-server cannot be reached within {SOCKET_SECONDS:.0f} s: {reason}")


async def _last_words(files: Files) -> str:
    """Return what the server said at its end."""
    try:
        data = await trio.to_thread.run_sync(shared_files.read, files.log)
    except OSError as error:
        return str(error)
    said = " ".join(data.decode(errors="replace").split())
    return said[-LOG_CHARS:] or "it ended, and said nothing"


async def greet(rpc: Rpc) -> None:
    """Say who we are. Raises `AdapterOff`."""
    info = {"name": "townwatch", "title": "Townwatch", "version": "1"}
    hello = {"clientInfo": info, "capabilities": {"experimentalApi": True}}
    try:
        await rpc.call("initialize", hello, ANSWER_SECONDS)
    except RpcError as error:
        raise AdapterOff(str(error)) from None
    await rpc.notify("initialized")


def sender(socket: trio_websocket.WebSocketConnection) -> Any:
    """Return the function that sends a message over this connection; it raises `AdapterOff` once that is closed."""

    async def send(message: bytes) -> None:
        try:
            await socket.send_message(message.decode())
        except trio_websocket.ConnectionClosed:
            raise AdapterOff("Codex's app-server has closed the connection") from None

    return send
