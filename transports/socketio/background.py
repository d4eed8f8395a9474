"""Background tasks of applications, in the server's nursery."""

import inspect
from collections.abc import Callable
from typing import Any

import structlog
import trio

log = structlog.get_logger("socketio")


class BackgroundTask:
    """A task that `start_background_task` began, or will begin when the server runs."""

    def __init__(self, target: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._target, self._args, self._kwargs = target, args, kwargs
        self._scope = trio.CancelScope()
        self._over = trio.Event()

    async def run(self) -> None:
        """Run it to its end. What it raises is logged: it must not end the server."""
        try:
            with self._scope:
                found = self._target(*self._args, **self._kwargs)
                if inspect.isawaitable(found):
                    await found
        except Exception:
            log.exception("background_task_failed", task=getattr(self._target, "__name__", repr(self._target)))
        finally:
            self._over.set()

    def cancel(self) -> None:
        self._scope.cancel()

    def done(self) -> bool:
        """Return whether it is over."""
        return self._over.is_set()

    async def join(self) -> None:
        """Wait until it is over."""
        await self._over.wait()
