"""Settings of the edge."""

import resource

import attrs

OTHER_FILES = 256
"""Open files that are left for everything but connections."""
FILES_OF_TLS = 3
"""Open files of a connection with TLS: the network's, and both ends of its plain side."""


@attrs.frozen(kw_only=True)
class EdgeSettings:
    """Settings of the edge: addresses, trusted proxies, limits. Sizes in bytes, times in seconds."""

    host: str = "127.0.0.1"
    port: int = 8484
    max_body: int = 1_000_000
    header_timeout: float = 10.0
    idle_timeout: float = 75.0
    body_timeout: float = 30.0
    stall_timeout: float = 30.0
    """A reader of an answer that takes nothing for so long is cut; one that is slow is waited for."""
    connections: int = 15_000
    """Fewer where the process may not have so many open files. For one more, the one is closed that has waited longest
    for its request; where none waits, the new one.
    """
    path: str = ""
    """A prefix that a request's path may have (/tw): it counts as if it were not there."""
    trusted_proxies: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    """Names that Host may have beside localhost, addresses and `host`."""
    tls_certificate: str | None = None
    tls_key: str | None = None
    tls_client_ca: str | None = None
    """Clients that show a certificate of this CA are known by its names (`Connection.certificate`)."""

    def most(self, *, relays: bool = False) -> int:
        """Return how many connections there may be at once. `relays`: each is handed on through another one."""
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - OTHER_FILES
        each = (FILES_OF_TLS if self.tls_certificate else 1) * (2 if relays else 1)
        return min(self.connections, max(1, files // each))
