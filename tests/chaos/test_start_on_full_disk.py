"""A service that starts while its disk is full comes up reading and deleting, and says that it is not ready."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import attrs
import httpx
import psutil
import pytest

from tests.support.cast import event
from tests.support.downloads import write_session
from townwatch.contracts.codec import encode
from townwatch.store.log.event_log import EventLog
from townwatch.store.log.records import LogRecord

DISK_BYTES = 96 << 20
USED = {"agentSeconds": 0, "terminalKb": 0, "filesTouched": 0, "commandsRun": 0, "approvalsRequested": 0}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a tmpfs (root)")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def write_ended_session(state: Path, session_id: str) -> None:
    write_session(state, session_id, 4 << 20)
    ended = event("SESSION_ENDED", 1000, finalState="COMPLETED", totalDurationMs=1, totalUsage=USED)
    with EventLog.open(state / "journal.db", "normal", reserve_bytes=0) as log:
        *_, last = log.read(session_id, limit=1_000_000, max_bytes=1 << 30)
        body = encode({**ended, "seq": last.seq + 1, "sessionId": session_id})
        log.append([LogRecord(session_id, last.seq + 1, "demo", "SESSION_ENDED", 5000.0, body)])


@attrs.define
class Process:
    """`townwatch serve` with its log on the same disk."""

    state: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.state.parent / "serve.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "townwatch", "serve", f"--port={self.port}", f"--state-dir={self.state}"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        deadline = time.monotonic() + 150
        while True:
            said = (self.state.parent / "serve.log").read_text()[-2000:]
            assert self.process.poll() is None, f"it ended with {self.process.returncode}: {said}"
            assert time.monotonic() < deadline, "it does not answer"
            with suppress(httpx.HTTPError):
                httpx.get(f"http://127.0.0.1:{self.port}/healthz", timeout=5)
                return
            time.sleep(0.05)

    def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(30)


def owner_token(process: Process) -> str:
    command = [sys.executable, "-P", "-m", "townwatch", "link", f"--state-dir={process.state}"]
    link = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    code = link.partition("code=")[2]
    found = httpx.post(f"http://127.0.0.1:{process.port}/api/auth/exchange", json={"code": code})
    return found.json()["token"]


def fill(disk: Path) -> Path:
    filler = disk / "filler"
    with filler.open("wb") as file, suppress(OSError):
        while True:
            os.write(file.fileno(), bytes(1 << 16))
    with filler.open("ab") as file, suppress(OSError):
        while True:
            os.write(file.fileno(), bytes(256))
    assert psutil.disk_usage(str(disk)).free == 0
    return filler


@pytest.fixture
def process(small_disk: Path) -> Iterator[Process]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    made = Process(small_disk / "state", port)
    yield made
    if made.process is not None and made.process.poll() is None:
        made.end(signal.SIGKILL)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "stopped"])
def test_a_start_on_a_full_disk_reads_and_deletes_and_says_so(
    small_disk: Path, process: Process, ending: signal.Signals
) -> None:
    state = process.state
    for name in ("s1", "s2"):
        write_ended_session(state, name)
    process.start()
    token = owner_token(process)
    process.end(ending)
    filler = fill(small_disk)
    before = {path.name: path.stat().st_mtime_ns for path in state.iterdir() if path.suffix in (".json", ".secret")}

    process.start()
    with httpx.Client(
        base_url=f"http://127.0.0.1:{process.port}", timeout=30, headers={"authorization": f"Bearer {token}"}
    ) as http:
        answer = http.get("/readyz")
        assert answer.status_code == 503
        assert "full" in json.dumps(answer.json())
        listed = http.get("/api/runner/sessions")
        assert listed.status_code == 200, f"{listed.text}; {answer.text}"
        assert {one["sessionId"] for one in listed.json()["items"]} == {"s1", "s2"}
        assert len(http.get("/api/runner/sessions/s1/recording.cast").content) > 4 << 20
        assert http.delete("/api/runner/sessions/s1").status_code == 200
        assert [one["sessionId"] for one in http.get("/api/runner/sessions").json()["items"]] == ["s2"]
        after = {path.name: path.stat().st_mtime_ns for path in state.iterdir() if path.suffix in (".json", ".secret")}
        assert after == before

        filler.unlink()
        assert http.get("/readyz").status_code == 200
        deadline = time.monotonic() + 30
        while not [one for one in http.get("/api/audit").json()["items"] if one["action"] == "session.delete"]:
            assert time.monotonic() < deadline, "the audit log does not know of the deletion"
            time.sleep(0.2)
    assert process.end(signal.SIGTERM) == 0


@pytest.mark.timeout(400)
def test_a_start_without_a_byte_and_without_a_reserve_waits_and_says_so(small_disk: Path, process: Process) -> None:
    """The reserve was deleted by hand, and SQLite cannot even read: the service lives, says why, and goes on itself."""
    write_ended_session(process.state, "s1")
    process.start()
    token = owner_token(process)
    process.end(signal.SIGTERM)
    (process.state / "journal.db.reserve").unlink()
    filler = fill(small_disk)

    process.start()
    with httpx.Client(
        base_url=f"http://127.0.0.1:{process.port}", timeout=30, headers={"authorization": f"Bearer {token}"}
    ) as http:
        answer = http.get("/readyz")
        assert (answer.status_code, "no room left for the event log" in answer.text) == (503, True)
        assert http.get("/api/runner/sessions").status_code == 503
        assert http.get("/healthz").status_code == 200
        filler.unlink()
        deadline = time.monotonic() + 150
        while http.get("/readyz").status_code != 200:
            assert time.monotonic() < deadline, http.get("/readyz").text
            time.sleep(0.2)
        assert [one["sessionId"] for one in http.get("/api/runner/sessions").json()["items"]] == ["s1"]
    assert process.end(signal.SIGTERM) == 0
