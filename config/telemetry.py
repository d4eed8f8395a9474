"""Settings of traces."""

import attrs


@attrs.frozen(kw_only=True)
class TelemetrySettings:
    """Traces to an OpenTelemetry collector, by OTLP over HTTP in JSON (docs/telemetry.md)."""

    otlp: str = ""
    """Address of the collector (http://127.0.0.1:4318); /v1/traces is put behind it. Empty: no traces are made."""
    headers: list[str] = attrs.field(factory=list, repr=False)
    """Headers of each request to it, name=value each. Better set as TOWNWATCH_TELEMETRY_HEADERS than in a file."""
    sample: float = 0.01
    """Share of the runners' events whose way is traced: 0 none, 1 all. Orders and agents' turns are always traced."""
