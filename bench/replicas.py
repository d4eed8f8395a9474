"""What a second process carries: `python -m bench.replicas [--clients 2000] [--rate 50] [--seconds 5] [--rounds 3]`

One village on one PostgreSQL, the same audience each time: all of it at the one process that there is; half of it at
the leader and half at a process that relays; all of it at two that relay. Printed is the CPU of each process for a
delivery, and how much larger the audience could be until the busiest one is as busy as the one alone. A producer sends
events one by one at a fixed rate, so that what is batched under load is batched in none of them. The clients (load.c)
are not counted.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import attrs

from bench.fanout.contenders import CONFIG, Running, exchanged
from bench.fanout.load import Load
from bench.fanout.machine import SCRATCH, compiled
from tests.support import postgres
from townwatch.config.process import free_port

START_SECONDS = 60
HOST = "127.0.0.1"


@attrs.frozen
class Process:
    """A replica."""

    pid: int
    port: int

    def cpu(self) -> float:
        """CPU seconds so far."""
        return time.clock_gettime((~self.pid << 3) | 2)


@contextmanager
def replica(url: str, state: Path) -> Iterator[tuple[Process, Path]]:
    """A process on the database, and the file of its output."""
    port, out = free_port(HOST), state / "out"
    state.mkdir()
    config = state / "townwatch.toml"
    config.write_text(CONFIG.replace("port = 0", f"port = {port}").replace('"warning"', '"info"'))
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TOWNWATCH_")}
    command = [sys.executable, "-P", "-m", "townwatch", "serve", "-c", str(config), "--state-dir", str(state)]
    with out.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, env={**environ, "TOWNWATCH_DATABASE_URL": url})
    try:
        yield Process(process.pid, port), out
    finally:
        process.terminate()
        process.wait(20)


def said(out: Path, words: str) -> str:
    """Wait until a process's output has these words; return the output."""
    limit = time.monotonic() + START_SECONDS
    while words not in (text := out.read_text()):
        if time.monotonic() > limit:
            raise SystemExit(f"bench.replicas: no {words!r} in:\n{text[-2000:]}")
        time.sleep(0.05)
    return text


def measured(url: str, folder: Path, spread: list[int], rate: float, seconds: float) -> list[float]:
    """CPU seconds of each process for a million deliveries to all. spread: clients at the leader, and at each other."""
    program = compiled("load.c")
    with ExitStack() as stack:
        processes: list[Process] = []
        for number, _ in enumerate(spread):
            process, out = stack.enter_context(replica(url, folder / f"replica{number}"))
            text = said(out, "/?code=" if number == 0 else "relays")
            if number == 0:
                auth = exchanged(f"http://{HOST}:{process.port}", text.partition("/?code=")[2].split()[0])
            processes.append(process)
        runner = json.loads((folder / "replica0" / "runner.json").read_text())
        loads: list[Load] = []
        for process, clients in zip(processes, spread, strict=True):
            server = Running(
                pid=process.pid, port=process.port, dialect="runner" if not loads else "none", auth=auth,
                token=runner["token"], runner_id=runner["runnerId"],
            )  # fmt: skip
            load = Load(program, server, 1)
            stack.callback(load.close)
            load.ask(f"open {max(clients, 1)}")
            loads.append(load)
        listeners = [load.begin(f"idle {seconds + 3}") for load in loads[1:]]
        before = [process.cpu() for process in processes]
        answer = loads[0].ask(f"rate {rate} 0.5 {seconds}")
        after = [process.cpu() for process in processes]
        for listen in listeners:
            listen()
        events = rate * (seconds + 0.5)
        assert not (answer["lost"] or answer["twice"] or answer["cut"]), answer
        return [(b - a) / (events * sum(spread)) * 1e6 for a, b in zip(before, after, strict=True)]


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("--clients", type=int, default=2000)
    given.add_argument("--rate", type=float, default=50)
    given.add_argument("--seconds", type=float, default=5)
    given.add_argument("--rounds", type=int, default=3)
    options = given.parse_args()
    n = options.clients
    ways = {"one": [n], "leader and one": [n // 2, n // 2], "two that relay": [1, n // 2, n // 2]}
    found: dict[str, list[list[float]]] = {name: [] for name in ways}
    compiled("load.c")  # and with it the folder for what is made here
    with postgres.server() as server, tempfile.TemporaryDirectory(dir=SCRATCH, prefix="replicas-") as scratch:
        for number in range(options.rounds):
            for name, spread in ways.items():
                folder = Path(scratch, f"{number}-{name.replace(' ', '-')}")
                folder.mkdir()
                url = server.fresh_schema(f"r{number}_{len(spread)}")
                found[name].append(measured(url, folder, spread, options.rate, options.seconds))
                print(
                    number,
                    name,
                    [round(one, 2) for one in found[name][-1]],
                    "CPU s for a million deliveries",
                    flush=True,
                )
    alone = statistics.median(one[0] for one in found["one"])
    for name, rounds in found.items():
        busiest = statistics.median(max(one) for one in rounds)
        carries = f"carries {alone / busiest:.2f} times as many"
        print(f"{name}: {busiest:.2f} s for a million deliveries at the busiest; {carries}")


if __name__ == "__main__":
    main()
