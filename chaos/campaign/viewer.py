"""A viewer with a memory: what it saw, in which order, and what it was told it missed.

Joins its village, and (every second one) the agents in it with their terminals. Comes back by itself: with the private
id and the last offset where the service still knows it, else by joining again and saying what it saw last.
"""

import json
import time
from collections import Counter
from random import Random
from typing import Any

import attrs
import trio

from townwatch.chaos.campaign.socketio_client import ConnectionLost, SocketIoClient
from townwatch.contracts.ui import iso

FIRST_WAIT, LONGEST_WAIT = 0.05, 1.0
"""Seconds between two tries to come back; what the page does, too."""
PING_SECONDS, DEAF_SECONDS = 2.0, 6.0
"""The viewer pings the service, and gives up on a connection that has said nothing for so long."""
OBEYED_SECONDS = 30.0
"""A join that was not answered until then will not be obeyed any more."""
SURELY_ALL_SECONDS = 5.0
"""So long after a session's end, nothing of it is on its way any more."""
VILLAGE = ""
"""The key of the village among the rooms; the others are agents' ids."""

Key = tuple[str, str]
"""(stream, session): the stream is `work` or `terminal`."""


@attrs.define
class Room:
    """`session`: an agent's; None for the village."""

    event: str
    payload: dict[str, Any]
    session: str | None = None
    joined: bool = False


@attrs.define(eq=False)
class ViewerWatch:
    """Wait for an event of `since` (ISO time) or later from each session of `wanted`."""

    since: str
    wanted: set[str]
    over: trio.Event = attrs.field(factory=trio.Event)
    at: float = 0.0

    def saw(self, session: str, timestamp: str) -> None:
        if timestamp >= self.since:
            self.drop(session)

    def drop(self, session: str) -> None:
        """Wait for this session no more: it will show nothing."""
        self.wanted.discard(session)
        if not self.wanted and not self.over.is_set():
            self.at = trio.current_time()
            self.over.set()


