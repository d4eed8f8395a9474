"""A cast of real actors with the control plane's door on a real port, and a client that speaks by hand."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection

from tests.support.cast import Cast, batch, open_cast
from tests.support.doorway import doorway, websocket
from townwatch.access.subject import ALL_SCOPES
from townwatch.actors import messages as m
from townwatch.actors.ports import Ref
from townwatch.app.supervision_tree import CLIENTS
from townwatch.contracts.link import Hello
from townwatch.runtime import TrioActor
from townwatch.transports.control import ControlDeps, ControlEndpoint, ControlSettings


@attrs.frozen
class Person:
    user_id: str | None
    token_id: str | None = None
    expires_ms: int | None = None
    scopes: frozenset[str] = ALL_SCOPES


PEOPLE = {"ada-token": Person("ada"), "bob-token": Person("bob"), "nobody-token": Person(None)}


class Rights:
    """Who may what; the test changes it."""

    def __init__(self) -> None:
        self.readers, self.drivers = {"ada", "bob"}, {"ada"}

    async def readable_village(self, subject: Any, name: str) -> str | None:
        return name if await self.may_read(subject, name) else None

    async def may_read(self, subject: Any, village_id: str) -> bool:
        await trio.lowlevel.checkpoint()
        return subject.user_id in self.readers

    async def may_drive(self, subject: Any, village_id: str) -> bool | None:
        return subject.user_id in self.drivers if await self.may_read(subject, village_id) else None


async def authenticate(token: str | None) -> Any:
    await trio.lowlevel.checkpoint()
    if token not in PEOPLE:
        raise ValueError("not one of ours")
    return PEOPLE[token]


class OrderTaker(TrioActor):
    """Where a runner's connection would be."""

    def __init__(self) -> None:
        super().__init__()
        self.orders: list[Any] = []

    def on_receive(self, message: Any) -> None:
        if isinstance(message, m.SendCommand):
            self.orders.append(message.command)


class Client:
    """A control client's end of the wire."""

    def __init__(self, ws: WebSocketConnection) -> None:
        self.ws = ws

    async def say(self, kind: str, **fields: Any) -> None:
        await self.ws.send_message(json.dumps({"type": kind, **fields}))

    async def hear(self) -> dict[str, Any]:
        """The next message, without its timestamp (which every one has)."""
        with trio.fail_after(5):
            message = json.loads(await self.ws.get_message())
        assert message.pop("timestamp").endswith("Z")
        return message

    async def error(self) -> str:
        message = await self.hear()
        assert message["type"] == "error", message
        assert message["message"] and "\n" not in message["message"]
        return message["code"]

    async def sign_in(self, token: str = "ada-token") -> None:
        await self.say("authenticate", token=token)
        assert (await self.hear())["event"] == "authenticated"

    async def subscribe(self, session_id: str = "s1") -> None:
        await self.say("subscribe", sessionId=session_id)
        assert (await self.hear()) == {"type": "event", "event": "subscribed", "data": {"sessionId": session_id}}

    async def closed(self) -> tuple[int, str]:
        with trio.fail_after(8):
            try:
                while True:
                    await self.ws.get_message()
            except ConnectionClosed as gone:
                assert gone.reason is not None
                return gone.reason.code, gone.reason.reason or ""


@attrs.define
class House:
    """What a test of the control plane holds in its hands."""

    cast: Cast
    door: ControlEndpoint
    rights: Rights
    port: int

    @asynccontextmanager
    async def client(self, token: str | None = None, **headers: str) -> AsyncIterator[Client]:
        """A connection that heard `connected`; signed in with the token, if any."""
        async with websocket(self.port, "/ws", headers) as ws:
            client = Client(ws)
            assert (await client.hear())["event"] == "connected"
            if token is not None:
                await client.sign_in(token)
            yield client

    async def happen(self, *events: dict[str, Any], session: str = "s1") -> None:
        """A runner sends events, and who watches has been told of them."""
        link = OrderTaker.start()
        ref = await self.cast.session(session)
        await ref.send(batch(link, *events))
        with trio.fail_after(5):
            while (await ref.call(m.Describe())).seq < events[-1]["seq"]:
                await trio.sleep(0.002)
            await self.cast.settle()  # the session has them; the village may not yet

    async def runner(self) -> Ref:
        """The runner r1 is connected; where its orders go."""
        link = OrderTaker.start()
        actor = await self.cast.context.router_call(m.EnsureRunner("r1"))
        await actor.call(m.LinkUp(link, Hello(runner_id="r1", name="r", version="1")))
        return link


@pytest.fixture
def house(tmp_path: Path) -> Callable[..., Any]:
    """`async with house() as h`, or `house(authenticate=0.1)` with other settings."""

    @asynccontextmanager
    async def build(**settings: Any) -> AsyncIterator[House]:
        async with open_cast(tmp_path) as cast:
            rights = Rights()
            deps = ControlDeps(
                context=cast.context,
                clients=CLIENTS,
                authenticate=authenticate,
                access=rights,
                allow_origin=lambda origin, _host: origin in (None, "http://here.example"),
                settings=ControlSettings(**settings),
            )
            door = ControlEndpoint(deps)
            async with doorway(door.serve) as port:
                yield House(cast, door, rights, port)

    return build
