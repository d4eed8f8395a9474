"""Protocols of what actors need from the packages around them; the composition root supplies implementations.

An actor never touches a socket, a database driver or the wall clock; it talks to one of these.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeAlias

import attrs

from townwatch.contracts.answers import Answerer, Counted
from townwatch.contracts.events import ApprovalRequest
from townwatch.contracts.link import Command
from townwatch.contracts.policy import AnswerTerms
from townwatch.contracts.records import LogRecord
from townwatch.runtime import ActorRef

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

    def publish(
        self, event: str, payload: bytes, rooms: Sequence[str], tag: Tag | None = None, *, without: str | None = None
    ) -> None:
        """Send one event to every client in any of the rooms, once each; to none that is in the room `without`."""
        ...

    def listens(self, rooms: Sequence[str]) -> bool:
        """Return True if one of the rooms has a client that is connected, or that lost its connection and may
        recover.
        """
        ...

    def send(self, client_id: str, event: str, payload: bytes) -> None:
        """Send one event to one client."""
        ...

    def enter(self, client_id: str, room: str) -> None:
        """Let the client into the room. Raises `ClientGone`."""
        ...

    def leave(self, client_id: str, room: str) -> None: ...

    def catch_up(self, client_id: str) -> AbstractAsyncContextManager[Replay]:
        """Hold live messages to the client back while open; they follow when it closes. Raises `ClientGone`."""
        ...

    async def round_trip(self, client_id: str, timeout: float) -> float | None:
        """Seconds that a `server_ping` took to be answered; None where it was not."""
        ...

    async def keep(self, client_id: str, owner: str) -> None:
        """Keep a client and its rooms for the process that takes over, where one can; return when that lasts."""
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
        """Store the batch in one commit; repeats of (session, seq) are dropped. Raises `OSError` when it cannot."""
        ...

    def read(self, session_id: str, after: int, limit: int, max_bytes: int) -> Sequence[LogRecord]:
        """Events of a session with seq > `after`, oldest first."""
        ...

    def size(self, session_id: str, after: int, until: int) -> int:
        """Bytes that are stored of a session's events with `after` < seq <= `until`."""
        ...

    def deleted(self, session_id: str) -> bool:
        """Return True if this session was deleted: further events of it are dropped. Reads memory only."""
        ...

    def save_snapshots(self, snapshots: Mapping[str, tuple[int, bytes]]) -> None:
        """Store snapshots, key → (position, body): a restart begins from them instead of the whole log."""
        ...

    def load_snapshot(self, key: str) -> "StoredSnapshot | None":
        """The snapshot of this key; None where there is none."""
        ...


class StoredSnapshot(Protocol):
    """As `save_snapshots` took it."""

    @property
    def position(self) -> int: ...

    @property
    def body(self) -> bytes: ...


@attrs.define
class DiskPressure:
    """State of the journal's disk. Written by the journal alone; links and readiness read it."""

    refusal: str | None = None
    """The error that keeps the journal from writing (a full disk, an I/O error); None while it can."""
    commit_began: float | None = None
    """Start of the commit under way, by trio's clock; None between commits."""


@attrs.frozen
class Notice:
    """A message of the service itself to the people of a village, shown as an alert to every client that joins."""

    alert_id: str
    title: str
    description: str


class Clock(Protocol):
    """Wall-clock time, for what is shown and stored; deadlines use trio's clock."""

    def now_ms(self) -> int: ...


class Decisions(Protocol):
    """Store of decisions on approvals. One conditional update: the first one wins."""

    async def record(
        self,
        approval_id: str,
        session_id: str,
        decision: str,
        resolved_by: str,
        note: str | None,
        at_ms: int,
        deciding: "Deciding | None" = None,
    ) -> "Decision":
        """The decision that stands afterwards: this one, or an earlier one. Where it is this one, what `deciding` holds
        became durable with it, in the same transaction. With terms it may be none yet: `counted` says how far it is.
        Raises `AnswerRefused`.
        """
        ...

    async def take_back(self, session_id: str, approval_id: str, entry: Any = None) -> bool:
        """Undo a held decision, with the audit entry; False where nothing of it is held any more."""
        ...

    async def unconfirmed(self, session_id: str) -> Sequence["Decision"]:
        """Decisions of the session that its runner has not confirmed yet."""
        ...

    async def confirm(
        self,
        session_id: str,
        approval_id: str,
        decision: str,
        resolved_by: str | None,
        note: str | None,
        at_ms: int,
        deciding: "Deciding | None" = None,
    ) -> None:
        """The runner said how it ended; that is the outcome, whatever was decided here while it had ended there."""
        ...


class Rulings(Protocol):
    """The village's rules, which judge a question once more, beyond what its runner made of them."""

    async def of(self, session: Any, asked: ApprovalRequest) -> "VillageRuling":
        """Compare a question with the rules as they are now. Raises `AnswerRefused` where they cannot be evaluated."""
        ...

    async def outdated(self, session: Any, asked: ApprovalRequest, by: str | None, ruling: "VillageRuling") -> None:
        """Put on record that a runner allowed by older rules what they deny now."""
        ...


