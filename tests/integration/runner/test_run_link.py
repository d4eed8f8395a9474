"""`townwatch run` says where its session is on the page, for the phone beside the terminal as a QR code."""

import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.unit.net.test_qr import read_back
from townwatch.net.qr import qr
from townwatch.runner import identity
from townwatch.runner.identity import Identity

SECONDS = 60
HERE, ELSEWHERE = "ws://127.0.0.1:9/runner", "ws://192.0.2.1:9/runner"  # 192.0.2.0/24: documentation, nothing answers


def screen_of(state: Path, *options: str) -> str:
    """Return what a terminal shows of a wrapped `true`, from its start to its end."""
    command = [sys.executable, "-P", "-m", "townwatch", "run", f"--state-dir={state}", *options, "--", "true"]
    master, slave = pty.openpty()
    environ = {**os.environ, "NO_COLOR": "1", "PYTHONIOENCODING": "utf-8"}
    with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environ) as process:
        os.close(slave)
        found, deadline = b"", time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            if not select.select([master], [], [], 0.2)[0]:
                continue
            try:
                found += os.read(master, 65536)
            except OSError:  # its end
                break
        os.close(master)
        assert process.wait(SECONDS) == 0, found
    return found.decode().replace("\r\n", "\n")


@pytest.mark.parametrize(
    ("url", "options", "with_code"),
    [(HERE, (), False), (HERE, ("--qr",), True), (ELSEWHERE, (), True), (ELSEWHERE, ("--quiet",), False)],
    ids=["this machine", "asked for", "elsewhere", "quiet"],
)
def test_the_link_and_its_code(tmp_path: Path, url: str, options: tuple[str, ...], with_code: bool) -> None:
    identity.save(tmp_path, Identity(runner_id="r1", token="t", url=url))
    text = screen_of(tmp_path, *options)
    link = re.search(r"townwatch: (http://\S+/#/a/\S+)\n", text)
    assert (link is None) == ("--quiet" in options), text
    code = re.findall(r"^[ ▀▄█]{25,}$", text, re.MULTILINE)
    assert bool(code) == with_code, text
    if code and link is not None:
        assert read_back("\n".join(code)) == qr(link[1])


def test_no_code_in_a_pipe(tmp_path: Path) -> None:
    identity.save(tmp_path, Identity(runner_id="r1", token="t", url=ELSEWHERE))
    command = [sys.executable, "-P", "-m", "townwatch", "run", f"--state-dir={tmp_path}", "--", "true"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
