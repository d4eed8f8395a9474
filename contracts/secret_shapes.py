"""Secrets that are known by their shape. The runner masks them before anything is sent; the service before anything is
stored: its second line of defence, and the only one for runners that are not ours.
"""

import re
from typing import Any, cast

import msgspec

MASK = "••••••"
SHAPES = re.compile(
    r"""
      \b(?:ghp|gho|ghu|ghs|ghr)_[A-Za-z0-9]{36,}\b
    | \bgithub_pat_[A-Za-z0-9_]{40,}\b
    | \bglpat-[A-Za-z0-9_-]{20,}
    | \bsk-(?:ant-|proj-)?[A-Za-z0-9_-]{20,}
    | \bxox[abposr]-[A-Za-z0-9-]{10,}
    | \b(?:AKIA|ASIA)[A-Z0-9]{16}\b
    | \bAIza[A-Za-z0-9_-]{35}
    | \btw[rce]?_[A-Za-z0-9_-]{20,}
    | \beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}
    | -----BEGIN\ [A-Z ]*PRIVATE\ KEY-----[\s\S]*?(?:-----END\ [A-Z ]*PRIVATE\ KEY-----|\Z)
    """,
    re.VERBOSE,
)
PREFIXES = r"gh[pousr]_|github_pat_|glpat-|sk-|xox[abposr]-|AKIA|ASIA|AIza|tw[rce]?_|eyJ"
"""How they begin, private keys aside."""
_HINT = re.compile(rf"{PREFIXES}|PRIVATE KEY".encode())
"""Nearly every event has none of these, and the search for them costs a fifth of the whole pattern's."""
_NAMES = frozenset({"type", "sessionId", "orgId", "approvalId", "alertId", "agentId", "providerId"})
"""What others refer to: never changed."""


def masked_text(text: str) -> str:
    """Without anything of a known shape."""
    return SHAPES.sub(MASK, text)


def masked_event(body: bytes) -> bytes:
    """An event's JSON with secrets masked in all of its texts; the very same object where there are none.

    Sees only what is within one event: a secret that a terminal's output is cut in the middle of is for the runner,
    which holds back what may be the beginning of one.
    """
    if _HINT.search(body) is None:
        return body
    event = cast(dict[str, Any], msgspec.json.decode(body))
    masked = {name: value if name in _NAMES else _masked(value) for name, value in event.items()}
    return body if masked == event else msgspec.json.encode(masked)


def _masked(value: Any) -> Any:
    match value:
        case str():
            return masked_text(value)
        case dict():
            held = cast(dict[str, Any], value)
            return {masked_text(name): inner if name in _NAMES else _masked(inner) for name, inner in held.items()}
        case list():
            return [_masked(inner) for inner in cast(list[Any], value)]
        case _:
            return value
