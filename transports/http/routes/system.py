"""Is it alive, is it ready, which version is it, what does it measure, what can it do."""

from typing import Any, cast

from access.policy import Action
from contracts import rest
from contracts.codec import camel, encode
from supervision import tree
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
    """The live tree of actors and supervisors."""
    root = call.api.root()
    if root is None:
        raise ProblemError(503, "the tree is not up")
    return Answer(200, encode(_camel_keys(tree(root).as_dict())))


def _camel_keys(node: Any) -> Any:
    """The tree's own names as on the wire."""
    if isinstance(node, dict):
        return {camel(key): _camel_keys(value) for key, value in cast("dict[str, Any]", node).items()}
    if isinstance(node, list):
        return [_camel_keys(item) for item in cast("list[Any]", node)]
    return node
