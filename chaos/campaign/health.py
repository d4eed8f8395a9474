"""Health of the service: ready, sound, and its process not bigger than it was."""

from typing import Any

import attrs
import psutil
import trio

from townwatch.chaos.campaign.rest_client import RequestRefused, Rest, ServiceAway

MEMORY_SHARE, MEMORY_SLACK = 1.25, 64 << 20
"""Memory is back where it is within this share and this many bytes of what it was: what is kept for viewers that may
come back (64 MiB) is full at some time, and the allocator does not give back all it has.
"""
DESCRIPTORS_SLACK = 8
"""Threads keep a reader of the log each, and come and go."""


@attrs.frozen(kw_only=True)
class HealthSnapshot:
    """`memory`: resident bytes. Both None where the process is not on this machine."""

    pid: int
    memory: int | None = None
    descriptors: int | None = None

    def back_from(self, before: "HealthSnapshot") -> list[str]:
        """Return a line for each figure that is not back to where it was."""
        wrong: list[str] = []
        if self.memory is not None and before.memory is not None:
            most = before.memory * MEMORY_SHARE + MEMORY_SLACK
            if self.memory > most:
                wrong.append(f"memory is {mebibytes(self.memory)}, it was {mebibytes(before.memory)}")
        most_open = (before.descriptors or 0) + DESCRIPTORS_SLACK
        if self.descriptors is not None and before.descriptors is not None and self.descriptors > most_open:
            wrong.append(f"{self.descriptors} file descriptors are open, before there were {before.descriptors}")
        return wrong

    def __str__(self) -> str:
        if self.memory is None:
            return "not on this machine"
        return f"{mebibytes(self.memory)}, {self.descriptors} file descriptors (process {self.pid})"


def mebibytes(size: int) -> str:
    return f"{size / (1 << 20):.0f} MiB"


async def measure(rest: Rest, local: bool) -> tuple[HealthSnapshot, dict[str, Any]]:
    """The process, and what GET /api/chaos says. Raises `ServiceAway`, `RequestRefused`."""
    view = await rest.get("/api/chaos")
    pid = int(view["pid"])
    if not local:
        return HealthSnapshot(pid=pid), view
    return await trio.to_thread.run_sync(_of_process, pid), view


def _of_process(pid: int) -> HealthSnapshot:
    try:
        process = psutil.Process(pid)
        return HealthSnapshot(pid=pid, memory=process.memory_info().rss, descriptors=process.num_fds())
    except psutil.Error:
        return HealthSnapshot(pid=pid)


def broken(view: dict[str, Any]) -> list[str]:
    """The invariants that do not hold, of what GET /api/chaos says."""
    return [f"{one['name']}: {one['detail']}" for one in view["invariants"] if not one["holds"]]


async def ready(rest: Rest) -> str | None:
    """Return why the service takes no work; None where it does."""
    try:
        await rest.get("/readyz", seconds=5)
    except (ServiceAway, RequestRefused) as error:
        return str(error)
    return None
