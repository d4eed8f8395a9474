"""Memory of the service while many long recordings are downloaded at once, and how long others wait meanwhile.

    python -m bench.downloads --readers 30 --megabytes 56

All readers ask at the same moment and read nothing for some seconds; then all read to the end as fast as they can. Who
is refused (429, 503) asks again. Prints one JSON object.
"""

import argparse
import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import attrs
import httpx
import psutil

from tests.support.downloads import ask, connect, read, write_session


@attrs.define
class Measured:
    """Megabytes of resident memory, seconds, and answers by status."""

    before_mb: float = 0.0
    worst_mb: float = 0.0
    healthz_worst: float = 0.0
    whole: int = 0
    answers: Counter[int] = attrs.field(factory=Counter[int])
    seconds: float = 0.0

    @property
    def growth_mb(self) -> float:
        return self.worst_mb - self.before_mb


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def measure(folder: Path, readers: int, megabytes: int, unread_seconds: float) -> Measured:
    """Run a service below `folder` and download from it."""
    state, port = folder / "state", free_port()
    write_session(state, "long", megabytes << 20)
    command = [sys.executable, "-P", "-m", "townwatch", "serve", f"--port={port}", f"--state-dir={state}"]
    with (folder / "serve.log").open("wb") as log:
        service = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        _until_up(url)
        link = [sys.executable, "-P", "-m", "townwatch", "link", f"--state-dir={state}"]
        code = subprocess.run(link, capture_output=True, text=True, check=True).stdout.strip().partition("code=")[2]
        token = httpx.post(f"{url}/api/auth/exchange", json={"code": code}, timeout=30).json()["token"]
        return _download(url, token, service.pid, readers, unread_seconds)
    finally:
        service.terminate()
        service.wait(30)


def _until_up(url: str) -> None:
    for _ in range(600):
        with suppress(httpx.HTTPError):
            httpx.get(f"{url}/healthz", timeout=5)
            return
        time.sleep(0.1)
    raise TimeoutError("the service does not answer")


def _download(url: str, token: str, pid: int, readers: int, unread_seconds: float) -> Measured:
    found, over, go_on = Measured(), threading.Event(), threading.Event()
    process = psutil.Process(pid)
    found.before_mb = found.worst_mb = process.memory_info().rss / 2**20

    def watch_memory() -> None:
        while not over.wait(0.02):
            found.worst_mb = max(found.worst_mb, process.memory_info().rss / 2**20)

    def watch_others() -> None:
        with httpx.Client(base_url=url, timeout=60) as http:
            while not over.wait(0.05):
                began = time.monotonic()
                http.get("/healthz")
                found.healthz_worst = max(found.healthz_worst, time.monotonic() - began)

    def one() -> None:
        while True:
            with connect(url) as sock:
                ask(sock, "/api/runner/sessions/long/recording.cast", token)
                go_on.wait()
                got = read(sock)
            found.answers[got.status if got.head else 0] += 1
            if got.head and got.status == 200 and got.whole:
                found.whole += 1
                return
            time.sleep(0.5)

    watchers = [threading.Thread(target=watch) for watch in (watch_memory, watch_others)]
    threads = [threading.Thread(target=one) for _ in range(readers)]
    began = time.monotonic()
    for thread in (*watchers, *threads):
        thread.start()
    time.sleep(unread_seconds)
    go_on.set()
    for thread in threads:
        thread.join()
    found.seconds = time.monotonic() - began
    over.set()
    for thread in watchers:
        thread.join()
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--readers", type=int, default=30)
    parser.add_argument("--megabytes", type=int, default=56)
    parser.add_argument("--unread-seconds", type=float, default=8.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), given.readers, given.megabytes, given.unread_seconds)
    print(json.dumps({**attrs.asdict(found), "growth_mb": round(found.growth_mb, 1)}))


if __name__ == "__main__":
    main()
