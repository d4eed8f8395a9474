"""Parts of a service that are built differently with --chaos."""

import attrs

from townwatch.actors.context import Context
from townwatch.actors.ports import Ref
from townwatch.chaos.faults.disk import FaultyDisk
from townwatch.chaos.faults.faulty_sockets import FaultySockets, PluggedEdge
from townwatch.chaos.faults.routes import mount_chaos
from townwatch.chaos.faults.targets import ChaosActor, FaultContext
from townwatch.chaos.faults.vitals import Instruments
from townwatch.config.settings import Settings
from townwatch.store.log.port import DurableLog
from townwatch.supervision import ChildSpec, Supervisor
from townwatch.transports.edge.server import Edge, EdgeSettings
from townwatch.transports.http.deps import Api


def lifted(settings: Settings) -> Settings:
    """Lift the limits of one person to those of all: a campaign brings a thousand clients from one address."""
    most = settings.limits.connections
    limits = attrs.evolve(settings.limits, connections_per_user=most, connections_per_address=most)
    return attrs.evolve(settings, limits=limits)


class FaultInjection:
    """Made before the service opens, `open`ed when its tree stands."""

    def __init__(self) -> None:
        self._plugs = FaultySockets()
        self._disk: FaultyDisk | None = None

    def edge(self, settings: EdgeSettings) -> Edge:
        """The edge, with plugs to pull."""
        return PluggedEdge(settings, self._plugs)

    def disk(self, event_log: DurableLog) -> FaultyDisk:
        """Return the disk that the journal writes to."""
        self._disk = FaultyDisk(event_log)
        return self._disk

    async def open(self, root: Ref, edge: Edge, api: Api, context: Context, instruments: Instruments) -> None:
        """The faults' actor lives, and the routes are there."""
        assert self._disk is not None
        place = FaultContext(context=context, plugs=self._plugs, disk=self._disk, root=lambda: root)
        await Supervisor.start_child(root, ChildSpec(id="chaos", actor=ChaosActor, args=(place,)))
        mount_chaos(edge, api, place, instruments)
