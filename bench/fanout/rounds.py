"""One round: each server in turn, freshly started, through the same phases."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs

from bench.fanout.contenders import Contender
from bench.fanout.load import Load, Phase
from bench.fanout.machine import busy_seconds, resident_bytes

SERVER_CORE, LOAD_CORE = 0, 1
ONE, FLOOD = "one in flight", "flood"
SETTLE_SECONDS = 0.5


@attrs.frozen(kw_only=True)
class Plan:
    """What is measured. rates: events/s at which latencies are compared. warm, seconds: of a phase."""

    clients: Sequence[int] = (100, 1000, 5000)
    flood: int = 64
    rates: Sequence[float] = (33.0, 78.0)
    rated_clients: int = 1000
    warm: float = 0.7
    seconds: float = 2.0
    rounds: int = 5


@attrs.frozen(kw_only=True)
class Sample:
    """One phase of one server in one round. idle_bytes: of a connection that does nothing."""

    round: int
    contender: str
    clients: int
    phase: str
    measured: Phase
    idle_bytes: float
    connect_seconds: float


def rate_name(rate: float) -> str:
    return f"{rate:g} events/s"


def measure(plan: Plan, program: Path, contender: Contender, clients: int, number: int) -> Iterator[Sample]:
    """All phases of one server with so many clients."""
    with contender.running(SERVER_CORE) as server:
        load = Load(program, server, LOAD_CORE)
        try:
            time.sleep(SETTLE_SECONDS)
            before = resident_bytes(server.pid)
            connecting = load.ask(f"open {clients}")["seconds"]
            load.ask(f"idle {SETTLE_SECONDS}")
            idle_bytes = (resident_bytes(server.pid) - before) / clients
            phases = {ONE: "flight 1", FLOOD: f"flight {plan.flood}"}
            if clients == plan.rated_clients:
                phases |= {rate_name(rate): f"rate {rate}" for rate in plan.rates}
            for name, command in phases.items():
                answer = _timed(load, server.pid, f"{command} {plan.warm} {plan.seconds}")
                yield Sample(
                    round=number,
                    contender=contender.name,
                    clients=clients,
                    phase=name,
                    measured=answer,
                    idle_bytes=idle_bytes,
                    connect_seconds=connecting,
                )
        finally:
            load.close()


def _timed(load: Load, server_pid: int, command: str) -> Phase:
    """With what others did to the two cores meanwhile."""
    begun, busy = time.monotonic(), busy_seconds()
    ours = _cpu(server_pid) + _cpu(load.pid)
    answer: dict[str, Any] = load.ask(command)
    ours = _cpu(server_pid) + _cpu(load.pid) - ours
    others = (busy_seconds() - busy - ours) / (time.monotonic() - begun)
    return Phase(**answer, others=max(0.0, others))


def _cpu(pid: int) -> float:
    """CPU seconds of a process and its threads so far."""
    return time.clock_gettime((~pid << 3) | 2)
