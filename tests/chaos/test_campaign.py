"""`townwatch chaos` as people run it: real processes, kill -9 among the faults; and a service that loses something."""

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import attrs
import psutil
import pytest

from townwatch.config.process import free_port

pytestmark = pytest.mark.timeout(240)
FAULTS = ("kill-process", "kill-actor", "kill-journal", "cut-runner", "cut-client")
SECONDS = 150


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "TOWNWATCH_STATE_DIR": str(folder / "state")}


def campaign(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    options = ["--seed=5", "--no-goals", f"--report={folder / 'report'}", *arguments]
    with (folder / "campaign.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "townwatch", "chaos", *options],
            stdout=log,
            stderr=log,
            env=environment(folder),
            start_new_session=True,
        )


def said(folder: Path) -> str:
    return (folder / "campaign.log").read_text()


def report(folder: Path) -> Any:
    return json.loads((folder / "report" / "report.json").read_text())


def left_in(database: Path) -> tuple[set[str], int, int]:
    """(villages, runners beside this machine's own, sessions) that are there."""
    with closing(sqlite3.connect(database)) as connection:
        villages = {one for (one,) in connection.execute("SELECT village_id FROM villages")}
        (runners,) = connection.execute("SELECT count(*) FROM runners").fetchone()
        (sessions,) = connection.execute("SELECT count(*) FROM sessions").fetchone()
    return villages, runners - 1, sessions


def test_nothing_is_lost_whatever_is_pulled(tmp_path: Path) -> None:
    faults = [f"--fault={name}" for name in FAULTS]
    process = campaign(tmp_path, "--fresh", "--duration=12", "--clients=10", *faults)
    assert process.wait(SECONDS) == 0, said(tmp_path)
    found = report(tmp_path)
    assert found["held"]
    assert set(FAULTS) <= {strike["fault"] for strike in found["strikes"]}
    assert all(strike["flows"] is not None for strike in found["strikes"])
    assert (found["lost"], found["twice"], found["findings"]) == (0, 0, [])
    assert found["lines"] > 100
    assert "Everything held" in said(tmp_path)
    assert "seed 5" in said(tmp_path)
    page = (tmp_path / "report" / "report.html").read_text()
    assert page.count("<circle") > len(found["strikes"])
    assert not re.search(r"(src|href|url)\s*[=(]", page), "it needs no network"
    assert left_in(tmp_path / "report" / "service" / "state" / "townwatch.db") == ({"demo"}, 0, 0)
    assert not (tmp_path / "report" / "work").exists()


# --- against a service that runs already ------------------------------------------------------------------------------


@attrs.define
class Running:
    folder: Path
    process: subprocess.Popen[bytes]
    port: int

    @property
    def token(self) -> str:
        code = (
            "import sys, trio; from townwatch.app.identity import local_access; from townwatch.config import reading;"
            "print(trio.run(local_access, reading.load(None))[1])"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment(self.folder), capture_output=True, check=True
        )
        return done.stdout.decode().strip()


def serve(folder: Path, *arguments: str) -> Iterator[Running]:
    port = free_port("127.0.0.1")
    with (folder / "service.log").open("wb") as log:
        command = [sys.executable, "-P", "-m", "townwatch", "serve", f"--port={port}", *arguments]
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment(folder))
    try:
        deadline = time.monotonic() + 40
        while "code=" not in (folder / "service.log").read_text():
            assert process.poll() is None and time.monotonic() < deadline, (folder / "service.log").read_text()
            time.sleep(0.05)
        yield Running(folder, process, port)
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Running]:
    yield from serve(tmp_path, "--chaos")


@pytest.fixture
def plain_service(tmp_path: Path) -> Iterator[Running]:
    yield from serve(tmp_path)


def test_a_service_without_chaos_is_left_alone(plain_service: Running) -> None:
    folder = plain_service.folder
    assert campaign(folder, "--duration=5").wait(SECONDS) == 2
    assert said(folder).strip().endswith("was not started with --chaos")


def test_nobody_kills_what_nobody_starts_again(service: Running) -> None:
    assert campaign(service.folder, "--fault=kill-process").wait(SECONDS) == 2
    assert "--keep" in said(service.folder)


def test_told_to_stop_it_removes_what_it_made(service: Running) -> None:
    """Also what a runner could not tell any more, because its connection was dead."""
    faults = ("--fault=half-open-runner", "--fault=flood")
    process = campaign(service.folder, "--duration=100", "--clients=3", *faults)
    database = service.folder / "state" / "townwatch.db"
    deadline = time.monotonic() + 60
    while said(service.folder).count("flood") < 3:  # by then a connection is half-open, too
        assert process.poll() is None and time.monotonic() < deadline, said(service.folder)
        time.sleep(0.1)
    assert len(left_in(database)[0]) == 3
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    process.send_signal(signal.SIGINT)
    assert process.wait(SECONDS) == 130, said(service.folder)
    assert "Broken off" in said(service.folder)
    assert left_in(database) == ({"demo"}, 0, 0)
    assert not [child for child in children if child.is_running()]


class Thief:
    """Between the campaign and its service; of one client's connection, it takes away the n-th line of work, or the
    first behind it that is output.
    """

    def __init__(self, port: int, nth: int) -> None:
        self._upstream, self._nth = port, nth
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.stolen: bytes | None = None
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._upstream))
            threading.Thread(target=self._pass, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._pass, args=(server, client, True), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, steals: bool) -> None:
        waiting, seen, frames = bytearray(), 0, False
        try:
            while data := source.recv(1 << 16):
                if not steals:
                    target.sendall(data)
                    continue
                waiting += data
                if not frames and b"\r\n\r\n" in waiting and b" 101 " in waiting[:20]:
                    end = waiting.index(b"\r\n\r\n") + 4
                    target.sendall(waiting[:end])
                    del waiting[:end]
                    frames = True
                if not frames:
                    target.sendall(waiting)
                    waiting.clear()
                while frames and (frame := _take_frame(waiting)):
                    seen += b'["work_stream_event"' in frame
                    if seen >= self._nth and self.stolen is None and b'"output"' in frame:
                        self.stolen = frame
                    else:
                        target.sendall(frame)
        except OSError:
            pass
        finally:
            source.close()
            target.close()


def _take_frame(data: bytearray) -> bytes | None:
    """The first WebSocket frame of a server, when it is there in full."""
    if len(data) < 2:
        return None
    size, head = data[1] & 0x7F, 2
    if size >= 126:
        head = 4 if size == 126 else 10
        if len(data) < head:
            return None
        size = int.from_bytes(data[2:head], "big")
    if len(data) < head + size:
        return None
    frame = bytes(data[: head + size])
    del data[: head + size]
    return frame


def test_it_fails_where_one_event_is_lost_on_its_way(service: Running) -> None:
    thief = Thief(service.port, nth=40)
    try:
        where = [f"http://127.0.0.1:{thief.port}", f"--token={service.token}"]
        process = campaign(service.folder, *where, "--duration=4", "--clients=2", "--fault=kill-actor")
        assert process.wait(SECONDS) == 1, said(service.folder)
    finally:
        thief.close()
    assert thief.stolen is not None
    (seq,) = re.findall(rb'"seq":(\d+)', thief.stolen)
    found = report(service.folder)
    assert not found["held"]
    assert found["lost"] == 1
    assert re.search(rf"viewer \d: (work|terminal) of [\w-]+ lacks \[{seq.decode()}\]", "\n".join(found["findings"]))
