"""Programs on the control plane's WebSocket: they follow sessions and runners, and are told in plain JSON.

Its messages carry no numbers: what was shown is recognised by its text, which the scripts never say twice.
"""

import json
import random
from typing import Any

import attrs
import trio

from tests.simulation.frames import Closed, Frames
from tests.simulation.history import History
from tests.simulation.network import Network, SimStream

SILENT_SECONDS = 40.0
"""The service pings every 30 s."""


@attrs.define(eq=False)
class Following:
    """A session that is followed. `since`: how much of it was durable when that was confirmed."""

    since: int
    last: int | None = None
    """The number of the last output shown; None before the first."""
    completed: bool = False


@attrs.define(eq=False)
class Program:
    """One program that comes back by itself."""

    name: str
    user: str
    network: Network
    dice: random.Random
    history: History
    following: dict[str, Following] = attrs.field(factory=dict[str, Following])
    runners: dict[str, str] = attrs.field(factory=dict[str, str])
    """runner → the status that it was told last."""
    connected: bool = False
    _texts: dict[str, dict[str, int]] = attrs.field(factory=dict[str, dict[str, int]])
    _frames: Frames | None = None

    async def run(self) -> None:
        """For ever."""
        while True:
            try:
                await self._visit()
            except* (Closed, OSError, trio.TooSlowError):
                pass
            self.connected = False
            self.following.clear()
            self.runners.clear()
            await trio.sleep(self.dice.uniform(0.5, 5))

    async def _visit(self) -> None:
        with trio.fail_after(5):
            stream = SimStream(await self.network.dial(self.name))
        try:
            self._frames = frames = Frames(stream)
            with trio.fail_after(10):
                await frames.upgrade("/ws")
                await frames.say(json.dumps({"type": "authenticate", "token": self.user}))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._follow_now_and_then)
                while True:
                    with trio.fail_after(SILENT_SECONDS):
                        self._take(json.loads(await frames.next()))
        finally:
            stream.sock.close()

    async def _follow_now_and_then(self) -> None:
        while True:
            await trio.sleep(self.dice.uniform(0.2, 2))
            assert self._frames is not None
            known = [name for name in self.history.truth.stored if name not in self.following]
            if self.connected and known:
                session_id = self.dice.choice(known)
                wanted = {"type": "subscribe", "sessionId": session_id, "runnerId": session_id[:2]}
                await self._frames.say(json.dumps(wanted))
            elif self.connected:
                await self._frames.say('{"type":"ping"}')

    def _take(self, message: dict[str, Any]) -> None:
        match message:
            case {"type": "event", "event": "authenticated"}:
                self.connected = True
            case {"type": "event", "event": "subscribed", "data": {"sessionId": session_id}}:
                following = Following(self.history.truth.last(session_id))
                self.following[session_id] = self.following.get(session_id, following)
            case {"type": "event", "event": "runner_status", "data": data}:
                self.history.note(self.name, data)
                self.runners[data["runnerId"]] = data["status"]
            case {"type": "terminal", "action": "output", "sessionId": session_id, "data": text}:
                self._shown(session_id, text)
            case {"type": "session", "action": "completed", "sessionId": session_id}:
                self.history.note(self.name, session_id, "completed")
                following = self.following[session_id]
                self.history.check(not following.completed, f"{self.name}: {session_id} is completed twice")
                following.completed = True
            case {"type": "error", "code": "CONNECTION_LIMIT"}:
                self.history.count("control limit")
                raise Closed("too many connections")
            case {"type": "error", "code": code}:
                self.history.check(code in ("FORBIDDEN", "UNAVAILABLE", "RATE_LIMIT"), f"{self.name}: {message}")
            case _:
                pass

    def _outputs(self, session_id: str) -> dict[str, int]:
        """Text → number, of all that was said in a session."""
        bodies, known = self.history.truth.spooled[session_id], self._texts.setdefault(session_id, {"": 0})
        for seq in range(known[""] + 1, len(bodies) + 1):
            event = json.loads(bodies[seq - 1])
            if event["type"] == "TERMINAL_CHUNK":
                known[event["data"]] = seq
        known[""] = len(bodies)
        return known

    def _shown(self, session_id: str, text: str) -> None:
        known, following = self._outputs(session_id), self.following[session_id]
        seq, check = known[text], self.history.check
        self.history.note(self.name, session_id, seq)
        self.history.count("control output")
        check(
            seq <= self.history.truth.last(session_id), f"{self.name}: {session_id} shows {seq}, which is not durable"
        )
        if following.last is not None:
            missed = [n for n in known.values() if following.last < n < seq and n != known[""]]
            check(seq > following.last, f"{self.name}: {session_id} shows {seq} after {following.last}")
            check(not missed, f"{self.name}: {session_id} shows {seq} after {following.last}, without {missed}")
        following.last = seq

    def behind(self) -> str:
        """What it follows and was not told; "" when there is nothing. Counts from when it was told that it follows."""
        for session_id, following in self.following.items():
            owed = [seq for text, seq in self._outputs(session_id).items() if text and seq > following.since]
            if owed and (following.last or 0) < max(owed):
                return f"{session_id} after {following.last}, of {max(owed)}"
            if following.since < len(self.history.truth.spooled[session_id]) and not following.completed:
                return f"the end of {session_id}"
        return ""
