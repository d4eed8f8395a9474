"""People watching: pages that connect over Socket.IO, follow the village, decide approvals, and come back.

A page behaves as the dashboard does: it resumes with connection state recovery, else it joins again with `since`.
"""

import json
import random
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import trio

from tests.simulation.frames import Closed, Frames
from tests.simulation.history import History, Seen
from tests.simulation.network import Network, SimStream
from townwatch.contracts.ui import default_agent_id

SILENT_SECONDS = 12.0
"""A service that has said nothing for so long is gone: its interval and its timeout, and a little."""
Decide = Callable[[str, str, str, str], Awaitable[None]]
"""(session, approval, decision, by): the REST call."""


class Refused(Exception):
    """A CONNECT_ERROR."""


@attrs.define(eq=False)
class Page:
    """One person's page."""

    name: str
    user: str | None
    network: Network
    dice: random.Random
    history: History
    decide: Decide
    view: Seen
    pid: str | None = None
    offset: str | None = None
    sid: str | None = None
    joined: bool = False
    refused: int = 0
    slow: float = 0.0
    """Seconds that it takes over each message."""
    terminals: bool = False
    """Whether it looks at the terminals of agents, too."""
    _followed: set[str] = attrs.field(factory=set[str])
    _acks: int = 0
    _frames: Frames | None = None

    async def run(self) -> None:
        """For ever."""
        failures = 0
        while True:
            try:
                await self._visit()
                failures = 0
            except Refused:
                self.refused += 1
                failures = 4
            except (Closed, OSError, trio.TooSlowError):
                failures = min(failures + 1, 5)
            self.joined = False
            await trio.sleep(self.dice.uniform(0.5, 1) * min(10, 0.5 * 2**failures))

    async def _visit(self) -> None:
        with trio.fail_after(5):
            stream = SimStream(await self.network.dial(self.name))
        try:
            self._frames = frames = Frames(stream)
            with trio.fail_after(10):
                await frames.upgrade("/socket.io/?EIO=4&transport=websocket")
                await self._hear()
            await self._connect()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._decide_now_and_then)
                if self.terminals:
                    nursery.start_soon(self._follow_now_and_then)
                while True:
                    await self._take(await self._hear())
                    if self.slow:
                        await trio.sleep(self.slow)
        except* Closed as group:
            raise Closed from group
        except* trio.TooSlowError as group:
            raise trio.TooSlowError from group
        finally:
            self.joined = False
            stream.sock.close()

    async def _hear(self) -> str:
        assert self._frames is not None
        with trio.fail_after(SILENT_SECONDS):
            return await self._frames.next()

    async def _connect(self) -> None:
        assert self._frames is not None
        auth: dict[str, Any] = {} if self.user is None else {"token": self.user}
        if self.pid is not None:
            auth |= {"pid": self.pid, "offset": self.offset}
        await self._frames.say("40" + json.dumps(auth))
        while True:
            packet = await self._hear()
            if packet.startswith("44"):
                self.pid = self.offset = None
                raise Refused(packet)
            if packet.startswith("40"):
                break
            await self._take(packet)
        hello = json.loads(packet[2:])
        if self.pid == hello["pid"] and self.sid == hello["sid"]:
            self.history.count("recovered")
            self.joined = True
            return
        self._followed.clear()
        self.view.terminals.clear()
        self.view.statuses.clear()
        self.pid = self.offset = None  # one that never got into its room has nothing to come back to
        await self._join()
        self.sid, self.pid = hello["sid"], hello["pid"]

    async def _join(self) -> None:
        assert self._frames is not None
        self._acks += 1
        since, waited = self.view.since(), self.history.pending()
        wanted = {"villageId": "demo"} if since is None else {"villageId": "demo", "since": since}
        await self._frames.say(f"42{self._acks}" + json.dumps(["join_village", wanted]))
        while True:
            packet = await self._hear()
            if packet.startswith(f"43{self._acks}["):
                break
            await self._take(packet)
        (ack,) = json.loads(packet[2 + len(str(self._acks)) :])
        if not ack["ok"]:
            raise Closed(str(ack))
        self.view.joined(ack.get("positions", {}))
        self.view.knows(waited)
        self.history.count("joined")
        self.joined = True

    async def _follow_now_and_then(self) -> None:
        """Opens one terminal after another; the acks are of no interest, what comes is."""
        while True:
            await trio.sleep(self.dice.uniform(0.5, 3))
            new = [session_id for session_id in self.view.last if session_id not in self._followed]
            if self.joined and new and self._frames is not None:
                session_id = self.dice.choice(new)
                self._followed.add(session_id)
                self.view.watched.add(session_id)  # a blank terminal says nothing, and text may follow its lines
                self._acks += 1
                wanted = {"agentId": default_agent_id(session_id), "terminal": True}
                await self._frames.say(f"42{self._acks}" + json.dumps(["join_agent", wanted]))

    async def _take(self, packet: str) -> None:
        assert self._frames is not None
        if packet == "2":
            await self._frames.say("3")
        elif packet.startswith("42"):
            body = packet[2:]
            digits = body[: body.index("[")]
            event, *arguments = json.loads(body[len(digits) :])
            if digits:  # server_ping
                await self._frames.say(f"43{digits}[]")
                return
            if arguments and isinstance(arguments[-1], str):
                self.offset = arguments.pop()
            self.view.take(event, arguments[0] if arguments else None)
        elif packet.startswith("41"):
            raise Closed("disconnected by the service")

    async def _decide_now_and_then(self) -> None:
        while True:
            await trio.sleep(self.dice.uniform(0.2, 3))
            waiting = sorted(self.view.waiting.items())
            if self.user is not None and self.joined and waiting:
                approval_id, session_id = self.dice.choice(waiting)
                await self.decide(session_id, approval_id, self.dice.choice(("allow", "allow", "deny")), self.user)
