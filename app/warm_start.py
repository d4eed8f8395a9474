"""Preparations of a standby, so that little is left to do when it leads.

It makes the documents and reads the page, has connections to PostgreSQL open and statements compiled, and reads the
board from time to time. Nothing of it is needed: whatever fails is done when this process leads.
"""

import gc
import threading
from collections.abc import Mapping
from importlib.metadata import version

import structlog
import trio

from townwatch.actors.session.keeping import SNAPSHOT_EVERY
from townwatch.actors.session.state import SessionState
from townwatch.app.budgets.book import read_page
from townwatch.app.promises import read_back
from townwatch.app.upkeep.restore import SNAPSHOT_PREFIX, bring_up
from townwatch.config.settings import Settings
from townwatch.contracts.clock import epoch_ms
from townwatch.dashboard import ROOT as PAGE
from townwatch.policy.budgets.leases import day_of
from townwatch.store import runner_grants
from townwatch.store.database import Database
from townwatch.store.deciding import policies
from townwatch.store.engine import postgres
from townwatch.store.engine.fence import Term
from townwatch.store.log.port import DurableLog
from townwatch.store.migrations import SchemaTooNew, check_usable
from townwatch.store.pg_log.log import PostgresLog
from townwatch.transports.http.app import descriptions
from townwatch.transports.http.static import page_of

log = structlog.get_logger("cluster")

REFRESH_SECONDS = 10.0
PATIENCE_SECONDS = 0.5
"""That a take-over waits for a reading that is under way."""


def warn_of_weaknesses(event_log: PostgresLog) -> None:
    """Say in the log which settings of PostgreSQL make a promise smaller."""
    with event_log.connection() as connection:
        for line in postgres.weaknesses(connection):
            log.warning("postgresql_promises_less", reason=line)


class WarmStart:
    """`keep` prepares and keeps fresh, until it is cancelled. Then `take_log` and `take_database`, once."""

    def __init__(self, settings: Settings, life: str) -> None:
        self._settings = settings
        self._life = life
        self._log: PostgresLog | None = None
        self._database: Database | None = None
        self._idle = threading.Event()
        """Set while no thread prepares: one whose PostgreSQL does not answer is not waited for."""
        self._idle.set()
        self._over = False
        self._states: dict[str, SessionState] = {}
        """Sessions as they were when they were read last."""
        self._marks: dict[str, str] = {}
        """The snapshots that these were read from: some of what they say is in no event."""
        self.must_not_lead: str | None = None
        """Why this process could not lead if it were its turn: a later release changed the tables."""

    async def keep(self) -> None:
        """Run while this process stands by."""
        await trio.to_thread.run_sync(self._make_documents)
        told = False
        while True:
            try:
                await trio.to_thread.run_sync(self.prepare, abandon_on_cancel=True)
                if not told:
                    gc.freeze()  # what is there now stays, and need not be looked through at the start
                    log.info("standby_prepared", sessions=len(self._states))
                    told = True
            except Exception as error:  # PostgreSQL is away, its tables are of another release: it is tried again
                log.info("standby_not_prepared", reason=str(error))
            await trio.sleep(REFRESH_SECONDS)

    def take_log(self, term: Term) -> PostgresLog | None:
        """Return the log, open for writing; None where it must be opened anew. Raises as `PostgresLog.open`."""
        if not self._idle.wait(PATIENCE_SECONDS):
            self.close()
        event_log, self._log = self._log, None
        if event_log is None or event_log.lead(term):
            return event_log
        self._states = {}
        event_log.close()
        return None

    def take_database(self, term: Term) -> Database | None:
        """Return the tables, not migrated; None where they must be opened anew."""
        database, self._database = self._database, None
        if database is not None:
            database.lead(term)
        return database

    def known(self, event_log: DurableLog) -> dict[str, SessionState]:
        """Return the sessions that were read and whose snapshots are the same still. Blocks."""
        if not self._states or not isinstance(event_log, PostgresLog):
            return {}
        return self._unchanged(event_log.snapshot_marks(SNAPSHOT_PREFIX))

    def _unchanged(self, marks: Mapping[str, str]) -> dict[str, SessionState]:
        def same(name: str) -> bool:
            return marks.get(SNAPSHOT_PREFIX + name) == self._marks.get(SNAPSHOT_PREFIX + name)

        return {name: state for name, state in self._states.items() if same(name)}

    def close(self) -> None:
        """Close what was not taken, also under a thread that waits on it."""
        self._over = True
        busy = not self._idle.is_set()
        event_log, database, self._log, self._database = self._log, self._database, None, None
        self._states = {}
        if database is not None:
            if busy:
                database.cut()
            database.close()
        if event_log is not None:
            if busy:
                event_log.cut()
            event_log.close()

    def _make_documents(self) -> None:
        descriptions(version("townwatch"), self._settings.server.path)
        page_of(PAGE)

    def prepare(self) -> None:
        """Open, or see that what is open lives; read what a start reads."""
        self._idle.clear()
        try:
            self._open()
            self._look_at_release()
            self._read()
        except BaseException:
            self._drop()
            raise
        finally:
            if self._over:
                self._drop()
            self._idle.set()

    def _drop(self) -> None:
        event_log, database, self._log, self._database = self._log, self._database, None, None
        self._states = {}
        if event_log is not None:
            event_log.close()
        if database is not None:
            database.close()

    def _open(self) -> None:
        url = self._settings.database.url
        if self._database is None:
            self._database = Database.stand_by(url, self._life)
        if self._log is None:
            self._log = PostgresLog.stand_by(url, self._life)
            warn_of_weaknesses(self._log)
        else:
            self._log.look()
        self._database.refresh_connections()

    def _look_at_release(self) -> None:
        """Raises `SchemaTooNew`."""
        assert self._database is not None
        try:
            self._database.run(check_usable)
        except SchemaTooNew as error:
            self.must_not_lead = str(error)
            raise
        self.must_not_lead = None

    def _read(self) -> None:
        event_log, database = self._log, self._database
        if event_log is None or database is None:  # closed meanwhile
            return
        marks, heads = event_log.snapshot_marks(SNAPSHOT_PREFIX), event_log.heads()
        states = {name: state for name, state in self._unchanged(marks).items() if name in heads}
        bring_up(event_log, heads, states, most=SNAPSHOT_EVERY)
        self._states, self._marks = states, marks
        database.run(runner_grants.everything)
        database.run(read_page, day_of(epoch_ms()))
        database.run(policies.everything)
        database.run(read_back)
