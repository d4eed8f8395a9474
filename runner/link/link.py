"""The runner's connection to the service: dial, resume, send what the spool holds, do what is commanded; for ever.

Heartbeats have a task of their own that starts first. One task writes to the socket; a write that cannot finish aborts
the connection, for half a frame would corrupt all that follows. Any byte from the service is a sign of life: an idle
runner hears nothing but pings.
"""

import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import attrs
import psutil
import structlog
import trio
import trio_websocket
from trio_websocket import WebSocketConnection

from townwatch.contracts import link as wire
from townwatch.contracts.causes import first_cause
from townwatch.contracts.codec import ContractError, encode
from townwatch.contracts.events import FINAL_STATES
from townwatch.runner.identity import Identity, NotEnrolled
from townwatch.runner.link.redial import ReconnectPolicy
from townwatch.runner.link.tls import open_stream
from townwatch.runner.link.trouble import TROUBLE, Refused, brief, refusal_of
from townwatch.runner.spool.recorder import now_ms
from townwatch.runner.spool.spool import Spool, SpoolSession, Stored

log = structlog.get_logger("link")

CONNECT_SECONDS = 15.0
WELCOME_SECONDS = 15.0
WRITE_SECONDS = 30.0
SILENCE_SECONDS = 75.0
"""A service that has said nothing for so long (it pings every 20 s) is gone."""
HEALTHY_SECONDS = 10.0
"""A connection that was welcome for so long is a good one, also where there was nothing to send."""
FRAME_EVENTS, FRAME_BYTES = 256, 512 * 1024
MAX_FRAME = 4 << 20

Handler = Callable[[wire.Command], Awaitable[wire.Result]]


