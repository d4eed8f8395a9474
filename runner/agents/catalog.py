"""The agents that this runner knows: which adapter for which command line, and for which order."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from townwatch.runner.agents.adapter import Adapter

HERE = "townwatch.runner.agents"
TERMINAL = {
    "claude": "claude.terminal:ClaudeTerminal",
    "codex": "codex.adapter:CodexAdapter",
    "opencode": "opencode.adapter:OpenCodeAdapter",
    "gemini": "gemini.adapter:GeminiTerminal",
    "qwen": "qwen.adapter:QwenTerminal",
    "copilot": "copilot.adapter:CopilotTerminal",
}
"""program → its adapter beside a CLI in a person's terminal. Imported when wanted: most commands are no agents."""
DISPATCHED = {
    "claude_code": "claude.dispatched:ClaudeDispatched",
    "codex": "codex.adapter:CodexAdapter",
    "opencode": "opencode.adapter:OpenCodeAdapter",
    "gemini_cli": "acp.agents:GeminiAcp",
    "qwen_code": "acp.agents:QwenAcp",
    "copilot": "acp.agents:CopilotAcp",
    "acp": "acp.agents:AnyAcp",
}
"""providerId → the adapter of a session that is started from afar."""
PROGRAMS = {
    "claude_code": "claude",
    "codex": "codex",
    "gemini_cli": "gemini",
    "opencode": "opencode",
    "qwen_code": "qwen",
    "copilot": "copilot",
    "omnara": "omnara",
}
"""providerId → the program that has to be on the machine."""


def is_agent(command: Sequence[str]) -> bool:
    """Return whether the program is a known agent's CLI, whatever it is told to do."""
    return bool(command) and command[0].rpartition("/")[2] in TERMINAL


def recognise(command: Sequence[str]) -> type[Adapter] | None:
    """Return the adapter for a command line that a person gave; None for any other command."""
    place = TERMINAL.get(command[0].rpartition("/")[2]) if command else None
    adapter = _adapter(place) if place is not None else None
    return adapter if adapter is not None and adapter.recognise(command) else None


def for_order(provider_id: str) -> type[Adapter] | None:
    """Return the adapter for a session that is started from afar; None where there is only the terminal."""
    place = DISPATCHED.get(provider_id)
    return _adapter(place) if place is not None else None


def _adapter(place: str) -> type[Adapter]:
    module, _, name = place.partition(":")
    return getattr(import_module(f"{HERE}.{module}"), name)
