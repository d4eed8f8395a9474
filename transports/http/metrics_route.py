"""The metrics as text, for Prometheus."""

from prometheus_client import CollectorRegistry, generate_latest

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def render(registry: CollectorRegistry) -> bytes:
    """All of a registry in Prometheus' text format."""
    return generate_latest(registry)
