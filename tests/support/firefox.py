"""A Firefox as Debian packages it, driven over its Marionette protocol: one TCP connection, JSON behind its length."""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

START_SECONDS = 90.0
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
"""The name under which WebDriver gives the id of an element."""
PREFERENCES = {
    "marionette.port": 0,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.page": 0,
    "datareporting.policy.dataSubmissionEnabled": False,
    "toolkit.telemetry.enabled": False,
    "app.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "extensions.update.enabled": False,
    "browser.aboutwelcome.enabled": False,
    "termsofuse.bypassNotification": True,
}
KEYS = {"Enter": "\ue007", "Tab": "\ue004", "Escape": "\ue00c", "Control": "\ue009"}


class FirefoxError(Exception):
    """Firefox refused a command, or did not do it in time."""


def firefox_path() -> str | None:
    """Return the Firefox of this machine, or the one that TOWNWATCH_FIREFOX names."""
    return os.environ.get("TOWNWATCH_FIREFOX") or shutil.which("firefox-esr") or shutil.which("firefox")


@attrs.define(eq=False)
class Firefox:
    """One window."""

    wire: socket.socket
    _rest: bytes = b""
    _count: int = 0

    def say(self, command: str, **fields: Any) -> Any:
        """Send a command and return its result. Raises `FirefoxError`."""
        self._count += 1
        body = json.dumps([0, self._count, command, fields]).encode()
        self.wire.sendall(b"%d:%s" % (len(body), body))
        _kind, _number, error, result = self._message()
        if error is not None:
            raise FirefoxError(f"{command}: {error.get('error')}: {error.get('message')}")
        return result

    def greeting(self) -> Any:
        return self._message()

    def go(self, url: str) -> None:
        self.say("WebDriver:Navigate", url=url)

    def run(self, script: str, *args: Any) -> Any:
        """Return what the body of a function returns in the page."""
        return self.say("WebDriver:ExecuteScript", script=script, args=list(args))["value"]

    def until(self, script: str, *args: Any, seconds: float = 60.0) -> Any:
        """Ask until the answer is true, and return it."""
        deadline = time.monotonic() + seconds
        while not (found := self.run(script, *args)):
            if time.monotonic() > deadline:
                raise FirefoxError(f"never true: {script} {args}; the page: {self.text()[:2000]}")
            time.sleep(0.1)
        return found

    def text(self) -> str:
        return self.run("return document.body.innerText")

    def find(self, selector: str, seconds: float = 60.0) -> str:
        """Return the id of the first element that is visible."""
        shown = "const one = document.querySelector(arguments[0]); return one !== null && one.checkVisibility()"
        self.until(shown, selector, seconds=seconds)
        found = self.say("WebDriver:FindElement", using="css selector", value=selector)
        return found["value"][ELEMENT]

    def click(self, selector: str) -> None:
        self.say("WebDriver:ElementClick", id=self.find(selector))

    def press(self, *keys: str) -> None:
        """Press keys together, on what has the focus; a text of several characters is typed."""
        chord = [KEYS.get(key, key) for key in keys]
        if len(chord) == 1 and len(chord[0]) > 1:
            downs = [{"type": kind, "value": one} for one in chord[0] for kind in ("keyDown", "keyUp")]
        else:
            downs = [{"type": "keyDown", "value": one} for one in chord]
            downs += [{"type": "keyUp", "value": one} for one in reversed(chord)]
        self.say("WebDriver:PerformActions", actions=[{"type": "key", "id": "keys", "actions": downs}])

    def _message(self) -> Any:
        while b":" not in self._rest:
            self._read()
        size, _, rest = self._rest.partition(b":")
        while len(rest) < int(size):
            self._rest = rest
            self._read()
            rest = self._rest
        self._rest = rest[int(size) :]
        return json.loads(rest[: int(size)])

    def _read(self) -> None:
        more = self.wire.recv(65536)
        if not more:
            raise FirefoxError("Firefox has gone")
        self._rest += more


@contextmanager
def open_firefox(program: str, folder: Path) -> Iterator[Firefox]:
    """A Firefox without a window on the screen, with a profile of its own in `folder`."""
    profile = folder / "profile"
    profile.mkdir()
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in PREFERENCES.items()]
    (profile / "user.js").write_text("\n".join(lines))
    environment = {**os.environ, "HOME": str(folder), "MOZ_HEADLESS": "1", "MOZ_DISABLE_CONTENT_SANDBOX": "1"}
    with (folder / "firefox.log").open("wb") as log:
        process = subprocess.Popen(
            [program, "--headless", "--marionette", "--no-remote", "--profile", str(profile)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        with socket.create_connection(("127.0.0.1", _port(process, profile, folder)), timeout=60) as wire:
            firefox = Firefox(wire)
            firefox.greeting()
            firefox.say("WebDriver:NewSession")
            yield firefox
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(15)


def _port(process: subprocess.Popen[bytes], profile: Path, folder: Path) -> int:
    """Return the port that Firefox chose, which it writes into its profile."""
    said, deadline = profile / "MarionetteActivePort", time.monotonic() + START_SECONDS
    while not (said.exists() and said.read_text().strip()):
        log = (folder / "firefox.log").read_text(errors="replace")[-2000:]
        assert process.poll() is None, f"Firefox ended: {log}"
        assert time.monotonic() < deadline, f"Firefox listens nowhere: {log}"
        time.sleep(0.1)
    return int(said.read_text())
