"""The actor at the end of a WebSocket: it lives as long as its connection, and no task of it outlives it."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, cast

import structlog
import trio

from townwatch.runtime import System, TrioActor
from townwatch.transports.websocket.socket import MessageSocket, OnMessage

log = structlog.get_logger("websocket")


class Hangup(System):
    """To oneself: the connection is over."""


class SocketActor(TrioActor):
    """Base of the actors that own a connection: a nursery around them for the tasks beside the mailbox.

    The connection is the actor's from `own` or `hold` on; when its start fails before, its starter still has it.
    """

    def __init__(self, socket: MessageSocket) -> None:
        super().__init__()
        self.socket = socket
        self._beside: trio.Nursery | None = None
        self._owns = False

    async def lifespan(self) -> AsyncGenerator[None, None]:
        async with trio.open_nursery() as self._beside:
            try:
                yield
            finally:  # however it ended: the peer must not believe that this side still reads
                if self._owns:
                    self.socket.abort()
                self._beside.cancel_scope.cancel()

    def beside(self, task: Callable[[], Awaitable[Any]]) -> None:
        """Run a task beside the mailbox. When it fails, the actor fails with it."""
        assert self._beside is not None  # opened before on_start()
        self._beside.start_soon(self._guarded, task)

    async def _guarded(self, task: Callable[[], Awaitable[Any]]) -> None:
        try:
            await task()
        except Exception as error:
            self.actor_ref.exit(_innermost(error), self.actor_ref)

    def own(self) -> None:
        """Tie the connection to the actor: from now on it ends with it."""
        self._owns = True

    async def hold(self, on_message: OnMessage) -> None:
        """Serve the connection; when it is over, the actor ends in order."""
        self.own()
        await self.socket.run(on_message)
        self.actor_ref.tell(Hangup())


def _innermost(error: Exception) -> Exception:
    """The one exception in nested groups of one."""
    while isinstance(error, ExceptionGroup):
        inner: tuple[Exception, ...] = cast(Any, error).exceptions
        if len(inner) != 1:
            break
        error = inner[0]
    return cast(Exception, error)
