"""The load generator (load.c) as an object."""

import json
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import attrs

from bench.fanout.contenders import Running
from bench.fanout.machine import pinned


@attrs.frozen(kw_only=True)
class Phase:
    """What one phase measured. CPU in seconds, within the measured part; others: cores that others kept busy."""

    seconds: float
    deliveries: int
    per_second: float
    server_cpu: float
    load_cpu: float
    reads: int
    p50_us: int
    p99_us: int
    lost: int
    twice: int
    disordered: int
    cut: int
    overload: int
    events: int
    others: float = 0.0

    @property
    def cpu_per_million(self) -> float:
        return self.server_cpu / self.deliveries * 1e6 if self.deliveries else float("nan")

    @property
    def faults(self) -> int:
        """Lost, double, out of order, or disconnected."""
        return self.lost + self.twice + self.disordered + self.cut


class Load:
    """Clients and producer of one server, pinned to a core."""

    def __init__(self, program: Path, server: Running, core: int) -> None:
        words = ["127.0.0.1", server.port, server.pid, server.auth, server.path, server.dialect, server.token]
        self._process = subprocess.Popen(
            [str(program), *map(str, words), server.runner_id],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=pinned(core),
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, command: str) -> dict[str, Any]:
        """One command, one answer. Raises `RuntimeError` where the load gave up; it said why on stderr."""
        return self.begin(command)()

    def begin(self, command: str) -> Callable[[], dict[str, Any]]:
        """Say a command; what is returned waits for its answer, as `ask` does."""
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        return partial(self._answer, command)

    def _answer(self, command: str) -> dict[str, Any]:
        assert self._process.stdout is not None
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the load generator gave up at {command!r}")
        return json.loads(answer)

    def close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait()
