"""The edge under supervision: the listening socket is a child like any other, and comes back like any other."""

from collections.abc import Awaitable, Callable
from typing import Any

import trio

from actors.runtime import Reason, TrioActor


class Listener(TrioActor):
    """Serves the one port while it lives. `serve` is `Edge.serve`; `bound` hears the addresses it got."""

    def __init__(self, serve: Callable[..., Awaitable[None]], bound: Callable[[list[Any]], None]) -> None:
        super().__init__()
        self._serve = serve
        self._bound = bound
        self._nursery: trio.Nursery | None = None

    async def _lead(self, live: Callable[[], Awaitable[Reason]]) -> Reason:  # pyright: ignore
        async with trio.open_nursery() as self._nursery:
            try:
                return await live()
            finally:
                self._nursery.cancel_scope.cancel()

    async def on_start(self) -> None:
        assert self._nursery is not None
        self._bound(await self._nursery.start(self._serve))
