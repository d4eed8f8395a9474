"""The plugin that connects a Claude Code in a terminal to its session: hooks, and nothing else.

It is given on the command line (``--plugin-dir``), so that the user's settings, hooks and plugins are as they were. A
hook that fails leaves the CLI's own dialog in charge.
"""

import json
from pathlib import Path
from typing import Any

from townwatch.runner.agents import shared_files
from townwatch.runner.agents.claude.hooks import EVENTS

HOLD_SECONDS = 86_400 * 7
"""How long a dialog may wait for a person; then only the terminal can answer it."""
QUICK_SECONDS = 5
TOKEN_VARIABLE = "TOWNWATCH_ASK_TOKEN"


def hooks(base_url: str) -> dict[str, Any]:
    """Return the content of hooks.json."""

    def hook(event: str) -> list[dict[str, Any]]:
        held = event == "PermissionRequest"
        call = {
            "type": "http",
            "url": f"{base_url}/hook",
            "timeout": HOLD_SECONDS if held else QUICK_SECONDS,
            "headers": {"Authorization": f"Bearer ${TOKEN_VARIABLE}"},
            "allowedEnvVars": [TOKEN_VARIABLE],
        }
        return [{"hooks": [call]}]

    return {"description": "Tells Townwatch what this session does.", "hooks": {event: hook(event) for event in EVENTS}}


def write(directory: Path, base_url: str) -> Path:
    """Write the plugin below `directory` and return its own."""
    plugin = directory / "plugin"
    for path, content in (
        (plugin / ".claude-plugin" / "plugin.json", {"name": "townwatch", "version": "1.0.0"}),
        (plugin / "hooks" / "hooks.json", hooks(base_url)),
    ):
        shared_files.write_new(path, json.dumps(content, indent=1))
    return plugin