class _Heard(trio.abc.Stream):
    """A stream that knows when something last came."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._ended = trio.Event()
        self.heard_at = trio.current_time()

    async def fail_at_its_end(self) -> None:
        """Raise once the other side has hung up: during a handshake the library would wait on."""
        await self._ended.wait()
        raise trio.BrokenResourceError("the service hung up during the handshake")

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        data = b""
        try:
            data = await self._stream.receive_some(max_bytes)
        finally:
            if not data:
                self._ended.set()
        self.heard_at = trio.current_time()
        return data

    async def aclose(self) -> None:
        await self._stream.aclose()


@attrs.define
class _Flight:
    """What of a session is on its way: sent up to, acknowledged up to."""

    sent: int
    acked: int


class Link:
    """`run` it in a nursery. `wake` it when the spool has something new."""

    def __init__(
        self,
        identity: Identity,
        hello: Callable[[], wire.Hello],
        spool: Spool,
        handle: Handler,
        take_policies: Callable[[wire.Policies], Awaitable[None]] | None = None,
    ) -> None:
        self._identity = identity
        self._hello = hello
        self._spool = spool
        self._handle = handle
        self._take_policies = take_policies
        self._news = trio.Event()
        self._flights: dict[str, _Flight] = {}
        self._window = wire.DEFAULT_WINDOW
        self._window_was_full = False
        """Whether something waits for an acknowledgement to be sent. Set before anything is awaited that an
        acknowledgement could come in: else it would wake nothing."""
        self._out: trio.MemorySendChannel[bytes] | None = None
        self._welcomed_at = self._acked_at = float("-inf")
        self._turns: dict[str, trio.Event] = {}
        """The end of the latest command of each session."""
        self._heartbeat = wire.DEFAULT_HEARTBEAT_MS / 1000
        self.connected = trio.Event()
        """Set by the first welcome."""
        self.renew: Callable[[], Identity] | None = None
        """Reads anew who we are; asked when the service refuses us, for the token may have been rotated."""

    @property
    def online(self) -> bool:
        """Return whether the service is there at this moment."""
        return self._out is not None

    def wake(self) -> None:
        """There is something to send."""
        self._news.set()

    async def run(self) -> None:
        """Run until cancelled. A first connection that fails is treated as a lost one: dial again, later each time."""
        redial = ReconnectPolicy()
        while True:
            began = trio.current_time()
            try:
                await self._one_connection()
            except Refused as error:
                log.error("service_refuses", reason=str(error))
                if not await self._renewed():
                    redial.refused()
            except sqlite3.Error as error:
                log.error("spool_cannot_be_used", reason=str(error), advice="make room on this disk; retrying")
            except TROUBLE as error:
                log.info("not_connected", url=self._identity.url, reason=brief(error))
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
                stream = _Heard(await open_stream(self._identity.url, self._identity.tls))
            try:
                async with trio.open_nursery() as nursery:
                    socket = await self._open(nursery, stream)
                    await self._greet(socket)
                    await self._talk(socket, stream)
            finally:  # a goodbye could wait for ever behind half a frame
                await trio.aclose_forcefully(stream)
        except BaseExceptionGroup as group:
            raise refusal_of(first_cause(group)) from None

    async def _open(self, nursery: trio.Nursery, stream: _Heard) -> WebSocketConnection:
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
        """None where the certificate says who we are."""
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
        self._window = welcome.window
        self._flights = {p.session_id: _Flight(p.resume_from - 1, p.resume_from - 1) for p in welcome.sessions}
        for session_id, flight in self._flights.items():
            await trio.to_thread.run_sync(self._spool.ack, session_id, flight.acked)
        self._heartbeat = welcome.heartbeat_ms / 1000
        self._welcomed_at = trio.current_time()
        self.connected.set()
        log.info("connected", url=self._identity.url, sessions=len(welcome.sessions))

    async def _talk(self, socket: WebSocketConnection, stream: _Heard) -> None:
        self._out, outgoing = trio.open_memory_channel[bytes](64)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._beat)
            nursery.start_soon(self._write, socket, outgoing)
            nursery.start_soon(self._send_events)
            nursery.start_soon(_patrol, stream)
            await self._listen(socket, nursery)

    async def _beat(self) -> None:
        while True:
            await self._say(await trio.to_thread.run_sync(self._heartbeat_message))
            await trio.sleep(self._heartbeat)

    def _heartbeat_message(self) -> wire.Heartbeat:
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
                continue
            await self._take(message, nursery)

    async def _take(self, message: wire.FromService, nursery: trio.Nursery) -> None:
        match message:
            case wire.Ack(session_id=session_id, seq=seq, window=window):
                self._window = self._window if window is None else window
                await self._acked(session_id, seq)
            case wire.Nack():
                log.error("event_refused", session=message.session_id, seq=message.seq, reason=message.message)
                await trio.to_thread.run_sync(self._spool.drop, message.session_id, message.seq)
                await trio.to_thread.run_sync(self._spool.forget, message.session_id)
                await self._past(message.session_id)
            case wire.Command(command="start" | "stop" | "approve" | "diff"):  # a clone, a grace period, git take time
                nursery.start_soon(self._obey, message)
            case wire.Command():  # in order within a session: these are keys
                self._obey_in_turn(message, nursery)
            case wire.LinkError():
                log.error("service_says", code=message.code, reason=message.message)
            case wire.Policies():
                if self._take_policies is not None:
                    await self._take_policies(message)
            case wire.Welcome():
                log.warning("message_ignored", reason="a second welcome")

    async def _acked(self, session_id: str, seq: int) -> None:
        flight = self._flights.setdefault(session_id, _Flight(seq, seq))
        if seq > flight.acked:
            flight.acked = seq
            self._acked_at = trio.current_time()
            flight.sent = max(flight.sent, seq)
            await trio.to_thread.run_sync(self._ack, session_id, seq)
        if self._window_was_full:
            self._window_was_full = False
            self.wake()

    def _ack(self, session_id: str, seq: int) -> None:
        self._spool.ack(session_id, seq)
        self._spool.forget(session_id)

    async def _past(self, session_id: str) -> None:
        """Take refused events out of the window: they are no longer on their way."""
        flight = self._flights.get(session_id)
        if flight is not None:
            left = await trio.to_thread.run_sync(self._spool.unacked, session_id, flight.acked, 1)
            until = left[0].seq - 1 if left else flight.sent
            flight.acked = max(flight.acked, min(until, flight.sent))
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
        """Whatever is in the spool and not on its way, as far as the window allows."""
        while True:
            self._news = trio.Event()
            while await self._send_some():
                pass
            await self._news.wait()

    async def _send_some(self) -> bool:
        """Send one frame for each session that has something; return True if more can be sent at once."""
        if self._room <= 0:
            self._window_was_full = True
            return False
        more = False
        sent = {session_id: flight.sent for session_id, flight in self._flights.items()}
        for session, events in await trio.to_thread.run_sync(self._unsent, sent, min(self._room, FRAME_EVENTS)):
            flight = self._flights.setdefault(session.session_id, _Flight(session.acked, session.acked))
            events = [event for event in events if event.seq > flight.sent]  # acknowledged meanwhile: they were there
            if self._room < len(events):
                self._window_was_full = True
                events = events[: max(0, self._room)]
            frame: list[bytes] = []
            size = 0
            for event in events:
                if frame and size + len(event.body) > FRAME_BYTES:
                    break
                frame.append(event.body)
                size += len(event.body)
                flight.sent = event.seq
            if frame and self._out is not None:
                await self._out.send(b'{"type":"events","events":[' + b",".join(frame) + b"]}")
                more = more or flight.sent < session.last_seq
        return more

    @property
    def _room(self) -> int:
        """Number of events that the window has room for."""
        return self._window - sum(flight.sent - flight.acked for flight in self._flights.values())

    def _unsent(self, sent: Mapping[str, int], limit: int) -> list[tuple[SpoolSession, list[Stored]]]:
        """Read the sessions that have something to send, with its first events, in one visit to the disk."""
        found: list[tuple[SpoolSession, list[Stored]]] = []
        for session in self._spool.sessions():
            after = sent.get(session.session_id, session.acked)
            if after < session.last_seq:
                found.append((session, self._spool.unacked(session.session_id, after, limit)))
        return found


async def _patrol(stream: _Heard) -> None:
    """Raises `trio.TooSlowError` when the service has said nothing at all for too long."""
    while (silent := trio.current_time() - stream.heard_at) < SILENCE_SECONDS:  # noqa: ASYNC110 - a deadline that moves
        await trio.sleep(SILENCE_SECONDS - silent)
    raise trio.TooSlowError


def held(spool: Spool) -> list[wire.HeldSession]:
    """List the sessions of the spool as `hello` reports them."""
    return [
        wire.HeldSession(session_id=s.session_id, first_seq=s.acked + 1, last_seq=s.last_seq, state=s.state)
        for s in spool.sessions()
        if s.live or s.acked < s.last_seq or s.state not in FINAL_STATES
    ]
