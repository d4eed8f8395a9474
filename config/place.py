"""The state directory: its default, and what to say where a command finds no service in it. Standard library only."""

import os
from collections.abc import Mapping
from pathlib import Path

FORMER = ".townwatch"
"""The default before $XDG_STATE_HOME: in the working directory. `make run` keeps to it."""
OF_A_SERVICE = ("token.secret", "journal.db")
"""Files that a started service has, and a runner's state directory has not."""

ELSEWHERE = "tables.elsewhere"
"""Says where the tables of the last service were, where that is not the state directory."""


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


def note_tables(state: Path, database_url: str) -> None:
    """Note where the service of a state directory has its tables, so that no command takes others for them. Nothing is
    written where it is noted already. Raises OSError.
    """
    where = state / ELSEWHERE
    if not database_url:
        where.unlink(missing_ok=True)
        return
    from urllib.parse import urlsplit  # here: commands that agents call at every tool import this module

    parts = urlsplit(database_url)
    told = f"{parts.hostname or 'this machine'}{parts.path}\n"  # without user and password
    if not where.exists() or where.read_text(encoding="utf-8") != told:
        where.write_text(told, encoding="utf-8")


def tables_elsewhere(state: Path, database_url: str) -> str | None:
    """Return one line for a command that would use the tables in the state directory where its service has others."""
    where = state / ELSEWHERE
    if database_url or not where.exists():
        return None
    there = where.read_text(encoding="utf-8").strip()
    return (
        f"the service of {state} has its tables in PostgreSQL ({there}), and this command was not told so: give it the "
        "service's --config, or TOWNWATCH_DATABASE_URL"
    )


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
        import shlex

        quoted = shlex.quote(str(former))  # it is there to be copied
        return f"; there is one in {former}: --state-dir {quoted}, or TOWNWATCH_STATE_DIR={quoted}"
    another = ", or townwatch runner join URL --code CODE" if join else ""
    return f"; start it with townwatch serve, or name its directory with --state-dir or TOWNWATCH_STATE_DIR{another}"
