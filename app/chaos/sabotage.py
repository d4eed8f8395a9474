"""A service started with --chaos is built a little differently: here is how."""

import attrs

from actors.context import Context
from actors.ports import Ref
from app.chaos.disk import FaultyDisk
from app.chaos.place import ChaosActor, Place
from app.chaos.plug import PluggedEdge, Plugs
from app.chaos.routes import mount_chaos
from app.chaos.vitals import Instruments
from app.metrics import Metrics
from config.settings import Settings
from store.log import EventLog
from supervision import ChildSpec
from transports.edge import Edge, EdgeSettings
from transports.http.deps import Api


def lifted(settings: Settings) -> Settings:
    """One person's trial brings a thousand clients from one address: the limit a person has is lifted to the whole."""
    most = settings.limits.connections
    limits = attrs.evolve(settings.limits, connections_per_user=most, connections_per_address=most)
    return attrs.evolve(settings, limits=limits)


class Sabotage:
    """Made before the service opens, `open`ed when its tree stands."""

    def __init__(self) -> None:
        self._plugs = Plugs()
        self._disk: FaultyDisk | None = None

    def edge(self, settings: EdgeSettings) -> Edge:
        """The edge, with plugs to pull."""
        return PluggedEdge(settings, self._plugs)

    def disk(self, event_log: EventLog) -> FaultyDisk:
        """What the journal writes to."""
        self._disk = FaultyDisk(event_log)
        return self._disk

    async def open(self, root: Ref, edge: Edge, api: Api, context: Context, metrics: Metrics) -> None:
        """The faults' actor lives, and the routes are there."""
        assert self._disk is not None
        place = Place(context=context, plugs=self._plugs, disk=self._disk, root=lambda: root)
        await root.proxy().start_child(ChildSpec(id="chaos", actor=ChaosActor, args=(place,)))
        instruments = Instruments(
            registry=metrics.registry,
            commits=metrics.recent_commits,
            lags=metrics.recent_lags,
            reasons_not_ready=api.reasons_not_ready,
        )
        mount_chaos(edge, api, place, instruments)
