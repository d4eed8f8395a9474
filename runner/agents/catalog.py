"""The agents that this runner knows: which adapter for which command line, and for which order."""

from collections.abc import Sequence

from townwatch.runner.agents.acp.agents import AnyAcp, CopilotAcp, GeminiAcp, QwenAcp
from townwatch.runner.agents.adapter import Adapter
from townwatch.runner.agents.claude.dispatched import ClaudeDispatched
from townwatch.runner.agents.claude.terminal import ClaudeTerminal
from townwatch.runner.agents.codex.adapter import CodexAdapter
from townwatch.runner.agents.copilot.adapter import CopilotTerminal
from townwatch.runner.agents.gemini.adapter import GeminiTerminal
from townwatch.runner.agents.opencode.adapter import OpenCodeAdapter
from townwatch.runner.agents.qwen.adapter import QwenTerminal

TERMINAL: tuple[type[Adapter], ...] = (
    ClaudeTerminal,
    CodexAdapter,
    OpenCodeAdapter,
    GeminiTerminal,
    QwenTerminal,
    CopilotTerminal,
)
"""Adapters that are beside a CLI in a person's terminal."""
DISPATCHED: dict[str, type[Adapter]] = {
    adapter.provider: adapter
    for adapter in (ClaudeDispatched, CodexAdapter, OpenCodeAdapter, GeminiAcp, QwenAcp, CopilotAcp, AnyAcp)
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


def recognise(command: Sequence[str]) -> type[Adapter] | None:
    """Return the adapter for a command line that a person gave; None for any other command."""
    return next((adapter for adapter in TERMINAL if adapter.recognise(command)), None)


def for_order(provider_id: str) -> type[Adapter] | None:
    """Return the adapter for a session that is started from afar; None where there is only the terminal."""
    return DISPATCHED.get(provider_id)
