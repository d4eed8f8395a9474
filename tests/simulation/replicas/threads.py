"""Worker threads of the simulation: code that blocks runs in greenlets, and waits where it asks PostgreSQL something.

The product's code for PostgreSQL blocks. Here a call to the simulated server gives the turn back to Trio, with what it
waits for; when that is done, or failed, the code goes on. So dice decide what happens between any two statements.
"""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar, copy_context
from typing import Any

import attrs
import trio
from greenlet import greenlet

Request = Callable[[], Awaitable[Any]]


@attrs.define(eq=False)
class Process:
    """What the threads of one process share: whether it is frozen, or dead."""

    name: str
    nursery: trio.Nursery
    dead: bool = False
    thawed: trio.Event = attrs.field(factory=trio.Event)

    def __attrs_post_init__(self) -> None:
        self.thawed.set()

    async def running(self) -> None:
        """Wait while the process is frozen, and for ever once it is dead."""
        await self.thawed.wait()
        if self.dead:
            await trio.sleep_forever()


process: ContextVar[Process] = ContextVar("process")


def ask(request: Request) -> Any:
    """Wait for the request, from within a worker thread."""
    return greenlet.getcurrent().parent.switch(request)


@attrs.define(eq=False)
class _Call:
    """A call in a worker thread. It goes on when its caller does not wait for it any more."""

    owner: Process
    thread: greenlet
    done: trio.Event = attrs.field(factory=trio.Event)
    result: Any = None
    error: BaseException | None = None

    async def run(self) -> None:
        try:
            await self.owner.running()
            request = self.thread.switch()
            while not self.thread.dead:
                try:
                    answer = await request()
                except Exception as error:
                    await self.owner.running()
                    request = self.thread.throw(error)
                else:
                    await self.owner.running()
                    request = self.thread.switch(answer)
            self.result = request
        except Exception as error:
            self.error = error
        finally:  # also where the whole run ends
            self.done.set()


async def run_sync(
    function: Any, *args: Any, thread_name: str | None = None, abandon_on_cancel: bool = False, limiter: Any = None
) -> Any:
    """`trio.to_thread.run_sync`."""
    owner = process.get()
    thread = greenlet(lambda: function(*args))
    thread.gr_context = copy_context()
    call = _Call(owner, thread)
    owner.nursery.start_soon(call.run)
    with trio.CancelScope(shield=not abandon_on_cancel and not owner.dead):
        await call.done.wait()
    await owner.running()
    if call.error is not None:
        raise call.error
    return call.result
