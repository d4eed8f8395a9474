"""One trunk to the leader, made when the first client comes that is to be carried."""

from collections.abc import Awaitable, Callable

import structlog
import trio

from townwatch.transports.edge.connection import Connection
from townwatch.transports.edge.relay.dialling import Dialler, LeaderDoor
from townwatch.transports.edge.relay.wire import RelayClaim, RelayRefused
from townwatch.transports.trunk.far_end import FarEnd

log = structlog.get_logger("trunk")

MAKE_SECONDS = 5.0
AGAIN_SECONDS = 2.0
"""After a trunk that could not be made, until the next attempt: clients are handed on one by one meanwhile."""


class TrunkKeeper:
    """The trunk of a replica that does not lead. It ends when another process leads, and its clients come again."""

    def __init__(self, name: str) -> None:
        """`name`: of this replica."""
        self._name = name
        self._far_end: FarEnd | None = None
        self._life = ""
        """The leader's, at its other end."""
        self._refused_by = ""
        """A leader of a release that knows no trunks: it is asked once."""
        self._again = 0.0
        self._making = trio.Lock()

    def __len__(self) -> int:
        return len(self._far_end) if self._far_end is not None else 0

    async def to(
        self, door: LeaderDoor, dialler: Dialler, nursery: trio.Nursery
    ) -> Callable[[Connection, RelayClaim, bytes], Awaitable[None]] | None:
        """Return what carries a client to this leader; None where it takes no trunk, or cannot be reached.

        `nursery`: that of the connections of this replica's port.
        """
        async with self._making:
            if self._life != door.life or self._far_end is None or not self._far_end.open:
                self.end_unless(None)
                if self._refused_by == door.life or trio.current_time() < self._again:
                    return None
                self._far_end, self._life = await self._make(door, dialler, nursery), door.life
                if self._far_end is None:
                    self._again = trio.current_time() + AGAIN_SECONDS
            return None if self._far_end is None else self._far_end.carry

    def end_unless(self, life: str | None) -> None:
        """End the trunk to another leader than this one."""
        if self._far_end is not None and self._life != life:
            self._far_end.end()
            self._far_end = None

    async def _make(self, door: LeaderDoor, dialler: Dialler, nursery: trio.Nursery) -> FarEnd | None:
        with trio.move_on_after(MAKE_SECONDS):
            try:
                sock, claim = await dialler.open(door, RelayClaim(peer="", replica=self._name), "trunk")
            except (OSError, RelayRefused) as error:
                if isinstance(error, RelayRefused):
                    self._refused_by = door.life
                log.info("no_trunk", leader=door.name, reason=str(error))
                return None
            link = Connection(sock, nursery)
            link.write(claim)
            far_end = FarEnd(link, nursery)
            nursery.start_soon(far_end.run)
            return far_end
        return None
