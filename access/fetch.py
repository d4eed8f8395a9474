"""Requests to an identity provider: over HTTPS, bounded in time and size, without following redirects."""

import json
import urllib.parse
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import attrs
import trio

from townwatch.net.http_client import NotAnswered, exchange
from townwatch.net.service_url import LOOPBACK

MAX_BYTES = 1 << 20
SECONDS = 5.0
_AT_ONCE = 8


class NotFetched(Exception):
    """The server could not be reached, took too long, or answered nothing of use. The message says which."""


@attrs.frozen
class FetchedResponse:
    """A server's answer."""

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


Fetch = Callable[[str, Mapping[str, str] | None, Mapping[str, str]], Awaitable[FetchedResponse]]
"""(url, the fields of a form to POST or None to GET, headers) → the answer. Raises OSError or ValueError."""


def demand_safe(url: str) -> str:
    """Return the URL itself.

    Raises:
        ValueError: if it is not https (http is for this machine).
    """
    parts = urllib.parse.urlsplit(url)
    plain = parts.scheme == "http" and parts.hostname in LOOPBACK
    if not parts.hostname or not (parts.scheme == "https" or plain):
        raise ValueError(f"{url}: must be an https address")
    return url


async def fetch(url: str, form: Mapping[str, str] | None, headers: Mapping[str, str]) -> FetchedResponse:
    """Return the answer, of whatever status. A redirect is an answer: only the configured host is talked to.

    Raises:
        OSError: if there was no whole answer.
        ValueError: if the address may not be asked.
    """
    demand_safe(url)
    body = None
    if form is not None:
        body = urllib.parse.urlencode(form).encode()
        headers = {"content-type": "application/x-www-form-urlencoded", **headers}
    method = "GET" if form is None else "POST"
    try:
        reply = await exchange(
            method, url, body=body, headers=headers, seconds=SECONDS, max_bytes=MAX_BYTES, proxies=True
        )
    except NotAnswered as error:
        raise ConnectionError(str(error)) from None
    return FetchedResponse(reply.status, reply.body)


class Fetcher:
    """`fetch`, a few at a time."""

    def __init__(self, how: Fetch = fetch) -> None:
        self._how = how
        self._limiter = trio.CapacityLimiter(_AT_ONCE)

    async def __call__(
        self, url: str, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> FetchedResponse:
        """Return the answer, of whatever status. Raises `NotFetched`."""
        try:
            with trio.fail_after(SECONDS):  # a turn has to come within it, too
                async with self._limiter:
                    return await self._how(url, form, headers or {})
        except trio.TooSlowError:
            raise NotFetched(f"no answer within {SECONDS:g} s") from None
        except (OSError, ValueError) as error:
            raise NotFetched(str(error) or type(error).__name__) from None
