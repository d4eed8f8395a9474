"""Holding the lease: renew it, notice its loss, give it back."""

import structlog
import trio

from townwatch.cluster.lease import ProcessLease
from townwatch.contracts.faults import TablesUnavailable
from townwatch.store.engine.fence import Term

log = structlog.get_logger("cluster")

RENEWALS = 5
"""In the time of one lease."""
FIRST_RETRY = 0.02
"""Seconds; twice as many after each failure. A leader whose connections were ended renews at once, or is replaced."""


class Leadership:
    """This process's term as the leader. `lost` is set once another process leads: this one must end."""

    def __init__(self, lease: ProcessLease, term: Term) -> None:
        self.term = term
        self.lost = trio.Event()
        self._lease = lease
        self._renewed = trio.current_time()
        self._trouble = ""

    def reasons(self) -> list[str]:
        """Return why this process may not be the leader any more; empty while its lease runs.

        PostgreSQL may be away, and then no other process leads either; or it may be away for this process only.
        """
        if self.lost.is_set():
            return ["another process leads on this database"]
        late = trio.current_time() - self._renewed - self._lease.seconds
        if late <= 0:
            return []
        return [
            f"the lease of this process ran out {late:.0f} s ago and cannot be renewed: {self._trouble or 'no answer'}"
        ]

    async def keep(self) -> None:
        """Renew the lease until it is lost, or until cancelled."""
        every = self._lease.seconds / RENEWALS
        retry = FIRST_RETRY
        while not self.lost.is_set():
            await self._pause(min(retry, every) if self._trouble else every)
            with trio.move_on_after(self._lease.seconds / 2) as scope:
                await self._renew()
            if scope.cancelled_caught:
                self._trouble = "PostgreSQL does not answer"
                self._lease.disconnect()  # ends the call that is left in its thread; the next one connects anew
            retry = retry * 2 if self._trouble else FIRST_RETRY

    async def _pause(self, seconds: float) -> None:
        """Wait, or until the connection of the lease ends."""
        line = self._lease.line
        with trio.move_on_after(seconds):
            if line is None:
                await trio.sleep_forever()
            else:
                await trio.lowlevel.wait_readable(line)

    async def give_back(self) -> None:
        """Release the lease, when nothing of this process writes any more: a standby need not wait for its end."""
        if self.lost.is_set():
            return
        with trio.move_on_after(1.0, shield=True):
            try:
                await trio.to_thread.run_sync(self._lease.release, self.term, abandon_on_cancel=True)
            except OSError as error:
                log.warning("lease_not_released", reason=str(error), advice="a standby takes over when it ran out")
                return
            log.info("lease_released", epoch=self.term.epoch)

    async def _renew(self) -> None:
        try:
            mine = await trio.to_thread.run_sync(self._lease.renew, self.term, abandon_on_cancel=True)
        except TablesUnavailable as error:
            self._trouble = str(error)
        except OSError as error:
            self._trouble = str(error)
            log.error("lease_not_renewed", reason=str(error))
        else:
            if mine:
                self._renewed, self._trouble = trio.current_time(), ""
                return
            await self._say_who_leads()
            self.lost.set()

    async def _say_who_leads(self) -> None:
        try:
            leader = str(await trio.to_thread.run_sync(self._lease.look, abandon_on_cancel=True))
        except OSError:
            leader = "another process leads"
        log.error("fenced", reason=f"{leader}; this process led in epoch {self.term.epoch} and writes nothing more")
