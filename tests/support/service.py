"""The whole service in this process, a runner that says what the test wants, and the official Socket.IO client."""

import json
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs
import pytest
import trio
import trio_websocket

from townwatch.app.service import RunningService, open_service
from townwatch.config import reading
from townwatch.config.settings import Settings
from townwatch.runner import identity

JS = Path(__file__).parents[1] / "js"


def quiet_settings(state: Path, **server: Any) -> Settings:
    """A free port, nothing from the environment."""
    found = reading.load(None, {})
    return attrs.evolve(
        found,
        state_dir=str(state),
        server=attrs.evolve(found.server, port=0, **server),
        runners=attrs.evolve(found.runners),
    )


@asynccontextmanager
async def open_town(state: Path, changes: Callable[[Settings], Settings] = lambda s: s) -> AsyncIterator["Town"]:
    """A service with everything, listening."""
    async with open_service(changes(quiet_settings(state))) as service:
        code = (await service.link()).partition("code=")[2]
        token = (await service.sign_in.exchange(code)).token
        yield Town(service, token, state)


@attrs.define(eq=False)
class Town:
    """`token`: the owner's."""

    service: RunningService
    token: str
    state: Path

    @property
    def url(self) -> str:
        return self.service.url

    @asynccontextmanager
    async def runner(
        self, sessions: list[dict[str, Any]] | None = None, **more: Any
    ) -> AsyncIterator["ScriptedRunner"]:
        """A connection that has said hello and was welcomed. `more`: of the hello."""
        known = identity.load(self.state)
        headers = [(b"authorization", f"Bearer {known.token}".encode())]
        where = urlsplit(known.url)
        address = (where.hostname or "", where.port or 80)
        stream = await trio.open_tcp_stream(*address)
        try:  # the library leaves the socket open where its other end goes first
            async with trio.open_nursery() as nursery:
                host = f"{address[0]}:{address[1]}"
                socket = await trio_websocket.wrap_client_stream(
                    nursery, stream, host, where.path, extra_headers=headers
                )
                hello = {"type": "hello", "runnerId": known.runner_id, "name": "scripted", "version": "1"}
                await socket.send_message(json.dumps({**hello, "sessions": sessions or [], **more}))
                runner = ScriptedRunner(socket)
                runner.welcome = await runner.next("welcome")
                yield runner
                with trio.move_on_after(1):
                    await socket.aclose()
                nursery.cancel_scope.cancel()
        finally:
            await trio.aclose_forcefully(stream)

    @asynccontextmanager
    async def client(self, **options: Any) -> AsyncIterator["NodeClient"]:
        """The official client, connected and joined; `token=None` is the anonymous."""
        options.setdefault("token", self.token)
        if options["token"] is None:
            del options["token"]
        options.setdefault("transports", ["websocket"])
        async with open_node_client(self.url, options) as client:
            yield client


@attrs.define(eq=False)
class ScriptedRunner:
    """Speaks ``townwatch.runner.v1`` with the test's words."""

    socket: trio_websocket.WebSocketConnection
    welcome: dict[str, Any] = attrs.field(factory=dict)

    async def send(self, *events: dict[str, Any]) -> None:
        await self.socket.send_message(json.dumps({"type": "events", "events": list(events)}))

    async def say(self, text: str) -> None:
        await self.socket.send_message(text)

    async def next(self, kind: str) -> dict[str, Any]:
        """The next message of this type; others are passed over."""
        with trio.fail_after(10):
            while True:
                message = json.loads(await self.socket.get_message())
                if message["type"] == kind:
                    return message

    async def acked(self, seq: int) -> None:
        """Until the service has acknowledged up to `seq`."""
        while (await self.next("ack"))["seq"] < seq:
            pass


class NodeClient:
    """What `watch.mjs` prints, as it comes."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self._buffer = b""
        self.lines: list[dict[str, Any]] = []

    async def line(self) -> dict[str, Any]:
        """The next line."""
        with trio.fail_after(60):
            while b"\n" not in self._buffer:
                assert self._process.stdout is not None
                data = await self._process.stdout.receive_some(65536)
                assert data, f"the client ended; so far: {self.lines}"
                self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        self.lines.append(json.loads(line))
        return self.lines[-1]

    async def until(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first line that is wanted, among those that come."""
        while not wanted(found := await self.line()):
            pass
        return found

    async def events(self, count: int) -> list[tuple[str, Any]]:
        """The next `count` events as (name, first argument), pings left out."""
        found: list[tuple[str, Any]] = []
        while len(found) < count:
            line = await self.line()
            if "event" in line and line["event"] != "server_ping":
                found.append((line["event"], line["args"][0] if line["args"] else None))
        return found

    async def emit(self, event: str, payload: Any = None) -> Any:
        """Emit with an acknowledgement, and wait for it."""
        assert self._process.stdin is not None
        words = [event] if payload is None else [event, payload]
        await self._process.stdin.send_all(json.dumps(words).encode() + b"\n")
        return (await self.until(lambda line: line.get("to") == event))["ack"]

    async def known(self) -> tuple[str, str | None]:
        """The private id and the last offset, with which it would come back."""
        assert self._process.stdin is not None
        await self._process.stdin.send_all(b'["$known"]\n')
        line = await self.until(lambda line: "pid" in line)
        return line["pid"], line.get("offset")

    async def cut(self) -> None:
        """Lose the connection."""
        assert self._process.stdin is not None
        await self._process.stdin.send_all(b'["$cut"]\n')


def node() -> str:
    """The node of the development requirements. Skips the test where the npm packages are missing."""
    if not (JS / "node_modules" / "socket.io-client").is_dir():
        pytest.skip("the npm packages of tests/js are missing: make test installs them")
    found = shutil.which("node", path=str(Path(sys.executable).parent)) or shutil.which("node")
    if found is None:
        pytest.skip("there is no node: make test installs one")
    return found


@asynccontextmanager
async def open_node_client(url: str, options: dict[str, Any]) -> AsyncIterator[NodeClient]:
    """Waits until it has joined, or was refused."""
    async with open_node(JS / "watch.mjs", url, json.dumps(options)) as process:
        client = NodeClient(process)
        await client.until(lambda line: "joined" in line or "error" in line)
        yield client


@asynccontextmanager
async def open_node(script: Path, *arguments: str) -> AsyncIterator[trio.Process]:
    """A script of ours in Node, with pipes; killed at the end."""
    process = await trio.lowlevel.open_process([node(), str(script), *arguments], stdin=-1, stdout=-1, cwd=str(JS))
    try:
        yield process
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    await pipe.aclose()
