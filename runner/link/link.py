"""The runner's connection to the service: dial, resume, send what the spool holds, do what is commanded; for ever.

Heartbeats have a task of their own that starts first. One task writes to the socket; a write that cannot finish aborts
the connection, for half a frame would corrupt all that follows. Any byte from the service is a sign of life: an idle
runner hears nothing but pings.
"""

import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import structlog
import trio
import trio_websocket
from trio_websocket import WebSocketConnection

from townwatch.contracts import link as wire
from townwatch.contracts.codec import ContractError, encode
from townwatch.contracts.events import FINAL_STATES
from townwatch.contracts.faults import first_cause
from townwatch.runner.identity import Identity, NotEnrolled
from townwatch.runner.link.flights import Flights
from townwatch.runner.link.late import LateResults
from townwatch.runner.link.patrol import HeardStream, patrol
from townwatch.runner.link.redial import ReconnectPolicy
from townwatch.runner.link.tls import open_stream
from townwatch.runner.link.trouble import TROUBLE, Refused, brief, refusal_of
from townwatch.runner.spool.recorder import now_ms
from townwatch.runner.spool.spool import Spool, SpoolSession, Stored

log = structlog.get_logger("link")

CONNECT_SECONDS = 15.0
WELCOME_SECONDS = 15.0
WRITE_SECONDS = 30.0
HEALTHY_SECONDS = 10.0
"""A connection that was welcome for so long is a good one, also where there was nothing to send."""
FRAME_EVENTS, FRAME_BYTES = 256, 512 * 1024
MAX_FRAME = 4 << 20
OUTGOING = 4
"""Frames that wait for the socket."""

Handler = Callable[[wire.Command], Awaitable[wire.Result]]


