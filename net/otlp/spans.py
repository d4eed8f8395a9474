"""A span, and many of them as the body of an OTLP/HTTP request in JSON (opentelemetry-proto 1)."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import attrs
import msgspec

Value = str | int | float | bool
Kind = Literal["internal", "server", "client", "producer", "consumer"]
KINDS: dict[Kind, int] = {"internal": 1, "server": 2, "client": 3, "producer": 4, "consumer": 5}
ERROR = 2
TEXT_CHARS = 1024
"""Longest text of an attribute; the rest is cut off."""


@attrs.frozen(kw_only=True)
class Span:
    """A piece of work that is over. Ids are hex; times are epoch nanoseconds. `error`: why it failed."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str | None = None
    start_ns: int
    end_ns: int
    kind: Kind = "internal"
    attributes: Mapping[str, Value | None] = attrs.field(factory=dict[str, "Value | None"])
    """Those that are None are left out."""
    error: str | None = None


def encode(spans: Sequence[Span], resource: Mapping[str, Value], scope: str, version: str) -> bytes:
    """Return the body of a request to ``/v1/traces``."""
    scoped = {"scope": {"name": scope, "version": version}, "spans": [_span(span) for span in spans]}
    whole = {"resourceSpans": [{"resource": {"attributes": _attributes(resource)}, "scopeSpans": [scoped]}]}
    return msgspec.json.encode(whole)


def _span(span: Span) -> dict[str, Any]:
    found: dict[str, Any] = {
        "traceId": span.trace_id,
        "spanId": span.span_id,
        "name": _text(span.name),
        "kind": KINDS[span.kind],
        "startTimeUnixNano": str(span.start_ns),
        "endTimeUnixNano": str(max(span.start_ns, span.end_ns)),
        "attributes": _attributes(span.attributes),
        "flags": 0x01,
    }
    if span.parent_id is not None:
        found["parentSpanId"] = span.parent_id
    if span.error is not None:
        found["status"] = {"code": ERROR, "message": _text(span.error)}
    return found


def _attributes(values: Mapping[str, Value | None]) -> list[dict[str, Any]]:
    return [{"key": name, "value": _value(value)} for name, value in values.items() if value is not None]


def _value(value: Value) -> dict[str, Any]:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case str():
            return {"stringValue": _text(value)}


def _text(value: str) -> str:
    """Return a text that JSON can carry: half a character is none."""
    return value[:TEXT_CHARS].encode(errors="replace").decode()
