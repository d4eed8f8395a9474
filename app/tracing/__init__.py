"""Traces for an OpenTelemetry collector: what they say is in docs/telemetry.md."""
