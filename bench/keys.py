"""How long a key takes: typed over Socket.IO, through service, runner and pseudo-terminal, until its echo is seen.

    python -m bench.keys [--keys 200] [--rate 20] [--beside] [--state /dev/shm]

Service and runner are processes of their own; the session is `cat`. `--beside`: another session prints `yes` meanwhile.
"""

import argparse
import base64
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from bench.durable.town import ROOT, Town

LETTERS = "abcdefghijklmnopqrtuvwxyz"
SECONDS = 10.0


class Viewer:
    """A Socket.IO client over a blocking WebSocket, written by hand: it costs next to nothing itself."""

    def __init__(self, url: str, token: str) -> None:
        place = urlsplit(url)
        self._socket = socket.create_connection((place.hostname or "", place.port or 80), SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        key = base64.b64encode(os.urandom(16)).decode()
        self._socket.sendall(
            f"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {place.netloc}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        self._in = b""
        while b"\r\n\r\n" not in self._in:
            self._in += self._socket.recv(4096)
        self._in = self._in.partition(b"\r\n\r\n")[2]
        self._next()
        self.say("40" + json.dumps({"token": token}))
        while not self._next().startswith("40"):
            pass
        self._acks = 0

    def say(self, text: str) -> None:
        data = text.encode()
        head = bytes((0x81, 0x80 | len(data))) if len(data) < 126 else b"\x81\xfe" + len(data).to_bytes(2, "big")
        self._socket.sendall(head + bytes(4) + data)  # masked with zeros

    def emit(self, event: str, payload: dict[str, Any]) -> None:
        self._acks += 1
        self.say(f"42{self._acks}{json.dumps([event, payload])}")

    def event(self) -> tuple[str, dict[str, Any]]:
        """The next event of the service; acknowledgements are passed over."""
        while True:
            text = self._next()
            if text == "2":
                self.say("3")
            elif text.startswith("42"):
                name, *payload = json.loads(text[text.index("[") :])
                return name, payload[0] if payload else {}

    def _next(self) -> str:
        head = self._take(2)
        size = head[1] & 0x7F
        if size >= 126:
            size = int.from_bytes(self._take(2 if size == 126 else 8), "big")
        return self._take(size).decode()

    def _take(self, size: int) -> bytes:
        while len(self._in) < size:
            data = self._socket.recv(1 << 16)
            if not data:
                raise ConnectionError("the service closed the connection")
            self._in += data
        taken, self._in = self._in[:size], self._in[size:]
        return taken


def start(town: Town, place: Path, *command: str) -> tuple[str, str]:
    """(session, agent), once it runs in `place`; what it looks on is not what service and runner write."""
    body = {
        "providerId": "command",
        "command": list(command),
        "repoRef": {"provider": "local", "path": str(place)},
        "task": {"title": "keys", "goal": "keys"},
    }
    until = time.monotonic() + 30
    while True:
        try:
            answer = town.ask("/api/runner/sessions", body)
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)
        else:
            break
    while town.ask(f"/api/runner/sessions/{answer['sessionId']}")["state"] != "RUNNING":
        time.sleep(0.1)
    return answer["sessionId"], answer["agentId"]


def measure(viewer: Viewer, session_id: str, keys: int, rate: float) -> list[float]:
    """Milliseconds from each key to its echo."""
    took: list[float] = []
    for number in range(keys):
        key = LETTERS[number % len(LETTERS)]
        began = time.perf_counter()
        viewer.emit("terminal_input", {"sessionId": session_id, "data": key})
        while True:
            name, payload = viewer.event()
            if name == "terminal_output" and payload.get("sessionId") == session_id and key in payload["data"]:
                break
        took.append(1000 * (time.perf_counter() - began))
        time.sleep(max(0.0, 1 / rate - (time.perf_counter() - began)))
    return sorted(took)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--keys", type=int, default=200)
    parser.add_argument("--rate", type=float, default=20)
    parser.add_argument("--beside", action="store_true")
    parser.add_argument("--state", help="where the state directory is made: /dev/shm leaves the disk out")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.state) as name:
        town = Town.start(Path(name) / "state")
        town.token()
        environment = {**os.environ, "TOWNWATCH_STATE_DIR": str(town.state), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-P", "-m", "townwatch", "runner"]
        with (Path(name) / "runner.log").open("wb") as log:
            runner = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        try:
            place = Path(name) / "work"
            place.mkdir()
            session_id, agent_id = start(town, place, "cat")
            if asked.beside:
                start(town, place, "yes")
            viewer = Viewer(town.url, town.token())
            viewer.emit("join_agent", {"agentId": agent_id, "terminal": True})
            measure(viewer, session_id, 10, asked.rate)
            before = town.cpu(), sum(psutil.Process(runner.pid).cpu_times()[:2])
            took = measure(viewer, session_id, asked.keys, asked.rate)
            service, ours = town.cpu() - before[0], sum(psutil.Process(runner.pid).cpu_times()[:2]) - before[1]
            p50, p90, p99 = (took[int(len(took) * share)] for share in (0.5, 0.9, 0.99))
            print(f"{len(took)} keys: p50 {p50:.1f} ms, p90 {p90:.1f}, p99 {p99:.1f}, most {took[-1]:.1f}")
            print(f"a key: service {1000 * service / len(took):.1f} ms, runner {1000 * ours / len(took):.1f} ms of CPU")
        finally:
            runner.terminate()
            runner.wait(30)
            town.stop()


if __name__ == "__main__":
    main()
