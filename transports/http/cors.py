"""CORS: pages of allowed origins may use the REST API as its own page does, with a token and never with cookies."""

from collections.abc import Sequence

from townwatch.transports.edge.http import Request

REQUEST_HEADERS = "authorization, content-type, idempotency-key, if-none-match"
METHODS = "GET, POST, PUT, PATCH, DELETE"
EXPOSED = "retry-after, idempotency-replayed, x-next-after, etag, www-authenticate, content-disposition"
PREFLIGHT_SECONDS = 600


def cors(request: Request, allowed: Sequence[str]) -> list[tuple[str, str]]:
    """Return the headers that tell a browser whether a page of the request's origin may read the answer.

    A page of an origin that is not allowed gets none: its browser keeps the answer from it. A request that a browser
    sends without asking first (no preflight) changes nothing here, since every change needs a token in a header.
    """
    if not allowed:
        return []
    vary = [("vary", "origin")]  # for caches: the answer to one origin is not the one to another
    origin = request.only("origin")
    if origin is None or origin not in allowed:
        return vary
    granted = [("access-control-allow-origin", origin), ("access-control-expose-headers", EXPOSED), *vary]
    if request.method == "OPTIONS" and request.only("access-control-request-method") is not None:
        granted += [
            ("access-control-allow-methods", METHODS),
            ("access-control-allow-headers", REQUEST_HEADERS),
            ("access-control-max-age", str(PREFLIGHT_SECONDS)),
        ]
    return granted
