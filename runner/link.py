"""The runner's connection to the service: dial, resume, send what the spool holds, do what is commanded; for ever.

Heartbeats have a task of their own that starts first. One task writes to the socket; a write that cannot finish aborts
the connection, for half a frame would corrupt all that follows. Any byte from the service is a sign of life: an idle
runner hears nothing but pings.
"""

import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import attrs
import psutil
import structlog
import trio
import trio_websocket
from trio_websocket import ConnectionClosed, HandshakeError, WebSocketConnection

from contracts import link as wire
from contracts.codec import ContractError, encode
from contracts.events import FINAL_STATES
from runner.identity import Identity, NotEnrolled
from runner.recorder import now_ms
from runner.redial import Redial
from runner.spool import Spool
from runner.tls import open_stream

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


class Refused(Exception):
    """The service does not want this runner; dialling again soon is no use. The message is its reason."""


class _Heard(trio.abc.Stream):
    """A stream that knows when something last came."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._ended = trio.Event()
        self.heard_at = trio.current_time()

    async def fail_at_its_end(self) -> None:
        """For a handshake: the library waits on although the other side has hung up."""
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

    def __init__(self, identity: Identity, hello: Callable[[], wire.Hello], spool: Spool, handle: Handler) -> None:
        self._identity = identity
        self._hello = hello
        self._spool = spool
        self._handle = handle
        self._news = trio.Event()
        self._flights: dict[str, _Flight] = {}
        self._window = wire.DEFAULT_WINDOW
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
        """Whether the service is there at this moment."""
        return self._out is not None

    def wake(self) -> None:
        """There is something to send."""
        self._news.set()

    async def run(self) -> None:
        """Until cancelled. A first connection that fails is as one that was lost: dial again, later each time."""
        redial = Redial()
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
            except _TROUBLE as error:
                log.info("not_connected", url=self._identity.url, reason=_brief(error))
            self._out = None
            redial.ended(self._good_since(began))
            await trio.sleep(redial.wait(trio.current_time()))

    def _good_since(self, began: float) -> float | None:
        """When the connection that `began` then was last good: it held, or the service took something on it."""
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
            raise _refusal(_first(group)) from None

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
        """Whether this runner has another token by now than the one that was refused."""
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
            case wire.Command(command="start" | "stop" | "approve"):  # a clone, a grace period take their time
                nursery.start_soon(self._obey, message)
            case wire.Command():  # in order within a session: these are keys
                self._obey_in_turn(message, nursery)
            case wire.LinkError():
                log.error("service_says", code=message.code, reason=message.message)
            case wire.Welcome():
                log.warning("message_ignored", reason="a second welcome")

    async def _acked(self, session_id: str, seq: int) -> None:
        flight = self._flights.setdefault(session_id, _Flight(seq, seq))
        if seq > flight.acked:
            flight.acked = seq
            self._acked_at = trio.current_time()
            flight.sent = max(flight.sent, seq)
            await trio.to_thread.run_sync(self._spool.ack, session_id, seq)
            await trio.to_thread.run_sync(self._spool.forget, session_id)
        self.wake()

    def _obey_in_turn(self, command: wire.Command, nursery: trio.Nursery) -> None:
        """After the one before for the same session. A terminal that takes no keys holds up nobody else."""
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
        """One frame for each session that has something; whether there was anything."""
        sent = False
        for session in await trio.to_thread.run_sync(self._spool.sessions):
            flight = self._flights.setdefault(session.session_id, _Flight(session.acked, session.acked))
            room = self._window - sum(f.sent - f.acked for f in self._flights.values())
            if flight.sent >= session.last_seq or room <= 0:
                continue
            limit = min(room, FRAME_EVENTS)
            events = await trio.to_thread.run_sync(self._spool.unacked, session.session_id, flight.sent, limit)
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
                sent = True
        return sent


async def _patrol(stream: _Heard) -> None:
    """Raises `trio.TooSlowError` when the service has said nothing at all for too long."""
    while (silent := trio.current_time() - stream.heard_at) < SILENCE_SECONDS:  # noqa: ASYNC110 - a deadline that moves
        await trio.sleep(SILENCE_SECONDS - silent)
    raise trio.TooSlowError


_TROUBLE = (
    OSError,
    HandshakeError,
    ConnectionClosed,
    ContractError,
    trio.TooSlowError,
    trio.BrokenResourceError,
    trio.ClosedResourceError,
)
"""What ends a connection, and is mended by the next one."""


def held(spool: Spool) -> list[wire.HeldSession]:
    """What hello says of the spool."""
    return [
        wire.HeldSession(session_id=s.session_id, first_seq=s.acked + 1, last_seq=s.last_seq, state=s.state)
        for s in spool.sessions()
        if s.live or s.acked < s.last_seq or s.state not in FINAL_STATES
    ]


def _first(error: BaseException) -> BaseException:
    """What the nurseries wrapped."""
    if isinstance(error, BaseExceptionGroup):
        return _first(error.exceptions[0])  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]
    return error


def _refusal(error: BaseException) -> BaseException:
    """The answer to a handshake ends the library's own reader, so it comes out of the nursery and not of the call."""
    if not isinstance(error, trio_websocket.ConnectionRejected) or error.status_code not in (401, 403):
        return error
    text = (error.body or b"").decode(errors="replace")
    return Refused(f"HTTP {error.status_code} {text}".strip())


def _brief(error: BaseException) -> str:
    if isinstance(error, ConnectionClosed):
        return f"closed: {getattr(error.reason, 'code', '')} {getattr(error.reason, 'reason', '') or ''}".strip()
    if isinstance(error, trio.TooSlowError):
        return "no answer in time"
    return str(error) or type(error).__name__
