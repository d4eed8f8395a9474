"""/api/docs: the OpenAPI document for people, drawn by a small script of our own; nothing comes from the internet."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from transports.http.problems import Answer

FOLDER = Path(__file__).resolve().parent / "docs"
CSP = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'"
FILES = {
    "/api/docs": ("index.html", "text/html; charset=utf-8"),
    "/api/docs/docs.js": ("docs.js", "text/javascript; charset=utf-8"),
    "/api/docs/docs.css": ("docs.css", "text/css; charset=utf-8"),
}


def answers() -> dict[str, Callable[[], Awaitable[Answer]]]:
    """Path → what answers there. Reads the files now."""
    return {path: _always(_load(name, media_type)) for path, (name, media_type) in FILES.items()}


def _load(name: str, media_type: str) -> Answer:
    headers = {
        "content-security-policy": f"{CSP}; form-action 'none'; frame-ancestors 'none'",
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cache-control": "no-cache",
    }
    return Answer(200, (FOLDER / name).read_bytes(), media_type, headers)


def _always(answer: Answer) -> Callable[[], Awaitable[Answer]]:
    async def answers_it() -> Answer:
        return answer

    return answers_it
