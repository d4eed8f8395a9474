"""An actor's state as data: whole for whoever asks the actor, in outline for crash reports."""

from collections.abc import Mapping, Sized
from typing import Any

RUNTIME_FIELDS = frozenset({"actor_urn", "actor_inbox", "actor_stopped"})
"""pykka's own public attributes of every actor"""
SUMMARY_LIMIT = 40
"""attributes in a summary"""


def public_state(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes that pykka's proxies would show: those without a leading underscore, less pykka's own."""
    return {name: value for name, value in fields.items() if name[0] != "_" and name not in RUNTIME_FIELDS}


def summarize(fields: Mapping[str, Any]) -> dict[str, Any]:
    """{"frames": "deque of 3", "retries": 2, "token": "str of 40"}: numbers as they are, of all else the shape.

    Contents stay out: a report may end in a log, and state holds secrets.
    """
    own = [(name, value) for name, value in fields.items() if name not in RUNTIME_FIELDS and name != "_life"]
    return {name: _shape(value) for name, value in own[:SUMMARY_LIMIT] if name != "_actor_ref"}


def _shape(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    kind = type(value).__name__
    if isinstance(value, str | bytes | bytearray | list | tuple | set | frozenset | dict):
        return f"{kind} of {len(value)}"  # pyright: ignore[reportUnknownArgumentType]
    try:
        return f"{kind} of {len(value)}" if isinstance(value, Sized) else kind
    except Exception:  # somebody's __len__: a report must not fail on it
        return kind
