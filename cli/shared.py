"""Options that many commands have, and the helpers of `cli/base.py`."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
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
    "FILLED",
    "ConfigFile",
    "Filled",
    "Json",
    "Number",
    "Seconds",
    "StateDir",
    "Whole",
    "check_state",
    "complain",
    "is_text",
    "line_of",
    "log_to_file",
    "log_to_stderr",
    "own_runner",
    "run_async",
    "service_settings",
    "settings_of",
    "tell",
    "text_of",
]


def is_text(word: str) -> bool:
    """Return whether a word of the command line is UTF-8."""
    return word.isascii() or not any("\ud800" <= sign <= "\udfff" for sign in word)


def FILLED(_kind: Any, value: str | None) -> None:
    """Check that an option was not given nothing: in a script a variable that is not set, and the default would be
    another service, another person, another directory than the one that was meant. Raises ValueError.
    """
    if value == "":
        raise ValueError("It is empty: say which one, or leave the option out.")


Filled = Annotated[str, Parameter(validator=FILLED)]
ConfigFile = Annotated[
    str | None, Parameter(name=["--config", "-c"], validator=FILLED, help="TOML file (default: townwatch.toml)")
]
StateDir = Annotated[
    str | None,
    Parameter(
        name="--state-dir",
        validator=FILLED,
        help="where everything is kept (default: $XDG_STATE_HOME/townwatch, or ~/.local/state/…)",
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


def _number(_kind: Any, tokens: Sequence[Any]) -> float:
    """Convert an option; nan and inf are no numbers here. Raises ValueError."""
    try:
        value = float(tokens[0].value)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{tokens[0].value!r} is no number.")
    return value


def _seconds(kind: Any, tokens: Sequence[Any]) -> float:
    if (value := _number(kind, tokens)) < 0:
        raise ValueError(f"{tokens[0].value!r} is less than 0 seconds.")
    return value


Number = Annotated[float, Parameter(converter=_number)]
Seconds = Annotated[float, Parameter(converter=_seconds)]


def text_of(path: Path) -> str:
    """Return what a file that the command line names has in it.

    Raises:
        SystemExit: with one line that says why it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise SystemExit(complain(line_of(error))) from None
    except UnicodeDecodeError as error:
        raise SystemExit(complain(f"{path}: it is no text (no UTF-8 at byte {error.start})")) from None


def tell(name: str, value: str, as_json: bool) -> int:
    """Print a value, or as JSON an object with it under its name; return the exit status 0."""
    print(json.dumps({name: value}) if as_json else value)
    return 0
