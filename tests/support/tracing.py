"""Recorded traces of agent CLIs (tests/support/traces), read for tests."""

import json
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
TRACES = Path(__file__).parent / "traces"


def lines(name: str) -> list[dict[str, Any]]:
    """Return the objects of a trace, one a line, by the beginning of its file's name."""
    (path,) = TRACES.glob(f"{name}*.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def of_type(readings: list[Any], kind: type[T]) -> list[T]:
    """Return the readings of one type, in order."""
    return [reading for reading in readings if isinstance(reading, kind)]
