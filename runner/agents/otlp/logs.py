"""Log records of any agent's CLI, whatever they came in, and what they say of its use of models."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

import trio

from townwatch.runner.agents import events as a
from townwatch.runner.agents.otlp import protobuf

LOGS, METRICS, TRACES = "/v1/logs", "/v1/metrics", "/v1/traces"
PATHS = frozenset({LOGS, METRICS, TRACES})
DEPTH = 16
MOST_BYTES = 4 << 20
"""Of one export."""
INLINE_BYTES = 16 * 1024
"""A longer one is read in a worker thread."""


async def read(content_type: str, body: bytes) -> list[dict[str, Any]]:
    """Return the attributes of each log record of an export, without keeping the loop. Raises `NotOtlp`."""
    if len(body) > MOST_BYTES:
        raise NotOtlp(f"an export may have {MOST_BYTES} bytes")
    if len(body) <= INLINE_BYTES:
        return records(content_type, body)
    return await trio.to_thread.run_sync(records, content_type, body)


class NotOtlp(ValueError):
    """The body is no export of logs."""


def records(content_type: str, body: bytes) -> list[dict[str, Any]]:
    """Return the attributes of each log record of an export. Raises `NotOtlp`."""
    kind = content_type.partition(";")[0].strip().lower()
    try:
        if kind == "application/x-protobuf":
            return list(protobuf.records(body))
        return list(_of_json(json.loads(body)))
    except (ValueError, RecursionError) as error:
        raise NotOtlp(f"no logs in {kind or 'JSON'}: {type(error).__name__}") from None


def _of_json(export: Any) -> Iterator[dict[str, Any]]:
    for resource in _list(_map(export).get("resourceLogs")):
        for scope in _list(_map(resource).get("scopeLogs")):
            for record in _list(_map(scope).get("logRecords")):
                found = {
                    str(_map(one).get("key")): _plain(_map(one).get("value"), 0)
                    for one in _list(_map(record).get("attributes"))
                }
                if isinstance(name := _map(record).get("eventName"), str):
                    found.setdefault("event.name", name)
                yield found


def _plain(value: Any, depth: int) -> Any:
    """Read an AnyValue of JSON; 64-bit numbers may be texts there, and stay so."""
    for kind, found in _map(value).items():
        match kind:
            case "arrayValue" if depth < DEPTH:
                return [_plain(one, depth + 1) for one in _list(_map(found).get("values"))]
            case "kvlistValue" if depth < DEPTH:
                pairs = _list(_map(found).get("values"))
                return {str(_map(one).get("key")): _plain(_map(one).get("value"), depth + 1) for one in pairs}
            case _:
                return found
    return None


def tokens(record: Mapping[str, Any]) -> a.Tokens | None:
    """Return what one answer of the model used, in the CLI's own figures; None for a record that does not tell."""
    match record.get("event.name"):
        case "api_request" | "claude_code.api_request":
            return a.Tokens(
                input_tokens=count(record.get("input_tokens")) + count(record.get("cache_creation_tokens")),
                output_tokens=count(record.get("output_tokens")),
                cache_read_tokens=count(record.get("cache_read_tokens")),
                cost_usd=number(record.get("cost_usd")),
                model=name(record.get("model")),
            )
        case "gemini_cli.api_response":
            return a.Tokens(
                input_tokens=count(record.get("input_token_count")),
                output_tokens=count(record.get("output_token_count")) + count(record.get("thoughts_token_count")),
                cache_read_tokens=count(record.get("cached_content_token_count")),
                model=name(record.get("model")),
            )
        case "codex.sse_event" if record.get("input_token_count") is not None:
            return a.Tokens(
                input_tokens=count(record.get("input_token_count")),
                output_tokens=count(record.get("output_token_count")),
                cache_read_tokens=count(record.get("cached_token_count")),
                model=name(record.get("model")),
            )
        case _:
            return None


def conventional_tokens(record: Mapping[str, Any]) -> a.Tokens | None:
    """Return what an event of the GenAI conventions tells. A CLI that has events of its own sends these beside them:
    then only its own count.
    """
    if record.get("gen_ai.usage.input_tokens") is None:
        return None
    return a.Tokens(
        input_tokens=count(record.get("gen_ai.usage.input_tokens")),
        output_tokens=count(record.get("gen_ai.usage.output_tokens")),
        cache_read_tokens=count(record.get("gen_ai.usage.cache_read.input_tokens")),
        model=name(record.get("gen_ai.response.model") or record.get("gen_ai.request.model")),
    )


class UsageOfLogs:
    """Use of models as a program's exports tell it, each answer once."""

    def __init__(self) -> None:
        self._has_its_own = False

    def of(self, export: list[dict[str, Any]]) -> list[a.Tokens]:
        """Return what the records of one export used: in the program's own figures once it has sent any."""
        own = [used for used in map(tokens, export) if used is not None]
        self._has_its_own = self._has_its_own or bool(own)
        if self._has_its_own:
            return own
        return [used for used in map(conventional_tokens, export) if used is not None]


def number(value: Any) -> float | None:
    """Return a figure that is none below zero; None where there is none."""
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if 0 <= found < float("inf") else None


def count(value: Any) -> int:
    return int(number(value) or 0)


def name(value: Any) -> str | None:
    return value[:200] if isinstance(value, str) and value else None


def _map(value: Any) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []
