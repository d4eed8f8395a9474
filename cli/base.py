"""Shared by all commands and light to import: settings, this machine's runner, the one-line error, logs."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

if TYPE_CHECKING:
    from pathlib import Path

    from townwatch.config.settings import Settings
    from townwatch.runner.identity import Identity

T = TypeVar("T")
SWITCH_SECONDS = 0.0005
"""How long a worker thread that computes may keep the event loop from going on. Each call of the system is a chance to
lose the turn, and there are ten in the way of a key: Python's own 5 ms make 50 of it.
"""


def settings_of(config: str | None, state_dir: str | None) -> Settings:
    """Raises `SystemExit` with one line where the configuration is wrong."""
    from townwatch.config import reading
    from townwatch.config.settings import ConfigError

    try:
        found = reading.load(config)
    except ConfigError as error:
        raise SystemExit(complain(str(error))) from None
    if state_dir is None:
        return found
    import attrs

    return attrs.evolve(found, state_dir=state_dir)


def check_state(state: Path, *, make: bool = False, full_is_fine: bool = False) -> None:
    """Check that files can be kept in a state directory. `make`: it is made where it is not there. `full_is_fine`: a
    full disk may have room by the time it is needed.

    Raises:
        SystemExit: with one line that says what is in the way, where, and what to do; 1 where that may pass, else 2.
    """
    from townwatch.config.writable import trouble_with

    trouble = trouble_with(state, make=make)
    if trouble is not None and not (trouble.passes and full_is_fine):
        status = complain(trouble.line)
        raise SystemExit(1 if trouble.passes else status)


def service_settings(config: str | None, state_dir: str | None, *, reads: bool = False) -> Settings:
    """Return the settings for a command that needs the state of a service of this machine. `reads`: it writes nothing
    there.

    Raises:
        SystemExit: with one line, before anything is made, where no service is, or its tables are elsewhere.
    """
    from townwatch.config import place

    found = settings_of(config, state_dir)
    if not reads:
        check_state(found.state, full_is_fine=True)
    if not place.has_service(found.state):
        raise SystemExit(complain(place.no_service(found.state)))
    if elsewhere := place.tables_elsewhere(found.state, found.database.url):
        raise SystemExit(complain(elsewhere))
    return found


def own_runner(found: Settings) -> Identity:
    """Return this machine's runner.

    Raises:
        SystemExit: with one line that says where it was looked for and what to do.
    """
    from townwatch.config import place
    from townwatch.runner import identity

    check_state(found.state, full_is_fine=True)
    if not (found.state / identity.FILE).exists():
        raise SystemExit(complain(place.not_enrolled(found.state)))
    try:
        return identity.load(found.state)
    except identity.NotEnrolled as error:
        raise SystemExit(complain(str(error))) from None


def run_async(function: Callable[..., Awaitable[T]], *args: Any) -> T:
    """Return what `trio.run` does. trio is imported here: a command that only shows its help does without it."""
    import trio

    sys.setswitchinterval(SWITCH_SECONDS)
    return trio.run(function, *args)


def unknown_option(command: tuple[str, ...]) -> str | None:
    """Return the word at the beginning of a command that is an option which we do not know: one in front of `--`."""
    behind = len(sys.argv) - sys.argv.index("--") - 1 if "--" in sys.argv else 0
    return command[0] if len(command) > behind and command[0].startswith("-") else None


def complain(message: str) -> int:
    """The line, and the exit status."""
    print(f"townwatch: {message}", file=sys.stderr)
    return 2


def line_of(error: BaseException) -> str:
    """Return an error in one line, an OSError without its number: which file, and what about it."""
    if isinstance(error, OSError) and error.strerror and type(error).__str__ is OSError.__str__:
        return f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror
    return next(iter(str(error).splitlines()), type(error).__name__)


def log_to_stderr(found: Settings) -> None:
    """Log to standard error, for a command that runs on: no line of the log may block or end it."""
    from townwatch.config.logs import configure, shield_standard_streams

    shield_standard_streams()
    configure(found.log, sys.stderr)


def log_to_file(found: Settings, name: str) -> None:
    """Log to a file, because the terminal belongs to the wrapped program."""
    from townwatch.config.logs import configure

    configure(found.log, _log_file(found, name))


def _log_file(found: Settings, name: str) -> TextIO | None:
    """None where it cannot be opened (a full disk): the program is not kept from running by that."""
    try:
        found.state.mkdir(parents=True, exist_ok=True, mode=0o700)
        logs = found.state / "logs"
        logs.mkdir(exist_ok=True)
        return (logs / name).open("a", encoding="utf-8")
    except OSError:
        return None