@attrs.define(eq=False)
class Viewer:
    """`seen`: seqs in the order they came. `gaps`: (session, from, to] as told. `resolved`: (approval, decision) as
    told. `live`: whether it is in all of its rooms now. `connects`: how often it came in.
    """

    number: int
    base: str
    token: str
    village: str
    terminals: bool = False
    seen: dict[Key, list[int]] = attrs.field(factory=dict)
    gaps: list[tuple[str, int, int]] = attrs.field(factory=list)
    resolved: list[tuple[str, str]] = attrs.field(factory=list)
    problems: list[str] = attrs.field(factory=list)
    counts: Counter[str] = attrs.field(factory=Counter)
    rooms: dict[str, Room] = attrs.field(factory=dict)
    watches: set[ViewerWatch] = attrs.field(factory=set)
    over: dict[str, float] = attrs.field(factory=dict)
    """Sessions that have ended → since when it knows (trio's clock)."""
    followed: list[str] = attrs.field(factory=list)
    """Sessions whose terminal it has followed."""
    line: SocketIoClient | None = None
    connects: int = 0
    refusal: str = ""
    _numbers: int = 0
    _waiting: dict[str, str] = attrs.field(factory=dict)
    """Number of an event that was emitted → the room it is to join, or "ping"."""
    _asked: dict[str, tuple[dict[str, int], float]] = attrs.field(factory=dict)
    """Number of a join without an answer → what it said was seen last, and when. One from before the connection was
    lost and recovered may still be obeyed.
    """
    _pid: str | None = None
    _offset: str | None = None
    _heard: float = 0.0

    def __attrs_post_init__(self) -> None:
        self.rooms[VILLAGE] = Room("join_village", {"villageId": self.village})

    @property
    def live(self) -> bool:
        return self.line is not None and all(room.joined for room in self.rooms.values())

    def last(self, stream: str, session: str) -> int:
        """The highest seq seen; 0 for none."""
        found = self.seen.get((stream, session))
        return found[-1] if found else 0

    def watch(self, since: str, sessions: set[str]) -> ViewerWatch:
        """Start to wait for a new event of each of these that has not ended. Remove it from `watches` when it
        is over.
        """
        watch = ViewerWatch(since, sessions - self.over.keys())
        watch.drop("")
        self.watches.add(watch)
        return watch

    async def run(self) -> None:
        """Stay connected, reconnecting as often as it takes, until cancelled."""
        dice, wait = Random(self.number), FIRST_WAIT
        while True:
            try:
                await self._one_connection()
            except ConnectionLost as gone:
                self.refusal = str(gone)
            if self.line is not None:
                wait = FIRST_WAIT
                await self.line.aclose()
                self.line = None
            await trio.sleep(dice.uniform(0.5, 1.0) * wait)
            wait = min(wait * 2, LONGEST_WAIT)

    async def _one_connection(self) -> None:
        line = await SocketIoClient.open(self.base)
        try:
            auth: dict[str, Any] = {"token": self.token}
            if self._pid is not None:
                auth |= {"pid": self._pid} | ({"offset": self._offset} if self._offset else {})
            greeting = await line.greet(auth)
            recovered = greeting.get("pid") == self._pid and self._pid is not None
            last_heard = self._heard
            self.line, self._pid, self._heard = line, greeting.get("pid"), trio.current_time()
            self.connects += 1
            self.counts["recovered"] += recovered
            if not recovered:
                self._forget_ended(last_heard)
                self._offset = None
                self._asked.clear()
                for room in self.rooms.values():
                    room.joined = False
            self._waiting.clear()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._join_all, line)
                nursery.start_soon(self._stay, line)
                while True:
                    await self._take(await line.next(), line, nursery)
        except BaseExceptionGroup as group:
            gone, others = group.split(ConnectionLost)
            if others is not None:
                raise
            raise ConnectionLost(str(gone)) from None
        finally:
            with trio.CancelScope(shield=True):
                await line.aclose()

    def _forget_ended(self, last_heard: float) -> None:
        """Leave rooms of sessions that had ended long before the connection was lost: all of them has come."""
        done = [session for session, since in self.over.items() if last_heard - since > SURELY_ALL_SECONDS]
        self.rooms = {key: room for key, room in self.rooms.items() if room.session not in done}

    async def _stay(self, line: SocketIoClient) -> None:
        """A connection that died without a word is found by asking."""
        while True:
            await self._emit(line, "ping", None, "ping")
            await trio.sleep(PING_SECONDS)
            if trio.current_time() - self._heard > DEAF_SECONDS:
                raise ConnectionLost("nothing came any more")

    # --- rooms ------------------------------------------------------------------------------------------

    async def _join_all(self, line: SocketIoClient) -> None:
        for key in [key for key, room in self.rooms.items() if not room.joined]:
            await self._join(line, key)

    async def _join(self, line: SocketIoClient, key: str) -> None:
        room = self.rooms[key]
        since = self._since(room)
        self._asked[str(self._numbers + 1)] = since, trio.current_time()
        self.counts["joins"] += 1
        await self._emit(line, room.event, {**room.payload, "since": since}, key)

    def _since(self, room: Room) -> dict[str, int]:
        if room.session is None:
            return {session: seqs[-1] for (stream, session), seqs in self.seen.items() if stream == "work"}
        return {room.session: min(self.last("work", room.session), self.last("terminal", room.session))}

    async def _emit(self, line: SocketIoClient, event: str, payload: Any, key: str) -> None:
        self._numbers += 1
        self._waiting[str(self._numbers)] = key
        await line.say(f"42{self._numbers}" + json.dumps([event] if payload is None else [event, payload]))

    async def _answered(self, number: str, arguments: list[Any], line: SocketIoClient, nursery: trio.Nursery) -> None:
        key = self._waiting.pop(number, "ping")
        self._asked.pop(number, None)
        answer: Any = arguments[0] if arguments else {}
        if key == "ping" or key not in self.rooms:
            return
        if answer.get("ok"):
            self.rooms[key].joined = True
            return
        error: Any = answer.get("error", {})
        self.refusal = json.dumps(error)
        self.counts["joins refused"] += 1
        nursery.start_soon(self._join_later, line, key, float(error.get("retryAfter") or 0.3))

    async def _join_later(self, line: SocketIoClient, key: str, seconds: float) -> None:
        await trio.sleep(seconds)
        await self._join(line, key)

    # --- what comes -------------------------------------------------------------------------------------

    async def _take(self, text: str, line: SocketIoClient, nursery: trio.Nursery) -> None:
        self._heard = trio.current_time()
        start = text.find("[")
        if text.startswith("43"):
            await self._answered(text[2:start], json.loads(text[start:]), line, nursery)
        elif text.startswith("42"):
            arguments = json.loads(text[start:])
            if start > 2:  # it wants to know that it came
                await line.say(f"43{text[2:start]}[]")
            if len(arguments) > 1 and isinstance(arguments[-1], str):
                self._offset = arguments[-1]
            await self._on_event(arguments[0], arguments[1] if len(arguments) > 1 else None, line)
        elif text.startswith("41"):
            raise ConnectionLost("sent away")

    async def _on_event(self, event: str, payload: Any, line: SocketIoClient) -> None:
        match event:
            case "work_stream_event":
                self.saw("work", payload["sessionId"], payload["seq"])
                for watch in list(self.watches):
                    watch.saw(payload["sessionId"], payload["timestamp"])
            case "terminal_output" if payload.get("snapshot"):
                self.problems.append(f"a screen of {payload['sessionId']}, although it said what it had seen")
            case "terminal_output":
                self.saw("terminal", payload["sessionId"], payload["seq"])
                for watch in list(self.watches):  # it carries no time, and comes in order: it is of now
                    watch.saw(payload["sessionId"], iso(time.time() * 1000))
            case "gap":
                self.gaps.append((str(payload.get("sessionId")), payload["from"], payload["to"]))
            case "approval_resolved":
                self.resolved.append((payload["approvalId"], payload["decision"]))
            case "agent_spawn":
                await self._note_agent(payload["agentId"], payload["sessionId"], line)
            case "agent_disconnect":
                self.over.setdefault(payload["sessionId"], trio.current_time())
                for watch in list(self.watches):
                    watch.drop(payload["sessionId"])
            case _:
                pass

    def saw(self, stream: str, session: str, seq: int) -> None:
        """Note an event; it must be a new one, unless a join that is under way asked for it again."""
        seqs = self.seen.setdefault((stream, session), [])
        if not seqs or seq > seqs[-1]:
            seqs.append(seq)
        elif self._asked_for(session, seq):
            self.counts["asked for again"] += 1
        else:
            self.counts["came again"] += 1
            self.problems.append(f"{stream} of {session}: {seq} came again after {seqs[-1]}")

    def _asked_for(self, session: str, seq: int) -> bool:
        return any(
            since.get(session, 0) < seq and trio.current_time() - at < OBEYED_SECONDS
            for since, at in self._asked.values()
        )

    async def _note_agent(self, agent: str, session: str, line: SocketIoClient) -> None:
        if self.terminals and agent not in self.rooms and session not in self.over:
            self.followed.append(session)
            self.rooms[agent] = Room("join_agent", {"agentId": agent, "terminal": True}, session)
            await self._join(line, agent)
