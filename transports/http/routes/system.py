"""Is it alive, is it ready, which version is it, what does it measure, what can it do."""

from typing import Any, cast

import attrs

from access.policy import Action
from contracts import rest
from contracts.codec import camel, encode
from supervision import Node, tree
from transports.http import metrics_route
from transports.http.operation import Call, Routes
from transports.http.problems import Answer, ProblemError, unauthorized

routes = Routes("System")


@routes.get("/healthz", rest.Alive, who="anybody")
async def get_health(_call: Call[None, None]) -> rest.Alive:
    """Whether the process answers.

    Says nothing about the parts: ask /readyz for those."""
    return rest.Alive()


@routes.get("/readyz", rest.Ready, who="anybody")
async def get_readiness(call: Call[None, None]) -> rest.Ready:
    """Whether the service takes work.

    503 with the reasons when it does not: the journal cannot write, or somebody of the tree is not up."""
    reasons = call.api.reasons_not_ready()
    if reasons:
        raise ProblemError(503, reasons[0], "E_NOT_READY", {"ready": False, "reasons": reasons})
    return rest.Ready(ready=True)


@routes.get("/metrics", metrics_route.MEDIA_TYPE, who="visitor", fails=(403,))
async def get_metrics(call: Call[None, None]) -> Answer:
    """What the service measures, for Prometheus.

    Open on loopback; otherwise, unless configured, an administrator's token is asked for."""
    if not call.api.metrics_open:
        if call.subject.user_id is None:
            raise unauthorized("metrics need an administrator's token")
        call.api.gate.check_service(call.subject, Action.ADMIN)
    return Answer(200, metrics_route.render(call.api.registry), metrics_route.MEDIA_TYPE)


@routes.get("/api/status", rest.ServiceStatus, who="anybody")
async def get_status(call: Call[None, None]) -> rest.ServiceStatus:
    """Which version runs, and since when."""
    api = call.api
    return rest.ServiceStatus(
        version=api.version, uptime_ms=max(0, call.now_ms - api.started_ms), started_at=api.started_ms
    )


@routes.get("/api/supervision", rest.SupervisionNode, on="service")
async def get_supervision(call: Call[None, None]) -> Answer:
    """The live tree of actors and supervisors.

    Ids and paths of sessions, villages, agents, runners and clients are shown to administrators only."""
    root = call.api.root()
    if root is None:
        raise ProblemError(503, "the tree is not up")
    node = tree(root)
    shown = node if call.subject.admin else _anonymous(node)
    return Answer(200, encode(_camel_keys(shown.as_dict())))


@routes.get(
    "/api/supervision/events",
    rest.SupervisionEventList,
    on="service",
    may=Action.ADMIN,
    query=rest.SupervisionEventQuery,
)
async def list_supervision_events(call: Call[None, rest.SupervisionEventQuery]) -> rest.SupervisionEventList:
    """What happened lately to a node of the tree, and to those below it.

    Of each actor the last 40 events are kept in memory, since the start of the process; those alike are one."""
    root = call.api.root()
    path = call.query.path or (root.path if root is not None else None) or ""
    found = call.api.history.of(path, call.query.limit)
    return rest.SupervisionEventList(items=[rest.SupervisionEvent(**attrs.asdict(one)) for one in found])


def _anonymous(node: Node, name: str | None = None, path: str = "") -> Node:
    """Numbers instead of names: what lives in other people's villages is not everybody's to know."""
    shown = name or node.id
    here = f"{path}/{shown}" if path else shown
    children = [
        _anonymous(child, f"{child.id.partition(':')[0]} {number}" if ":" in child.id else None, here)
        for number, child in enumerate(node.children, 1)
    ]
    last = node.last_exit and attrs.evolve(node.last_exit, reason=node.last_exit.reason.partition(":")[0])
    return attrs.evolve(node, id=shown, path=here, urn=None, last_exit=last, children=children)


def _camel_keys(node: Any) -> Any:
    """The tree's own names as on the wire."""
    if isinstance(node, dict):
        return {camel(key): _camel_keys(value) for key, value in cast("dict[str, Any]", node).items()}
    if isinstance(node, list):
        return [_camel_keys(item) for item in cast("list[Any]", node)]
    return node
