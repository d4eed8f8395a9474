"""Damage to stored data and lost events: warnings on /readyz, an alert in every village concerned, gauges."""

import structlog
import trio
from prometheus_client import CollectorRegistry, Gauge

from townwatch.actors.context import Context
from townwatch.actors.directory import tell_if_alive
from townwatch.actors.messages import ShowNotice
from townwatch.actors.ports import Notice
from townwatch.runtime.tasks import TaskOwner
from townwatch.store.database import Database
from townwatch.store.log.heads import Loss
from townwatch.store.log.port import DurableLog
from townwatch.store.log.records import LogError

log = structlog.get_logger("damage")

PERIOD_SECONDS = 0.5
OF_A_RUNNER = 100
"""Losses that are kept of what one runner says: it can name any number of sessions."""
SHOWN = 20
"""Losses that are listed one by one; of more, only how many."""
QUARANTINE_ALERT, LOSS_ALERT = "service:quarantine", "service:lost-events"


class Damage:
    """Asked by readiness, told by the link of a runner that knows more than the log has."""

    def __init__(
        self, context: Context, event_log: DurableLog, database: Database, registry: CollectorRegistry
    ) -> None:
        self._context = context
        self._log = event_log
        self._database = database
        self._losses = event_log.losses()
        self._too_many = set[str]()
        """Runners that say more than is kept."""
        quarantined = Gauge("townwatch_quarantined_rows", "Unreadable rows that were set aside", registry=registry)
        quarantined.set_function(lambda: self._quarantined())
        lost = Gauge("townwatch_lost_event_ranges", "Ranges of acknowledged events that are missing", registry=registry)
        lost.set_function(lambda: len(self._losses))
        self._publish()

    def reasons(self) -> list[str]:
        """Return the reasons why no event is acknowledged any more; empty while they are."""
        if self._log.replaced is None:
            return []
        return [
            f"{self._log.replaced} while the service had it open; nothing is acknowledged any more: put the file back,"
            " run townwatch doctor, and restart the service"
        ]

    def warnings(self) -> list[str]:
        """Return warnings about lost and unreadable data, for a service that works.

        No token is needed to read them: they name nothing of a village.
        """
        found: list[str] = []
        if self._losses:
            sessions = len({loss.session_id for loss in self._losses})
            told = "each village has an alert that names them, and townwatch doctor lists them"
            found.append(f"acknowledged events of {sessions} sessions are missing; {told}")
        if rows := self._quarantined():
            found.append(f"{rows} unreadable rows are set aside in the quarantine; townwatch doctor lists them")
        return found

    async def runner_knows(self, runner_id: str, session_id: str, village_id: str, from_seq: int, to_seq: int) -> None:
        """A runner was told that these events are durable, and has let go of them; the log ends before them."""
        why = f"acknowledged, says runner {runner_id}"
        loss = Loss(session_id, village_id, from_seq, to_seq, why)
        if sum(known.why == why for known in self._losses) >= OF_A_RUNNER:
            if runner_id not in self._too_many:
                self._too_many.add(runner_id)
                log.warning("losses_not_kept", runner=runner_id, reason=f"{OF_A_RUNNER} of what it says are kept")
            return
        if await trio.to_thread.run_sync(self._log.note_loss, loss):
            self._losses = await trio.to_thread.run_sync(self._log.losses)
            self._publish()

    def _quarantined(self) -> int:
        return self._log.quarantined + self._database.quarantined

    def _publish(self) -> None:
        """Set the notices that villages show to new viewers, and tell the villages."""
        notices: dict[str, list[Notice]] = {}
        for village_id in {loss.village_id for loss in self._losses}:
            theirs = [loss for loss in self._losses if loss.village_id == village_id]
            listed = "; ".join(str(loss) for loss in theirs[:SHOWN])
            text = f"{listed}. The journal was damaged or went back to an earlier state; see townwatch doctor."
            notices[village_id] = [Notice(LOSS_ALERT, "Events that had been acknowledged are missing", text)]
        if rows := self._quarantined():
            text = f"{rows} unreadable rows were set aside; everything else works. townwatch doctor lists them."
            notices.setdefault("", []).append(Notice(QUARANTINE_ALERT, "Damaged rows were set aside", text))
        self._context.notices = notices
        for village in self._context.directory.villages.values():
            tell_if_alive(village, ShowNotice())


class JournalWatch(TaskOwner):
    """Twice a second: are the journal's files still there, and how far is each session, written beside the log."""

    def __init__(self, event_log: DurableLog) -> None:
        super().__init__()
        self._log = event_log

    def on_start(self) -> None:
        self.tasks.start_soon(self._rounds)

    async def _rounds(self) -> None:
        while True:
            try:
                await trio.to_thread.run_sync(self._log.watch)
            except LogError as error:  # latched in the log, said once there, and shown by readiness
                log.debug("journal_watch", reason=str(error))
            await trio.sleep(PERIOD_SECONDS)
