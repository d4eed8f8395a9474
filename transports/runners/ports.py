"""What the composition root gives to the runner side."""

from collections.abc import Awaitable, Callable

import attrs

from actors.context import Context
from contracts.link import DEFAULT_HEARTBEAT_MS, DEFAULT_WINDOW
from transports.ws_socket import SocketLimits


class InvalidToken(Exception):
    """The token is not a runner's, is expired or was revoked. Its text goes to the log, never the token's."""


@attrs.frozen(kw_only=True)
class RunnerIdentity:
    """Who a token belongs to. `villages`: where its sessions may be; None: anywhere."""

    runner_id: str
    villages: frozenset[str] | None = None

    def speaks_for(self, runner_id: str) -> bool:
        """Whether a hello may name this runner: itself, or one of its slots (``r1.run-2``)."""
        return runner_id == self.runner_id or runner_id.startswith(f"{self.runner_id}.")

    def may_use(self, village_id: str) -> bool:
        return self.villages is None or village_id in self.villages


Authenticate = Callable[[str], Awaitable[RunnerIdentity]]
"""From a token to its runner, in constant time and off the loop. Raises `InvalidToken`."""


Recognize = Callable[[tuple[str, ...]], Awaitable[RunnerIdentity]]
"""From the names in a certificate that was checked to its runner. Raises `InvalidToken`."""


async def nobody(_names: tuple[str, ...]) -> RunnerIdentity:
    """Where certificates count for nothing."""
    raise InvalidToken("certificates are not asked for here")


def _limits() -> SocketLimits:
    return SocketLimits(message_bytes=4 << 20, outbox_bytes=8 << 20)


@attrs.frozen(kw_only=True)
class LinkSettings:
    """Of every runner connection.

    window: events a runner may have unacknowledged. heartbeat_ms: what it is told in welcome.
    ackless: whether the dialect without acknowledgements is understood (its token stands in the URL).
    held_bytes: unacknowledged events kept in memory; beyond it reading pauses until some are durable.
    handshake, hello: seconds to the 101 and to the first message. resend: seconds without an acknowledgement after
    which a session gets its events again.
    """

    window: int = DEFAULT_WINDOW
    heartbeat_ms: int = DEFAULT_HEARTBEAT_MS
    ackless: bool = False
    held_bytes: int = 8 << 20
    handshake: float = 5.0
    hello: float = 10.0
    resend: float = 5.0
    handshakes: int = 256
    """Connections that may be between TCP and hello at the same time; more get 503."""
    socket: SocketLimits = attrs.field(factory=_limits)


@attrs.frozen(kw_only=True)
class LinkDeps:
    """`links`: the path of the dynamic supervisor of the connections."""

    context: Context
    links: str
    authenticate: Authenticate
    recognize: Recognize = nobody
    settings: LinkSettings = attrs.field(factory=LinkSettings)
