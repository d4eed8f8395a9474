"""Messages for later, as Erlang's ``send_after``: one supervised actor owns every timer of the cast."""

import math
from heapq import heappop, heappush
from itertools import count
from typing import Any

import attrs
import trio

from townwatch.actors.context import Context
from townwatch.actors.directory import tell_if_alive
from townwatch.actors.ports import Ref
from townwatch.runtime import ActorDeadError, MailboxFull, MailboxSpec
from townwatch.runtime.tasks import TaskOwner

AGAIN_SECONDS = 1.0
"""After which a message that was refused is tried again."""
LOST_SECONDS = 10.0
"""An alarm so long overdue is set anew: the actor that kept it may have ended."""


@attrs.frozen
class After:
    """Tell `target` the `message` in `delay` seconds, unless it is dead by then."""

    delay: float
    target: Ref
    message: Any


def tell_or_later(timers: Ref | None, target: Ref | None, message: Any) -> None:
    """Tell an actor that may have ended; where its mailbox is full, the timers wait for room: the teller goes on."""
    try:
        tell_if_alive(target, message)
    except MailboxFull:
        assert target is not None
        tell_if_alive(timers, After(0.0, target, message))


@attrs.frozen
class Rings:
    """To an actor, by itself: its alarm was set to this moment (of trio's clock)."""

    due: float


class Alarm:
    """One look that an actor takes later: of the moments that it was set to, the earliest counts, once.

    What an earlier moment overtook stays among the timers and rings in vain. Without that, each look would set one more
    timer than there was before, and a busy actor would end by doing nothing but look.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._due = math.inf

    def set(self, target: Ref, seconds: float) -> None:
        """Tell the target `Rings` in so many seconds, unless it is told earlier anyway."""
        now = trio.current_time()
        lost = self._due < now - LOST_SECONDS
        if now + seconds < self._due or lost:
            due = now + seconds
            told = tell_if_alive(self._context.timers, After(seconds, target, Rings(due)))
            self._due = due if told else math.inf

    def answers(self, rings: Rings) -> bool:
        """Return whether it is this one that counts; then none is set any more."""
        if rings.due != self._due:
            return False
        self._due = math.inf
        return True


class Timers(TaskOwner):
    """A timer outlives a crash of this actor, also the one that it crashes over.

    One task for all of them: every client has a timer, and a task each would be most of what an idle client costs.
    """

    mailbox = MailboxSpec(capacity=100_000, policy="wait")
    message_in_hand = "retry"

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context
        self._due: list[tuple[float, int, After]] = context.due
        """A heap; the number keeps timers of the same moment in the order in which they were set."""
        self._numbers = count(1 + max((number for _, number, _ in self._due), default=0))
        self._earlier = trio.Event()
        self._begun = False

    def on_start(self) -> None:
        self._context.timers = self.actor_ref
        self.tasks.start_soon(self._keep_time)

    def on_receive(self, message: After) -> None:
        repeated, self._begun = not self._begun and any(known is message for *_, known in self._due), True
        if repeated:  # the life before crashed over it, and had set it
            return
        entry = (trio.current_time() + message.delay, next(self._numbers), message)
        heappush(self._due, entry)
        if self._due[0] is entry:
            self._earlier.set()

    async def _keep_time(self) -> None:
        while True:
            while self._due and self._due[0][0] <= trio.current_time():
                self._tell(heappop(self._due)[2])
            self._earlier = trio.Event()
            with trio.move_on_at(self._due[0][0] if self._due else math.inf):
                await self._earlier.wait()

    def _tell(self, timer: After) -> None:
        try:
            timer.target.tell(timer.message)
        except MailboxFull:  # it waits there for room, and no other actor's timer waits with it
            self.tasks.start_soon(self._tell_later, timer)
        except ActorDeadError:
            pass  # who set it is gone: nothing is owed any more

    async def _tell_later(self, timer: After) -> None:
        try:
            await timer.target.send(timer.message)
        except ActorDeadError:
            pass
        except MailboxFull:  # one that refuses: it is busy, and what hangs on the timer must not end with that
            self.on_receive(attrs.evolve(timer, delay=AGAIN_SECONDS))
