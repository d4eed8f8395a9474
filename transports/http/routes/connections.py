"""Live connections: one's own to see and to close; all of them for administrators."""

from collections.abc import Iterable

from townwatch.access.policy import Action, Oneself
from townwatch.actors import messages as m
from townwatch.actors.directory import LiveConnection, tell_if_alive
from townwatch.contracts import rest
from townwatch.transports.http.operation import Call, Routes
from townwatch.transports.http.paging import cut
from townwatch.transports.http.problems import not_found

routes = Routes("Connections")

MAX_AGENT_CHARS = 300


@routes.get("/api/me/connections", rest.ConnectionList, may=Oneself.ACCOUNT, on="self", query=rest.PageQuery)
async def list_my_connections(call: Call[None, rest.PageQuery]) -> rest.ConnectionList:
    """List your live connections (Socket.IO and control WebSocket), oldest first.

    Together they count against the limit of connections for each person.
    """
    return _page(call, call.api.context.directory.of_user(call.user_id))


@routes.get("/api/connections", rest.ConnectionList, on="service", may=Action.ADMIN, query=rest.ConnectionQuery)
async def list_connections(call: Call[None, rest.ConnectionQuery]) -> rest.ConnectionList:
    """List all live connections, oldest first. For administrators."""
    directory, user_id = call.api.context.directory, call.query.user_id
    return _page(call, directory.connections.values() if user_id is None else directory.of_user(user_id))


@routes.delete(
    "/api/me/connections/{connectionId}", rest.Done, may=Oneself.ACCOUNT, on="self", audit="connection.close"
)
async def close_connection(call: Call[None, None]) -> rest.Done:
    """Close one of your live connections; administrators may close any.

    The client is told why and does not reconnect by itself.
    """
    subject, connection_id = call.subject, call.path["connectionId"]
    found = call.api.context.directory.connections.get(connection_id)
    theirs = found is not None and found.user_id != call.user_id
    if found is None or (theirs and not subject.admin):
        raise not_found(f"connection {connection_id[:200]!r}")
    call.target = connection_id
    call.notes = {"kind": found.kind, "of": found.user_id}
    why = "an administrator closed this connection" if theirs else "you closed this connection"
    tell_if_alive(found.ref, m.Dismiss(why))
    return rest.Done()


@routes.post(
    "/api/control/broadcast",
    rest.BroadcastSent,
    on="service",
    may=Action.ADMIN,
    body=rest.NewBroadcast,
    audit="control.broadcast",
)
async def broadcast_event(call: Call[rest.NewBroadcast, None]) -> rest.BroadcastSent:
    """Send an event to the authenticated clients of the control WebSocket, or to one person's. For administrators.

    Who is not connected does not get it: nothing is kept.
    """
    wanted = call.body
    clients = call.api.broadcast(wanted.event, wanted.data, wanted.user_id)
    call.target, call.notes = wanted.user_id, {"event": wanted.event, "clients": clients}
    return rest.BroadcastSent(clients=clients)


def _page(
    call: Call[None, rest.PageQuery] | Call[None, rest.ConnectionQuery], found: Iterable[LiveConnection]
) -> rest.ConnectionList:
    page, following = cut(found, lambda one: (one.since_ms, one.connection_id), call.query.cursor, call.query.limit)
    return rest.ConnectionList(items=[_view(one) for one in page], next=following)


def _view(one: LiveConnection) -> rest.ConnectionView:
    return rest.ConnectionView(
        connection_id=one.connection_id,
        kind=one.kind,
        user_id=one.user_id,
        address=one.origin.address,
        user_agent=one.origin.user_agent[:MAX_AGENT_CHARS],
        since=one.since_ms,
        rooms=sorted(one.rooms()),
    )
