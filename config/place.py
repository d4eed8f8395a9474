"""The state directory: its default, and what to say where a command finds no service in it. Standard library only."""

import os
from collections.abc import Mapping
from pathlib import Path

FORMER = ".townwatch"
"""The default before $XDG_STATE_HOME: in the working directory. `make run` keeps to it."""
OF_A_SERVICE = ("token.secret", "journal.db")
"""Files that a started service has, and a runner's state directory has not."""


def default_state_dir(environ: Mapping[str, str] | None = None) -> str:
    """Return `$XDG_STATE_HOME/townwatch`, else `~/.local/state/townwatch`: the same from every directory.

    A relative XDG_STATE_HOME counts as unset, as its specification says.
    """
    environ = os.environ if environ is None else environ
    base = environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(base):
        home = environ.get("HOME", "")
        base = os.path.join(home if os.path.isabs(home) else os.path.expanduser("~"), ".local", "state")
    return os.path.join(base, "townwatch")


def has_service(state: Path) -> bool:
    """Return whether a service was ever started with this state directory."""
    return any((state / name).exists() for name in OF_A_SERVICE)


def no_service(state: Path) -> str:
    """Return one line for a command that needs the state of a service and found none: where it looked, what to do."""
    if (state / "runner.json").exists():
        why = f"{state} belongs to a runner of another machine's service: run this where that service is"
    else:
        why = f"no service has been started with the state directory {state}"
    return f"{why}{_hint(state)}"


def not_enrolled(state: Path) -> str:
    """Return one line for a command that needs this machine's runner and found none."""
    return f"there is no runner in the state directory {state}: runner.json is not there{_hint(state, join=True)}"


def former_state(state: Path) -> Path | None:
    """Return the working directory's ./.townwatch where it holds a service and `state` holds none."""
    former = Path(FORMER).absolute()
    if has_service(former) and former != state.absolute() and not has_service(state):
        return former
    return None


def _hint(state: Path, join: bool = False) -> str:
    former = former_state(state)
    if former is not None:
        return f"; there is one in {former}: --state-dir {former}, or TOWNWATCH_STATE_DIR={former}"
    another = ", or townwatch runner join URL --code CODE" if join else ""
    return f"; start it with townwatch serve, or name its directory with --state-dir or TOWNWATCH_STATE_DIR{another}"