class Promises(Protocol):
    """Store of commands that were promised to a person, until their outcome is known."""

    async def promise(
        self,
        runner_id: str,
        command: Command,
        *,
        expires_ms: int | None = None,
        session_id: str | None = None,
        entry: Any = None,
        leave_out: bool = False,
    ) -> "Promise":
        """Store a command; it is durable when this returns. The same command, open or done, is promised once. Raises
        `TooManyPromises`.

        `session_id`: the session with whose end the command is void; None for a command that outlives it. `entry`: into
        the audit log, in the same transaction. `leave_out`: its texts are kept in memory alone.
        """
        ...

    async def settle(self, runner_id: str, command_id: str, ok: bool, error: str | None) -> None:
        """The runner's result came. It counts for a command that was promised to this runner, and for no other."""
        ...

    async def keep_until(self, runner_id: str, command_id: str, expires_ms: int) -> None:
        """Keep an open command until then: its outcome takes longer than its answer."""
        ...

    async def open_of(self, runner_id: str) -> Sequence[Command]:
        """Return the commands that a runner has not settled, oldest first."""
        ...

    async def void_session(self, session_id: str, why: str) -> None:
        """The session ended: what was promised of it has no meaning any more."""
        ...


class Principal(Protocol):
    """An authenticated person, runner or program (`access.subject`)."""

    @property
    def scopes(self) -> Collection[str]:
        """The most that the token may be used for."""
        ...

    @property
    def user_id(self) -> str | None:
        """None for the anonymous."""
        ...

    @property
    def name(self) -> str:
        """Name that people see; "" where there is none."""
        ...

    @property
    def token_id(self) -> str | None:
        """Id of the token that authenticated it."""
        ...

    @property
    def expires_ms(self) -> int | None:
        """End of the token and of its connections, epoch milliseconds; None: it does not end by itself."""
        ...


class Audit(Protocol):
    """The log of what people did."""

    def note(
        self, action: str, subject: Principal, origin: Any, at_ms: int, village_id: str, session_id: str, **details: Any
    ) -> None:
        """Record that `subject` did `action` to a session, from `origin` (`directory.Origin`). Never blocks. `details`
        hold no secret and nothing typed; `characters` are added up while one hand goes on typing.
        """
        ...


class Access(Protocol):
    """Authorization; reads the database each time, so that a change holds at once. `village_id` is a village's key."""

    async def readable_village(self, subject: Principal, name: str) -> str | None:
        """Return the key of the village of this name; None where there is none that the subject may read."""
        ...

    async def may_read(self, subject: Principal, village_id: str) -> bool: ...

    async def may_drive(self, subject: Principal, village_id: str) -> bool | None:
        """Return False where the subject may only look, None where it may not even see the village."""
        ...


@attrs.frozen(kw_only=True)
class Deciding:
    """Facts stored together with a decision: where the approval belongs and what it asks, the command that tells its
    runner, and the entry of the audit log. `hold_ms`: how long the command is kept back; `release_ms`: until when.
    """

    village_id: str
    asked: Any = None
    runner_id: str = ""
    command: Command | None = None
    entry: Any = None
    hold_ms: int | None = None
    release_ms: int | None = None
    terms: AnswerTerms | None = None
    """Who may allow it; None: anyone who may decide. With terms, the person who allows it is in `person`."""
    person: Answerer | None = None
    leave_out: bool = False
    """Whether what is asked and said is left out of what is stored."""


@attrs.frozen(kw_only=True)
class VillageRuling:
    """`denied`: the rule that denies a question, and why. `terms`: who may allow it; None: anyone who may decide."""

    denied: tuple[str, str] | None = None
    terms: AnswerTerms | None = None
    rules: tuple[str, ...] = ()
    """The ids of the rules that the terms come from."""
    needed: int = 1
    """How many people it takes: one more than the terms say where they are about a starter who is not known."""


@attrs.frozen(kw_only=True)
class Promise:
    """A promised command. `command`: as it is to be sent, with the id that it got. `open`: its result has not come."""

    command: Command
    open: bool = True


class TooManyPromises(Exception):
    """The runner has so many unanswered commands that it gets no more."""


@attrs.frozen(kw_only=True)
class Decision:
    """A decision that stands. `won`: whether the caller's own call made it. `confirmed`: whether its runner said so;
    until then it is on its way, and a session that ends (or an approval whose time is up) before it is there is a no.
    `release_ms`: when a held allow goes to its runner; until then it can be taken back.
    """

    approval_id: str
    decision: str
    resolved_by: str | None
    note: str | None
    won: bool = False
    confirmed: bool = False
    release_ms: int | None = None
    counted: Counted | None = None
    """Nothing is decided yet: so many of those whose allow it takes have allowed it."""
