"""What the cast needs from the rooms around it, as protocols: the composition root plugs the real things in.

An actor never touches a socket, a database driver or the wall clock; it talks to one of these.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeAlias

import attrs

from actors.runtime import ActorRef
from contracts.records import LogRecord

Ref: TypeAlias = ActorRef[Any]
"""The address of an actor of the cast."""

Tag = tuple[str, int]
"""(sessionId, seq): which event a message was made from."""


class ClientGone(Exception):
    """The client's connection is over: nothing is owed to it any more."""


class Replay(Protocol):
    """Sends to one client while its live messages are held back."""

    def send(self, event: str, payload: bytes, tag: Tag | None = None) -> None: ...

    async def room(self, size: int) -> None:
        """Wait until the client has room for so many bytes more."""
        ...


class Outlet(Protocol):
    """The way out to the people watching. Never blocks; a slow client is the transport's business."""

    def publish(self, event: str, payload: bytes, rooms: Sequence[str], tag: Tag | None = None) -> None:
        """One event to every client in any of the rooms, once each."""
        ...

    def listens(self, rooms: Sequence[str]) -> bool:
        """Whether `publish` to these rooms reaches anybody: who is there, or lost the connection and may come back."""
        ...

    def send(self, client_id: str, event: str, payload: bytes) -> None:
        """One event to one client."""
        ...

    def enter(self, client_id: str, room: str) -> None: ...

    def leave(self, client_id: str, room: str) -> None: ...

    def catch_up(self, client_id: str) -> AbstractAsyncContextManager[Replay]:
        """While open, live messages to the client are held back; they follow when it closes. Raises `ClientGone`."""
        ...

    async def round_trip(self, client_id: str, timeout: float) -> float | None:
        """Seconds that a `server_ping` took to be answered; None where it was not."""
        ...

    def disconnect(self, client_id: str) -> None:
        """Cut the connection: the client comes back by itself."""
        ...

    async def dismiss(self, client_id: str) -> None:
        """Send the client away: it does not come back by itself."""
        ...


class Journal(Protocol):
    """The durable log. Synchronous: `append` runs in one writer thread, `read` in any other."""

    def append(self, batch: Sequence[LogRecord]) -> object:
        """All of the batch in one commit; repeats of (session, seq) are dropped. Raises `OSError` when it cannot."""
        ...

    def read(self, session_id: str, after: int, limit: int, max_bytes: int) -> Sequence[LogRecord]:
        """Events of a session with seq > `after`, oldest first."""
        ...

    def size(self, session_id: str, after: int, until: int) -> int:
        """Bytes that are stored of a session's events with `after` < seq <= `until`."""
        ...

    def deleted(self, session_id: str) -> bool:
        """Whether somebody deleted this session: what still comes of it is dropped. From memory."""
        ...

    def save_snapshots(self, snapshots: Mapping[str, tuple[int, bytes]]) -> None:
        """key → (position, body): what a restart begins from instead of the whole log."""
        ...


@attrs.define
class DiskPressure:
    """How the journal's disk does. Written by the journal alone; links and readiness read it."""

    refusal: str | None = None
    """Why nothing can be written (a full disk, an I/O error); None while it can."""
    commit_began: float | None = None
    """When the commit under way began, by trio's clock; None between commits."""


class Clock(Protocol):
    """Wall-clock time, for what is shown and stored; deadlines use trio's clock."""

    def now_ms(self) -> int: ...


class Decisions(Protocol):
    """Where decisions on approvals last. One conditional update: the first one wins."""

    async def record(
        self, approval_id: str, session_id: str, decision: str, resolved_by: str, note: str | None, at_ms: int
    ) -> "Standing":
        """The decision that stands afterwards: this one, or an earlier one."""
        ...

    async def unconfirmed(self, session_id: str) -> Sequence["Standing"]:
        """Decisions of the session that its runner has not confirmed yet."""
        ...

    async def confirm(
        self, session_id: str, approval_id: str, decision: str, resolved_by: str | None, note: str | None, at_ms: int
    ) -> None:
        """The runner said how it ended, and that stands, whatever was decided here while it had ended there."""
        ...


class Subject(Protocol):
    """Who somebody is, as `access` found out. The cast does not look inside."""

    @property
    def user_id(self) -> str | None:
        """None for the anonymous."""
        ...

    @property
    def token_id(self) -> str | None:
        """Of the token it came in with."""
        ...

    @property
    def expires_ms(self) -> int | None:
        """When the token ends, epoch milliseconds, and everything that came in with it; None: not by itself."""
        ...


class Audit(Protocol):
    """The log of what people did."""

    def note(
        self, action: str, subject: Subject, origin: Any, at_ms: int, village_id: str, session_id: str, **details: Any
    ) -> None:
        """Who did what, from where (`actors.directory.Origin`), to which session. Never blocks. `details` hold no
        secret and nothing typed; `characters` are added up while one hand goes on typing.
        """
        ...


class Access(Protocol):
    """Who may; asked of the database each time, so that a change holds at once."""

    async def may_read(self, subject: Subject, village_id: str) -> bool: ...

    async def may_drive(self, subject: Subject, village_id: str) -> bool: ...


@attrs.frozen(kw_only=True)
class Standing:
    """A decision that stands. `won`: whether the caller's own call made it. `confirmed`: whether its runner said so;
    until then it is on its way, and a session that ends (or an approval whose time is up) before it is there is a no.
    """

    approval_id: str
    decision: str
    resolved_by: str | None
    note: str | None
    won: bool = False
    confirmed: bool = False
