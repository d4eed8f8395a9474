"""A request of a head, and whose it is where trusted proxies are in front."""

from functools import lru_cache
from sys import intern
from urllib.parse import unquote

import h11

from townwatch.transports.edge.http import Request
from townwatch.transports.edge.trusted import TrustedProxies

_COMMON = frozenset(
    b"accept accept-encoding accept-language cache-control connection host origin pragma priority sec-ch-ua"
    b" sec-ch-ua-mobile sec-ch-ua-platform sec-fetch-dest sec-fetch-mode sec-fetch-site sec-websocket-extensions"
    b" sec-websocket-version upgrade user-agent".split()
)


def describe(head: h11.Request, peer: str, *, trusted: TrustedProxies, scheme: str) -> Request:
    """Return the request of a head. X-Forwarded-For and -Proto are believed only of trusted proxies."""
    target, authority = _origin_form(head.target.decode("latin-1"))
    raw_path, query = (intern(part) for part in target.partition("?")[::2])  # the same for thousands, who keep it
    path = unquote(raw_path) if "%" in raw_path else raw_path
    headers = [_header(bytes(name), bytes(value)) for name, value in head.headers]
    if authority is not None:  # it counts, and not what Host says (RFC 9112, 3.2.2)
        headers = [("host", authority), *(one for one in headers if one[0] != "host")]
    method, version = intern(head.method.decode("latin-1")), intern(head.http_version.decode("latin-1"))
    request = Request(method, path, raw_path, query, headers, peer, scheme, version=version)
    if peer in trusted:
        request.client = trusted.client_of(request.header("x-forwarded-for"), peer)
        said = request.tokens("x-forwarded-proto")
        request.scheme = said[-1] if said and said[-1] in ("http", "https") else scheme
    return request


def _origin_form(target: str) -> tuple[str, str | None]:
    """(path and query, authority) of a request's target; authority None where it is in Host."""
    scheme, found, rest = target.partition("://")
    if not found or scheme.lower() not in ("http", "https"):
        return target, None
    authority, slash, path = rest.partition("/")
    return slash + path if slash else "/", authority


def _header(name: bytes, value: bytes) -> tuple[str, str]:
    """Name and value; the same object for what thousands of clients say alike, for a session keeps its request."""
    if name.lower() in _COMMON and len(value) < 300:
        return _shared(name, value)
    return name.decode("latin-1").lower(), value.decode("latin-1")


@lru_cache(1024)
def _shared(name: bytes, value: bytes) -> tuple[str, str]:
    return name.decode("latin-1").lower(), value.decode("latin-1")
