"""A Redis server of our own for the tests: on a Unix socket's and a port's address, in a temporary directory."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator
from pathlib import Path

from townwatch.config.process import free_port

START_SECONDS = 20


def binary() -> str | None:
    """Where redis-server is; None where there is none."""
    return shutil.which("redis-server") or shutil.which("valkey-server")


class RedisServer:
    """A server that a test may kill, start, freeze and thaw. It keeps nothing on disk."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = free_port("127.0.0.1")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        program = binary()
        assert program is not None
        options = ("--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
        with (self.home / "log").open("ab") as log:
            self._process = subprocess.Popen([program, *options], cwd=self.home, stdout=log, stderr=log)
        until = time.monotonic() + START_SECONDS
        while not self._answers():
            assert time.monotonic() < until, (self.home / "log").read_text()
            time.sleep(0.02)

    def kill(self) -> None:
        """As `kill -9`: connections are reset, and everything in it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """It stops where it is; connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as line:
                line.sendall(b"PING\r\n")
                return line.recv(7) == b"+PONG\r\n"
        except OSError:
            return False


@contextlib.contextmanager
def running_redis() -> Generator[RedisServer]:
    """A server while the block lasts."""
    home = Path(tempfile.mkdtemp(prefix="tw-redis-"))
    server = RedisServer(home)
    try:
        server.start()
        yield server
    finally:
        if server._process is not None:
            server.thaw()
        server.kill()
        shutil.rmtree(home, ignore_errors=True)
