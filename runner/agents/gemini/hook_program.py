"""The hook of CLIs that know no HTTP hooks, put where the session's user can run it: see hook.py for what it does."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from townwatch.runner.account import acting, options_of_children
from townwatch.runner.agents import shared_files
from townwatch.runner.agents.adapter import AdapterOff
from townwatch.runner.agents.gemini import hook

TRY_SECONDS = 10.0
ISOLATED = ("-I", "-S")


def write(directory: Path, env: Mapping[str, str]) -> list[str]:
    """Return the command line of the hook, without the address. Blocking. Raises `AdapterOff`, `OSError`.

    This installation may be closed to another user: the program is copied for it, and runs with a Python that it may
    execute. `env`: of the session, whose PATH is looked through.
    """
    account = acting.get()
    if account is None:
        return [sys.executable, *ISOLATED, hook.__file__]
    program = directory / "hook.py"
    shared_files.write_new(program, Path(hook.__file__).read_text())
    for python in ([sys.executable], ["/usr/bin/env", "python3"]):
        if found := _where(python, env):
            return [found, *ISOLATED, str(program)]
    raise AdapterOff(
        f"its hooks are run with Python, and the user {account.name} may execute neither {sys.executable} nor another "
        "python3 on its PATH; install one for all users"
    )


def _where(python: list[str], env: Mapping[str, str]) -> str:
    """Return the path of a Python, by its own word; "" where the session's user may not execute it."""
    try:
        done = subprocess.run(  # pyright: ignore[reportUnknownVariableType]
            [*python, *ISOLATED, "-c", "import sys; print(sys.executable)"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=TRY_SECONDS,
            env=dict(env),
            check=False,
            **options_of_children(),
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    if done.returncode != 0:  # pyright: ignore[reportUnknownMemberType]
        return ""
    return bytes(done.stdout).decode(errors="replace").strip()  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
