"""A runner that speaks the wire itself, for programs of a test: it can repeat, skip, talk nonsense and hang up."""

import json
from collections.abc import Callable
from typing import Any

import attrs
import trio

from tests.simulation.frames import Closed, Frames
from tests.simulation.network import Network, SimStream

SESSION, VILLAGE = "s1", "demo"


@attrs.define(eq=False)
class Peer:
    """What it keeps is what it must: every event that was neither acknowledged nor refused."""

    network: Network
    kept: dict[int, str] = attrs.field(factory=dict[int, str])
    last: int = 0
    told: int = 0
    """The last acknowledgement on this connection; a welcome may name a later place, behind a hole of its own."""
    nacked: list[int] = attrs.field(factory=list[int])
    sent: int = 0
    window: int = 16
    errors: list[str] = attrs.field(factory=list[str])
    resumed: list[int] = attrs.field(factory=list[int])
    commands: list[dict[str, Any]] = attrs.field(factory=list[dict[str, Any]])
    durable: Callable[[], int] = lambda: 0
    problems: list[str] = attrs.field(factory=list[str])
    frames: Frames | None = None
    stream: SimStream | None = None

    async def connect(self, nursery: trio.Nursery) -> None:
        """Hello, welcome, and everything that is kept from `resumeFrom` on."""
        while self.frames is None:
            try:
                with trio.fail_after(30):
                    await self._greet(nursery)
            except (Closed, OSError, trio.TooSlowError):
                await trio.sleep(0.5)

    async def _greet(self, nursery: trio.Nursery) -> None:
        stream = SimStream(await self.network.dial("peer"))
        frames = Frames(stream)
        await frames.upgrade("/runner", "Authorization: Bearer r1\r\nSec-WebSocket-Protocol: townwatch.runner.v1\r\n")
        first = min(self.kept, default=self.last + 1)
        held = (
            [{"sessionId": SESSION, "firstSeq": first, "lastSeq": self.last, "state": "RUNNING"}] if self.last else []
        )
        hello = {"type": "hello", "runnerId": "r1", "name": "peer", "version": "1", "sessions": held}
        await frames.say(json.dumps(hello))
        welcome = json.loads(await frames.next())
        if welcome["type"] != "welcome":
            raise Closed(str(welcome))
        after = self.last
        for point in welcome["sessions"]:
            if point["sessionId"] == SESSION:
                after = point["resumeFrom"] - 1
                self.resumed.append(point["resumeFrom"])
                if after > max(self.durable(), first - 1):
                    self.problems.append(f"resumes from {after + 1}, and only {self.durable()} is durable")
                self._let_go(after)
        else:
            after = min(after, first - 1)
        self.frames, self.stream, self.sent, self.window, self.told = frames, stream, after, welcome["window"], 0
        nursery.start_soon(self._listen, frames)
        await self.pump()

    async def _listen(self, frames: Frames) -> None:
        try:
            while True:
                self._take(json.loads(await frames.next()))
                if self.frames is frames:
                    await self.pump()
        except Closed:
            if self.frames is frames:
                self.hang_up()

    def _take(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "ack":
                self.window = message.get("window", self.window)
                if message["seq"] > self.durable():
                    self.problems.append(f"{message['seq']} is acknowledged, and only {self.durable()} is durable")
                if message["seq"] < self.told:
                    self.problems.append(f"{message['seq']} is acknowledged after {self.told}")
                self.told = message["seq"]
                self._let_go(message["seq"])
            case "nack":
                self.nacked.append(message["seq"])
                self.kept.pop(message["seq"], None)
            case "error":
                self.errors.append(message["code"])
            case "command":
                self.commands.append(message)
            case _:
                pass

    def _let_go(self, seq: int) -> None:
        self.kept = {kept: body for kept, body in self.kept.items() if kept > seq}

    def make(self, kind: str, seq: int) -> str:
        """An event. A malformed one lacks what its type needs."""
        event: dict[str, Any] = {"type": kind, "sessionId": SESSION, "orgId": VILLAGE, "ts": 1, "seq": seq}
        match kind:
            case "TERMINAL_CHUNK":
                event |= {"data": f"output {seq}", "stream": "stdout"}
            case "SESSION_STATE_CHANGED":
                event |= {"previousState": "CREATED", "newState": "RUNNING"}
            case _:
                pass
        body = json.dumps(event)
        self.kept[seq], self.last = body, seq
        return body

    async def pump(self) -> None:
        """Send what was not sent on this connection, as far as the window allows."""
        while self.frames is not None:
            room = self.window - sum(seq <= self.sent for seq in self.kept)
            part = [(seq, body) for seq, body in sorted(self.kept.items()) if seq > self.sent][: min(8, max(0, room))]
            if not part:
                return
            self.sent = part[-1][0]
            await self._send([body for _, body in part])

    async def repeat(self, count: int) -> None:
        """What was said is said again, where the window has room for it."""
        said = [body for seq, body in sorted(self.kept.items()) if seq <= self.sent]
        if said and len(said) + min(count, len(said)) <= self.window:
            await self._send(said[:count])

    async def _send(self, bodies: list[str]) -> None:
        await self.say('{"type":"events","events":[' + ",".join(bodies) + "]}")

    async def say(self, text: str) -> None:
        """Where there is a connection."""
        if self.frames is not None:
            try:
                await self.frames.say(text)
            except Closed:
                self.hang_up()

    def hang_up(self) -> None:
        if self.stream is not None:
            self.stream.sock.close()
        self.frames = self.stream = None
