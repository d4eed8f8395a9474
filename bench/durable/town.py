"""The service as it is run by people, `townwatch serve`, in a process of its own: started, asked, weighed, stopped."""

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import attrs
import msgspec
import psutil

from bench.durable.load import Job, Outcome
from townwatch.runner import identity

READY_SECONDS = 120
ROOT = Path(__file__).parents[2]


@attrs.define(eq=False)
class Town:
    """One running service. `ready`: seconds from the start of the process until /readyz says yes."""

    state: Path
    process: subprocess.Popen[bytes]
    url: str
    code: str
    ready: float
    _token: str | None = None

    @classmethod
    def start(cls, state: Path, synchronous: str = "full") -> "Town":
        state.mkdir(parents=True, exist_ok=True)
        environment = {
            **os.environ,
            "TOWNWATCH_STATE_DIR": str(state),
            "TOWNWATCH_JOURNAL_SYNCHRONOUS": synchronous,
            "TOWNWATCH_LOG_LEVEL": "warning",
            "PYTHONPATH": str(ROOT),
        }
        began = time.perf_counter()
        with (state / "serve.log").open("ab") as log:
            start = [sys.executable, "-P", "-m", "townwatch", "serve", "--port=0"]
            process = subprocess.Popen(start, cwd=state, stdout=subprocess.PIPE, stderr=log, env=environment)
        url, code = _greeting(process, state)
        while time.perf_counter() - began < READY_SECONDS:
            try:
                urllib.request.urlopen(f"{url}/readyz", timeout=5).close()
                return cls(state, process, url, code, time.perf_counter() - began)
            except OSError:
                time.sleep(0.005)
        raise TimeoutError(f"the service is not ready; see {state / 'serve.log'}")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(15)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(15)

    def cpu(self) -> float:
        """Seconds of processor time, all threads."""
        times = psutil.Process(self.process.pid).cpu_times()
        return times.user + times.system

    def rss(self) -> int:
        """Bytes."""
        return psutil.Process(self.process.pid).memory_info().rss

    def token(self) -> str:
        """The owner's."""
        if self._token is None:
            self._token = self.ask("/api/auth/exchange", {"code": self.code})["token"]
        assert self._token is not None
        return self._token

    def ask(self, path: str, body: Any = None) -> Any:
        """One request to the REST API."""
        request = urllib.request.Request(self.url + path, None if body is None else json.dumps(body).encode())
        request.add_header("content-type", "application/json")
        if self._token is not None:
            request.add_header("authorization", f"Bearer {self._token}")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return msgspec.json.decode(answer.read())

    def load(self, **options: Any) -> "Measured":
        """Run the load generator against it. `options`: those of `Job` beside the address."""
        before = self.cpu()
        with self._generator(subprocess.PIPE, options) as generator:
            assert generator.stdout is not None
            said = generator.stdout.read()
        if generator.returncode:
            raise RuntimeError(f"the load generator failed; the service's log is {self.state / 'serve.log'}")
        outcome = msgspec.json.decode(said, type=Outcome)
        return Measured(outcome, self.cpu() - before, self.rss())

    def kill_under(self, after: float, **options: Any) -> None:
        """kill -9 after so many seconds of load; the generator then fails, as it should."""
        with self._generator(subprocess.DEVNULL, options) as generator:
            time.sleep(after)
            self.kill()
            generator.wait(30)

    def _generator(self, output: int, options: dict[str, Any]) -> subprocess.Popen[bytes]:
        known = identity.load(self.state)
        job = Job(url=known.url, token=known.token, runner_id=known.runner_id, **options)
        text = msgspec.json.encode(job).decode()
        start = [sys.executable, "-m", "bench.durable.load", text]
        quiet = subprocess.DEVNULL if output == subprocess.DEVNULL else None
        return subprocess.Popen(start, cwd=ROOT, stdout=output, stderr=quiet)


@attrs.frozen
class Measured:
    """cpu: seconds of the service's processor time, the warm-up's too. rss: bytes afterwards."""

    outcome: Outcome
    cpu: float
    rss: int

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.outcome.events / self.outcome.seconds

    @property
    def cpu_per_100k(self) -> float:
        """Seconds of the service's processor time for 100 000 events."""
        return self.cpu / max(1, self.outcome.all_events) * 100_000


def _greeting(process: subprocess.Popen[bytes], state: Path) -> tuple[str, str]:
    """The address and the sign-in code that the service prints."""
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.search(rb"(http://\S+)/\?code=(\S+)", line):
            return found[1].decode(), found[2].decode()
    raise RuntimeError(f"the service did not start; see {state / 'serve.log'}")
