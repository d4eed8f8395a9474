"""What is kept of a client outside of this process, and the port to where it is kept."""

from typing import Any, Protocol

import attrs


@attrs.frozen(kw_only=True)
class KeptRoom:
    """A room, and from when on the client is in it: the number and the mark of the events that came after.

    The mark says how far the application's own log had been told to the room; it means nothing to this package.
    """

    room: str
    number: int
    mark: str


@attrs.frozen(kw_only=True)
class KeptSocket:
    """A client as another process may take it over. `epoch`: of the recovery log that its numbers are of. `floor`: a
    client that has not seen the event of this number has not seen what was replayed to it, and cannot be taken over.
    `owner`: an application's word for whose it is.
    """

    pid: str = attrs.field(repr=False)
    sid: str
    epoch: str
    owner: str
    floor: int
    rooms: tuple[KeptRoom, ...]


@attrs.frozen(kw_only=True)
class Returned:
    """A client of another process that came back. `missed`: for the application, which shows what was missed."""

    kept: KeptSocket
    missed: Any


class SocketKeeper(Protocol):
    """Keeps clients for other processes. A private id is the client's proof that it is the one that is kept."""

    def mark(self) -> str:
        """Return how far the application's own log was told, for the next event's offset."""
        ...

    async def save(self, socket: KeptSocket) -> None:
        """Keep this; what was kept of the same private id is replaced. Returns when it lasts."""
        ...

    def lost(self, pid: str) -> None:
        """Note that the client lost its connection: from now on it is kept for as long as it may come back."""
        ...

    def forget(self, pid: str) -> None:
        """Keep nothing more of it: it is gone for good, or may not come back."""
        ...

    async def find(self, pid: str, offset: str | None) -> Returned | None:
        """Return the client of this private id, which has seen `offset` last; None where it must begin anew. Until it
        is kept again or `release`d, no other connection finds it. Raises `Postponed` where that cannot be known now.
        """
        ...

    def release(self, pid: str) -> None:
        """Note that it did not come back after all, and may try once more."""
        ...


@attrs.define
class Joins:
    """From when on a connected client is in its rooms, for who keeps it."""

    owner: str | None = None
    """Set once it is kept."""
    floor: int = 0
    rooms: dict[str, tuple[int, str]] = attrs.field(factory=dict[str, "tuple[int, str]"])
