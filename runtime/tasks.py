"""Actors that own tasks beside their mailbox: a listening socket, timers, a child process."""

from collections.abc import AsyncGenerator

import trio

from townwatch.runtime._actor import TrioActor


class TaskOwner(TrioActor):
    """An actor whose `self.tasks` is a nursery that lasts as long as the incarnation, from before `on_start()` on.

    A task in it that fails crashes the actor, so that its supervisor sees it.
    """

    tasks: trio.Nursery

    async def lifespan(self) -> AsyncGenerator[None, None]:
        async with trio.open_nursery() as self.tasks:
            try:
                yield
            finally:
                self.tasks.cancel_scope.cancel()
