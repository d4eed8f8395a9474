"""A real service with the demo's runner, and a real Chromium looking at its page.

Nothing is mocked. Every page complains at the end of its test about anything the browser's console called an error or a
warning, which includes every violation of the Content-Security-Policy.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest

LINK = re.compile(r"(http://\S+/)\?code=(\S+)")
START_SECONDS = 150.0
STOP_SECONDS = 15.0
PATIENCE_MS = 20_000
"""How long what a test expects may take: three tests run at a time, and none waits longer than its page does."""
OF_A_SLOW_MACHINE = "task queue exceeded allotted deadline"
"""What the terminal of the page says of its own drawing."""
CHROMIUM_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESKTOP = {"width": 1440, "height": 900}
PHONE = {"width": 360, "height": 740}


@attrs.define(eq=False)
class Town:
    """A service of its own in `folder`, started as people start it."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    link: str = ""
    options: tuple[str, ...] = ()
    """Of `townwatch serve`."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        """Returns when it has printed its sign-in link. Raises AssertionError with what it printed if it does not."""
        output = self.folder / "serve.log"
        command = ["serve", "--demo", "--seed=7", f"--port={self.port}", f"--state-dir={self.folder / 'state'}"]
        command += self.options
        with output.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "townwatch", *command],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while (found := LINK.search(output.read_text(errors="replace"))) is None:
            assert self.process.poll() is None, f"the service ended:\n{output.read_text(errors='replace')[-4000:]}"
            assert time.monotonic() < deadline, f"no link:\n{output.read_text(errors='replace')[-4000:]}"
            time.sleep(0.05)
        self.link = found[0]

    def new_link(self) -> str:
        """As `townwatch link` prints it."""
        command = [sys.executable, "-P", "-m", "townwatch", "link", f"--state-dir={self.folder / 'state'}"]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=30, check=True)
        return done.stdout.strip()

    def kill(self) -> None:
        """kill -9 of the service alone; its runner lives on."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(STOP_SECONDS)

    def stop(self) -> None:
        """In order, and then whatever is left of it: the demo's runner and the programs in its terminals."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(STOP_SECONDS)
        end_processes_of(self.folder)


def end_processes_of(folder: Path) -> None:
    """Kills the processes of this machine that name `folder` in their arguments or work in it; ours by its name."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            belongs = os.fsencode(folder) in (entry / "cmdline").read_bytes()
            belongs = belongs or (entry / "cwd").resolve().is_relative_to(folder)
            if belongs and int(entry.name) != os.getpid():
                os.kill(int(entry.name), signal.SIGKILL)
        except (OSError, ProcessLookupError):
            continue


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """A running service with the demo's agents at work."""
    running = Town(tmp_path_factory.mktemp("town"), free_port())
    try:
        running.start()
        yield running
    finally:
        running.stop()


def chromium_path() -> str | None:
    wanted = os.environ.get("TOWNWATCH_CHROMIUM")
    return wanted or next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="package")
def chromium() -> Iterator[Any]:
    """One browser for all files of this folder. Skips, saying what is missing, where there is none."""
    path = chromium_path()
    if path is None:
        pytest.skip("no Chromium: apt-get install chromium, or name one in TOWNWATCH_CHROMIUM")
    sync_api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    sync_api.expect.set_options(timeout=PATIENCE_MS)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_ARGS)
        yield browser
        browser.close()


@attrs.define(eq=False, slots=False)  # Playwright keeps a note on the object whose method it calls
class Watcher:
    """Opens pages and remembers what they complained about."""

    browser: Any
    expected: list[str] = attrs.field(factory=list)
    """Parts of complaints that a test provokes."""
    complaints: list[str] = attrs.field(factory=list)
    contexts: list[Any] = attrs.field(factory=list)

    def open(self, size: dict[str, int], state: Any = None, **options: Any) -> Any:
        """A page of a person of its own; `state`: what signing in left in another one's storage."""
        context = self.browser.new_context(viewport=size, storage_state=state, **options)
        context.set_default_timeout(PATIENCE_MS)
        self.contexts.append(context)
        return self.listen(context.new_page())

    def listen(self, page: Any) -> Any:
        """Remember what this page complains about."""
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(f"{error}"))
        return page

    def _heard(self, message: Any) -> None:
        expected = (*self.expected, OF_A_SLOW_MACHINE)
        if message.type in ("error", "warning") and not any(part in message.text for part in expected):
            self.complaints.append(message.text)


@pytest.fixture
def watcher(chromium: Any) -> Iterator[Watcher]:
    watching = Watcher(chromium)
    yield watching
    for context in watching.contexts:
        context.close()
    assert watching.complaints == []


@pytest.fixture(scope="module")
def signed_in(town: Town) -> dict[str, Any]:
    """The storage of a browser in which the owner has signed in."""
    found = LINK.fullmatch(town.link)
    assert found, town.link
    answer = httpx.post(f"{town.url}api/auth/exchange", json={"code": found[2]}, timeout=60)
    assert answer.status_code == 200, answer.text
    kept = [{"name": "townwatch.token", "value": answer.json()["token"]}]
    return {"cookies": [], "origins": [{"origin": town.url.rstrip("/"), "localStorage": kept}]}


@pytest.fixture(scope="module")
def owner(chromium: Any, signed_in: Any) -> Iterator[Any]:
    """A browser in which the owner stays signed in, with what it has loaded: a new one compiles the page anew."""
    context = chromium.new_context(viewport=DESKTOP, storage_state=signed_in)
    context.set_default_timeout(PATIENCE_MS)
    yield context
    context.close()


@pytest.fixture
def desk(watcher: Watcher, owner: Any, town: Town) -> Iterator[Callable[[str], Any]]:
    """Opens a hash route on a big screen, as the owner, in a tab of the browser that all tests of a file share."""
    opened: list[Any] = []

    def open_route(route: str) -> Any:
        page = watcher.listen(owner.new_page())
        opened.append(page)
        page.goto(f"{town.url}{route}")
        return page

    yield open_route
    for page in opened:
        page.close()


def looked_for(page: Any, row: Any) -> None:
    """Load the page again until a row is on it that does not come by itself."""
    expect = pytest.importorskip("playwright.sync_api").expect
    for _ in range(40):
        try:
            expect(row).to_be_visible(timeout=1500)
        except AssertionError:
            page.reload()
        else:
            return
    expect(row).to_be_visible()


@pytest.fixture
def own_session(town: Town) -> Iterator[Callable[[str, str], None]]:
    """`townwatch run`: a shell script as a session of one's own terminal."""
    started: list[subprocess.Popen[bytes]] = []

    def run(name: str, script: str) -> None:
        command = [
            sys.executable,
            "-P",
            "-m",
            "townwatch",
            "run",
            f"--name={name}",
            f"--state-dir={town.folder / 'state'}",
        ]
        log = (town.folder / f"session{len(started)}.log").open("wb")
        with log:
            process = subprocess.Popen(
                [*command, "--", "sh", "-c", script],
                cwd=town.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        started.append(process)

    yield run
    for process in started:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_SECONDS)
