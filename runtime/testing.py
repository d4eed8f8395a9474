"""A test kit for actors: worlds on a clock that jumps, probes, crashes on order, and the mailbox's law.

    from townwatch.runtime import testing

    def test_a_greeting():
        async def body():
            probe = testing.Probe.start()
            Greeter.start().tell(("greet", probe))
            assert await testing.received(probe) == "hello"

        testing.run(body)      # a world, no real waiting, nothing left over, every message accounted for

With a test runner that has its own loop (pytest-trio), use the parts: `world()`, `conserved()`, `settle()`.
"""

from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

import trio
import trio.testing
from pykka import ActorDeadError

from townwatch.runtime import _world
from townwatch.runtime._actor import TrioActor
from townwatch.runtime._mailbox import Mailbox
from townwatch.runtime._reasons import root_cause
from townwatch.runtime._ref import ActorRef
from townwatch.runtime._world import World, open_world

T = TypeVar("T")


class Crash(Exception):
    """The exception with which `crash()` ends an actor."""


class Probe(TrioActor):
    """An actor that keeps what it gets, `Down` and `Exit` too, and answers an ask with the message itself."""

    trap_exits = True

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []
        """all messages, in order"""
        self._unread: deque[Any] = deque()
        self._more = trio.Event()

    def on_receive(self, message: Any) -> Any:
        self.seen.append(message)
        self._unread.append(message)
        self._more.set()
        return message


def run(body: Callable[..., Awaitable[T]], *args: Any) -> T:
    """Run an async test in a world of its own, on a clock that jumps over every wait.

    Raises:
        AssertionError: an actor or a task outlived the test, or a message is not accounted for.
        BaseException: what the body raised.
    """

    async def main() -> T:
        async with world():
            return await body(*args)

    with conserved():
        try:
            return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
        except BaseExceptionGroup as group:
            raise root_cause(group) from group


@asynccontextmanager
async def world(*, pykka_registry: bool = False) -> AsyncGenerator[World, None]:
    """Open a world and check at its end that no actor and no task of it is left.

    Raises:
        AssertionError: something is left; the text names it.
    """
    before = trio.lowlevel.current_statistics().tasks_living
    async with open_world(pykka_registry=pykka_registry) as opened:
        yield opened
    left = [str(ref) for ref in opened.actors()]
    assert not left, f"actors outlived their world: {left[:5]}"
    tasks = trio.lowlevel.current_statistics().tasks_living - before
    assert tasks <= 0, f"{tasks} tasks outlived the world"


async def received(probe: ActorRef[Probe], timeout: float = 5.0) -> Any:
    """Return the next message that the probe got and that was not returned yet; wait for it.

    Args:
        timeout: seconds.

    Raises:
        trio.TooSlowError: there was none in time.
        ActorDeadError: the probe has ended.
    """
    actor: Probe | None = probe._actor_weakref()  # pyright: ignore
    if actor is None:
        raise ActorDeadError(f"{probe} not found")
    with trio.fail_after(timeout):
        while not actor._unread:
            actor._more = trio.Event()
            await actor._more.wait()
    return actor._unread.popleft()


async def settle() -> None:
    """Wait until every task of the loop waits for something: all that was sent has been handled."""
    await trio.testing.wait_all_tasks_blocked()


async def crash(ref: ActorRef[Any], error: Exception | None = None) -> None:
    """End the actor's current incarnation with `error`, as if a handler had raised it, and let things settle.

    A supervisor without backoff has restarted it when this returns.
    """
    ref.kill(error if error is not None else Crash("on purpose"))
    await settle()


def check_conserved(mailbox: Mailbox) -> None:
    """Check that every accepted message is handled, dropped, a dead letter, or still there: exactly one of these.

    Raises:
        AssertionError: with the mailbox's report.
    """
    report = mailbox.report()
    fates = report.handled + report.dropped + report.dead + report.depth
    assert report.accepted == fates, f"{mailbox.label}: {report}"


@contextmanager
def conserved() -> Generator[list[Mailbox], None, None]:
    """Run `check_conserved()` at the end of the block for every mailbox that was made in it."""
    made: list[Mailbox] = []
    original = Mailbox.__init__

    def remember(self: Mailbox, *args: Any) -> None:
        original(self, *args)
        made.append(self)

    Mailbox.__init__ = remember  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield made
    finally:
        Mailbox.__init__ = original
    for mailbox in made:
        check_conserved(mailbox)


def leftovers() -> list[ActorRef[Any]]:
    """Return the actors of all worlds of this process, open or closed, that have not ended for good."""
    return [ref for one in list(_world.worlds) for ref in one.actors()]  # pyright: ignore
