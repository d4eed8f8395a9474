"""The page's files: all of a folder, read once and served from memory.

Nothing but what was found in the folder at the start has a name here, so that no path can lead anywhere else.
"""

import gzip
import hashlib
from functools import cache
from pathlib import Path

import attrs

from townwatch.transports.edge.server import Request, Response, error_response

INDEX = "index.html"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".ttf": "font/ttf",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
"""What is served, and as what. Other files of the folder (sources, notes) are not."""
COMPRESSED = frozenset({".css", ".html", ".js", ".json", ".map", ".mjs", ".svg", ".ttf", ".wasm", ".webmanifest"})
MIN_COMPRESSED_BYTES = 512
CSP = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'{sockets}; worker-src 'self'; manifest-src 'self'; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
PERMISSIONS = "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()"


@attrs.frozen
class File:
    """One file, ready to be sent."""

    body: bytes
    zipped: bytes | None
    media_type: str
    tag: str


class Page:
    """An edge handler for the files below a folder; `/` is its index.html."""

    def __init__(self, root: Path) -> None:
        """Reads every file of a known type below `root`. Blocks: call it before the loop, or in a thread."""
        self._files = {
            path.relative_to(root).as_posix(): _load(path)
            for path in sorted(root.rglob("*"))
            if path.is_file() and path.suffix in TYPES and path.resolve().is_relative_to(root.resolve())
        }

    async def __call__(self, request: Request) -> Response:
        """The file that the path names."""
        if request.method not in ("GET", "HEAD"):
            return error_response(405, "E_METHOD", "files can be read only", [("allow", "GET, HEAD")])
        file = self._files.get(request.path.removeprefix("/") or INDEX)
        if file is None:
            return error_response(404, "E_NOT_FOUND", f"there is nothing at {request.path[:200]}")
        headers = [*security_headers(request), ("etag", file.tag), ("cache-control", "no-cache")]
        if file.zipped is not None:
            headers.append(("vary", "accept-encoding"))
        if file.tag in [tag.strip().removeprefix("W/") for tag in request.header("if-none-match").split(",")]:
            return Response(304, b"", headers)
        headers.append(("content-type", file.media_type))
        if file.zipped is not None and _takes_gzip(request):
            return Response(200, file.zipped, [*headers, ("content-encoding", "gzip")], shared=True)
        return Response(200, file.body, headers, shared=True)

    def paths(self) -> list[str]:
        """Return the paths that are served, below the root."""
        return list(self._files)


@cache
def page_of(root: Path) -> Page:
    """Return the page below a folder, read once in a process. Blocks the first time."""
    return Page(root)


def security_headers(request: Request) -> list[tuple[str, str]]:
    """Return the headers that keep a page from running, framing or leaking what it should not."""
    return [
        ("content-security-policy", CSP.format(sockets=_sockets(request))),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("permissions-policy", PERMISSIONS),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("x-frame-options", "DENY"),
    ]


def _sockets(request: Request) -> str:
    """Name this host's WebSockets: older browsers do not count them as 'self'."""
    host = request.header("host")
    plain = all(character.isalnum() or character in ".-:[]" for character in host)
    return f" ws://{host} wss://{host}" if host and plain and host.isascii() else ""


def _takes_gzip(request: Request) -> bool:
    offers = [offer.replace(" ", "").lower() for offer in request.header("accept-encoding").split(",")]
    return any(
        offer == "gzip" or (offer.startswith("gzip;q=") and not offer.startswith("gzip;q=0")) for offer in offers
    )


def _load(path: Path) -> File:
    body = path.read_bytes()
    zipped = None
    if path.suffix in COMPRESSED and len(body) >= MIN_COMPRESSED_BYTES:
        zipped = gzip.compress(body, compresslevel=6, mtime=0)
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    return File(body, zipped, TYPES[path.suffix], tag)
