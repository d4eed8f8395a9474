"""Following a session: the events of the durable log, in order, and a connection that says when there is more.

The log is the truth: nothing is lost or doubled when the connection breaks. It is only looked at later then.
"""

import json
from collections.abc import AsyncIterator
from typing import Any

import attrs
import trio
import trio_websocket

from townwatch.client._asking import Asking, part
from townwatch.contracts import rest
from townwatch.contracts.codec import ContractError, encode
from townwatch.contracts.decoding.runner_events import decode_event
from townwatch.contracts.events import RunnerEvent, SessionEnded

CONNECT_SECONDS = 15.0
LOOK_SECONDS, QUIET_SECONDS = 1.0, 15.0
"""How often the log is looked at without a connection, and with one."""
LEAST_SECONDS = 0.1
"""Between two looks: a terminal that is busy would ring all the time."""
PAGE = 1000
MAX_MESSAGE = 8 << 20
_BROKEN = (trio_websocket.ConnectionClosed, trio_websocket.HandshakeError, OSError, trio.TooSlowError, ValueError)


@attrs.frozen(kw_only=True)
class UnknownEvent:
    """An event of a kind that this version does not know."""

    seq: int
    type: str
    values: dict[str, Any]


@attrs.define(eq=False)
class Bell:
    """Rings whenever the service says something about a session. Run `run` in a nursery."""

    asking: Asking
    session_id: str
    connected: bool = False
    _rung: trio.Event = attrs.field(factory=trio.Event)

    async def run(self) -> None:
        """Stay connected, until it is cancelled."""
        while True:
            try:
                await self._listen()
            except* _BROKEN:
                pass
            self.connected = False
            self._rung.set()
            await trio.sleep(LOOK_SECONDS)

    async def wait(self) -> None:
        """Return when there may be more."""
        await trio.sleep(LEAST_SECONDS)
        with trio.move_on_after(QUIET_SECONDS if self.connected else LOOK_SECONDS):
            await self._rung.wait()
        self._rung = trio.Event()

    async def _listen(self) -> None:
        url, asking = f"{self.asking.url.replace('http', 'ws', 1)}/ws", self.asking
        opened = trio_websocket.open_websocket_url(
            url,
            ssl_context=asking.tls,
            connect_timeout=CONNECT_SECONDS,
            disconnect_timeout=1.0,
            max_message_size=MAX_MESSAGE,
        )
        async with opened as socket:
            await socket.send_message(json.dumps({"type": "authenticate", "token": asking.token}))
            await socket.send_message(json.dumps({"type": "subscribe", "sessionId": self.session_id}))
            while True:
                message = json.loads(await socket.get_message())
                if message["type"] == "error":
                    raise ValueError(message.get("message"))
                self.connected = self.connected or message.get("event") == "subscribed"
                self._rung.set()


@attrs.define(eq=False)
class Following:
    """The events of a session after `seq`, as they come; it ends with the session."""

    asking: Asking
    session_id: str
    bell: Bell
    seq: int = 0

    async def __aiter__(self) -> AsyncIterator[RunnerEvent | UnknownEvent]:
        ended = False
        while not ended:
            found, more = await page(self.asking, self.session_id, self.seq)
            for event in found:
                self.seq, ended = event.seq, isinstance(event, SessionEnded)
                yield event
            if not found and not more:
                await self.bell.wait()


async def page(asking: Asking, session_id: str, after: int) -> tuple[list[RunnerEvent | UnknownEvent], bool]:
    """Return the next events after a seq, and whether there are more now."""
    path = f"/api/runner/sessions/{part(session_id)}/events"
    found = await asking.ask(rest.EventList, "GET", path, after=after, limit=PAGE)
    return [_event(one) for one in found.items], found.next is not None


def _event(values: dict[str, Any]) -> RunnerEvent | UnknownEvent:
    try:
        return decode_event(encode(values))
    except ContractError:
        return UnknownEvent(seq=int(values["seq"]), type=str(values["type"]), values=values)
