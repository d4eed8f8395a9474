"""The leader's side: connections that other replicas hand on count as if their clients had come here."""

import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog
import trio

from townwatch.transports.edge.connection import Connection
from townwatch.transports.edge.relay.wire import (
    CLAIM_HEAD_BYTES,
    HELLO_BYTES,
    MAGIC,
    Purpose,
    RelayClaim,
    RelayRefused,
    RelaySecret,
    read_claim_head,
    read_hello,
)

log = structlog.get_logger("cluster")

SAY_SECONDS = 10.0
"""Refusals are counted; the log says one of them in so many seconds."""


class RelayAdmission:
    """Asks of each new connection whether another replica hands it on. Default deny: what does not prove itself is
    closed, and its bytes are not read as a request.
    """

    def __init__(
        self, secret: bytes, life: str, seconds: float, carry: Callable[[Connection], Awaitable[None]]
    ) -> None:
        """`life`: of this process; `seconds`: time that a replica has for its first words; `carry`: serves a connection
        that carries many clients, until it ends.
        """
        self._secret = RelaySecret(secret)
        self._life = life
        self._seconds = seconds
        self._carry = carry
        self._said = -SAY_SECONDS
        self.admitted: Counter[str] = Counter()
        """Connections by the replica that handed them on, since the start of this process."""
        self.refused = 0

    async def __call__(self, connection: Connection) -> bytes | None:
        """`Front`: never takes bytes of a client that came here itself."""
        if not await self._is_relayed(connection):
            return b""
        try:
            with trio.fail_after(self._seconds):
                said = await self._listen(connection)
        except (RelayRefused, trio.TooSlowError) as error:
            self._refuse(connection, str(error) or f"its first words took more than {self._seconds:g} s")
            return None
        if said is None:
            return None
        purpose, claim = said
        self.admitted[claim.replica] += 1
        if purpose == "trunk":
            await self._carry(connection)
            return None
        connection.claim, connection.peer, connection.certificate = claim, claim.peer, claim.certificate
        return b""

    async def _is_relayed(self, connection: Connection) -> bool:
        """Look at the first bytes without taking them. A replica sends all of its hello at once."""
        with trio.move_on_after(self._seconds):
            while True:
                try:
                    return connection.sock.recv(len(MAGIC), socket.MSG_PEEK) == MAGIC
                except (BlockingIOError, InterruptedError):
                    await trio.lowlevel.wait_readable(connection.sock)
                except OSError:
                    return False
        return False

    async def _listen(self, connection: Connection) -> tuple[Purpose, RelayClaim] | None:
        """Return its purpose and the claim; None of a probe, which wants the answer only."""
        hello = read_hello(await _exactly(connection, HELLO_BYTES))
        welcome = self._secret.welcome(hello, self._life)
        connection.write(welcome.encode())
        if hello.purpose == "probe":
            with suppress(trio.ClosedResourceError):
                await connection.recv()  # its end
            return None
        proof, length = read_claim_head(await _exactly(connection, CLAIM_HEAD_BYTES))
        body = await _exactly(connection, length)
        return hello.purpose, self._secret.check_claim(hello, welcome, proof, body.decode("utf-8", "replace"))

    def _refuse(self, connection: Connection, why: str) -> None:
        self.refused += 1
        if trio.current_time() - self._said >= SAY_SECONDS:
            self._said = trio.current_time()
            log.warning("relay_refused", peer=connection.peer, reason=why, refused=self.refused)


async def _exactly(connection: Connection, size: int) -> bytes:
    """So many bytes and not one more: what follows is the client's. Raises `RelayRefused` at the end."""
    data = b""
    while len(data) < size:
        more = await connection.recv(size - len(data))
        if not more:
            raise RelayRefused("it ended before its first words did")
        data += more
    return data
