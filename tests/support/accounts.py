"""A second user of this machine, for tests that need one. Only root can make it."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from townwatch.runner import account
from townwatch.runner.account import Account


def reason_for_none() -> str:
    """Return why no second user can be made here; empty where one can."""
    if sys.platform != "linux":
        return "users are made with useradd, on Linux"
    if os.geteuid() != 0:
        return "only root can make a second user"
    if shutil.which("useradd") is None or shutil.which("userdel") is None:
        return "useradd is not installed"
    return ""


@contextmanager
def second_user(name: str) -> Generator[Account]:
    """A user without rights, with a home of its own; both are gone after the block."""
    if reason := reason_for_none():
        pytest.skip(reason)
    homes = Path(tempfile.mkdtemp(prefix="townwatch-home-"))
    homes.chmod(0o755)
    add = ["useradd", "--create-home", "--home-dir", str(homes / name), "--shell", "/bin/bash", name]
    done = subprocess.run(add, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"useradd: {done.stderr.strip()}")
    try:
        found = account.find(name)
        assert found is not None
        yield found
    finally:
        subprocess.run(["userdel", "--remove", name], capture_output=True, check=False)
        shutil.rmtree(homes, ignore_errors=True)


def python_of(user: Account) -> tuple[str, dict[str, str]]:
    """Return a Python that the user can execute, and the variables with which it finds this checkout and what it needs.

    The tests' own interpreter may be in a home that is closed to others; the system's of the same version is not.
    """
    paths = [str(Path(__file__).parents[2]), sysconfig.get_path("purelib")]
    found = {**user.environment(), "PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}
    same = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, f"/usr/bin/{same}", f"/usr/local/bin/{same}"):
        with suppress(OSError):
            tried = subprocess.run(  # pyright: ignore[reportUnknownVariableType]
                [python, "-P", "-c", "import trio, townwatch.cli.quick"],
                capture_output=True, check=False, cwd="/", env=found, **user.options(),
            )  # fmt: skip
            if tried.returncode == 0:  # pyright: ignore[reportUnknownMemberType]
                return python, found
    pytest.skip(f"neither {sys.executable} nor another {same} with this checkout can be executed by other users")
