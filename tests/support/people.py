"""People with tokens in a running service, and their connections by hand: Socket.IO and the control WebSocket."""

import itertools
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Literal

import attrs
import httpx
import trio
import trio_websocket
from sqlalchemy import Connection
from trio_websocket import ConnectionClosed, WebSocketConnection

from tests.support.service import Town
from townwatch.access.grants import grant_api_token
from townwatch.access.subject import ALL_SCOPES
from townwatch.store import members, users, villages

Kind = Literal["socketio", "control"]
KINDS: tuple[Kind, ...] = ("socketio", "control")


async def person(town: Town, name: str, role: str | None = None, village: str = "demo", **options: Any) -> str:
    """Somebody new, with this role in the village; their token. Their id is ``user_<name>``."""

    def make(connection: Connection) -> str:
        now = town.service.context.clock.now_ms()
        users.create(connection, name.title(), now, user_id=f"user_{name}")
        if role is not None:
            key = villages.key_of(connection, village)
            assert key is not None, f"there is no village {village}"
            members.put(connection, key, f"user_{name}", role, now)  # type: ignore[arg-type]
        scopes = options.pop("scopes", ALL_SCOPES)
        return grant_api_token(connection, f"user_{name}", name, scopes, now, **options).token

    return await town.service.database.call(make)


@asynccontextmanager
async def rest(town: Town, token: str | None = None) -> AsyncGenerator[httpx.AsyncClient]:
    """A client of the REST API."""
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=town.url, headers=headers, timeout=30) as http:
        yield http


class Refused(Exception):
    """The connection did not come about; `args[0]` is what was said."""


@attrs.define(eq=False)
class Live:
    """A connection that was let in. `heard`: everything that came and was not asked for."""

    kind: Kind
    socket: WebSocketConnection
    heard: list[Any] = attrs.field(factory=list)
    _numbers: Any = attrs.field(factory=lambda: itertools.count(1))

    async def emit(self, event: str, payload: Any) -> Any:
        """Socket.IO: the acknowledgement of an event."""
        number = next(self._numbers)
        await self.socket.send_message(f"42{number}" + json.dumps([event, payload]))
        while True:
            text = await self.next()
            if isinstance(text, str) and text.startswith(f"43{number}["):
                return json.loads(text[len(f"43{number}") :])[0]
            self.heard.append(text)

    async def say(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Control: the first answer that is an event or an error."""
        await self.socket.send_message(json.dumps({"type": kind, **fields}))
        while True:
            message = await self.next()
            if message["type"] in ("event", "error", "pong"):
                return message
            self.heard.append(message)

    async def next(self) -> Any:
        """The next message; pings are answered. Control: as an object."""
        with trio.fail_after(30):
            while (text := await self.socket.get_message()) == "2" and self.kind == "socketio":
                await self.socket.send_message("3")
            return json.loads(text) if self.kind == "control" else text

    async def closed(self) -> None:
        """Until the service has closed it."""
        with trio.fail_after(10):
            while True:
                try:
                    message = await self.socket.get_message()
                except ConnectionClosed:
                    return
                if message == "2" and self.kind == "socketio":
                    await self.socket.send_message("3")
                else:
                    self.heard.append(message)
                    if message == "41":
                        return


@asynccontextmanager
async def raw(town: Town, path: str, **headers: str) -> AsyncGenerator[WebSocketConnection]:
    """A WebSocket to the service; its other end may go first."""
    host, _, port = town.url.removeprefix("http://").partition(":")
    stream = await trio.open_tcp_stream(host, int(port))
    extra = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    try:
        async with trio.open_nursery() as nursery:
            yield await trio_websocket.wrap_client_stream(nursery, stream, f"{host}:{port}", path, extra_headers=extra)
            nursery.cancel_scope.cancel()
    finally:
        await trio.aclose_forcefully(stream)


@asynccontextmanager
async def connected(town: Town, kind: Kind, token: str | None, **headers: str) -> AsyncGenerator[Live]:
    """A connection of somebody, let in. Raises `Refused`."""
    path = "/socket.io/?EIO=4&transport=websocket" if kind == "socketio" else "/ws"
    async with raw(town, path, **headers) as socket:
        live = Live(kind, socket)
        await live.next()  # the greeting
        if kind == "socketio":
            await socket.send_message("40" + ("" if token is None else json.dumps({"token": token})))
            answer = await live.next()
            if answer.startswith("44"):
                raise Refused(json.loads(answer[2:]))
        else:
            answer = await live.say("authenticate", token=token)
            if answer["type"] == "error":
                raise Refused(answer)
        yield live


async def sign_in(town: Town, name: str, role: str | None = None, village: str = "demo") -> str:
    """Somebody new, who signed in: the token of a sign-in, which may make new ways in. Their id is ``user_<name>``."""
    await person(town, name, role, village)
    sign_in = town.service.sign_in
    return (await sign_in.exchange(await sign_in.issue_code(f"user_{name}"))).token
