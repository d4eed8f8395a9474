"""Builds the bridge from the settings, and its metrics."""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from townwatch.app.interop.bridge import BridgeLines, ClusterBridge
from townwatch.config.bridge import BridgeSettings
from townwatch.config.settings import ConfigError
from townwatch.net.redis.connection import read_address
from townwatch.supervision import Rate
from townwatch.transports.interop.outlet import OpenVillages, Outgoing, PublishingOutlet
from townwatch.transports.interop.rules import OWN_EVENTS, Border, RoomList, read_events
from townwatch.transports.socketio import TrioServer
from townwatch.transports.socketio.handlers import SocketIoOutlet

MOST_BYTES = 1 << 20


class BridgeMetrics(Collector):
    """Figures that the bridge keeps, read when they are asked for."""

    def __init__(self, bridge: ClusterBridge) -> None:
        self._bridge = bridge

    def collect(self) -> Iterable[Metric]:
        bridge = self._bridge
        up = GaugeMetricFamily("townwatch_bridge_up", "Whether a line of the bridge has its Redis", labels=["line"])
        for name, state in bridge.states.items():
            up.add_metric([name], float(state.trouble is None))
        yield up
        taken = CounterMetricFamily("townwatch_bridge_taken", "Events of others that passed", labels=["wire"])
        for wire, count in bridge.taken.items():
            taken.add_metric([wire], count)
        yield taken
        refused = CounterMetricFamily("townwatch_bridge_refused", "Messages of others that did not", labels=["why"])
        for why, count in bridge.refused.items():
            refused.add_metric([why], count)
        yield refused
        yield CounterMetricFamily("townwatch_bridge_published", "Events published for others", bridge.published)
        yield CounterMetricFamily("townwatch_bridge_lost", "Events that could not be published", bridge.lost)


def bridge_of(
    settings: BridgeSettings, registry: CollectorRegistry, server: TrioServer, present: Callable[[], Iterable[str]]
) -> tuple[ClusterBridge | None, SocketIoOutlet]:
    """Return the bridge, None where no Redis is named, and the cast's way out. Raises `ConfigError`."""
    if not settings.redis:
        return None, SocketIoOutlet(server)
    try:
        address = read_address(settings.redis)
    except ValueError as error:
        raise ConfigError(f"[bridge] redis: {error}") from None
    try:
        events = read_events("events", settings.events, OWN_EVENTS, ours=False)
        published = read_events("publish_events", settings.publish_events, OWN_EVENTS, ours=True)
        rooms, published_rooms = (
            RoomList.read("rooms", settings.rooms),
            RoomList.read("publish_rooms", settings.publish_rooms),
        )
        _check(settings, bool(events), bool(published))
        villages = OpenVillages(frozenset(settings.villages), present)
        border = Border(
            events=events,
            rooms=rooms,
            villages=settings.villages,
            namespaces=settings.namespaces,
            most_bytes=settings.most_bytes,
            rate=Rate(settings.per_second, settings.burst),
        )
    except ValueError as error:
        raise ConfigError(f"[bridge] {error}") from None
    lines = BridgeLines(
        namespaces=settings.namespaces,
        key=settings.key,
        stream=settings.stream,
        python_channel=settings.python_channel,
        hears=bool(events),
        publishes=bool(published),
        publish_stream=settings.publish_to == "stream",
        publish_namespace=settings.publish_namespace,
        most_bytes=settings.most_bytes,
    )
    bridge = ClusterBridge(address, lines, border, villages, server)
    registry.register(BridgeMetrics(bridge))
    if not published:
        return bridge, SocketIoOutlet(server)
    return bridge, PublishingOutlet(server, Outgoing(published, published_rooms, villages, bridge.offer))


def _check(settings: BridgeSettings, hears: bool, publishes: bool) -> None:
    """Raise ValueError for settings with which nothing could pass, or that contradict each other."""
    if not hears and not publishes:
        raise ValueError("redis is set and nothing may pass: name events, or publish_events")
    if not settings.villages:
        raise ValueError("redis is set and nothing may pass: name villages")
    if hears and not (settings.key or settings.stream or settings.python_channel):
        raise ValueError("events: nothing is heard: key, stream and python_channel are empty")
    if publishes and not (settings.stream if settings.publish_to == "stream" else settings.key):
        raise ValueError(f"publish_to: {settings.publish_to!r} is empty")
    if not 0 < settings.most_bytes <= MOST_BYTES:
        raise ValueError(f"most_bytes: more than 0, at most {MOST_BYTES}")
    for name in (*settings.namespaces, settings.publish_namespace):
        if not name.startswith("/"):
            raise ValueError(f"namespaces: {name!r} does not begin with /")
