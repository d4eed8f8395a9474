"""Limits of the text that is shown and kept in memory. A longer one is stored whole and marked `truncated`."""

from typing import Any, TypeVar

import attrs

from townwatch.contracts.codec import encode

T = TypeVar("T")

SUMMARY, NOTE, TITLE, DESCRIPTION, REASON, NAME = 4_000, 2_000, 500, 8_000, 2_000, 200
CONTEXT_BYTES = 32 << 10
CONTEXT_START = 4_000
"""Characters of a context that is too large: its JSON's beginning."""
LIMITS = {
    "summary": SUMMARY,
    "note": NOTE,
    "title": TITLE,
    "description": DESCRIPTION,
    "reason": REASON,
    "resolved_by": NAME,
    "agent_name": NAME,
}
"""Characters by field."""


def shortened(value: T) -> T:
    """Return an event or an approval as it is shown; the very same one where nothing of it is too long."""
    changes: dict[str, Any] = {}
    for name, limit in LIMITS.items():
        text = getattr(value, name, None)
        if isinstance(text, str) and len(text) > limit:
            changes[name] = f"{text[: limit - 1]}…"
    if (context := getattr(value, "context", None)) is not None:
        body = encode(context)
        if len(body) > CONTEXT_BYTES:
            start = body[: CONTEXT_START * 4].decode(errors="ignore")[:CONTEXT_START]
            changes["context"] = {"truncated": True, "bytes": len(body), "start": start}
    return attrs.evolve(value, **changes, truncated=True) if changes else value  # type: ignore[type-var]
