"""The nursery in which unsupervised actors live."""

import contextvars
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import trio

_here: contextvars.ContextVar["World"] = contextvars.ContextVar("actor_world")
_open: list["World"] = []  # for threads that were not started by trio and so carry no context


@attrs.frozen(eq=False)
class World:
    """One open world: where its tasks run and what time it is there."""

    nursery: trio.Nursery
    token: trio.lowlevel.TrioToken
    thread: int
    now: Callable[[], float]
    """the trio clock, in seconds, callable from any thread"""
    context: contextvars.Context

    def on_loop(self, function: Callable[[], Any]) -> None:
        """Run `function` on this world's loop: at once when called there, soon from any other thread.

        Raises trio.RunFinishedError when that loop is over.
        """
        if threading.get_ident() == self.thread:
            function()
        else:
            self.token.run_sync_soon(function)

    def spawn(self, async_function: Callable[..., Any], name: str) -> None:
        """Start a task of this world. It sees the world's context, not that of whoever happened to start it."""
        self.on_loop(lambda: self.context.run(self.nursery.start_soon, async_function, name=name))


def current_world() -> World:
    """The innermost `open_world()` around the caller; from a bare thread, the one opened last."""
    world = _here.get(None)
    if world is None and _open:
        world = _open[-1]
    if world is None or world not in _open:
        raise RuntimeError("no world for this actor: start actors inside `async with open_world():`")
    return world


@asynccontextmanager
async def open_world() -> AsyncGenerator[World, None]:
    """Actors started in this block run in its nursery, and none outlives it.

    Leaving the block cancels those still running; each has `stop_grace` seconds for its `on_stop()`.
    """
    async with trio.open_nursery() as nursery:
        world = World(
            nursery,
            trio.lowlevel.current_trio_token(),
            threading.get_ident(),
            trio.lowlevel.current_clock().current_time,
            contextvars.copy_context(),
        )
        world.context.run(_here.set, world)
        mark = _here.set(world)
        _open.append(world)
        try:
            yield world
        finally:
            nursery.cancel_scope.cancel()
            _open.remove(world)
            try:
                _here.reset(mark)
            except ValueError:  # a fixture may close the world in another context than it opened it
                _here.set(_open[-1]) if _open else None
