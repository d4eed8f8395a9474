"""Messages to a client's actor: what it said, what changed for it."""

from collections.abc import Callable, Sequence
from typing import Any

import attrs

from townwatch.actors.people.seen import SeenLog
from townwatch.actors.ports import Principal
from townwatch.runtime import System


@attrs.frozen
class FromClient:
    """To a client: an event its person sent. Answer: the ack."""

    event: str
    data: Any


@attrs.frozen
class PingNow:
    """To a client, by a timer: measure the round trip."""


@attrs.frozen
class RoomsRecovered:
    """To a client whose connection came back with these rooms. Answer: whether it may still be in all of them."""

    rooms: Sequence[str]


@attrs.frozen
class CameBack:
    """To a client of another process, after `RoomsRecovered`: enter them, and see what was missed."""

    seen: SeenLog


@attrs.frozen
class TokenEnded(System):
    """To a client: this token is worth nothing any more. Who came in with it leaves."""

    token_id: str


@attrs.frozen
class Dismiss(System):
    """To a client: a person closed this connection, for this reason."""

    reason: str


@attrs.frozen
class RightsChanged(System):
    """To a client: its person has other rights than when it connected. `now`: the subject that it was → that it is."""

    now: Callable[[Principal], Principal]


@attrs.frozen
class RecheckAccess(System):
    """To a client: leave every room that you may not be in any more."""
