"""Is it alive, is it ready, which version is it, what does it measure, what can it do."""

from typing import Any, cast

import attrs
import trio

from townwatch.access.policy import Action, Open, administers
from townwatch.contracts import rest
from townwatch.contracts.codec import camel, encode
from townwatch.supervision import Node, TokenBuckets, tree
from townwatch.transports.http import metrics_route
from townwatch.transports.http.operation import Call, Routes
from townwatch.transports.http.problems import ProblemError, RestResponse

routes = Routes("System")


@routes.get("/healthz", rest.Alive, who="any", may=Open.OPEN, on="public")
async def get_health(_call: Call[None, None]) -> rest.Alive:
    """Report that the process answers.

    Says nothing about its parts; /readyz does.
    """
    return rest.Alive()


@routes.get("/readyz", rest.Ready, who="any", may=Open.OPEN, on="public")
async def get_readiness(call: Call[None, None]) -> rest.Ready:
    """Report whether the service is ready for work.

    503 with the reasons if not: the journal cannot write or its files were replaced, the tables database is away,
    or a part does not answer.
    """
    reasons = call.api.reasons_not_ready()
    if reasons:
        raise ProblemError(
            503, reasons[0], "E_NOT_READY", {"ready": False, "reasons": reasons, "warnings": call.api.warnings()}
        )
    return rest.Ready(ready=True, warnings=call.api.warnings(), cluster=call.api.cluster())


@routes.get("/metrics", metrics_route.MEDIA_TYPE, may=Action.ADMIN, on="service", open_when=metrics_route.is_open)
async def get_metrics(call: Call[None, None]) -> RestResponse:
    """Return the metrics for Prometheus.

    Open to programs of the same machine where the service listens on loopback and behind no proxy; otherwise an
    administrator's token with the scope admin is needed.
    """
    return RestResponse(200, metrics_route.render(call.api.registry), metrics_route.MEDIA_TYPE)


@routes.get("/api/status", rest.ServiceStatus, who="any", may=Open.OPEN, on="public")
async def get_status(call: Call[None, None]) -> rest.ServiceStatus:
    """Return the version of the service and when it started."""
    api = call.api
    return rest.ServiceStatus(
        version=api.version, uptime_ms=max(0, call.now_ms - api.started_ms), started_at=api.started_ms
    )


@routes.get("/api/replicas", rest.ReplicaList, on="service", may=Action.READ)
async def list_replicas(call: Call[None, None]) -> rest.ReplicaList:
    """List the processes that share the database, the oldest first.

    Where they are reached is shown to administrators only, whose token may be used for that.
    """
    found = call.api.replicas()
    shown = found if administers(call.subject) else [attrs.evolve(one, address=None) for one in found]
    return rest.ReplicaList(items=shown)


@routes.get("/api/supervision", rest.SupervisionNode, on="service", may=Action.READ)
async def get_supervision(call: Call[None, None]) -> RestResponse:
    """Return the live tree of actors and supervisors.

    Ids and paths of sessions, villages, agents, runners and clients are shown to administrators only, whose token
    may be used for that.
    """
    root = call.api.root()
    if root is None:
        raise ProblemError(503, "the supervision tree is not running; try again")
    node = tree(root)
    shown = node if administers(call.subject) else _anonymous(node)
    return RestResponse(200, encode(_camel_keys(shown.as_dict())))


@routes.get(
    "/api/supervision/events",
    rest.SupervisionEventList,
    on="service",
    may=Action.ADMIN,
    query=rest.SupervisionEventQuery,
)
async def list_supervision_events(call: Call[None, rest.SupervisionEventQuery]) -> rest.SupervisionEventList:
    """List recent events of a node of the supervision tree and of those below it.

    The last 40 events of each actor are kept in memory since the start of the process; equal ones in a row are
    counted as one.
    """
    root = call.api.root()
    path = call.query.path or (root.path if root is not None else None) or ""
    found = call.api.history.of(path, call.query.limit)
    shown: list[Any] = [attrs.asdict(one) | {"at": round(one.at * 1000)} for one in found]  # milliseconds
    return rest.SupervisionEventList(items=[rest.SupervisionEvent(**one) for one in shown])


@routes.get("/api/limits", rest.LimitList, may=Action.READ, on="self")
async def list_limits(call: Call[None, None]) -> rest.LimitList:
    """Say how much of your limits is in use, and, for administrators, of those of the whole service."""
    api, user_id, now = call.api, call.user_id, trio.current_time()
    directory, most, allowed = api.context.directory, api.ceilings, api.context.allowances
    mine = len(directory.of_user(user_id))
    items = [
        rest.LimitView(name="connections_per_user", whose="you", used=mine, allowed=most.connections_per_user),
        _rate("reads", api.reads, user_id, now),
        _rate("commands", api.writes, user_id, now),
        _rate("typing", allowed.typing, user_id, now),
        _rate("subscriptions", allowed.subscriptions, user_id, now),
    ]
    if administers(call.subject):
        people, machines = len(directory.connections), len(directory.runners)
        items.append(rest.LimitView(name="connections", whose="service", used=people, allowed=most.connections))
        items.append(rest.LimitView(name="runners", whose="service", used=machines, allowed=most.runners))
    return rest.LimitList(items=items)


def _rate(name: str, buckets: TokenBuckets, user_id: str, now: float) -> rest.LimitView:
    rate = buckets.rate
    used = max(0.0, rate.burst - buckets.tokens(user_id, now))
    return rest.LimitView(name=name, whose="you", used=used, allowed=rate.burst, per_second=rate.per_second)


def _anonymous(node: Node, name: str | None = None, path: str = "") -> Node:
    """Replace names by numbers: what runs in other people's villages is private."""
    shown = name or node.id
    here = f"{path}/{shown}" if path else shown
    children = [
        _anonymous(child, f"{child.id.partition(':')[0]} {number}" if ":" in child.id else None, here)
        for number, child in enumerate(node.children, 1)
    ]
    last = node.last_exit and attrs.evolve(node.last_exit, reason=node.last_exit.reason.partition(":")[0])
    return attrs.evolve(node, id=shown, path=here, urn=None, last_exit=last, note=None, children=children)


def _camel_keys(node: Any) -> Any:
    """The tree's own names as on the wire."""
    if isinstance(node, dict):
        return {camel(key): _camel_keys(value) for key, value in cast("dict[str, Any]", node).items()}
    if isinstance(node, list):
        return [_camel_keys(item) for item in cast("list[Any]", node)]
    return node
