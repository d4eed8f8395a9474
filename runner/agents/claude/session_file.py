"""The file in which a running Claude Code says what it does: ``sessions/PID.json`` in its configuration directory.

Not documented, and right where hooks say nothing: after an interrupt, after a no in the terminal, at dialogs that have
no hook. Where it is missing, hooks alone have to do. Read, never written.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import attrs

from townwatch.runner.agents import shared_files
from townwatch.runner.agents.events import AgentStatus

STATUSES: dict[str, AgentStatus] = {"idle": "idle", "busy": "busy", "shell": "busy", "waiting": "waiting"}
MAX_BYTES = 256 * 1024


@attrs.frozen
class Seen:
    """Contents of the file. `status` is None while the CLI starts."""

    status: AgentStatus | None
    waiting_for: str | None
    session_id: str | None
    version: str | None


def directory(env: Mapping[str, str]) -> Path | None:
    """Return where a CLI with this environment keeps the files."""
    if env.get("CLAUDE_CONFIG_DIR"):
        return Path(env["CLAUDE_CONFIG_DIR"]) / "sessions"
    return Path(env["HOME"]) / ".claude" / "sessions" if env.get("HOME") else None


def read(path: Path) -> Seen | None:
    """Return what the file says; None where it is not there, or being written."""
    try:
        data = shared_files.read(path, most=MAX_BYTES + 1)
    except OSError:
        return None
    return parse(data) if len(data) <= MAX_BYTES else None


def parse(data: bytes) -> Seen | None:
    """As `read`, from the file's bytes."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    found = cast("dict[str, Any]", value)
    status = found.get("status")
    known = STATUSES.get(status, "unknown") if isinstance(status, str) else None
    return Seen(known, _text(found.get("waitingFor")), _text(found.get("sessionId")), _text(found.get("version")))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
