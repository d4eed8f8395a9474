"""The bridge's tasks: they hear what others emit over a Redis, and say what of ours is published.

Best effort, and outside the event log: what passes here is told once to who is there, has no number, and is not kept.
Nothing of the service waits for it. A Redis that is away, frozen or full of nonsense costs lost emits, which are
counted; each task connects again by itself, ever more slowly, and begins with what is said from then on. A stream is
read on where it was left, also by what was added meanwhile.
"""

import secrets
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Collection, Iterable
from datetime import UTC, datetime
from typing import Any, cast

import attrs
import structlog
import trio

from townwatch.net.redis.connection import RedisAddress, RedisConnection, RedisRefused, RedisSilent, connect
from townwatch.net.redis.resp import TOO_LONG, RedisError, Reply, encode_command
from townwatch.transports.interop import wires
from townwatch.transports.interop.outlet import OpenVillages
from townwatch.transports.interop.rules import Border, NotAdmitted
from townwatch.transports.interop.wires import ForeignEmit, ForeignOrder, Unreadable
from townwatch.transports.socketio import TrioServer

log = structlog.get_logger("bridge")

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0
STEADY_SECONDS = 5.0
"""A connection that lasted so long is followed by a short pause again."""
PING_SECONDS, SILENCE_SECONDS = 5.0, 15.0
"""A subscriber asks after so much silence whether Redis lives, and gives it up after so much."""
READ_SECONDS = 5.0
"""So long Redis may wait for the next entry of a stream before it answers that there is none."""
ENTRIES = 100
OVERHEAD_BYTES = 4096
"""Of a message beside its event: rooms, flags, names."""
MOST_STRAIN, CALM_SECONDS = 50, 0.05
"""After a chunk of which so much was refused, or some because of the rate, nothing is read for so long: what floods us
waits in Redis, which cuts us off when it is too much.
"""
MOST_WAITING = 1000
"""Of our events that wait to be published; more are lost, and counted."""
SAY_SECONDS = 10.0
Read = Callable[[Any], ForeignEmit | None]


@attrs.frozen(kw_only=True)
class BridgeLines:
    """What is heard and said. An empty `key`, `stream` or `python_channel` is not heard."""

    namespaces: Collection[str]
    key: str
    stream: str
    python_channel: str
    hears: bool
    publishes: bool
    publish_stream: bool
    publish_namespace: str
    most_bytes: int


@attrs.define(eq=False)
class LineState:
    """One connection to Redis. `trouble`: why it is not there; None while it is."""

    trouble: str | None = "not yet"
    since: datetime = attrs.field(factory=lambda: datetime.now(UTC))
    last_id: str | None = None

    def change(self, trouble: str | None) -> bool:
        """Note how it is; return whether that is news."""
        news = (trouble is None) != (self.trouble is None) or self.trouble == "not yet"
        if news:
            self.since = datetime.now(UTC)
        self.trouble = trouble
        return news


