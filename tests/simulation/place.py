"""Where code runs in the simulation: on which machine, with which clock and which disk. A task inherits its place."""

import random
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import attrs
import trio

EPOCH_MS = 1_764_000_000_000


class Killed(OSError):
    """A dead process touched its disk. Nobody is there to see it."""


@attrs.define(eq=False)
class Place:
    """One incarnation of a process. `dead`: killed; what its code still does while it unwinds has no effect."""

    name: str
    dice: random.Random
    dead: bool = False
    skew_ms: int = 0
    """How far its wall clock is off."""
    stall: float = 0.0
    """Seconds that every piece of work of its disk takes longer."""
    dial: Callable[[], Awaitable[trio.abc.Stream]] | None = None
    """How a runner here reaches the service."""
    refusal: Callable[[], BaseException | None] | None = None
    """Asked before each piece of work that writes: the disk's error, or None."""

    def now_ms(self) -> int:
        return EPOCH_MS + self.skew_ms + int(trio.current_time() * 1000)

    def seconds(self) -> float:
        """Of one piece of work: mostly short, now and then long."""
        usual = self.dice.choice((0.0, 0.0002, 0.001, 0.004))
        return self.stall + (usual if self.dice.random() < 0.97 else self.dice.uniform(0.01, 0.3))


here: ContextVar[Place] = ContextVar("place")


async def work(function: Callable[..., Any], args: tuple[Any, ...], *, abandon: bool, limiter: Any) -> Any:
    """What `trio.to_thread.run_sync` does, without a thread: takes time, cannot be cancelled, ends with the process."""
    place = here.get()
    await trio.lowlevel.checkpoint_if_cancelled()
    if limiter is not None:
        await limiter.acquire()
    try:
        with trio.CancelScope(shield=not abandon):
            await trio.sleep(place.seconds())
            if place.dead:
                raise Killed(f"{place.name} is dead")
            result = function(*args)
            await trio.sleep(place.seconds() / 4)  # done on the disk, and not yet known to the process
            return result
    finally:
        if limiter is not None:
            limiter.release()
