"""The journal: what it says of a commit whose answer was lost."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import attrs

from townwatch.actors.journal import JournalActor
from townwatch.actors.messages import Append, Durable
from townwatch.actors.people.progress import LogProgress, read_mark
from townwatch.actors.ports import DiskPressure
from townwatch.app.returning.seen import view_of
from townwatch.contracts.records import LogRecord
from townwatch.runtime import open_world, testing
from townwatch.store.log.event_log import EventLog


@attrs.define(eq=False)
class LosingLog:
    """A log whose commits are stored, and the answers of the first of them lost."""

    log: EventLog
    losses: int

    def append(self, batch: Sequence[LogRecord]) -> Any:
        done = self.log.append(batch)
        if self.losses:
            self.losses -= 1
            raise OSError(5, "the connection was lost")
        return done

    def __getattr__(self, name: str) -> Any:
        return getattr(self.log, name)


@attrs.define(eq=False)
class _Directory:
    villages: dict[str, Any] = attrs.field(factory=dict[str, Any])


@attrs.define(eq=False)
class _Context:
    journal_log: LosingLog
    progress: LogProgress
    published: dict[str, int] = attrs.field(factory=dict[str, int])
    shown: dict[str, int] = attrs.field(factory=dict[str, int])
    disk: DiskPressure = attrs.field(factory=DiskPressure)
    directory: _Directory = attrs.field(factory=_Directory)
    journal: Any = None


def records(session: str, first: int, last: int) -> list[LogRecord]:
    return [LogRecord(session, seq, "demo", "T", 0.0, b"{}") for seq in range(first, last + 1)]


async def test_events_of_a_lost_answer_are_under_way_until_they_are_told(tmp_path: Path) -> None:
    """Else a client that leaves between their commit and their telling counts as one that has seen them."""
    with EventLog.open(tmp_path / "journal.db") as log:
        async with open_world():
            context = _Context(LosingLog(log, losses=1), LogProgress(log.position))
            journal, session = JournalActor.start(cast(Any, context)), testing.Probe.start()
            journal.tell(Append(records("s1", 1, 600), session))
            assert await testing.received(session) == Durable(600)
            journal.tell(Append(records("s2", 1, 1), session))
            assert await testing.received(session) == Durable(1)
            context.progress.told("v", "s1", 400)
            context.progress.told("v", "s2", 1)
            mark = read_mark(context.progress.mark())
            assert mark is not None
            view = view_of(cast(Any, log), {"demo"}, mark)
            assert view is not None
            assert view["v", "s1"] == (400, 0)
            assert view["t", "s1"] == (0, 0)
            assert ("v", "s2") not in view


async def test_what_was_told_before_is_not_under_way_again(tmp_path: Path) -> None:
    with EventLog.open(tmp_path / "journal.db") as log:
        async with open_world():
            log.append(records("s1", 1, 3))
            context = _Context(LosingLog(log, losses=0), LogProgress(log.position), {"s1": 3}, {"s1": 2})
            journal, session = JournalActor.start(cast(Any, context)), testing.Probe.start()
            journal.tell(Append(records("s1", 2, 3), session))
            assert await testing.received(session) == Durable(3)
            assert context.progress.mark() == "3!3"


async def test_what_was_stored_before_comes_before_what_is_new(tmp_path: Path) -> None:
    with EventLog.open(tmp_path / "journal.db") as log:
        async with open_world():
            context = _Context(LosingLog(log, losses=0), LogProgress(log.position))
            log.append(records("s1", 1, 3))
            journal, session = JournalActor.start(cast(Any, context)), testing.Probe.start()
            journal.tell(Append(records("s1", 1, 5), session))
            assert await testing.received(session) == Durable(5)
            assert context.progress.mark() == "5~1!1"
