"""What every command of the command line needs: its options, its settings, its one line of complaint."""

import sys
from typing import Annotated

import attrs
from cyclopts import Parameter

from config import settings
from config.settings import ConfigError, Settings

ConfigFile = Annotated[str | None, Parameter(name=["--config", "-c"], help="TOML file (default: townwatch.toml)")]
StateDir = Annotated[str | None, Parameter(name="--state-dir", help="where everything is kept (default: .townwatch)")]


def settings_of(config: str | None, state_dir: str | None) -> Settings:
    """Raises `SystemExit` with one line where the configuration is wrong."""
    try:
        found = settings.load(config)
    except ConfigError as error:
        raise SystemExit(complain(str(error))) from None
    return found if state_dir is None else attrs.evolve(found, state_dir=state_dir)


def complain(message: str) -> int:
    """The line, and the exit status."""
    print(f"townwatch: {message}", file=sys.stderr)
    return 2


def log_to_stderr(found: Settings) -> None:
    from config.logs import configure

    configure(found.log, sys.stderr)


def log_to_file(found: Settings, name: str) -> None:
    """A terminal that belongs to somebody else's program is no place for our log."""
    from config.logs import configure

    found.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    logs = found.state / "logs"
    logs.mkdir(exist_ok=True)
    configure(found.log, (logs / name).open("a", encoding="utf-8"))
