"""The server's side of keeping clients for other processes, and of taking over those of another one."""

from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from townwatch.transports.socketio.admission import admit, find_elsewhere, live_twin
from townwatch.transports.socketio.api import ServerApi
from townwatch.transports.socketio.base import Postponed
from townwatch.transports.socketio.client import Client
from townwatch.transports.socketio.kept.keeper import KeptRoom, KeptSocket, Returned, SocketKeeper
from townwatch.transports.socketio.message import Message
from townwatch.transports.socketio.namespace import Namespace, Socket

log = structlog.get_logger("socketio")

SHUTTING_DOWN = "server shutting down"


class KeepingApi(ServerApi):
    """Admission of clients, new ones and such as come back, to this process or to the one that took over."""

    on_return: Callable[[str, Returned], Awaitable[None]]
    """See `keep_clients`."""

    def keep_clients(self, keeper: SocketKeeper, on_return: Callable[[str, Returned], Awaitable[None]]) -> None:
        """Keep clients of the namespace `/`, so that another process can take them over; before any of them connects.
        `on_return(sid, returned)` shows a client of another process what it missed, once it is connected.
        """
        recovery = self.space("/").recovery
        if recovery is None:
            raise ValueError(
                "clients are kept for connection state recovery, which is off: recovery=RecoverySettings()"
            )
        self.keeper, self.on_return, recovery.mark = keeper, on_return, keeper.mark

    async def _bring_back(self, socket: Socket, returned: Returned) -> None:
        """Let the application show a client of another process what it missed; it comes again where that fails."""
        try:
            await self.on_return(socket.sid, returned)
        except Exception:
            log.exception("missed_events_not_shown")
            socket.client.session.close("transport close")
            return
        socket.returned = None
        await self.keep(socket.sid, returned.kept.owner)

    def returned(self, sid: str) -> Returned | None:
        """Return what was kept of a client of another process that is about to be back; None of any other."""
        return self._socket(sid, None).returned

    async def keep(self, sid: str, owner: str) -> None:
        """Keep a client as it is now; return when that lasts. Nothing where it is gone, or cannot recover."""
        socket = self.space("/").sockets.get(sid)
        recovery = self.space("/").recovery
        if self.keeper is None or recovery is None or socket is None or socket.pid is None:
            return
        if socket.connected and not shows_missed(socket):
            socket.joins.owner = owner
            await self.keeper.save(kept(socket, socket.pid, recovery.epoch, owner))

    def _lose(self, socket: Socket) -> None:
        recovery = socket.namespace.recovery
        if recovery is not None and socket.pid is not None:
            recovery.lose(
                socket.sid,
                socket.pid,
                socket.rooms,
                socket.state,
                socket.start,
                socket.whole_from,
                socket.came_with,
                socket.joins,
            )

    def _tell_keeper(self, socket: Socket, reason: str, returns: bool) -> None:
        """Tell the keeper that a client is gone, and whether it may return. At the end of the process, all are gone:
        that need not be told.
        """
        keeper, pid = self.keeper, socket.pid
        if keeper is None or pid is None or reason == SHUTTING_DOWN or socket.namespace.name != "/":
            return
        if shows_missed(socket):
            self._give_up(socket)
        elif returns:
            keeper.lost(pid)
        else:
            keeper.forget(pid)

    async def _admit(self, client: Client, space: Namespace, auth: dict[str, Any]) -> tuple[Socket, list[Message]]:
        twin = live_twin(space, auth)
        if twin is not None:
            old = twin.client.session
            self._gone(twin, "transport close")
            old.close("forced close")
        returned = await find_elsewhere(client, space, self.keeper, auth)
        return admit(client, space, auth, returned, self.keeper is not None)

    def _give_up(self, socket: Socket) -> None:
        """A client of another process went before it was back: it begins anew. What shows it what it missed may go on
        for a while, and knows it by its id: a second one of that id would be let into its rooms too early.
        """
        if self.keeper is not None and socket.returned is not None:
            self.keeper.forget(socket.returned.kept.pid)
            self.keeper.release(socket.returned.kept.pid)

    def _release(self, socket: Socket) -> None:
        if self.keeper is not None and socket.returned is not None:
            self.keeper.release(socket.returned.kept.pid)

    def _postpone(self, socket: Socket, passing: Postponed) -> None:
        """Close the transport; a client that was about to recover can still do so when it comes back."""
        space, session = socket.namespace, socket.client.session
        log.debug("connect_postponed", reason=str(passing)[:300])
        if not passing.recoverable and self.keeper is not None and socket.pid is not None:
            self.keeper.forget(socket.pid)
        self._release(socket)
        if socket.recovered and passing.recoverable and socket.returned is None:
            self._lose(socket)
        space.remove(socket)
        session.close("transport close")


def shows_missed(socket: Socket) -> bool:
    """Return True for a client of another process that is not back in its rooms yet."""
    return socket.returned is not None


def kept(socket: Socket, pid: str, epoch: str, owner: str) -> KeptSocket:
    """Return what another process needs to take this client over."""
    rooms = tuple(KeptRoom(room=room, number=number, mark=mark) for room, (number, mark) in socket.joins.rooms.items())
    return KeptSocket(pid=pid, sid=socket.sid, epoch=epoch, owner=owner, floor=socket.joins.floor, rooms=rooms)


async def nothing_missed(_sid: str, _returned: Returned) -> None:
    """Show nothing: the server keeps no clients for others."""
