"""Ports of the runner side, filled by the composition root."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import attrs

from townwatch.actors.context import Context
from townwatch.actors.ports import Ref
from townwatch.contracts.link import (
    DEFAULT_HEARTBEAT_MS,
    DEFAULT_WINDOW,
    SIGNED_POLICIES,
    Allowances,
    Hello,
    Policies,
)
from townwatch.contracts.policy import SignedPolicies, VillagePolicy
from townwatch.contracts.village_ids import name_of
from townwatch.transports.websocket.pace import MessageLimits
from townwatch.transports.websocket.socket import SocketLimits


class InvalidToken(Exception):
    """The token is not a runner's, is expired or was revoked. Its text goes to the log, never the token's."""


Villages = Callable[[], Mapping[str, str]]
"""Name → key of the villages that a runner serves now, the first one granted first. Asked at each event: what is
withdrawn is closed at once.
"""


class Allowing(Protocol):
    """Leases of budgets, for the connections of runners that hold their sessions to them."""

    def linked(self, runner_id: str, link: Ref) -> None: ...

    def unlinked(self, runner_id: str, link: Ref) -> None: ...

    def for_runner(self, runner_id: str) -> Allowances | None:
        """Return what the runner is to hold; None where nothing was worked out for this connection yet."""
        ...

    def held(self, runner_id: str, version: int, counted: Mapping[str, int]) -> None:
        """The runner holds what it was sent under this version, and nothing earlier. `counted`: session → the number of
        the event by which all that it used before is told.
        """
        ...


@attrs.frozen(kw_only=True)
class RunnerIdentity:
    """The runner that a token belongs to, and the villages that it was granted."""

    runner_id: str
    villages: Villages

    def speaks_for(self, runner_id: str) -> bool:
        """Return whether a hello may name this runner: itself, or one of its slots (``r1.run-2``)."""
        return runner_id == self.runner_id or runner_id.startswith(f"{self.runner_id}.")

    def may_use(self, village_id: str) -> bool:
        """Return whether it serves the village of this key."""
        return self.villages().get(name_of(village_id)) == village_id


Authenticate = Callable[[str], Awaitable[RunnerIdentity]]
"""From a token to its runner, in constant time and off the loop. Raises `InvalidToken`."""


Recognize = Callable[[tuple[str, ...]], Awaitable[RunnerIdentity]]
"""From the names in a certificate that was checked to its runner. Raises `InvalidToken`."""


async def no_certificates(_names: tuple[str, ...]) -> RunnerIdentity:
    """Reject every certificate: the default where none are configured."""
    raise InvalidToken("certificates are not asked for here")


def _limits() -> SocketLimits:
    return SocketLimits(incoming=MessageLimits(message_bytes=4 << 20), outbox_bytes=8 << 20)


@attrs.frozen(kw_only=True)
class LinkSettings:
    """Settings of every runner connection. Rules and budgets of its sessions have no default.

    window: events a runner may have unacknowledged. heartbeat_ms: what it is told in welcome.
    ackless: whether the dialect without acknowledgements is understood (its token stands in the URL).
    held_bytes: unacknowledged events kept in memory; beyond it reading pauses until some are durable.
    handshake, hello: seconds to the 101 and to the first message. resend: seconds without an acknowledgement after
    which a session gets its events again.
    """

    policies: Callable[[Mapping[str, str]], list[VillagePolicy]]
    """(name → key of villages) → their rules, as they are sent to the runner."""
    allowing: Allowing
    """What sessions may use of budgets that they share."""
    sign: Callable[[str, list[VillagePolicy], int], SignedPolicies] | None = None
    """(runner, its rules, epoch ms) → them, signed, for a runner that checks that; None: they are sent as they are."""
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

    def rules_for(self, hello: Hello, found: list[VillagePolicy], now_ms: int) -> Policies:
        """Return rules as they are sent: signed, to a runner that checks that."""
        if self.sign is None or SIGNED_POLICIES not in hello.capabilities.features:
            return Policies(policies=found)
        return Policies(signed=self.sign(hello.runner_id, found, now_ms))


@attrs.frozen(kw_only=True)
class LinkDeps:
    """`links`: the path of the dynamic supervisor of the connections. `grants`: name → key of the villages that a
    runner serves, as they are now.
    """

    context: Context
    links: str
    authenticate: Authenticate
    grants: Callable[[str], Mapping[str, str]]
    settings: LinkSettings
    recognize: Recognize = no_certificates
