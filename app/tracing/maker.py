"""Makes spans of what the cast and the API measure, and gives them to the exporter."""

import os
import secrets
import socket
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import attrs
from prometheus_client import CollectorRegistry, Counter

from townwatch.app.tracing.sessions import SessionSpans
from townwatch.app.tracing.ways import EventWays
from townwatch.config.settings import ConfigError
from townwatch.config.telemetry import TelemetrySettings
from townwatch.contracts.link import Command, Result
from townwatch.contracts.tracing import context as trace_context
from townwatch.contracts.tracing.context import TraceContext, span_id_of
from townwatch.net.otlp.exporter import SpanExporter, traces_url
from townwatch.net.otlp.spans import Span

Measure = Callable[[str, dict[str, Any]], None]


class SpanMaker:
    """`measure` takes what the cast tells (docs/telemetry.md names what of it becomes spans)."""

    def __init__(self, offer: Callable[[Span], None], sample: float) -> None:
        self._offer = offer
        self._ways = EventWays(offer, sample)
        self._sessions = SessionSpans(offer, secrets.token_hex(4))

    def measure(self, name: str, fields: dict[str, Any]) -> None:
        match name:
            case "received":
                self._ways.received(fields["events"])
            case "durable":
                self._ways.durable(fields["events"])
            case "shown":
                self._ways.shown(fields["by"], fields["events"])
            case "folded":
                self._sessions.heard(fields["before"], fields["state"], fields["events"])
            case "command":
                self._command(**fields)
            case "request":
                self._request(**fields)
            case _:
                pass

    def place(self, header: str | None) -> TraceContext:
        """Return the place of a request in its caller's trace, or in a new one."""
        given = trace_context.read(header)
        return trace_context.begun() if given is None else given.child()

    def _request(self, *, operation: str, route: str, header: str | None, place: TraceContext, began_ns: int,
                 status: int) -> None:  # fmt: skip
        if not place.sampled:
            return
        given = trace_context.read(header)
        self._offer(
            Span(
                name=route,
                kind="server",
                trace_id=place.trace_id,
                span_id=place.span_id,
                parent_id=None if given is None else given.span_id,
                start_ns=began_ns,
                end_ns=time.time_ns(),
                attributes={
                    "http.request.method": route.partition(" ")[0],
                    "http.route": route.partition(" ")[2],
                    "http.response.status_code": status,
                    "townwatch.operation": operation,
                },
                error=f"answered {status}" if status >= 500 else None,
            )
        )

    def _command(self, *, runner: str, command: Command, result: Result, began_ms: int, sent_ms: int | None) -> None:
        """An order and what its runner said. It belongs to the request that gave it; the part that the runner had it
        is a span of its own.
        """
        place = trace_context.read(command.traceparent)
        if place is None or not place.sampled:
            return
        own, now = span_id_of("command", command.command_id, began_ms), time.time_ns()
        said = result.error
        error = None if result.ok else said.code if said is not None else "failed"
        attributes = {
            "townwatch.command": command.command,
            "townwatch.command.id": command.command_id,
            "townwatch.runner.id": runner,
            "townwatch.session.id": command.session_id or (command.config.session_id if command.config else None),
        }
        whole = Span(
            name=f"command {command.command}",
            kind="producer",
            trace_id=place.trace_id,
            span_id=own,
            parent_id=place.span_id,
            start_ns=began_ms * 1_000_000,
            end_ns=now,
            attributes=attributes,
            error=error,
        )
        self._offer(whole)
        if sent_ms is not None:
            there = attrs.evolve(
                whole, name="at the runner", kind="client", span_id=span_id_of(own, "runner"), parent_id=own,
                start_ns=sent_ms * 1_000_000,
            )  # fmt: skip
            self._offer(there)


@attrs.frozen
class Tracing:
    maker: SpanMaker
    exporter: SpanExporter


def tracing_of(settings: TelemetrySettings, registry: CollectorRegistry) -> Tracing | None:
    """Build what traces, from the settings; None where no collector is named. Raises `ConfigError`."""
    if not settings.otlp:
        return None
    if not settings.otlp.startswith(("http://", "https://")):
        raise ConfigError(f"[telemetry] otlp: {settings.otlp!r} is no http(s) address of a collector")
    spans = Counter("townwatch_spans_total", "Spans of traces by what became of them", ["outcome"], registry=registry)
    for outcome in ("sent", "full", "failed", "rejected"):
        spans.labels(outcome)
    own = version("townwatch")
    exporter = SpanExporter(
        url=traces_url(settings.otlp),
        headers=_headers(settings.headers),
        resource={
            "service.name": "townwatch",
            "service.version": own,
            "service.instance.id": f"{socket.gethostname()}:{os.getpid()}",
        },
        version=own,
        count=lambda outcome, number: spans.labels(outcome).inc(number),
    )
    return Tracing(SpanMaker(exporter.offer, settings.sample), exporter)


def _headers(lines: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in lines:
        name, sign, value = line.partition("=")
        if not sign or not name.strip():
            raise ConfigError("[telemetry] headers: each is name=value")
        found[name.strip().lower()] = value.strip()
    return found


def all_of(*takers: Measure) -> Measure:
    """Return what tells each of them."""

    def measure(name: str, fields: dict[str, Any]) -> None:
        for one in takers:
            one(name, fields)

    return measure
