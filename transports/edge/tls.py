"""TLS of the edge: what it shows, whom it asks, and the names in a client's certificate.

TLS ends here: the plain side goes on through a socket pair, so that everything behind is the same with and without.
"""

import socket
import ssl
from collections.abc import Callable, Sequence
from math import inf
from typing import Any, cast

import structlog
import trio

from townwatch.transports.edge.connection import Connection
from townwatch.transports.edge.sending import delivered, send_all, unsent, without_lingering

log = structlog.get_logger("edge")

PUMP_BYTES = 64 * 1024
FAREWELL_SECONDS = 2.0
Begin = Callable[[socket.socket, tuple[str, ...]], None]
"""Told of the plain side and of the names in the peer's certificate."""


class _Wire(trio.abc.Stream):
    """The encrypted side, for trio's SSLStream. A peer that takes nothing for `stall` seconds is cut."""

    def __init__(self, connection: Connection, stall: float) -> None:
        self._connection = connection
        self._stall = stall
        self.ends = inf
        """When the peer is given up, if nothing comes."""

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await trio.lowlevel.checkpoint()
        if data and not await send_all(self._connection, bytes(data), self._stall):
            raise trio.BrokenResourceError("the peer is gone")

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        return await self._connection.recv(max_bytes or PUMP_BYTES, self.ends)

    async def aclose(self) -> None:
        self._connection.abort()
        await trio.lowlevel.checkpoint()


async def end_tls(context: ssl.SSLContext, wire: Connection, begin: Begin, handshake: float, stall: float) -> None:
    """Serve one connection from its handshake on, until either side ends. Never raises an `Exception`."""
    try:
        secure = await start_tls(context, wire, stall, seconds=handshake)
        ours, theirs = plain_pair()
        begin(ours, certified_names(cast(Any, secure).getpeercert()))
        await relay(secure, wire, theirs, stall)
    except (OSError, trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError) as error:
        log.debug("tls_failed", reason=type(error).__name__)
    finally:
        _cut(wire)


async def start_tls(
    context: ssl.SSLContext, wire: Connection, stall: float, server: str | None = None, *, seconds: float = inf
) -> trio.SSLStream[Any]:
    """The handshake, as the server, or as a client that dialled `server`. `seconds`: how long the peer may take to say
    its part. Raises trio.BrokenResourceError and trio.TooSlowError.
    """
    encrypted = _Wire(wire, stall)
    encrypted.ends = trio.current_time() + seconds
    secure = trio.SSLStream(
        encrypted, context, server_hostname=server, server_side=server is None, https_compatible=True
    )
    await secure.do_handshake()
    encrypted.ends = inf
    return secure


def plain_pair() -> tuple[socket.socket, socket.socket]:
    """Return (the plain side for a `Connection`, the end that `relay` takes)."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    return ours, theirs


async def relay(secure: trio.SSLStream[Any], wire: Connection, theirs: socket.socket, stall: float) -> None:
    """Carry bytes between the encrypted and the plain side until either ends. Never raises an `Exception`."""
    try:
        inner = trio.SocketStream(trio.socket.from_stdlib_socket(theirs))
        async with trio.open_nursery() as pumps:
            pumps.start_soon(_pump_in, secure, inner, pumps.cancel_scope)
            while data := await inner.receive_some(PUMP_BYTES):
                await secure.send_all(data)
            await delivered(lambda: (unsent(wire.sock),), stall)
            with trio.move_on_after(FAREWELL_SECONDS):
                await secure.aclose()
            pumps.cancel_scope.cancel()
    except* (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as group:
        log.debug("tls_ended", reason=type(group.exceptions[0]).__name__)
    finally:
        theirs.close()
        _cut(wire)


def _cut(wire: Connection) -> None:
    if not wire.closed:
        without_lingering(wire.sock)
        wire.abort()


async def _pump_in(source: trio.abc.ReceiveStream, sink: trio.SocketStream, scope: trio.CancelScope) -> None:
    """Copy bytes from the peer to the service. The peer's end is passed on: it may still read."""
    try:
        while data := await source.receive_some(PUMP_BYTES):
            await sink.send_all(data)
        await sink.send_eof()
    except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
        scope.cancel()


def server_context(certificate: str, key: str | None, client_ca: str | None = None) -> ssl.SSLContext:
    """Return a context for TLS 1.2 and later. `client_ca`: clients may show a certificate, and one that this CA did not
    sign ends the handshake; a client that shows none is not authenticated by it. Blocks for the files. Raises
    OSError, naming them.
    """
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        made.load_cert_chain(certificate, key)
    except OSError as error:
        raise OSError(f"{certificate}, {key or 'its key'}: {error.strerror or error}") from None
    if client_ca:
        try:
            made.load_verify_locations(client_ca)
        except OSError as error:
            raise OSError(f"{client_ca}: {error.strerror or error}") from None
        made.verify_mode = ssl.CERT_OPTIONAL
        made.verify_flags |= ssl.VERIFY_X509_STRICT
    return made


def certified_names(found: Any) -> tuple[str, ...]:
    """The names in a certificate that was checked (`SSLObject.getpeercert`): URIs first, then the common name.

    >>> certified_names({"subject": ((("commonName", "runner_1"),),), "subjectAltName": (("URI", "urn:x:runner_2"),)})
    ('urn:x:runner_2', 'runner_1')
    """
    if not found:
        return ()
    alternatives = cast("Sequence[tuple[str, str]]", found.get("subjectAltName", ()))
    subject = cast("Sequence[Sequence[tuple[str, str]]]", found.get("subject", ()))
    uris = [value for kind, value in alternatives if kind == "URI"]
    common = [value for part in subject for name, value in part if name == "commonName"]
    return (*uris, *common)
