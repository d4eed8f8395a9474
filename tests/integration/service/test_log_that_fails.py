"""A log that cannot be written, and a process that was told to end: `townwatch serve` as a process of its own."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import httpx
import pytest

STARTS = 60


class Served:
    """A service whose standard output and error are what the test says."""

    def __init__(self, state: Path) -> None:
        self.state = state
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, stdout: IO[Any] | int, stderr: IO[Any] | int, code: str = "") -> None:
        """`code` runs in the process before the service."""
        program = f"{code}\nfrom townwatch.cli.entry import main\nmain()"
        arguments = ["serve", f"--port={self.port}", f"--state-dir={self.state}"]
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, *arguments], stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr
        )

    def wait_until_up(self) -> None:
        deadline = time.monotonic() + STARTS
        while True:
            assert self.process is not None
            assert self.process.poll() is None, f"it ended with {self.process.returncode}"
            assert time.monotonic() < deadline, "it does not answer"
            with suppress(httpx.HTTPError):
                httpx.get(f"{self.url}/healthz", timeout=5)
                return
            time.sleep(0.05)

    def make_it_log(self, times: int = 20) -> None:
        """Each of these connections makes it write a line, and must be answered all the same."""
        for _ in range(times):
            answer = httpx.get(f"{self.url}/api/me", headers={"authorization": "Bearer tw_wrong"}, timeout=20)
            assert answer.status_code == 401
            with socket.create_connection(("127.0.0.1", self.port), 20) as runner:
                runner.sendall(
                    b"GET /runner HTTP/1.1\r\nhost: 127.0.0.1\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
                    b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
                )
                runner.settimeout(20)
                assert runner.recv(12)[:5] == b"HTTP/"

    def lost(self) -> float:
        text = httpx.get(f"{self.url}/metrics", timeout=20).text
        (line,) = [line for line in text.splitlines() if line.startswith("townwatch_log_lines_lost_total ")]
        return float(line.split()[1])

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    made = Served(tmp_path / "state")
    yield made
    if made.process is not None:
        made.process.kill()
        made.process.wait()


@pytest.mark.timeout(120)
def test_a_log_on_a_full_device_costs_lines_only(served: Served) -> None:
    with Path("/dev/full").open("wb") as full:
        served.start(full, full)
        served.wait_until_up()
        served.make_it_log()
        assert served.lost() > 0
        assert served.stop() == 0


@pytest.mark.timeout(120)
def test_a_reader_of_the_log_that_goes_away_costs_lines_only(served: Served) -> None:
    served.start(subprocess.PIPE, subprocess.STDOUT)
    assert served.process is not None
    assert served.process.stdout is not None
    served.process.stdout.readline()
    served.process.stdout.close()
    served.wait_until_up()
    served.make_it_log()
    assert served.lost() > 0
    assert served.stop() == 0


@pytest.mark.timeout(120)
def test_a_reader_of_the_log_that_stops_holds_nothing_up_and_hears_of_the_loss_when_it_goes_on(served: Served) -> None:
    small = "import townwatch.config.log_sink as s\ns.LogSink.__init__.__defaults__ = (s.LOST, 2000)"
    reader, writer = os.pipe()
    with suppress(OSError):
        os.set_blocking(writer, False)
        while True:
            os.write(writer, b"." * 4096)
    os.set_blocking(writer, True)
    served.start(writer, writer, code=small)
    os.close(writer)
    served.wait_until_up()
    served.make_it_log()
    while not served.lost():
        served.make_it_log(5)

    found = bytearray()
    gone_on = threading.Thread(
        target=lambda: [found.extend(data) for data in iter(lambda: os.read(reader, 65536), b"")]
    )
    gone_on.start()
    deadline = time.monotonic() + 30
    while b"log_lines_lost" not in found:
        assert time.monotonic() < deadline, bytes(found[-500:])
        served.make_it_log(1)
    assert served.stop() == 0
    gone_on.join(10)
    os.close(reader)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("closed", [(2,), (1, 2), (0, 1, 2)])
def test_closed_standard_streams_are_nobodys_file(served: Served, closed: tuple[int, ...]) -> None:
    """The database must not get the number of standard error: what is printed would be written into it."""
    wrapper = f"for one in {closed!r}: os.close(one)\n"
    program = (
        f"import os, sys\n{wrapper}os.execv(sys.executable, [sys.executable, '-P', '-m', 'townwatch', *sys.argv[1:]])"
    )
    arguments = ["serve", f"--port={served.port}", f"--state-dir={served.state}"]
    served.process = subprocess.Popen([sys.executable, "-c", program, *arguments])
    served.wait_until_up()
    served.make_it_log(3)
    links = {number: os.readlink(f"/proc/{served.process.pid}/fd/{number}") for number in (0, 1, 2)}
    assert [links[number] for number in closed] == ["/dev/null"] * len(closed)
    assert served.stop() == 0


STUCK = {
    "a loop that is stuck in a call": "import time\nblocked = lambda *a: time.sleep(600)",
    "a loop that never ends": "def blocked(*a):\n    while True: pass",
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("how", STUCK)
def test_sigterm_ends_a_process_whose_loop_is_stuck(served: Served, tmp_path: Path, how: str) -> None:
    code = f"""
{STUCK[how]}
import townwatch.transports.http.routes.system as system
from townwatch.transports.http import metrics_route
metrics_route.render = blocked
"""
    with (tmp_path / "log").open("wb") as log:
        served.start(log, log, code)
        served.wait_until_up()
        with suppress(httpx.HTTPError):
            httpx.get(f"{served.url}/metrics", timeout=2)
        assert served.stop() == 1
    assert b"stop_overdue" in (tmp_path / "log").read_bytes()


@pytest.mark.timeout(120)
def test_sigterm_ends_a_process_with_a_thread_in_a_lock_and_a_log_that_blocks(served: Served) -> None:
    """The journal's writer waits for a disk that does not answer; nobody reads the log."""
    code = """
import time
from townwatch.store.log.event_log import EventLog
EventLog.close = lambda self: time.sleep(600)
"""
    reader, writer = os.pipe()
    with suppress(OSError):
        os.set_blocking(writer, False)
        while True:
            os.write(writer, b"." * 4096)
    os.set_blocking(writer, True)
    served.start(writer, writer, code)
    os.close(writer)
    served.wait_until_up()
    assert served.stop() == 1
    os.close(reader)


@pytest.mark.timeout(120)
def test_a_listener_that_dies_for_good_ends_the_process(served: Served, tmp_path: Path) -> None:
    """A process without its listener is of no use to anybody: whoever keeps it must see that it ended."""
    code = """
import trio
from townwatch.transports.edge.server import Edge
async def dies(self, listener, nursery):
    await trio.sleep(0.2)
    raise RuntimeError("the listener is broken")
Edge._accept = dies
"""
    with (tmp_path / "log").open("wb") as log:
        served.start(log, log, code)
        assert served.process is not None
        assert served.process.wait(60) == 1
