"""Actors that own tasks beside their mailbox: a listening socket, timers, a child process."""

from collections.abc import Awaitable, Callable

import trio

from actors.runtime._actor import TrioActor
from actors.runtime._reasons import Reason


class TaskOwner(TrioActor):
    """`self.tasks` is a nursery that lives as long as the incarnation, from before `on_start()` on.

    A task in it that fails fails the actor, so that its supervisor sees it.
    """

    tasks: trio.Nursery

    async def _surround(self, live: Callable[[], Awaitable[Reason]]) -> Reason:  # pyright: ignore
        async with trio.open_nursery() as self.tasks:
            try:
                return await live()
            finally:
                self.tasks.cancel_scope.cancel()
