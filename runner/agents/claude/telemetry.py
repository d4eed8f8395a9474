"""Claude Code's telemetry (OTLP logs as JSON): what it used and what that cost, and who decided about a tool. Pure.

The only channel that says who answered a dialog: ``tool_decision.source`` is ``hook`` for us, ``user_…`` for the person
at the terminal.
"""

from collections.abc import Iterator, Mapping
from typing import Any, cast

import attrs

from townwatch.runner.agents import events as a
from townwatch.runner.agents.claude.tools import fields_of

LOGS_PATH = "/v1/logs"
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
        "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": f"{base_url}{LOGS_PATH}",
        "OTEL_EXPORTER_OTLP_LOGS_HEADERS": f"Authorization=Bearer%20{token}",
        "OTEL_LOGS_EXPORT_INTERVAL": str(EXPORT_MS),
    }


def records(export: Any) -> Iterator[dict[str, Any]]:
    """Yield the attributes of each log record in an export."""
    for resource in _list(fields_of(export).get("resourceLogs")):
        for scope in _list(fields_of(resource).get("scopeLogs")):
            for record in _list(fields_of(scope).get("logRecords")):
                yield attributes(record)


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
            return a.Tokens(
                input_tokens=_int(found.get("input_tokens")) + _int(found.get("cache_creation_tokens")),
                output_tokens=_int(found.get("output_tokens")),
                cache_read_tokens=_int(found.get("cache_read_tokens")),
                cost_usd=_float(found["cost_usd"]) if found.get("cost_usd") is not None else None,
                model=str(found["model"]) if found.get("model") else None,
            )
        case "tool_decision" if found.get("tool_use_id"):
            local = str(found.get("source", "")).startswith("user_")
            return ToolDecision(str(found["tool_use_id"]), found.get("decision") == "accept", local)
        case _:
            return None


def _list(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def _int(value: Any) -> int:
    return max(0, int(_float(value)))


def _float(value: Any) -> float:
    try:
        return max(0.0, float(value))
    except (TypeError, ValueError):
        return 0.0
