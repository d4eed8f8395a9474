"""The pulse: router and journal are asked again and again whether they answer, beside all that waits for them.

A late actor makes the service unready; a wedged one is ended, so that its supervisor starts it anew. systemd's watchdog
is fed as long as no actor is late: a process that cannot help itself is started again.
"""

from collections.abc import Callable

import attrs
import structlog
import trio

from townwatch.actors.context import Context
from townwatch.actors.ports import Ref
from townwatch.app.systemd import ALIVE, READY, STOPPING, notify
from townwatch.runtime import ActorDeadError
from townwatch.runtime.tasks import TaskOwner

log = structlog.get_logger("pulse")

PERIOD_SECONDS = 1.0
LATE_SECONDS = 3.0
"""Time without an answer after which the service is not ready."""
WEDGED_SECONDS = 15.0
"""Time without an answer after which an actor is taken for wedged. More than the router may wait for an actor that it
starts (10 s).
"""


class Wedged(Exception):
    """The reason of who was ended because it did not answer."""


@attrs.define
class Health:
    """Part → since when its answer is awaited (trio's clock), None between two questions. Outlives the pulse."""

    asked: dict[str, float | None] = attrs.field(factory=dict)

    def waits(self) -> dict[str, float]:
        """Return the seconds that each late part has not answered for."""
        now = trio.current_time()
        since = {part: now - asked for part, asked in self.asked.items() if asked is not None}
        return {part: seconds for part, seconds in since.items() if seconds > LATE_SECONDS}

    def overdue(self) -> list[str]:
        """Return a line for each part that does not answer."""
        return [f"the {part} has not answered for {seconds:.1f} s" for part, seconds in self.waits().items()]


class Pulse(TaskOwner):
    """Asks until it is stopped."""

    def __init__(self, context: Context, health: Health) -> None:
        super().__init__()
        self._context = context
        self._health = health

    def on_start(self) -> None:
        self.tasks.start_soon(self._ask, "router", lambda: self._context.router)
        self.tasks.start_soon(self._ask, "journal", lambda: self._context.journal)
        self.tasks.start_soon(self._feed)
        notify(READY)

    def on_stop(self) -> None:
        notify(STOPPING)

    async def _ask(self, part: str, find: Callable[[], Ref | None]) -> None:
        while True:
            ref = find()
            if ref is not None and not self._excused(part):
                await self._one_question(part, ref)
            else:
                self._health.asked[part] = None
            await trio.sleep(PERIOD_SECONDS)

    async def _one_question(self, part: str, ref: Ref) -> None:
        asked = self._health.asked
        if asked.get(part) is None:
            asked[part] = trio.current_time()
        with trio.move_on_after(WEDGED_SECONDS):
            try:
                await ref.ping(timeout=None)  # the scope around it is its deadline
            except ActorDeadError:
                return  # it ended meanwhile: who follows must answer, the clock runs on
            asked[part] = None
            return
        if not self._excused(part):  # its clock runs on, until the next incarnation answers
            log.error("part_wedged", part=part, seconds=WEDGED_SECONDS)
            ref.kill(Wedged(f"no answer for {WEDGED_SECONDS:g} s"))

    def _excused(self, part: str) -> bool:
        """A journal that waits for its disk says so itself (/readyz), and would wait the same after a restart."""
        disk = self._context.disk
        return part == "journal" and (disk.refusal is not None or disk.commit_began is not None)

    async def _feed(self) -> None:
        while True:
            if all(self._excused(part) for part in self._health.waits()):
                notify(ALIVE)
            await trio.sleep(PERIOD_SECONDS)
