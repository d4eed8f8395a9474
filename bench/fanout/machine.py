"""What the bench needs of the machine: cores to pin to, open files, who else is busy, a process's memory."""

import os
import resource
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
SCRATCH = Path(".townwatch/bench/fanout")
"""Where the bench builds and installs."""


def raise_open_files() -> int:
    """The soft limit up to the hard one; what it is then."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def pinned(core: int) -> Callable[[], None]:
    """For `preexec_fn`: this process and its threads stay on one core.

    No more than that: under SCHED_FIFO, which would keep others off, the Node server takes twice its CPU.
    """
    return lambda: os.sched_setaffinity(0, {core})


def busy_seconds() -> float:
    """CPU seconds that all cores have worked since the machine started."""
    total = 0.0
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith("cpu") and line[3].isdigit():
            user, nice, system, _idle, _wait, irq, soft, steal, *_ = map(int, line.split()[1:])
            total += (user + nice + system + irq + soft + steal) / TICK
    return total


def resident_bytes(pid: int) -> int:
    """Resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def sync_ms(folder: Path) -> float:
    """Milliseconds, in the median, until a page is on this disk."""
    path, times = folder / "sync-probe", list[float]()
    with path.open("wb", buffering=0) as file:
        for _ in range(50):
            file.write(bytes(4096))
            begun = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append((time.perf_counter() - begun) * 1000)
    path.unlink()
    return statistics.median(times)


def compiled(source: str) -> Path:
    """A C program beside this file, compiled."""
    here = Path(__file__).parent
    program = SCRATCH / Path(source).stem
    SCRATCH.mkdir(parents=True, exist_ok=True)
    command = ["cc", "-O2", "-Wall", "-Wextra", "-o", str(program), str(here / source)]
    try:
        subprocess.run(command, check=True)
    except FileNotFoundError:
        raise SystemExit("bench.fanout: a C compiler is needed, as cc on the PATH") from None
    return program
