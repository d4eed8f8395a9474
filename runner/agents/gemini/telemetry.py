"""Gemini's telemetry to the runner: in the session's own file of defaults, and only where the user has none of theirs.

Gemini puts settings together from several files, so that half of the user's and half of ours could be in force at once:
where anything of theirs names telemetry, ours is left out.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from townwatch.runner.agents import shared_files

SYSTEM = "GEMINI_CLI_SYSTEM_SETTINGS_PATH"
SYSTEM_FILE = "/etc/gemini-cli/settings.json"
MOST_BYTES = 1 << 20


def defaults(base_url: str, token: str) -> dict[str, Any]:
    """Return the settings. The token is in the address: a variable would be seen by all that Gemini runs, and sent to
    the collectors of those programs.
    """
    where = f"{base_url}/as/{token}"
    return {"enabled": True, "target": "local", "otlpEndpoint": where, "otlpProtocol": "http", "logPrompts": False}


def is_the_users(env: Mapping[str, str], cwd: Path, command: Sequence[str]) -> bool:
    """Return whether the user says something about telemetry. Reads files."""
    if any(name.startswith(("OTEL_", "GEMINI_TELEMETRY_", "OTLP_")) for name in env):
        return True
    if any(word.startswith(("--telemetry", "--no-telemetry")) for word in command):
        return True
    return any("telemetry" in _read(path).lower() for path in _files(env, cwd))


def _files(env: Mapping[str, str], cwd: Path) -> Iterator[Path]:
    yield Path(env.get(SYSTEM) or SYSTEM_FILE)
    home = env.get("GEMINI_CLI_HOME") or env.get("HOME")
    for place in (*([Path(home)] if home else []), cwd, *cwd.parents):
        yield from (place / ".gemini" / "settings.json", place / ".gemini" / ".env", place / ".env")


def _read(path: Path) -> str:
    """Return a file's text; empty where there is none that can be read."""
    try:
        return shared_files.read(path, most=MOST_BYTES).decode(errors="replace")
    except OSError:
        return ""
