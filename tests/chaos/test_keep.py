"""`townwatch serve --keep`: whoever kills the service meets it again, at the same port; who tells the wrapper to stop,
stops both.
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import attrs
import psutil
import pytest

from townwatch.cli import watchdog as keep
from townwatch.config.process import free_port

pytestmark = pytest.mark.timeout(60)
SECONDS = 40


@attrs.define
class Wrapper:
    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def service(self) -> psutil.Process:
        """The process that the wrapper keeps, when it answers."""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5) as answer:
                    assert json.load(answer)["ready"]
                (child,) = psutil.Process(self.process.pid).children()
                return child
            except (OSError, urllib.error.HTTPError, ValueError):
                time.sleep(0.05)
        raise AssertionError(self.log.read_text())


@pytest.fixture
def wrapper(tmp_path: Path) -> Iterator[Wrapper]:
    port, log = free_port("127.0.0.1"), tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "townwatch", "serve", "--keep", f"--port={port}"],
            stdout=output,
            stderr=output,
            env={**os.environ, "TOWNWATCH_STATE_DIR": str(tmp_path / "state")},
            start_new_session=True,
        )
    try:
        yield Wrapper(process, port, log)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_who_was_killed_is_there_again_at_the_same_port(wrapper: Wrapper) -> None:
    first = wrapper.service()
    first.kill()
    first.wait(SECONDS)
    second = wrapper.service()
    assert second.pid != first.pid
    assert "died (SIGKILL)" in wrapper.log.read_text()


def test_told_to_stop_it_stops_the_service_in_order(wrapper: Wrapper) -> None:
    service = wrapper.service()
    wrapper.process.terminate()
    assert wrapper.process.wait(SECONDS) == 0
    assert not service.is_running()
    assert "stopped" in wrapper.log.read_text()


def test_a_service_that_cannot_start_is_not_started_again(wrapper: Wrapper, tmp_path: Path) -> None:
    wrapper.service()
    again = subprocess.run(
        [sys.executable, "-P", "-m", "townwatch", "serve", "--keep", f"--port={wrapper.port}"],
        capture_output=True,
        env={**os.environ, "TOWNWATCH_STATE_DIR": str(tmp_path / "other")},
        timeout=SECONDS,
        check=False,
    )
    assert again.returncode == keep.WRONG_USE
    assert again.stderr.decode().count("is in use") == 1
    assert "died" not in again.stderr.decode()


@pytest.mark.parametrize("forks", [True, False])
def test_the_status_of_the_last_life_is_the_wrapper_s(forks: bool, tmp_path: Path) -> None:
    """Also where the system does not like a fork."""
    script = tmp_path / "wrong.toml"
    script.write_text("[server]\nport = 'many'\n")
    code = f"from townwatch.cli import entry, watchdog; watchdog.FORKS = {forks}; entry.main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "serve", "--keep", "--port=0", f"--config={script}"],
        capture_output=True,
        env={**os.environ, "TOWNWATCH_STATE_DIR": str(tmp_path / "state")},
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == keep.WRONG_USE
    assert b"port" in done.stderr
