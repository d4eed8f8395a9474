"""The journal actor: one writer, group commit.

While a commit is under way in the writer thread, appends gather in the mailbox; each commit takes all that gathered. So
the batch grows with the load. An idle journal commits at once; one that had several appends to write begins a commit
every few milliseconds, since each costs a sync of the disk and two switches of threads, however little is in it. A
sender that waits for one event before the next waits for the disk alone. A session hears `Durable` only after the
commit.
"""

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import Any

import structlog
import trio

from townwatch.actors.context import Context
from townwatch.actors.directory import tell_if_alive
from townwatch.actors.log_reading import READ_BYTES
from townwatch.actors.messages import Append, DiskChanged, Durable, Flush, SaveSnapshot
from townwatch.actors.ports import Ref
from townwatch.contracts.records import LogRecord
from townwatch.runtime import ActorDeadError, MailboxFull, MailboxSpec, TrioActor

log = structlog.get_logger("journal")

RETRY_SECONDS = 0.5
"""How long to wait before writing again when the disk refused (full, or an I/O error)."""

SPACING_SECONDS = 0.003
"""Between the beginnings of two commits, at least, when the first had more than one append: there, waiting gathers."""


class JournalActor(TrioActor):
    """Owns the writing side of the log. Reading does not come here: `store` reads beside it."""

    mailbox = MailboxSpec(capacity=10_000, policy="wait")

    def __init__(self, context: Context, observe: Callable[[int, float], None] = lambda _n, _s: None) -> None:
        """`observe(events, seconds)` is called after each commit."""
        super().__init__()
        self._context = context
        self._journal = context.journal_log
        self._observe = observe
        self._pending: list[Append] = []
        self._snapshots: dict[str, tuple[int, bytes]] = {}
        self._flush_due = False
        self._next_commit = 0.0
        self._limiter = trio.CapacityLimiter(1)

    def on_start(self) -> None:
        self._context.journal = self.actor_ref

    async def on_stop(self) -> None:
        """Write what was accepted before the process ends, which spares the runners sending it again."""
        await self._commit()

    async def on_receive(self, message: Append | SaveSnapshot | Flush) -> Any:
        match message:
            case Append():
                self._pending.append(message)
            case SaveSnapshot(key=key, position=position, body=body):
                self._snapshots[key] = (position, body)
            case Flush():
                self._flush_due = False
                if trio.current_time() >= self._next_commit:
                    return await self._commit()
                await trio.sleep_until(self._next_commit)
        await self._flush_later()

    async def _flush_later(self) -> None:
        """Schedule a commit behind the appends that are in the mailbox already, which join it."""
        if self._flush_due:
            return
        try:
            self.actor_ref.tell(Flush())
            self._flush_due = True
        except MailboxFull:  # full of appends, which wait for this one to be written
            await self._commit()

    async def _commit(self) -> None:
        appends, self._pending = self._pending, []
        self._next_commit = trio.current_time() + (SPACING_SECONDS if len(appends) > 1 else 0.0)
        snapshots, self._snapshots = self._snapshots, {}
        records = [record for append in appends for record in append.records]
        begun = trio.current_time()
        if snapshots and records:  # first: one may say whose session it is of which the first event is among these
            await self._write(lambda: self._journal.save_snapshots(snapshots))
            snapshots = {}
        if records:
            stored = await self._write(lambda: self._journal.append(records))
            if (progress := self._context.progress) is not None:
                if stored.repeats:
                    found = await self._write(lambda: self._read_repeats(stored.repeats, records))
                    progress.found(found, {"v": self._context.published, "t": self._context.shown})
                progress.stored(stored.stored)
        self._observe(len(records), trio.current_time() - begun)
        for session, seq in {append.reply_to: append.records[-1].seq for append in appends}.items():
            _confirm(session, seq)
        if snapshots:
            await self._write(lambda: self._journal.save_snapshots(snapshots))

    def _read_repeats(self, sessions: Collection[str], records: Sequence[LogRecord]) -> list[LogRecord]:
        """Read what the log had already of a batch: the positions of a commit whose answer was lost."""
        found: list[LogRecord] = []
        for session_id in sessions:
            seqs = [record.seq for record in records if record.session_id == session_id]
            after, last = min(seqs) - 1, max(seqs)
            while after < last and (read := self._journal.read(session_id, after, last - after, READ_BYTES)):
                found += [record for record in read if record.seq <= last]
                after = read[-1].seq
        return sorted(found, key=lambda record: record.position)

    async def _write(self, work: Callable[[], Any]) -> Any:
        """Run `work`, again and again until it is written: no event is acknowledged before it is stored."""
        disk = self._context.disk
        while True:
            disk.commit_began = trio.current_time()
            try:
                result = await trio.to_thread.run_sync(work, limiter=self._limiter)
            except OSError as error:
                self._refused(str(error))
                await trio.sleep(RETRY_SECONDS)
            else:
                self._refused(None)
                return result
            finally:
                disk.commit_began = None

    def _refused(self, reason: str | None) -> None:
        """Record the disk's error, or None for success, and tell the watchers when it changes."""
        disk = self._context.disk
        was, disk.refusal = disk.refusal, reason
        if (was is None) == (reason is None):
            return
        if reason is None:
            log.info("journal_writes_again")
        else:
            log.error("journal_cannot_write", reason=reason, advice="make room on the disk; retrying")
        for village in self._context.directory.villages.values():
            with suppress(MailboxFull):  # it looks at the disk with every message that it has
                tell_if_alive(village, DiskChanged())


def _confirm(session: Ref, seq: int) -> None:
    with suppress(ActorDeadError):  # the session may be gone meanwhile; its events are safe
        session.tell(Durable(seq))
