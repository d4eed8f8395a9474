"""Messages for later, as Erlang's ``send_after``: one supervised actor owns every timer of the cast."""

from contextlib import suppress
from typing import Any

import attrs
import trio

from actors.context import Context
from actors.ports import Ref
from actors.runtime import ActorDeadError, MailboxSpec
from actors.runtime.tasks import TaskOwner


@attrs.frozen
class After:
    """Tell `target` the `message` in `delay` seconds, unless it is dead by then."""

    delay: float
    target: Ref
    message: Any


class Timers(TaskOwner):
    """A timer is a promise of this incarnation: after a crash, owners set theirs again in their `on_start`."""

    mailbox = MailboxSpec(capacity=100_000, policy="wait")

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context

    def on_start(self) -> None:
        self._context.timers = self.actor_ref

    async def on_receive(self, message: After) -> None:
        self.tasks.start_soon(_tell_later, message)


async def _tell_later(timer: After) -> None:
    await trio.sleep(timer.delay)
    with suppress(ActorDeadError):  # who set it may be gone: nothing is owed any more
        await timer.target.send(timer.message)
