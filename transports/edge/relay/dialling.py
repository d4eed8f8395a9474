"""The connection from a replica to the leader: made, encrypted where the leader's port is, and proven by both sides."""

import hashlib
import socket
import ssl
from typing import Any, cast

import attrs
import trio

from townwatch.transports.edge.connection import Connection
from townwatch.transports.edge.relay.wire import (
    ANSWER_BYTES,
    Purpose,
    RelayClaim,
    RelayHello,
    RelayRefused,
    RelaySecret,
    read_welcome,
)
from townwatch.transports.edge.tls import plain_pair, relay, start_tls


@attrs.frozen(kw_only=True)
class LeaderDoor:
    """Address of the leader's port. `fingerprint`: SHA-256 of its certificate, hexadecimal; None: no TLS."""

    life: str
    name: str
    host: str
    port: int
    fingerprint: str | None
    since: str

    def __str__(self) -> str:
        return f"{self.name}, which leads since {self.since}"


class Dialler:
    """Makes connections to a leader. Tasks of TLS are those of `nursery`."""

    def __init__(self, secret: RelaySecret, nursery: trio.Nursery, stall: float) -> None:
        self._secret = secret
        self._nursery = nursery
        self._stall = stall
        self._found: tuple[LeaderDoor, list[Any]] | None = None

    async def open(self, door: LeaderDoor, claim: RelayClaim, purpose: Purpose = "open") -> tuple[socket.socket, bytes]:
        """(the connection, the claim to send first). Raises OSError and `RelayRefused`; the caller has the deadline."""
        sock, hello, welcome = await self._proven(door, purpose)
        return sock, self._secret.claim(hello, welcome, claim)

    async def probe(self, door: LeaderDoor) -> float:
        """Seconds until the leader answered and had proven itself. Raises as `open`."""
        began = trio.current_time()
        sock, _hello, _welcome = await self._proven(door, "probe")
        sock.close()
        return trio.current_time() - began

    async def _proven(self, door: LeaderDoor, purpose: Purpose) -> tuple[socket.socket, RelayHello, Any]:
        sock = await self._connected(door)
        try:
            if door.fingerprint is not None:
                sock = await self._encrypted(sock, door.fingerprint)
            hello = RelayHello.new(purpose)
            sock.send(hello.encode())  # the first bytes of a connection always fit
            welcome = read_welcome(await _exactly(sock, ANSWER_BYTES))
            self._secret.check_welcome(hello, welcome, door.life)
        except BaseException:
            sock.close()
            raise
        return sock, hello, welcome

    async def _connected(self, door: LeaderDoor) -> socket.socket:
        """A connection to the first of its addresses that takes one. A name is resolved once a leader."""
        if self._found is None or self._found[0] != door:
            found = await trio.socket.getaddrinfo(door.host, door.port, type=socket.SOCK_STREAM)
            self._found = door, [(family, address) for family, _kind, _protocol, _name, address in found]
        failure = OSError(f"{door.host} has no address")
        for family, address in self._found[1]:
            sock = trio.socket.socket(family, socket.SOCK_STREAM)
            try:
                await sock.connect(address)
            except OSError as error:
                sock.close()
                failure = error
                continue
            except BaseException:
                sock.close()
                raise
            made = socket.socket(fileno=sock.detach())
            made.setblocking(False)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return made
        raise failure

    async def _encrypted(self, sock: socket.socket, fingerprint: str) -> socket.socket:
        """Begin TLS. No name and no authority is checked, but that it is the very certificate of the table."""
        wire = Connection(sock, self._nursery)
        try:
            secure = await start_tls(_client_context(), wire, self._stall, "townwatch")
            shown = cast(Any, secure).getpeercert(binary_form=True) or b""
            if hashlib.sha256(shown).hexdigest() != fingerprint:
                raise RelayRefused("it shows another certificate than the leader's")
        except trio.BrokenResourceError as error:
            wire.abort()
            raise OSError(f"TLS: {error.__cause__ or error}") from None
        except BaseException:
            wire.abort()
            raise
        ours, theirs = plain_pair()
        self._nursery.start_soon(relay, secure, wire, theirs, self._stall)
        return ours


def _client_context() -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE  # the fingerprint is compared instead
    return made


async def _exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        try:
            more = sock.recv(size - len(data))
        except (BlockingIOError, InterruptedError):
            await trio.lowlevel.wait_readable(sock)
            continue
        if not more:
            raise RelayRefused("it closed the connection: it does not lead, or has another secret")
        data += more
    return data
