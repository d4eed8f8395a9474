"""Which agents a machine has, as its runner tells the service."""

import json
import sys
from pathlib import Path

import pytest
import trio

from townwatch.contracts.link import AgentInfo
from townwatch.runner.agents.discovery import Discovery, installed, readable, signed_in, version_of
from townwatch.runner.agents.versions import version_in_package


def install(root: Path, name: str, version: str | None, says: str = "") -> Path:
    """A program as npm installs it; without a version it is a program of its own that says one."""
    home = root / "lib" / name
    home.mkdir(parents=True)
    program = home / "cli.py"
    program.write_text(f"#!{sys.executable}\nprint({says!r})\n")
    program.chmod(0o755)
    if version is not None:
        (home / "package.json").write_text(json.dumps({"version": version, "bin": {name: "cli.py"}}))
    place = root / "bin"
    place.mkdir(exist_ok=True)
    (place / name).symlink_to(program)
    return place / name


def test_a_version_is_read_from_the_package_behind_a_link(tmp_path: Path) -> None:
    assert version_in_package(str(install(tmp_path, "codex", "0.171.0"))) == "0.171.0"


@pytest.mark.parametrize(
    ("says", "version"), [("codex-cli 0.171.0", "0.171.0"), ("2.1.332 (Claude Code)", "2.1.332"), ("no idea", "")]
)
def test_a_program_without_a_package_is_asked(tmp_path: Path, says: str, version: str) -> None:
    assert version_of(str(install(tmp_path, "codex", None, says))) == version


def test_a_program_that_is_not_there_has_no_version(tmp_path: Path) -> None:
    assert version_of(str(tmp_path / "nothing")) == ""


def test_credentials_are_looked_for_and_never_opened(tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path)}
    assert signed_in("codex", env) is None
    (tmp_path / ".codex").mkdir()
    secret = tmp_path / ".codex" / "auth.json"
    secret.write_text("{}")
    secret.chmod(0)
    assert signed_in("codex", env) is True
    assert signed_in("gemini_cli", {**env, "GEMINI_API_KEY": "x"}) is True


async def test_what_is_on_the_path_is_told_with_its_version_and_what_was_tested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "codex", "0.999.0")
    env = {"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path)}
    monkeypatch.setenv("PATH", env["PATH"])
    discovery = Discovery()
    async with trio.open_nursery() as nursery:
        discovery.start(nursery)
    (found,) = await trio.to_thread.run_sync(discovery.agents, env)
    tested = ["0.171.0", "0.171.0"]
    assert found == AgentInfo(provider_id="codex", version="0.999.0", tested=tested, signed_in=None)
    assert installed(env) == [found]
    assert readable(found) == "0.999.0, tested with 0.171.0, not known whether signed in"
