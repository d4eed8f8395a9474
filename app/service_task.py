"""Long-running parts that are no actors (a listening socket, the Socket.IO engine), supervised like any other."""

from collections.abc import Awaitable, Callable
from typing import Any

from townwatch.runtime.tasks import TaskOwner


def _unheard(_value: Any) -> None:
    return None


class Hosted(TaskOwner):
    """Runs `serve` while it lives and fails with it. `started` hears what `serve` says when it is ready."""

    def __init__(self, serve: Callable[..., Awaitable[None]], started: Callable[[Any], None] = _unheard) -> None:
        super().__init__()
        self._serve = serve
        self._started = started

    async def on_start(self) -> None:
        self._started(await self.tasks.start(self._serve))
