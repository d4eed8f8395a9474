"""/api/docs: the OpenAPI document for people, drawn by a small script of our own; nothing comes from the internet."""

from pathlib import Path

from townwatch.transports.http.problems import RestResponse

FOLDER = Path(__file__).resolve().parent / "docs"
CSP = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'"
FILES = {
    "/api/docs": ("index.html", "text/html; charset=utf-8"),
    "/api/docs/docs.js": ("docs.js", "text/javascript; charset=utf-8"),
    "/api/docs/docs.css": ("docs.css", "text/css; charset=utf-8"),
}


def answers() -> dict[str, RestResponse]:
    """Return the answers by their paths. Reads the files now."""
    return {path: _load(name, media_type) for path, (name, media_type) in FILES.items()}


def _load(name: str, media_type: str) -> RestResponse:
    headers = {
        "content-security-policy": f"{CSP}; form-action 'none'; frame-ancestors 'none'",
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cache-control": "no-cache",
    }
    return RestResponse(200, (FOLDER / name).read_bytes(), media_type, headers)
