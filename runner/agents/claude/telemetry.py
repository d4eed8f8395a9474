"""Claude Code's telemetry (OTLP logs): what it used and what that cost, and who decided about a tool. Pure.

The only channel that says who answered a dialog: ``tool_decision.source`` is ``hook`` for us, ``user_…`` for the person
at the terminal.
"""

from collections.abc import Mapping
from typing import Any, cast

import attrs

from townwatch.runner.agents import events as a
from townwatch.runner.agents.claude.tools import fields_of
from townwatch.runner.agents.otlp import logs

EXPORT_MS = 250


@attrs.frozen
class ToolDecision:
    """`local`: the person at the terminal decided."""

    tool_use_id: str
    accepted: bool
    local: bool


def environment(base_url: str, token: str, env: Mapping[str, str]) -> dict[str, str]:
    """Return what makes the CLI send its logs to us; nothing where the user's telemetry goes elsewhere."""
    if any(name.startswith("OTEL_") or name == "CLAUDE_CODE_ENABLE_TELEMETRY" for name in env):
        return {}
    return {
        "CLAUDE_CODE_ENABLE_TELEMETRY": "1",
        "OTEL_LOGS_EXPORTER": "otlp",
        "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "http/json",
        "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": f"{base_url}{logs.LOGS}",
        "OTEL_EXPORTER_OTLP_LOGS_HEADERS": f"Authorization=Bearer%20{token}",
        "OTEL_LOGS_EXPORT_INTERVAL": str(EXPORT_MS),
    }


def attributes(record: Any) -> dict[str, Any]:
    """Return a record's attributes as a plain mapping."""
    found: dict[str, Any] = {}
    for one in _list(fields_of(record).get("attributes")):
        value = fields_of(fields_of(one).get("value"))
        found[str(fields_of(one).get("key"))] = next(iter(value.values()), None)
    return found


def read(found: Mapping[str, Any]) -> a.Tokens | ToolDecision | None:
    """Return what a record means; None for those that say nothing new."""
    match found.get("event.name"):
        case "api_request":
            return logs.tokens(found)
        case "tool_decision" if found.get("tool_use_id"):
            local = str(found.get("source", "")).startswith("user_")
            return ToolDecision(str(found["tool_use_id"]), found.get("decision") == "accept", local)
        case _:
            return None


def _list(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []
