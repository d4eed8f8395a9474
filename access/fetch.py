"""Asking another server over HTTPS: off the loop, bounded in time and size, without following redirects."""

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from http.client import HTTPException
from typing import Any, cast

import attrs
import trio

MAX_BYTES = 1 << 20
SECONDS = 5.0
_AT_ONCE = 8
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_CHUNK = 64 * 1024


class NotFetched(Exception):
    """The server could not be reached, took too long, or answered nothing of use. The message says which."""


@attrs.frozen
class Answer:
    """What the server said."""

    status: int
    body: bytes = attrs.field(repr=False)

    def json(self) -> dict[str, Any]:
        """The body as a JSON object. Raises `NotFetched`."""
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise NotFetched(f"HTTP {self.status}, and no JSON object")
        return cast("dict[str, Any]", found)


Fetch = Callable[[str, Mapping[str, str] | None, Mapping[str, str]], Answer]
"""(url, the fields of a form to POST or None to GET, headers) → the answer. Blocks. Raises OSError or ValueError."""


def demand_safe(url: str) -> str:
    """The URL itself. Raises ValueError where it is not https (http is for this machine)."""
    parts = urllib.parse.urlsplit(url)
    plain = parts.scheme == "http" and parts.hostname in _LOOPBACK
    if not parts.hostname or not (parts.scheme == "https" or plain):
        raise ValueError(f"{url}: must be an https address")
    return url


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None  # the configured host answers, or nobody does


def fetch(url: str, form: Mapping[str, str] | None, headers: Mapping[str, str]) -> Answer:
    """The answer of whatever status. Blocks for `SECONDS` at most. Raises OSError or ValueError."""
    deadline = time.monotonic() + SECONDS
    opener = urllib.request.build_opener(_NoRedirect)
    data = None if form is None else urllib.parse.urlencode(form).encode()
    request = urllib.request.Request(demand_safe(url), data, {"Accept": "application/json", **headers})
    try:
        try:
            response = opener.open(request, timeout=SECONDS)
        except urllib.error.HTTPError as error:
            response = error
        with response:
            return Answer(int(response.status or 0), _body(response, deadline))
    except HTTPException as error:
        raise ConnectionError(f"{type(error).__name__}: this is no HTTP") from None


def _body(response: Any, deadline: float) -> bytes:
    """All of it, within the deadline for the whole: a timeout of the socket is one for each read."""
    parts: list[bytes] = []
    left = MAX_BYTES
    while chunk := response.read1(_CHUNK):
        left -= len(chunk)
        if left < 0:
            raise ValueError(f"longer than {MAX_BYTES} bytes")
        if time.monotonic() > deadline:
            raise TimeoutError("took too long")
        parts.append(chunk)
    return b"".join(parts)


class Fetcher:
    """`fetch` from the loop, a few at a time."""

    def __init__(self, how: Fetch = fetch) -> None:
        self._how = how
        self._limiter = trio.CapacityLimiter(_AT_ONCE)

    async def __call__(
        self, url: str, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """The answer, of whatever status. Raises `NotFetched`."""
        try:
            # Abandoned when it takes longer: looking up a name has no timeout of its own.
            with trio.fail_after(SECONDS):
                return await trio.to_thread.run_sync(
                    self._how, url, form, headers or {}, abandon_on_cancel=True, limiter=self._limiter
                )
        except trio.TooSlowError:
            raise NotFetched(f"no answer within {SECONDS:g} s") from None
        except (OSError, ValueError) as error:
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            raise NotFetched(str(reason) or type(error).__name__) from None
