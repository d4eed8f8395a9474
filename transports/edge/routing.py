"""Routing of a path to its handler, and the hosts that are answered for."""

from collections.abc import Collection
from ipaddress import ip_address
from typing import Any

from townwatch.transports.edge.http import Request, Response, Unacceptable, error_response


def longest_prefix(table: dict[str, Any], path: str) -> str | None:
    """Return the longest prefix in the table that ends where a part of the path ends."""
    found = [p for p in table if path == p or path.startswith(p if p.endswith("/") else f"{p}/")]
    return max(found, key=len) if found else None


def host_allowed(host: str, names: Collection[str]) -> bool:
    """Return whether a request may name this host. Against DNS rebinding: only names that are ours, and addresses."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() and not host.endswith("]") else host
    name = name.strip("[]").lower()
    if name in names:
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def strip_prefix(request: Request, prefix: str) -> None:
    """Take the prefix off a request's path. Raises `Unacceptable` with a redirect where only its last slash is missing:
    the page's relative addresses need that.
    """
    if request.raw_path == prefix:
        there = f"{prefix}/?{request.query}" if request.query else f"{prefix}/"
        raise Unacceptable(Response(308, b"", [("location", there)]))
    if request.raw_path.startswith(f"{prefix}/"):
        request.raw_path = request.raw_path.removeprefix(prefix)
        request.path = request.path.removeprefix(prefix)


def upgrade_required(message: str) -> Response:
    """The answer to a request that should have been a WebSocket's, or one of another version."""
    headers = [("upgrade", "websocket"), ("connection", "upgrade"), ("sec-websocket-version", "13")]
    return error_response(426, "E_UPGRADE", message, headers)
