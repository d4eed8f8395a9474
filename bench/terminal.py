"""What a recorded terminal costs: `townwatch run` beside a bare pseudo-terminal, script, tmux and asciinema.

    python -m bench.terminal [--megabytes 100] [--rounds 3] [--only townwatch] [--state /dev/shm]

Programs: `cat` of a coloured build log, and 200 small lines a second for ten seconds. Each contender runs in a
pseudo-terminal that is read as fast as it can be, in turn, `--rounds` times; figures are medians. CPU is of the
contender with its children (the program too), and of its server where it has one.
"""

import argparse
import os
import pty
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import median

import attrs
import psutil

from bench.durable.town import ROOT, Town
from bench.keys import Viewer

SMALL = "import time\nfor n in range(2000):\n print(f'line {n} of a small program', flush=True)\n time.sleep(0.005)"
LINE = "\x1b[32m[{:7}]\x1b[0m compiling src/module_{}.c \x1b[1;33mwarning:\x1b[0m unused variable in f()\n"
TOWNWATCH = [sys.executable, "-P", "-m", "townwatch"]


@attrs.frozen
class Cost:
    """Seconds of the clock and of processors: the contender's, its server's."""

    wall: float
    cpu: float
    server: float


@attrs.frozen
class Contender:
    """name, the command line that wraps a command, and what reads its server's seconds of CPU."""

    name: str
    wrap: Callable[[list[str]], list[str]]
    server: Callable[[], float] = lambda: 0.0
    environment: Mapping[str, str] = attrs.field(factory=dict)


def measure(contender: Contender, command: list[str]) -> Cost:
    """Run it once."""
    before, began = contender.server(), time.perf_counter()
    child, terminal = pty.fork()
    if child == 0:
        os.environ.update(contender.environment)
        wrapped = contender.wrap(command)
        os.execvp(wrapped[0], wrapped)
    last = b""
    while data := _read(terminal):
        last = data
    _, status, used = os.wait4(child, 0)
    wall = time.perf_counter() - began
    os.close(terminal)
    if status:
        raise RuntimeError(f"{contender.name} ended with {os.waitstatus_to_exitcode(status)}: {last!r}")
    return Cost(wall, used.ru_utime + used.ru_stime, contender.server() - before)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # Linux: the other side is closed
        return b""


def seconds_of(pid: int) -> float:
    """Return the seconds of CPU of a process."""
    used = psutil.Process(pid).cpu_times()
    return used.user + used.system


def peers(place: Path) -> Iterator[Contender]:
    """Yield the programs that this machine has."""
    yield Contender("bare", lambda command: command)
    if shutil.which("script"):
        yield Contender("script", lambda command: ["script", "-qec", " ".join(command), str(place / "typescript")])
    if shutil.which("asciinema"):
        home = {"ASCIINEMA_CONFIG_HOME": str(place), "HOME": str(place)}
        record = ["asciinema", "rec", "-q", "--overwrite", str(place / "it.cast"), "-c"]
        yield Contender("asciinema", lambda command: [*record, " ".join(command)], environment=home)
    if shutil.which("tmux"):
        tmux = ["tmux", "-L", f"bench-{os.getpid()}", "-f", "/dev/null"]
        subprocess.run([*tmux, "new-session", "-d", "sleep 100000"], check=True)
        said = subprocess.run([*tmux, "display-message", "-p", "#{pid}"], check=True, capture_output=True, text=True)
        yield Contender(
            "tmux",
            lambda command: [*tmux, "new-session", " ".join(command)],
            lambda: seconds_of(int(said.stdout)),
            {"TMUX": "", "TERM": "xterm-256color"},
        )
        subprocess.run([*tmux, "kill-server"], check=False)


def ours(place: Path) -> Iterator[Contender]:
    """Yield `townwatch run` with a service, with somebody who looks on, and while the service is away."""
    town = Town.start(place / f"state-{time.monotonic_ns()}")
    there = {"TOWNWATCH_STATE_DIR": str(town.state), "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    run = Contender("townwatch", lambda command: [*TOWNWATCH, "run", "--", *command], town.cpu, there)
    try:
        town.token()
        yield run
        looker = Watcher(town)
        yield attrs.evolve(run, name="townwatch, one viewer")
        looker.stop()
    finally:
        town.stop()
    yield attrs.evolve(run, name="townwatch, service away", server=lambda: 0.0)


class Watcher:
    """Somebody who has the terminal of every session of the village open; a thread."""

    def __init__(self, town: Town) -> None:
        self._viewer = Viewer(town.url, town.token())
        self._stopped = False
        self.seen = 0
        self._town = town
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        village = self._town.ask("/api/villages")["items"][0]["villageId"]
        self._viewer.emit("join_village", {"villageId": village})
        try:
            while not self._stopped:
                name, payload = self._viewer.event()
                if name == "agent_spawn":
                    self._viewer.emit("join_agent", {"agentId": payload["agentId"], "terminal": True})
                elif name == "terminal_output":
                    self.seen += len(payload["data"])
        except OSError:
            pass

    def stop(self) -> None:
        self._stopped = True


def coloured_log(place: Path, megabytes: int) -> Path:
    """Write a build log with colours."""
    path = place / "build.log"
    with path.open("w") as file:
        while file.tell() < megabytes * 1_000_000:
            file.writelines(LINE.format(n, n % 977) for n in range(1000))
    return path


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="")
    parser.add_argument("--state", help="where the state directories are made: /dev/shm leaves the disk out")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.state) as name:
        place = Path(name)
        log = coloured_log(place, asked.megabytes)
        programs = {
            f"cat of {asked.megabytes} MB": ["cat", str(log)],
            "200 lines a second, 10 s": [sys.executable, str(_script(place))],
        }
        taken: dict[tuple[str, str], list[Cost]] = {}
        for _ in range(asked.rounds):
            for contender in _all(place):
                if asked.only not in contender.name:
                    continue
                for title, command in programs.items():
                    taken.setdefault((title, contender.name), []).append(measure(contender, command))
        for title in programs:
            print(title)
            for (of, contender_name), costs in taken.items():
                if of == title:
                    wall, cpu, server = _medians(costs)
                    print(f"  {contender_name:24} {wall:6.2f} s, CPU {cpu:6.2f} s, its server {server:5.2f} s")


def _medians(costs: list[Cost]) -> tuple[float, float, float]:
    return median(one.wall for one in costs), median(one.cpu for one in costs), median(one.server for one in costs)


def _all(place: Path) -> Iterator[Contender]:
    yield from peers(place)
    yield from ours(place)


def _script(place: Path) -> Path:
    path = place / "small.py"
    path.write_text(SMALL)
    return path


if __name__ == "__main__":
    main()
