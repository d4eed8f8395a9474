"""The metrics as text, for Prometheus, and who may have them without a token."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, generate_latest

from townwatch.contracts.networks import is_loopback
from townwatch.transports.http.deps import Api

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OF_PROXIES = (
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-forwarded-server",
    "x-original-forwarded-for",
    "x-real-ip",
    "x-client-ip",
    "cf-connecting-ip",
    "true-client-ip",
)
"""Headers that a reverse proxy adds: who asks is not on this machine, though the connection comes from it."""


def render(registry: CollectorRegistry) -> bytes:
    """Return a registry in Prometheus' text format."""
    return generate_latest(registry)


def is_open(api: Api, headers: Mapping[str, str], address: str | None) -> bool:
    """Return whether a program of this machine asks, without a proxy in between, where the service is only for it."""
    if not api.metrics_open or any(name in headers for name in OF_PROXIES):
        return False
    return is_loopback(address) and is_loopback(_host(headers.get("host", "")))


def _host(named: str) -> str:
    """The host without its port."""
    return named.partition("]")[0] if named.startswith("[") else named.partition(":")[0].lower()
