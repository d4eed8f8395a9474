"""The fault routes of a service started with --chaos: for administrators, audited. Elsewhere they do not exist."""

import os
from random import Random
from typing import Annotated, Any

import attrs
import msgspec
import trio

from townwatch.access.policy import Action
from townwatch.chaos.faults.faults import FAULTS, Fault, FaultRequest
from townwatch.chaos.faults.invariants import Invariant, check
from townwatch.chaos.faults.targets import FaultContext, NoTarget
from townwatch.chaos.faults.vitals import Instruments, Vitals, read, recovery
from townwatch.config.process import is_kept
from townwatch.transports.edge.server import Edge
from townwatch.transports.http.deps import Api
from townwatch.transports.http.operation import Call, Routes
from townwatch.transports.http.problems import ProblemError
from townwatch.transports.http.router import Router

PREFIX = "/api/chaos"
SHOWN_TARGETS = 200


@attrs.frozen(kw_only=True)
class FaultOrder:
    """A fault, its target (none: by chance from `seed`), and its duration where it has one."""

    fault: str
    target: str | None = None
    seed: int | None = None
    seconds: Annotated[float, msgspec.Meta(gt=0, le=60)] = 1.0


@attrs.frozen(kw_only=True)
class FaultReport:
    """`back_ms`: until the part that was killed answered again; null where nothing comes back by itself."""

    fault: str
    target: str
    seed: int
    lasts_ms: float
    back_ms: float | None


@attrs.frozen(kw_only=True)
class KnownFault:
    """`aims`: actor, supervisor, runner, client or nothing. `lasts`: whether it goes on for the `seconds` of the order.
    `felt`: whether all users feel it, so that a person should be asked twice.
    """

    name: str
    aims: str
    lasts: bool
    felt: bool
    says: str


@attrs.frozen(kw_only=True)
class ChaosView:
    """`kept`: whether the process is started again after its end. `targets`: at most 200 of each aim."""

    pid: int
    kept: bool
    faults: list[KnownFault]
    targets: dict[str, list[str]]
    invariants: list[Invariant]
    vitals: Vitals


def mount_chaos(edge: Edge, api: Api, place: FaultContext, instruments: Instruments) -> None:
    """Open the routes. The longest prefix wins, so they lie before the rest of the API."""
    edge.http(PREFIX, Router(api, _routes(place, instruments).operations))


def _routes(place: FaultContext, instruments: Instruments) -> Routes:
    routes = Routes("Chaos")

    @routes.get(PREFIX, ChaosView, on="service", may=Action.ADMIN)
    async def get_chaos(_call: Call[None, None]) -> ChaosView:  # pyright: ignore[reportUnusedFunction]
        """List the faults, the targets, and the state of the invariants."""
        return _view(place, instruments)

    @routes.post(
        f"{PREFIX}/faults",
        FaultReport,
        body=FaultOrder,
        on="service",
        may=Action.ADMIN,
        audit="chaos.fault",
        fails=(409,),
    )
    async def inject(call: Call[FaultOrder, None]) -> FaultReport:  # pyright: ignore[reportUnusedFunction]
        """Break something now."""
        return await _inject(place, call)

    return routes


async def _inject(place: FaultContext, call: Call[FaultOrder, Any]) -> FaultReport:
    order = call.body
    found = FAULTS.get(order.fault)
    if found is None:
        raise ProblemError(400, f"fault: there is no {order.fault[:100]!r}; known are {', '.join(FAULTS)}")
    seed = Random().getrandbits(32) if order.seed is None else order.seed
    began = trio.current_time()
    try:
        done = await found.inject(place, FaultRequest(target=order.target, dice=Random(seed), seconds=order.seconds))
    except NoTarget as error:
        raise ProblemError(409, str(error)) from None
    call.target = done.target[:200]
    call.notes = {"fault": order.fault, "seed": seed, "seconds": round(trio.current_time() - began, 3)}
    back = None if done.back is None else done.back * 1000
    if done.back is not None:
        place.last_recovery = recovery(order.fault, done.target, done.back)
    return FaultReport(fault=order.fault, target=done.target, seed=seed, lasts_ms=done.lasts * 1000, back_ms=back)


def _view(place: FaultContext, instruments: Instruments) -> ChaosView:
    nodes = [node for node in place.nodes() if node.path is not None]
    targets = {
        "actor": [node.path or "" for node in nodes if node.kind == "worker"],
        "supervisor": [node.path or "" for node in nodes[1:] if node.kind == "supervisor"],
        "runner": [plug.name for plug in place.plugs.of_kind("runner")],
        "client": [plug.name for plug in place.plugs.of_kind("socket.io")],
    }
    return ChaosView(
        pid=os.getpid(),
        kept=is_kept(),
        faults=[_known(one) for one in FAULTS.values()],
        targets={aim: found[:SHOWN_TARGETS] for aim, found in targets.items()},
        invariants=check(place),
        vitals=read(place, instruments),
    )


def _known(one: Fault) -> KnownFault:
    return KnownFault(name=one.name, aims=one.aims, lasts=one.lasts, felt=one.felt, says=one.says)
