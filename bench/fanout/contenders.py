"""Who is measured, and how each is started: a process on a core of its own that says where it listens."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

from bench.fanout.machine import SCRATCH, compiled, pinned

HERE = Path(__file__).parent / "servers"
START_SECONDS = 30.0
STOP_SECONDS = 10.0


@attrs.frozen(kw_only=True)
class Running:
    """A server that listens. dialect: what it takes from the producer, see load.c."""

    pid: int
    port: int
    dialect: str
    path: str = "/runner"
    auth: str = "{}"
    token: str = ""
    runner_id: str = ""


@attrs.frozen
class Contender:
    """A way to serve. `prepare` installs or compiles what it needs, once."""

    name: str
    title: str
    prepare: Callable[[], None]
    start: Callable[[int], "Iterator[Running]"]

    @contextmanager
    def running(self, core: int) -> Iterator[Running]:
        """Started anew, pinned to the core, and gone afterwards."""
        yield from self.start(core)


@contextmanager
def _process(command: list[str], core: int, **options: object) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=pinned(core),
        **options,  # type: ignore[arg-type]
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdout is not None
        process.stdout.close()


def _line(process: "subprocess.Popen[str]", pattern: str) -> re.Match[str]:
    """The first line of its output that matches."""
    assert process.stdout is not None
    limit = time.monotonic() + START_SECONDS
    for line in process.stdout:
        if found := re.search(pattern, line):
            return found
        if time.monotonic() > limit:
            break
    raise SystemExit(f"bench.fanout: {process.args} did not say where it listens")


# --- our service ------------------------------------------------------------------------------------------------------

CONFIG = """
[limits]
connections = 20000
connections_per_user = 20000
[log]
level = "warning"
[server]
port = 0
"""


def exchanged(url: str, code: str) -> str:
    """What a Socket.IO client says to be the person of a one-time code, as JSON."""
    body, kind = json.dumps({"code": code}).encode(), {"Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(f"{url}/api/auth/exchange", body, kind)) as answer:
        return json.dumps({"token": json.load(answer)["token"]}, separators=(",", ":"))


def _townwatch(core: int) -> Iterator[Running]:
    """`townwatch serve` on a fresh state directory, as anybody would start it; only the limits are wider."""
    with tempfile.TemporaryDirectory(dir=SCRATCH, prefix="state-") as state:
        config = Path(state, "townwatch.toml")
        config.write_text(CONFIG)
        command = [str(Path(sys.executable).with_name("townwatch")), "serve", "-c", str(config), "--state-dir", state]
        environ = {name: value for name, value in os.environ.items() if not name.startswith("TOWNWATCH_")}
        with _process(command, core, env=environ) as process:
            url, code = _line(process, r"(http://\S+)/\?code=(\S+)").groups()
            auth = exchanged(url, code)
            runner = json.loads(Path(state, "runner.json").read_text())
            yield Running(
                pid=process.pid,
                port=int(url.rpartition(":")[2]),
                dialect="runner",
                auth=auth,
                token=runner["token"],
                runner_id=runner["runnerId"],
            )


# --- the peers --------------------------------------------------------------------------------------------------------


def _copied(name: str) -> Path:
    """A server's files in the scratch folder, where its packages are installed."""
    folder = (SCRATCH / name).resolve()
    shutil.copytree(HERE / name, folder, dirs_exist_ok=True)
    return folder


def _done(folder: Path, listed: str) -> Callable[[], None] | None:
    """None where exactly these packages are installed; else what to call when they are."""
    wanted, note = Path(folder, listed).read_text(), Path(folder, "installed")
    if note.exists() and note.read_text() == wanted:
        return None
    return lambda: void(note.write_text(wanted))


def _npm_install() -> None:
    folder = _copied("node")
    if done := _done(folder, "package-lock.json"):
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--silent"], cwd=folder, check=True)
        done()


def _pip_install() -> None:
    folder = _copied("uvicorn")
    done = _done(folder, "requirements.txt")
    if done is None:
        return
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    pip = [str(folder / "venv/bin/pip"), "-qq", "--disable-pip-version-check", "install", "-r", "requirements.txt"]
    subprocess.run(pip, cwd=folder, check=True)
    done()


def _listening(command: list[str], core: int, dialect: str) -> Iterator[Running]:
    with _process(command, core) as process:
        yield Running(pid=process.pid, port=int(_line(process, r"^port (\d+)")[1]), dialect=dialect)


def _node(core: int) -> Iterator[Running]:
    found = shutil.which("node") or str(Path(sys.executable).with_name("node"))
    program = subprocess.check_output(
        [found, "-p", "process.execPath"], text=True
    ).strip()  # what is found may only start it
    yield from _listening([program, str(SCRATCH / "node/server.mjs"), "0"], core, "event")


def _uvicorn(core: int) -> Iterator[Running]:
    folder = SCRATCH / "uvicorn"
    yield from _listening([str(folder / "venv/bin/python"), str(folder / "server.py"), "0"], core, "event")


def _baseline(core: int) -> Iterator[Running]:
    yield from _listening([str(SCRATCH / "baseline")], core, "packet")


CONTENDERS = {
    contender.name: contender
    for contender in (
        Contender("townwatch", "Townwatch, whole", lambda: None, _townwatch),
        Contender("node", "official Node server", _npm_install, _node),
        Contender("python-socketio", "python-socketio, uvicorn, uvloop", _pip_install, _uvicorn),
        Contender("c", "C, same bytes, no service", lambda: void(compiled("baseline.c")), _baseline),
    )
}


def void(_value: object) -> None:
    """For a callback whose result nobody wants."""