class ClusterBridge:
    """Run `run` under a supervisor. The counters are for metrics, which read them."""

    def __init__(
        self, address: RedisAddress, lines: BridgeLines, border: Border, villages: OpenVillages, server: TrioServer
    ) -> None:
        self.address = address
        self.uid = f"townwatch-{secrets.token_hex(6)}"
        self.taken: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.published = 0
        self.lost = 0
        """Events of ours that were not published: Redis was away, or too slow, or they were too long."""
        self.states: dict[str, LineState] = {}
        self._lines = lines
        self._border = border
        self._villages = villages
        self._server = server
        self._waiting: deque[bytes] = deque()
        self._wake = trio.Event()
        self._said: dict[str, float] = {}
        self._strain = 0

    def told(self) -> str:
        """Return in a line how it is, for the supervision page."""
        away = {name: state for name, state in self.states.items() if state.trouble is not None}
        told = f"{sum(self.taken.values())} taken, {sum(self.refused.values())} refused, {self.published} published"
        if not away:
            return f"connected to Redis at {self.address}; {told}"
        name, state = next(iter(away.items()))
        return f"{name}: no Redis at {self.address} since {state.since:%H:%M:%S} UTC: {state.trouble}; {told}"

    def warnings(self) -> list[str]:
        """Return what people should know, without where Redis is."""
        away = [state.since for state in self.states.values() if state.trouble is not None]
        if not away:
            return []
        return [
            f"the bridge has no connection to its Redis since {min(away):%Y-%m-%dT%H:%M:%SZ}; nothing else needs it"
        ]

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Hear and say until cancelled."""
        lines = self._lines
        tasks: dict[str, Callable[[RedisConnection, LineState], Awaitable[None]]] = {}
        if lines.hears and (lines.key or lines.python_channel):
            tasks["channels"] = self._hear_channels
        if lines.hears and lines.stream:
            tasks["stream"] = self._read_stream
        if lines.publishes:
            tasks["publishing"] = self._publish
        self.states = {name: self.states.get(name, LineState()) for name in tasks}
        async with trio.open_nursery() as nursery:
            for name, task in tasks.items():
                nursery.start_soon(self._keep, name, task)
            task_status.started()

    def offer(self, event: str, payload: bytes, rooms: list[str]) -> None:
        """Take an event of ours to be published. Never waits."""
        lines = self._lines
        state = self.states.get("publishing")
        if len(payload) > lines.most_bytes or len(self._waiting) >= MOST_WAITING:
            self.lost += 1
            self._say("not_published", event=event, reason="too long" if len(payload) > lines.most_bytes else "full")
            return
        if state is None or state.trouble is not None:  # what is old by the time Redis is back is of no use
            self.lost += 1
            return
        if lines.publish_stream:
            entry = wires.stream_entry(self.uid, lines.publish_namespace, event, payload, rooms, ())
            command = encode_command("XADD", lines.stream, "MAXLEN", "~", wires.STREAM_LENGTH, "*", *entry)
        else:
            channel, message = wires.key_message(
                self.uid, lines.key, lines.publish_namespace, event, payload, rooms, ()
            )
            command = encode_command("PUBLISH", channel, message)
        self._waiting.append(command)
        self._wake.set()

    # --- connections --------------------------------------------------------------------------------------------------

    async def _keep(self, name: str, task: Callable[[RedisConnection, LineState], Awaitable[None]]) -> None:
        """Connect, run the task until the connection ends, and again."""
        state, pause = self.states[name], FIRST_PAUSE
        most = self._lines.most_bytes + OVERHEAD_BYTES
        while True:
            began = trio.current_time()
            try:
                connection = await connect(self.address, most, ENTRIES * most)
                try:
                    await task(connection, state)
                finally:
                    with trio.CancelScope(shield=True):
                        await connection.aclose()
            except OSError as error:
                self._note(name, state, str(error) or type(error).__name__)
            if trio.current_time() - began > STEADY_SECONDS:
                pause = FIRST_PAUSE
            await trio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _note(self, name: str, state: LineState, trouble: str | None) -> None:
        if not state.change(trouble):
            return
        if trouble is None:
            log.info("bridge_connected", line=name, redis=str(self.address))
        else:
            log.warning("bridge_away", line=name, redis=str(self.address), reason=trouble,
                        advice="look at [bridge] redis; nothing else depends on it")  # fmt: skip

    # --- hearing ------------------------------------------------------------------------------------------------------

    async def _hear_channels(self, connection: RedisConnection, state: LineState) -> None:
        lines = self._lines
        patterns = [wires.key_pattern(lines.key, one) for one in lines.namespaces] if lines.key else []
        asked = len(patterns) + bool(lines.python_channel)
        if patterns:
            await connection.send("PSUBSCRIBE", *patterns)
        if lines.python_channel:
            await connection.send("SUBSCRIBE", lines.python_channel)
        silent, confirmed = 0.0, 0
        while True:
            try:
                reply = await connection.receive(PING_SECONDS)
            except RedisSilent:
                silent += PING_SECONDS
                if silent >= SILENCE_SECONDS:
                    raise RedisSilent(f"it says nothing for {silent:g} s") from None
                await connection.send("PING")
                continue
            silent = 0.0
            if isinstance(reply, RedisError):
                raise RedisRefused(reply.text)
            confirmed += self._hear(reply)
            if confirmed == asked:
                confirmed += 1
                self._note("channels", state, None)
            await self._pace(connection)

    def _hear(self, reply: Reply) -> int:
        """Take one message of a subscription; return 1 for what confirms one."""
        match reply:
            case [b"pmessage", _, _, data]:
                self._take("key", wires.read_key_message, data)
            case [b"message", _, data]:
                self._take("python", wires.read_python_message, data)
            case [b"psubscribe" | b"subscribe", *_]:
                return 1
            case _:
                pass
        return 0

    async def _read_stream(self, connection: RedisConnection, state: LineState) -> None:
        stream = self._lines.stream
        newest = await self._newest(connection)
        if state.last_id is None or _order(newest) < _order(state.last_id):
            # The first time what is said from now on counts; later all does, and a stream that begins anew does whole.
            state.last_id = newest if state.last_id is None else "0-0"
        self._note("stream", state, None)
        while True:
            wait = round(READ_SECONDS * 1000)
            reply = await connection.ask(
                *("XREAD", "COUNT", ENTRIES, "BLOCK", wait, "STREAMS", stream, state.last_id),
                seconds=READ_SECONDS + SILENCE_SECONDS,
            )
            if reply is None:
                continue
            for entry in _entries(reply):
                state.last_id = entry[0]
                if entry[1] is not None:
                    self._take("stream", wires.read_stream_entry, entry[1])
            await self._pace(connection)

    async def _newest(self, connection: RedisConnection) -> str:
        """Return the id of the newest entry; 0-0 where there is none. `$` would leave out what comes between reads."""
        reply = await connection.ask("XREVRANGE", self._lines.stream, "+", "-", "COUNT", 1)
        return next((id_ for id_, _ in _entries([[self._lines.stream, reply]])), "0-0")

    def _take(self, wire: str, read: Read, message: Any) -> None:
        if message is TOO_LONG or (isinstance(message, list) and TOO_LONG in message):
            self._refuse("too_long", wire, None)
            return
        emit: ForeignEmit | None = None
        try:
            emit = read(message)
            if emit is None or emit.uid == self.uid:
                return
            admitted = self._border.admit(emit)
        except Unreadable:
            self._refuse("unreadable", wire, emit)
            return
        except ForeignOrder:
            self._refuse("order", wire, emit)
            return
        except NotAdmitted as refused:
            self._refuse(str(refused), wire, emit)
            return
        rooms = [ours for room in admitted.rooms for ours in self._villages.rooms_of(room)]
        without = self._villages.rooms_of(admitted.without) if admitted.without is not None else ()
        if len(without) > 1:
            self._refuse("except", wire, emit)
            return
        self.taken[wire] += 1
        if rooms and self._server.has_audience(rooms):
            self._server.publish(admitted.event, admitted.payload, rooms, without=without[0] if without else None)

    def _refuse(self, kind: str, wire: str, emit: ForeignEmit | None) -> None:
        self.refused[kind] += 1
        self._strain += MOST_STRAIN if kind == "rate" else 1
        told = (
            {} if emit is None else {"event_name": emit.event[:100], "rooms": [room[:100] for room in emit.rooms[:3]]}
        )
        self._say(f"refused {kind}", wire=wire, count=self.refused[kind], **told)

    async def _pace(self, connection: RedisConnection) -> None:
        """Let others run, and read no more for a moment where more was refused than a mistake explains."""
        if connection.has_more:
            return await trio.lowlevel.checkpoint()
        strain, self._strain = self._strain, 0
        if strain >= MOST_STRAIN:
            await trio.sleep(CALM_SECONDS)

    def _say(self, what: str, **more: Any) -> None:
        """Log the first of its kind, and one in so many seconds; all are counted."""
        now = trio.current_time()
        if now - self._said.get(what, -SAY_SECONDS) >= SAY_SECONDS:
            self._said[what] = now
            log.warning("bridge_dropped", what=what, **more)

    # --- saying -------------------------------------------------------------------------------------------------------

    async def _publish(self, connection: RedisConnection, state: LineState) -> None:
        await connection.ask("PING")
        self._note("publishing", state, None)
        try:
            while True:
                self._wake = trio.Event()
                if not self._waiting:
                    with trio.move_on_after(PING_SECONDS):
                        await self._wake.wait()
                commands = [self._waiting.popleft() for _ in range(min(ENTRIES, len(self._waiting)))]
                if not commands:
                    await connection.ask("PING")
                    continue
                await self._say_to(connection, commands)
        except OSError:
            self.lost += len(self._waiting)
            self._waiting.clear()
            raise

    async def _say_to(self, connection: RedisConnection, commands: list[bytes]) -> None:
        left = len(commands)
        try:
            await connection.send_all(b"".join(commands))
            for _ in commands:
                reply = await connection.receive()
                if isinstance(reply, RedisError):
                    self.lost += 1
                    self._say("not_published", reason=reply.text[:200])
                else:
                    self.published += 1
                left -= 1
        finally:
            self.lost += left


def _entries(reply: Reply) -> Iterable[tuple[str, list[Any] | None]]:
    """(id, fields) of what XREAD answered for one stream; None for fields that cannot be read. Raises OSError."""
    match reply:
        case [[_, entries]] if isinstance(entries, list):
            found = cast("list[Any]", entries)
        case _:
            raise OSError(f"it answers XREAD with {str(reply)[:100]}")
    for entry in found:
        match entry:
            case [bytes() as id_, fields]:
                known = cast("list[Any]", fields) if isinstance(fields, list) else None
                yield id_.decode("ascii", "replace"), known
            case _:
                pass


def _order(id_: str) -> tuple[int, int]:
    """Return an id of a stream's entry as what it is compared by."""
    at, _, number = id_.partition("-")
    return int(at), int(number or 0)
