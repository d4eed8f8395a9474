"""Admission of sockets: a new one, or a lost one restored with its rooms and missed messages; who waits for it."""

import secrets
from typing import TYPE_CHECKING, Any

from townwatch.transports.edge.http import Request
from townwatch.transports.socketio.kept.keeper import Joins, Returned, SocketKeeper
from townwatch.transports.socketio.message import Message
from townwatch.transports.socketio.namespace import Namespace, Socket

if TYPE_CHECKING:
    from townwatch.transports.socketio.client import Client

MOST_BYTES = 32 << 20
LONGEST_ID = 64
SESSION_BYTES = 3 * 1024
"""What a session costs beside its request."""
RECOVERABLE = frozenset(
    {
        "transport error",
        "transport close",
        "forced close",
        "ping timeout",
        "server shutting down",
        "forced server close",
    }
)
"""Ends of a connection after which the client may come back as the same."""
PYTHON_REASONS = {
    "client namespace disconnect": "client disconnect",
    "server namespace disconnect": "server disconnect",
}


class Strangers:
    """Clients that have opened a session and joined nothing yet: what they keep in memory is bounded together.

    A session needs no token before it joins, and keeps its first request: thousands of them with large heads would be
    the memory of the service. The one that has waited longest makes room.
    """

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._most = most
        self._size: dict[Client, int] = {}
        self._held = 0

    def __len__(self) -> int:
        return len(self._size)

    def came(self, client: "Client", request: Request) -> list["Client"]:
        """Count one more. Returns those that are to be closed for it."""
        size = SESSION_BYTES + sum(len(name) + len(value) for name, value in request.headers) + len(request.target)
        self._size[client] = size
        self._held += size
        over, held = list["Client"](), self._held
        for longest, its in self._size.items():
            if held <= self._most or longest is client:
                break
            over.append(longest)
            held -= its
        return over

    def left(self, client: "Client") -> None:
        """It has joined, or is gone."""
        self._held -= self._size.pop(client, 0)


def live_twin(space: Namespace, auth: dict[str, Any]) -> Socket | None:
    """The same client on an old connection, which only seems to live."""
    pid = auth.get("pid")
    if space.recovery is None or not isinstance(pid, str):
        return None
    found = space.by_pid.get(pid)
    return found if found is not None and found.connected else None


async def find_elsewhere(
    client: "Client", space: Namespace, keeper: SocketKeeper | None, auth: dict[str, Any]
) -> Returned | None:
    """Return the client of another process that this one was; None where it was none, or is this process's."""
    pid, offset = auth.get("pid"), auth.get("offset")
    if keeper is None or client.session.bare or space.recovery is None or space.name != "/":
        return None
    if not isinstance(pid, str) or not (offset is None or isinstance(offset, str)):
        return None
    if len(pid) > LONGEST_ID or pid in space.by_pid or space.recovery.knows(pid):
        return None
    returned = await keeper.find(pid, offset)
    if returned is not None and returned.kept.epoch == space.recovery.epoch:  # this process's, and not recoverable
        keeper.release(pid)
        return None
    return returned


def admit(
    client: "Client", space: Namespace, auth: dict[str, Any], returned: Returned | None, keeps: bool
) -> tuple[Socket, list[Message]]:
    """A place in the namespace, and what was missed. Nothing can come in between: there is no await here."""
    recovery, pid = None if client.session.bare else space.recovery, auth.get("pid")
    if recovery is not None and isinstance(pid, str):
        found = recovery.restore(pid, auth.get("offset"))
        if found is not None:
            lost = found.lost
            socket = Socket(space, client, lost.sid, lost.pid, lost.start)
            socket.recovered, socket.state, socket.whole_from = True, dict(lost.state), lost.whole_from
            socket.came_with, socket.joins = lost.came_with, lost.joins
            space.sockets[socket.sid] = socket
            space.set_rooms(socket, lost.rooms)
            return socket, found.missed
    start = space.recovery.next if space.recovery is not None else 0
    if returned is not None:
        kept = returned.kept
        socket = Socket(space, client, kept.sid, kept.pid, start)
        socket.recovered, socket.returned, socket.came_with = True, returned, auth.get("offset")
    else:
        own_pid = secrets.token_urlsafe(15) if recovery is not None else None
        socket = Socket(space, client, secrets.token_urlsafe(15), own_pid, start)
    if keeps:
        socket.joins = Joins()
    space.sockets[socket.sid] = socket
    return socket, []
