"""Records of the event log: what is appended, what is read, and the errors."""

import errno
from collections.abc import Mapping

import attrs

from townwatch.contracts.faults import FilesDamaged
from townwatch.contracts.records import LogRecord as LogRecord

Range = tuple[int, int]
"""A range (from, to), both included."""


@attrs.frozen(kw_only=True)
class Head:
    """Position of the log in a session.

    `last_seq`: every seq up to it is durable, or was declared lost: what may be acknowledged. `max_seq`: the highest
    seq ever stored. They differ only while `holes` (the ranges missing in between) is not empty. `first_seq`: the
    lowest seq still readable, 0 when retention has taken all. `events` and `bytes` (of bodies) count what is readable.
    """

    session_id: str
    village_id: str
    key: int
    first_seq: int = 0
    max_seq: int = 0
    events: int = 0
    bytes: int = 0
    first_ts_ms: float = 0
    last_ts_ms: float = 0
    holes: tuple[Range, ...] = ()
    deleted: bool = False

    @property
    def last_seq(self) -> int:
        """The highest seq up to which nothing is missing."""
        return self.holes[0][0] - 1 if self.holes else self.max_seq


@attrs.frozen
class Lost:
    """A range of a session that will never come (refused with a nack, or skipped by a runner that keeps no spool)."""

    session_id: str
    from_seq: int
    to_seq: int
    reason: str


@attrs.frozen
class RefusedRecord:
    """A record that the log does not take: wrong_village, too_many_holes or bad_seq."""

    session_id: str
    seq: int
    reason: str


@attrs.frozen(kw_only=True)
class AppendResult:
    """The result of appending a batch. Everything in it is durable when it is returned.

    `heads`: by session id, of every session in the batch. `stored`: the records that are new, with their positions, in
    the order given. `repeats`: how many records of a session were dropped because the log had them.
    """

    heads: Mapping[str, Head]
    stored: tuple[LogRecord, ...]
    repeats: Mapping[str, int]
    refused: tuple[RefusedRecord, ...] = ()


@attrs.frozen
class Snapshot:
    """A state to begin from after a restart. `position`: what the log's was when it was made; read on from there."""

    position: int
    body: bytes


@attrs.frozen(kw_only=True)
class Retention:
    """Limits of what is kept of a village; None keeps all. The oldest goes first.

    `max_age_ms`: since the event was stored, by our clock (a runner's may be years off). `max_bytes`: of event bodies.
    """

    max_age_ms: float | None = None
    max_bytes: int | None = None


@attrs.frozen
class Removed:
    """Events removed by one step of retention or deletion. `more`: call again, there is more to remove."""

    events: int
    bytes: int
    more: bool


class LogError(OSError):
    """The log could not do what was asked. Nothing of the failed call is stored; the log goes on working."""


class DiskFull(LogError):
    """No room for the batch. Nothing of it is stored: do not acknowledge it, try again when there is room."""

    def __init__(self, path: str) -> None:
        super().__init__(errno.ENOSPC, "no room left for the event log; free some space, or lower its retention", path)


class LogInUse(LogError):
    """Another process has the log open for writing."""

    def __init__(self, path: str) -> None:
        super().__init__(errno.EBUSY, "the event log is in use by another townwatch; stop it first", path)


class LogTooNew(LogError):
    """The file was written by a later version."""

    def __init__(self, path: str, found: int, known: int) -> None:
        super().__init__(errno.EINVAL, f"the event log has version {found}, this townwatch knows up to {known}", path)


class LogBroken(LogError):
    """The disk or the file failed underneath (input/output error, corruption)."""

    def __init__(self, path: str, what: str) -> None:
        super().__init__(errno.EIO, f"the event log cannot be written or read: {what}", path)


class LogDamaged(LogBroken, FilesDamaged):
    """The file's content is not what it should be. Waiting does not help; `townwatch doctor` may."""

    def __init__(self, path: str, what: str) -> None:
        super().__init__(path, what)
        self._text = (
            f"the event log {path} is damaged ({what}): stop the service and run `townwatch doctor --repair`,"
            " or restore a backup"
        )

    def __str__(self) -> str:
        return self._text


class LogUnreachable(LogError):
    """The PostgreSQL of the log does not answer, or cut the connection. Whether the call was stored is found out by
    reading before the next one.
    """

    def __init__(self, place: str, what: str) -> None:
        super().__init__(errno.EIO, f"the event log cannot be reached ({what}); retrying", place)


class LogFenced(LogError):
    """Another process leads on this log. Nothing of the call is stored, and nothing of a later one will be."""

    def __init__(self, place: str, what: str) -> None:
        super().__init__(errno.EPERM, what, place)


class LogReplaced(LogError):
    """The files were removed, replaced or cut off while the log was open: what is written now is lost."""

    def __init__(self, path: str, what: str) -> None:
        super().__init__(errno.ESTALE, what, path)
        self._text = (
            f"{what} while the service had it open; nothing is acknowledged any more:"
            " put the file back, run `townwatch doctor`, and restart the service"
        )

    def __str__(self) -> str:
        return self._text
