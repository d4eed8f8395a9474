"""Spans for an OpenTelemetry collector: what one is, how it is written (OTLP/HTTP, JSON), how it is sent."""
