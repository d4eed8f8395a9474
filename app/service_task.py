"""Long-running parts that are no actors (a listening socket, the Socket.IO engine), supervised like any other."""

from collections.abc import Awaitable, Callable
from typing import Any

from townwatch.runtime.tasks import TaskOwner


def _unheard(_value: Any) -> None:
    return None


class Hosted(TaskOwner):
    """Runs `serve` while it lives and fails with it. `started` hears what `serve` says when it is ready; `told` says
    how it is, for the supervision tree.
    """

    def __init__(
        self,
        serve: Callable[..., Awaitable[None]],
        started: Callable[[Any], None] = _unheard,
        told: Callable[[], str] | None = None,
    ) -> None:
        super().__init__()
        self._serve = serve
        self._started = started
        self._told = told

    @property
    def note(self) -> str | None:
        """Return how it is, in a line; None where it does not say."""
        return None if self._told is None else self._told()

    async def on_start(self) -> None:
        self._started(await self.tasks.start(self._serve))