class Link:
    """`run` it in a nursery. `wake` it when the spool has something new."""

    def __init__(
        self,
        identity: Identity,
        hello: Callable[[], wire.Hello],
        spool: Spool,
        handle: Handler,
        take_rules: Callable[[wire.Policies | wire.Allowances], Awaitable[None]] | None = None,
        counted: Callable[[], Awaitable[dict[str, int]]] | None = None,
    ) -> None:
        self._identity = identity
        self._hello = hello
        self._spool = spool
        self._handle = handle
        self._take_rules, self._counted = take_rules, counted
        self._news = trio.Event()
        self._flights = Flights(wire.DEFAULT_WINDOW)
        self._acknowledged: dict[str, int] = {}
        """What the spool has not heard of yet."""
        self._acks = trio.Event()
        self._out: trio.MemorySendChannel[bytes] | None = None
        self._welcomed_at = self._acked_at = float("-inf")
        self._turns: dict[str, trio.Event] = {}
        """The end of the latest command of each session."""
        self._heartbeat = wire.DEFAULT_HEARTBEAT_MS / 1000
        self.connected = trio.Event()
        """Set by the first welcome."""
        self.trouble = "it was not asked yet"
        """Why the service is not there; empty while it is."""
        self.renew: Callable[[], Identity] | None = None
        """Reads anew who we are; asked when the service refuses us, for the token may have been rotated."""
        self.open_questions: Callable[[], list[wire.OpenQuestions]] = list
        """What waits for a decision; asked where the service has lost what it asks."""
        self._tell_open = False
        self.late = LateResults()

    @property
    def online(self) -> bool:
        """Return whether the service is there at this moment."""
        return self._out is not None

    def wake(self) -> None:
        """Say that there is something to send."""
        self._news.set()

    async def run(self) -> None:
        """Run until cancelled. A first connection that fails is treated as a lost one: dial again, later each time."""
        redial = ReconnectPolicy()
        while True:
            began = trio.current_time()
            try:
                await self._one_connection()
            except Refused as error:
                self.trouble = str(error)
                log.error("service_refuses", reason=self.trouble)
                if not await self._renewed():
                    redial.refused()
            except sqlite3.Error as error:
                self.trouble = f"the spool cannot be used: {error}"
                log.error("spool_cannot_be_used", reason=str(error), advice="make room on this disk; retrying")
            except TROUBLE as error:
                self.trouble = brief(error)
                log.info("not_connected", url=self._identity.url, reason=self.trouble)
            self._out = None
            redial.ended(self._good_since(began))
            await trio.sleep(redial.wait(trio.current_time()))

    def _good_since(self, began: float) -> float | None:
        """Return when the connection that `began` then was last good: it held, or the service took something on it."""
        now = trio.current_time()
        if self._welcomed_at > began and now - self._welcomed_at >= HEALTHY_SECONDS:
            return now
        return self._acked_at if self._acked_at > began else None

    async def _one_connection(self) -> None:
        try:
            with trio.fail_after(CONNECT_SECONDS):
                stream = HeardStream(await open_stream(self._identity.url, self._identity.tls))
            try:
                async with trio.open_nursery() as nursery:
                    socket = await self._open(nursery, stream)
                    await self._greet(socket)
                    await self._talk(socket, stream)
            finally:  # a goodbye could wait for ever behind half a frame
                await trio.aclose_forcefully(stream)
        except BaseExceptionGroup as group:
            raise refusal_of(first_cause(group)) from None

    async def _open(self, nursery: trio.Nursery, stream: HeardStream) -> WebSocketConnection:
        """The outer deadline is the one that holds: the library's own can wait for ever on a silent peer."""
        where = urlsplit(self._identity.url)
        with trio.fail_after(CONNECT_SECONDS):
            async with trio.open_nursery() as handshake:
                handshake.start_soon(stream.fail_at_its_end)
                socket = await trio_websocket.wrap_client_stream(
                    nursery,
                    stream,  # pyright: ignore[reportArgumentType]  # any stream will do
                    where.netloc.rpartition("@")[2],
                    where.path + (f"?{where.query}" if where.query else ""),
                    extra_headers=self._authorization(),
                    subprotocols=[wire.PROTOCOL],
                    max_message_size=MAX_FRAME,
                )
                handshake.cancel_scope.cancel()
        return socket

    def _authorization(self) -> list[tuple[bytes, bytes]]:
        """Return the header; None where the certificate says who we are."""
        token = self._identity.token
        return [(b"authorization", f"Bearer {token}".encode())] if token else []

    async def _renewed(self) -> bool:
        """Return whether this runner has another token by now than the one that was refused."""
        if self.renew is None:
            return False
        try:
            found = await trio.to_thread.run_sync(self.renew)
        except NotEnrolled:
            return False
        if found.runner_id != self._identity.runner_id or found.token == self._identity.token:
            return False
        self._identity = found
        return True

    async def _greet(self, socket: WebSocketConnection) -> None:
        hello = await trio.to_thread.run_sync(self._hello)
        with trio.fail_after(WELCOME_SECONDS):
            await socket.send_message(encode(hello).decode())
            welcome = wire.decode_from_service.decode(await socket.get_message())
        if isinstance(welcome, wire.LinkError):
            raise Refused(f"{welcome.code}: {welcome.message}")
        if not isinstance(welcome, wire.Welcome):
            raise ContractError("type", "the service's first message is not a welcome")
        had = {point.session_id: point.resume_from - 1 for point in welcome.sessions}
        self._flights.begin(welcome.window, had)
        await trio.to_thread.run_sync(self._let_go, had)
        self._heartbeat = welcome.heartbeat_ms / 1000
        self._welcomed_at = trio.current_time()
        self._tell_open = welcome.tell_open is True
        self.connected.set()
        self.trouble = ""
        log.info("connected", url=self._identity.url, sessions=len(welcome.sessions))

    async def _talk(self, socket: WebSocketConnection, stream: HeardStream) -> None:
        self._out, outgoing = trio.open_memory_channel[bytes](OUTGOING)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._beat)
            nursery.start_soon(self._write, socket, outgoing)
            nursery.start_soon(self._send_events)
            nursery.start_soon(self._forget_acknowledged)
            nursery.start_soon(patrol, stream, socket)
            nursery.start_soon(self.late.send, self._say)
            if self._tell_open:
                nursery.start_soon(self._say_open)
            await self._listen(socket, nursery)

    async def _say_open(self) -> None:
        for message in self.open_questions():
            await self._say(message)

    async def _beat(self) -> None:
        while True:
            await self._say(await trio.to_thread.run_sync(self._heartbeat_message))
            await trio.sleep(self._heartbeat)

    def _heartbeat_message(self) -> wire.Heartbeat:
        import psutil  # here: a runner of one short command ends before it says how loaded its machine is

        events, size = self._spool.size()
        load = wire.Load(
            cpu_percent=psutil.cpu_percent(),
            memory_percent=psutil.virtual_memory().percent,
            disk_percent=psutil.disk_usage("/").percent,
        )
        live = [session.session_id for session in self._spool.sessions() if session.live]
        return wire.Heartbeat(
            ts=now_ms(), active_sessions=live, load=load, spool=wire.SpoolSize(events=events, bytes=size)
        )

    async def _say(self, message: Any) -> None:
        if self._out is not None:
            await self._out.send(encode(message))

    async def _write(self, socket: WebSocketConnection, outgoing: trio.MemoryReceiveChannel[bytes]) -> None:
        """The only task that writes. Its deadline ends the connection: no half frame is followed by another."""
        async for data in outgoing:
            with trio.fail_after(WRITE_SECONDS):
                await socket.send_message(data.decode())

    async def _listen(self, socket: WebSocketConnection, nursery: trio.Nursery) -> None:
        while True:
            text = await socket.get_message()  # its deadline is the patrol's
            try:
                message = wire.decode_from_service.decode(text)
            except ContractError as error:
                log.warning("message_ignored", reason=str(error))
                if (command_id := wire.command_id_of(text)) is not None:  # unanswered, it would be given again for ever
                    told = wire.ErrorBody(code="NOT_POSSIBLE", message=f"this runner cannot read the command: {error}")
                    await self._say(wire.Result(command_id=command_id, ok=False, error=told))
                continue
            await self._take(message, nursery)

    async def _take(self, message: wire.FromService, nursery: trio.Nursery) -> None:
        match message:
            case wire.Ack(session_id=session_id, seq=seq, window=window):
                self._flights.window = self._flights.window if window is None else window
                self._acked(session_id, seq)
            case wire.Nack():
                log.error("event_refused", session=message.session_id, seq=message.seq, reason=message.message)
                await trio.to_thread.run_sync(self._spool.drop, message.session_id, message.seq)
                await trio.to_thread.run_sync(self._spool.forget, message.session_id)
                await self._past(message.session_id)
            case wire.Command(command="start" | "stop" | "approve" | "diff" | "land" | "land_status" | "conversations"):
                # a clone, a grace period, git, a disk take time
                nursery.start_soon(self._obey, message)
            case wire.Command():  # in order within a session: these are keys
                self._flights.typed(message.session_id or "", trio.current_time())
                self._obey_in_turn(message, nursery)
            case wire.LinkError():
                log.error("service_says", code=message.code, reason=message.message)
            case wire.Policies() | wire.Allowances() if self._take_rules is not None:
                await self._take_rules(message)
                if isinstance(message, wire.Allowances):
                    nursery.start_soon(self._say_held, message.version)
            case wire.Policies() | wire.Allowances():
                pass
            case wire.Welcome():
                log.warning("message_ignored", reason="a second welcome")

    async def _say_held(self, version: int) -> None:
        """Answer allowances once all that was used before is on the disk: the service counts on it then."""
        counted = {} if self._counted is None else await self._counted()
        await self._say(wire.AllowancesHeld(version=version, counted=counted))

    def _acked(self, session_id: str, seq: int) -> None:
        """Make room for more at once; the spool hears of it from a task of its own, for keys come behind this."""
        flight = self._flights.of(session_id, seq)
        if seq > flight.acked:
            self._acked_at = trio.current_time()
            self._acknowledged[session_id] = max(seq, self._acknowledged.get(session_id, 0))
            self._acks.set()
        flight.ack(seq)
        if self._flights.held_back:
            self._flights.held_back = False
            self.wake()

    async def _forget_acknowledged(self) -> None:
        while True:
            await self._acks.wait()
            self._acks = trio.Event()
            acked, self._acknowledged = self._acknowledged, {}
            await trio.to_thread.run_sync(self._let_go, acked)

    def _let_go(self, acked: Mapping[str, int]) -> None:
        for session_id, seq in acked.items():
            self._spool.ack(session_id, seq)
            self._spool.forget(session_id)

    async def _past(self, session_id: str) -> None:
        """Take refused events out of the window: they are no longer on their way."""
        flight = self._flights.find(session_id)
        if flight is not None:
            left = await trio.to_thread.run_sync(self._spool.unacked, session_id, flight.acked, 1)
            until = left[0].seq - 1 if left else flight.sent
            flight.ack(min(until, flight.sent))
            self.wake()

    def _obey_in_turn(self, command: wire.Command, nursery: trio.Nursery) -> None:
        """Obey it after the session's command before it. A terminal that takes no keys holds up no other session."""
        session_id = command.session_id or ""
        before, done = self._turns.get(session_id), trio.Event()
        self._turns[session_id] = done

        async def obey() -> None:
            try:
                if before is not None:
                    await before.wait()
                await self._obey(command)
            finally:
                done.set()
                if self._turns.get(session_id) is done:
                    del self._turns[session_id]

        nursery.start_soon(obey)

    async def _obey(self, command: wire.Command) -> None:
        await self._say(await self._handle(command))

    async def _send_events(self) -> None:
        """Send what is in the spool and not on its way, as far as the window allows."""
        while True:
            self._news = trio.Event()
            while await self._send_some():
                pass
            await self._news.wait()

    async def _send_some(self) -> bool:
        """Send one frame for each session that has something; return True if more can be sent at once."""
        flights = self._flights
        if flights.room <= 0:
            flights.held_back = True
            return False
        more = False
        limit, places = min(flights.room, FRAME_EVENTS), flights.places(trio.current_time())
        flights.held_back = any(share <= 0 for _, share in places.values())
        for session, events in await trio.to_thread.run_sync(self._unsent, places, limit):
            flight = flights.of(session.session_id, session.acked)
            share, room = flights.share(session.session_id, trio.current_time()), flights.room
            frame: list[bytes] = []
            size = 0
            for event in events:
                if event.seq <= flight.sent:  # acknowledged meanwhile: they were there
                    continue
                if len(frame) >= room or (size and size + len(event.body) > min(share, FRAME_BYTES)):
                    break
                frame.append(event.body)
                size += len(event.body)
                flight.send(event.seq, len(event.body))
            behind = flight.sent < session.last_seq
            flights.held_back = flights.held_back or behind  # also where those before it took all the room
            if frame and self._out is not None:
                flight.lively_at = trio.current_time()
                await self._out.send(b'{"type":"events","events":[' + b",".join(frame) + b"]}")
                more = more or behind
        return more

    def _unsent(self, places: Mapping[str, tuple[int, int]], limit: int) -> list[tuple[SpoolSession, list[Stored]]]:
        """Read the sessions that have something to send and a share left, with its first events, in one visit to the
        disk; those with the least to say come first. `places`: how far a session was sent, and its share in bytes.
        """
        found: list[tuple[SpoolSession, list[Stored]]] = []
        for session in self._spool.sessions():
            after, share = places.get(session.session_id, (session.acked, FRAME_BYTES))
            if after < session.last_seq and share > 0:
                most = min(share, FRAME_BYTES)
                found.append((session, self._spool.unacked(session.session_id, after, limit, most)))
        return sorted(found, key=lambda one: sum(len(event.body) for event in one[1]))


def held(spool: Spool) -> list[wire.HeldSession]:
    """List the sessions of the spool as `hello` reports them."""
    return [
        wire.HeldSession(session_id=s.session_id, first_seq=s.acked + 1, last_seq=s.last_seq, state=s.state)
        for s in spool.sessions()
        if s.live or s.acked < s.last_seq or s.state not in FINAL_STATES
    ]
