"""The processes: one service, three runners, each of them `townwatch` as people start it."""

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import attrs
import httpx
import trio

from tests.chaos.nemesis.haproxy import HaProxyFront
from tests.chaos.nemesis.proxy import Proxy
from townwatch.contracts.codec import decode_json

HOST = "127.0.0.1"
START_SECONDS = 90
STOP_SECONDS = 30


@attrs.define(eq=False)
class Member:
    """A process of ours that is killed and started again, always with the same arguments."""

    name: str
    arguments: list[str]
    folder: Path
    environment: dict[str, str] = attrs.field(factory=dict)
    process: trio.Process | None = None
    kills: int = 0
    stops: int = 0
    turn: trio.Lock = attrs.field(factory=trio.Lock)

    @property
    def state(self) -> Path:
        return self.folder / "state"

    async def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = await trio.lowlevel.open_process(
                [sys.executable, "-P", "-m", "townwatch", *self.arguments],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment, "TOWNWATCH_STATE_DIR": str(self.state)},
            )

    async def kill(self) -> None:
        assert self.process is not None
        assert self.process.poll() is None, f"{self.name} ended by itself: {self.last_words()}"
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()
        self.kills += 1

    async def stop(self) -> int:
        """SIGTERM, as soon as it can hear one; its exit status."""
        assert self.process is not None
        with trio.move_on_after(START_SECONDS):
            while self.process.poll() is None and not hears_sigterm(self.process.pid):
                await trio.sleep(0.02)  # the interpreter itself is still starting
        assert self.process.poll() is None, f"{self.name} ended by itself: {self.last_words()}"
        self.process.send_signal(signal.SIGTERM)
        with trio.move_on_after(STOP_SECONDS):
            await self.process.wait()
        assert self.process.returncode is not None, f"{self.name} does not end on SIGTERM: {self.last_words()}"
        self.stops += 1
        return self.process.returncode

    def last_words(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-3000:]

    async def aclose(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()


def hears_sigterm(pid: int) -> bool:
    """Whether a process handles SIGTERM itself by now (proc(5), SigCgt)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("SigCgt:"):
            return bool(int(line.split()[1], 16) >> (signal.SIGTERM - 1) & 1)
    return False


@attrs.define(eq=False)
class Town:
    """`token`: the owner's. `for_runners`, `for_clients`: the networks that can be cut."""

    folder: Path
    port: int
    service: Member
    runners: dict[str, Member]
    for_runners: Proxy
    for_clients: Proxy | HaProxyFront
    token: str = ""
    restarts: list[float] = attrs.field(factory=list)

    async def start_service(self) -> None:
        """Returns when it says that it is ready; how long that took is kept."""
        began = trio.current_time()
        await self.service.start()
        with trio.move_on_after(START_SECONDS):
            while not await self._ready():
                assert self.service.process is not None
                assert self.service.process.poll() is None, self.service.last_words()
                await trio.sleep(0.05)
            self.restarts.append(trio.current_time() - began)
            return
        raise AssertionError(f"the service is not ready after {START_SECONDS} s: {self.service.last_words()}")

    async def _ready(self) -> bool:
        try:
            async with httpx.AsyncClient() as http:
                return (await http.get(f"http://{HOST}:{self.port}/readyz", timeout=5)).status_code == 200
        except httpx.HTTPError:
            return False

    def http(self, proxy: bool = True) -> httpx.AsyncClient:
        port = self.for_clients.port if proxy else self.port
        headers = {"authorization": f"Bearer {self.token}"} if self.token else {}
        return httpx.AsyncClient(base_url=f"http://{HOST}:{port}", headers=headers, timeout=20)

    async def townwatch(self, folder: Path, *arguments: str) -> str:
        """What a command printed; it must succeed."""
        done = await trio.run_process(
            [sys.executable, "-P", "-m", "townwatch", *arguments],
            cwd=folder,
            env={**os.environ, "TOWNWATCH_STATE_DIR": str(folder / "state")},
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().strip()

    async def sign_in(self) -> None:
        link = await self.townwatch(self.service.folder, "link")
        async with self.http(proxy=False) as http:
            answer = await http.post("/api/auth/exchange", json={"code": link.partition("code=")[2]})
        self.token = answer.json()["token"]

    async def enrol(self, name: str) -> None:
        """A runner of its own, with a state directory of its own, that knows the service behind the proxy."""
        folder = self.folder / name
        (folder / "work").mkdir(parents=True)
        code = await self.townwatch(self.service.folder, "runner", "code", "--village", "demo", "--name", name)
        url = f"http://{HOST}:{self.for_runners.port}"
        await self.townwatch(folder, "runner", "join", url, "--code", code, "--name", name)
        self.runners[name] = Member(name, ["runner"], folder)


def spooled(runner: Member) -> dict[str, dict[int, Any]]:
    """session → seq → event: what a runner that is dead had on its disk and nobody had acknowledged."""
    path = runner.state / "runner" / "main" / "spool.db"
    if not path.exists():
        return {}
    found: dict[str, dict[int, Any]] = {}
    with closing(sqlite3.connect(path)) as spool:
        for session, seq, body in spool.execute("SELECT session, seq, body FROM event"):
            found.setdefault(session, {})[seq] = decode_json(bytes(body))
    return found


def runner_id(runner: Member) -> str:
    return str(decode_json((runner.state / "runner.json").read_bytes())["runnerId"])
