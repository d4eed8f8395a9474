"""Metrics of a replica: what it relays, or what others hand on to it, and its name."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from townwatch.app.member import ClusterMember
from townwatch.transports.edge.http import Request, Response, error_response
from townwatch.transports.edge.relay.admission import RelayAdmission
from townwatch.transports.http.metrics_route import MEDIA_TYPE, render

LAST = ("connection", "close")
_OWN_FIELDS = {"connection", "content-length", "transfer-encoding", "expect", "upgrade"}


class ReplicaMetrics(Collector):
    """Figures that others keep, read when they are asked for."""

    def __init__(self, member: ClusterMember, admission: RelayAdmission | None = None) -> None:
        """`admission`: of the process that leads."""
        self._member = member
        self._admission = admission

    def collect(self) -> Iterable[Metric]:
        member, admission = self._member, self._admission
        role = "leader" if member.leads else "follower"
        known = {"replica": member.name, "role": role, "version": member.version}
        yield InfoMetricFamily("townwatch_replica", "This process among those that share a database", value=known)
        yield GaugeMetricFamily(
            "townwatch_replicas", "Processes that share the database", value=len(member.seen.replicas)
        )
        if admission is not None:
            handed = CounterMetricFamily(
                "townwatch_relay_admitted", "Connections that replicas handed on to this one", labels=["replica"]
            )
            for name, count in admission.admitted.items():
                handed.add_metric([name], count)
            yield handed
            yield CounterMetricFamily(
                "townwatch_relay_refused", "Connections that claimed to be handed on and were not", admission.refused
            )
        relaying = member.relaying
        if relaying is None or member.leads:
            return
        pump = relaying.pump
        yield GaugeMetricFamily("townwatch_relayed_connections", "Connections that are relayed", value=len(relaying))
        yield GaugeMetricFamily(
            "townwatch_carried_clients",
            "Those of them that share one connection to the leader",
            value=len(relaying.trunks),
        )
        yield GaugeMetricFamily("townwatch_relay_waiting", "Connections that wait for a leader", value=relaying.waiting)
        yield CounterMetricFamily("townwatch_relayed", "Connections that were relayed", value=pump.started)
        yield CounterMetricFamily(
            "townwatch_relay_unanswered", "Connections that waited for a leader in vain", value=relaying.unanswered
        )
        yield CounterMetricFamily("townwatch_relay_cut", "Relayed peers that took nothing and were cut", value=pump.cut)
        carried = CounterMetricFamily("townwatch_relayed_bytes", "Bytes that were relayed", labels=["direction"])
        carried.add_metric(["to_leader"], pump.bytes_up)
        carried.add_metric(["to_client"], pump.bytes_down)
        yield carried
        if member.link_seconds is not None:
            yield GaugeMetricFamily(
                "townwatch_relay_link_seconds", "Time that the leader took to answer", value=member.link_seconds
            )


class FollowerMetrics:
    """/metrics of a replica that does not lead. Whether the asker may have them, the leader says, as of its own."""

    def __init__(self, member: ClusterMember) -> None:
        self._member = member
        self._registry = CollectorRegistry()
        self._registry.register(ReplicaMetrics(member))

    async def answer(self, request: Request) -> Response:
        """`HttpHandler`."""
        relaying = self._member.relaying
        status = None if relaying is None else await relaying.ask_leader(_same(request), request.client)
        if status == 200:
            return Response(200, render(self._registry), [("content-type", MEDIA_TYPE), LAST])
        if status in (401, 403):
            code, why = ("E_UNAUTHORIZED", "sign in") if status == 401 else ("E_FORBIDDEN", "not for you")
            return error_response(status, code, f"metrics: {why}; an administrator's token is needed", [LAST])
        why = "only the process that leads can say who may have the metrics, and it does not answer"
        return error_response(503, "E_UNAVAILABLE", why, [("retry-after", "5"), LAST])


def _same(request: Request) -> bytes:
    """The head of the same question, for one answer."""
    fields = [field for field in request.headers if field[0] not in _OWN_FIELDS]
    lines = [f"GET {request.target} HTTP/1.1", *(f"{name}: {value}" for name, value in (*fields, LAST))]
    return "\r\n".join((*lines, "", "")).encode("latin-1")
