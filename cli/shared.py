"""Options that many commands have, and the helpers of `cli/base.py`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any

from cyclopts import Parameter

from townwatch.cli.base import (
    check_state,
    complain,
    line_of,
    log_to_file,
    log_to_stderr,
    own_runner,
    run_async,
    service_settings,
    settings_of,
)

__all__ = [
    "ConfigFile",
    "Json",
    "StateDir",
    "Whole",
    "check_state",
    "complain",
    "line_of",
    "log_to_file",
    "log_to_stderr",
    "own_runner",
    "run_async",
    "service_settings",
    "settings_of",
    "tell",
]

ConfigFile = Annotated[str | None, Parameter(name=["--config", "-c"], help="TOML file (default: townwatch.toml)")]
StateDir = Annotated[
    str | None,
    Parameter(
        name="--state-dir", help="where everything is kept (default: $XDG_STATE_HOME/townwatch, or ~/.local/state/…)"
    ),
]

Json = Annotated[bool, Parameter(name="--json", help="one JSON value instead of text", negative=())]


def _whole(_kind: Any, tokens: Sequence[Any]) -> int:
    """Convert an option; cyclopts itself would make port 2 of 1.5. Raises ValueError."""
    try:
        return int(tokens[0].value)
    except ValueError:
        raise ValueError(f"{tokens[0].value!r} is no whole number.") from None


Whole = Annotated[int, Parameter(converter=_whole)]


def tell(name: str, value: str, as_json: bool) -> int:
    """Print a value, or as JSON an object with it under its name; return the exit status 0."""
    print(json.dumps({name: value}) if as_json else value)
    return 0
