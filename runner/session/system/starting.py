"""A command that cannot be started, as a shell would see it: its exit code, and the script without a first line."""

import errno
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

NOT_FOUND, NOT_EXECUTABLE = 127, 126
"""What a shell ends with where it cannot start a command."""
SHELL = "/bin/sh"
_LOOK_BYTES = 80
"""A NUL among the first bytes of a file says that it is no script, as in bash."""


def why(command: Sequence[str], error: Exception) -> tuple[str, int]:
    """Return the reason in words, and what a shell would end with."""
    program = command[0] if command else ""
    what = getattr(error, "strerror", None) or str(error)
    missing = isinstance(error, FileNotFoundError | ValueError) or not program
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        missing = "/" not in program  # a name that no directory of the path holds
    return f"{program or 'an empty command'}: {what}", NOT_FOUND if missing else NOT_EXECUTABLE


def as_script(command: Sequence[str], cwd: Path, env: Mapping[str, str]) -> list[str] | None:
    """Return the line that runs an executable text without ``#!``, as a shell and `execvp` do; None for any other."""
    program = command[0]
    found = program if "/" in program else shutil.which(program, path=env.get("PATH", os.defpath))
    try:
        with open(cwd / (found or ""), "rb") as file:
            return None if b"\0" in file.read(_LOOK_BYTES) else [SHELL, str(found), *command[1:]]
    except OSError:
        return None
