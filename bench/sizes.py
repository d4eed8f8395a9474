"""How many bytes a byte of a terminal's output becomes, on the disks of runner and service and on the wires between
runner, service and viewer.

    python -m bench.sizes [--megabytes 20]

`cat` of a coloured build log under `townwatch run`. Both wires go through a program that counts what passes; the viewer
is a Socket.IO client without compression. Bytes on disk are what files have grown by, when everything has come home.

What is in the spool when `townwatch run` ends may come home past the counted wire, by the service's own runner, and a
viewer that is too slow is shown less: the figures of the wires are whole where the service keeps up, as with 10 MB.
"""

import argparse
import contextlib
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import attrs

from bench.durable.town import ROOT, Town
from bench.terminal import TOWNWATCH, Contender, Watcher, coloured_log, measure
from townwatch.runner import identity

QUIET_SECONDS, MOST_SECONDS = 3.0, 300.0


class CountedWire:
    """A port in front of another one. `up`, `down`: bytes to it and from it."""

    def __init__(self, port: int) -> None:
        self.up = self.down = 0
        self._to = port
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._door.getsockname()[1]
        threading.Thread(target=self._welcome, daemon=True).start()

    def _welcome(self) -> None:
        while True:
            near, _ = self._door.accept()
            far = socket.create_connection(("127.0.0.1", self._to))
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._carry, args=(near, far, "up"), daemon=True).start()
            threading.Thread(target=self._carry, args=(far, near, "down"), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, way: str) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 18):
                setattr(self, way, getattr(self, way) + len(data))
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


def grown(state: Path) -> dict[str, int]:
    """Bytes of the files below a state directory, by what they are."""
    found = {"spool": 0, "log": 0, "search": 0}
    for path in state.rglob("*"):
        kind = next((name for name in ("spool", "search") if name in str(path.relative_to(state))), None)
        if path.is_file():
            kind = kind or ("log" if path.name.startswith("journal") else None)
            if kind is not None:
                found[kind] += path.stat().st_size
    return found


def still(value: Callable[[], int]) -> None:
    """Return when a number has not changed for a while."""
    last, since, until = value(), time.monotonic(), time.monotonic() + MOST_SECONDS
    while time.monotonic() < min(since + QUIET_SECONDS, until):
        time.sleep(0.1)
        if (now := value()) != last:
            last, since = now, time.monotonic()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=int, default=20)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        log = coloured_log(place, asked.megabytes)
        town = Town.start(place / "state")
        try:
            port = urlsplit(town.url).port or 0
            runner, people = CountedWire(port), CountedWire(port)
            known = identity.load(town.state)
            identity.save(town.state, attrs.evolve(known, url=f"ws://127.0.0.1:{runner.port}/runner"))
            town.token()
            looker = Watcher(attrs.evolve(town, url=f"http://127.0.0.1:{people.port}"))
            before = grown(town.state)
            there = {"TOWNWATCH_STATE_DIR": str(town.state), "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
            measure(
                Contender("townwatch", lambda words: [*TOWNWATCH, "run", "--", *words], environment=there),
                ["cat", str(log)],
            )
            spool = grown(town.state)["spool"]
            still(lambda: runner.up + people.down)
            after, size = grown(town.state), log.stat().st_size
        finally:
            town.stop()
        looker.stop()
    print(f"of {size / 1e6:.0f} MB, shown to the viewer: {looker.seen / size:.3f}")
    print(f"runner's disk  {(spool - before['spool']) / size:6.3f}")
    print(f"to the service {runner.up / size:6.3f}")
    print(f"service's disk {(after['log'] - before['log']) / size:6.3f}")
    print(f"its search     {(after['search'] - before['search']) / size:6.3f}")
    print(f"to the viewer  {people.down / size:6.3f}")


if __name__ == "__main__":
    main()
