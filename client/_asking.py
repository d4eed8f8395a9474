"""One request to the REST API: the token, the answer as a class of the contract, and the errors."""

import os
import ssl
from functools import cache
from typing import Any, TypeVar, cast
from urllib.parse import quote, urlencode

import attrs

from townwatch.contracts.codec import ContractError, Decoder, decode_json, encode
from townwatch.net.http_client import NotAnswered, exchange
from townwatch.net.service_url import explain, service_base

T = TypeVar("T")
SECONDS = 60.0
MAX_BYTES = 64 << 20


class NotReached(Exception):
    """The service was not reached, or what answered is none. Whether it did what was asked is not known."""


class ServiceError(Exception):
    """The service said no. `code` is for programs (E_NOT_FOUND, E_DECIDED …), the message for people."""

    def __init__(self, status: int, code: str, message: str, details: Any = None) -> None:
        super().__init__(message)
        self.status, self.code, self.details = status, code, details


@attrs.frozen(kw_only=True)
class Asking:
    """A service, as the person of a token."""

    url: str
    token: str = attrs.field(repr=False)
    tls: ssl.SSLContext | None = attrs.field(default=None, repr=False)

    @classmethod
    def of(cls, url: str | None, token: str | None, tls: ssl.SSLContext | None) -> "Asking":
        """Take what is left out from TOWNWATCH_URL and TOWNWATCH_TOKEN. Raises ValueError where that is not set."""
        base, secret = url or os.environ.get("TOWNWATCH_URL"), token or os.environ.get("TOWNWATCH_TOKEN")
        if not base or not secret:
            missing = "url, or TOWNWATCH_URL" if not base else "token, or TOWNWATCH_TOKEN"
            raise ValueError(f"{missing}, is needed")
        return cls(url=service_base(base), token=secret, tls=tls)

    async def ask(self, answer: type[T], method: str, path: str, body: Any = None, **query: Any) -> T:
        """Return the answer. Raises `ServiceError` and `NotReached`."""
        given = {name: str(value).lower() if isinstance(value, bool) else value for name, value in query.items()}
        text = urlencode({name: value for name, value in given.items() if value is not None})
        headers = {"authorization": f"Bearer {self.token}"}
        if body is not None:
            headers["content-type"] = "application/json"
        try:
            reply = await exchange(
                method,
                f"{self.url}{path}{'?' + text if text else ''}",
                body=None if body is None else encode(body),
                headers=headers,
                seconds=SECONDS,
                max_bytes=MAX_BYTES,
                tls=self.tls,
                proxies=True,
            )
        except NotAnswered as error:
            raise NotReached(f"{self.url}: {explain(self.url, str(error))}") from None
        try:
            found = decode_json(reply.body, max_bytes=MAX_BYTES)
            if 200 <= reply.status < 300:
                return _decoder(answer).convert(found)
        except ContractError as error:
            raise NotReached(f"{self.url} answered HTTP {reply.status}, and not as we know it: {error}") from None
        raise _refusal(reply.status, found)


@cache
def _decoder(cls: type[T]) -> Decoder[T]:
    return Decoder(cls)


def _refusal(status: int, found: Any) -> ServiceError:
    told: Any = cast("dict[str, Any]", found).get("error") if isinstance(found, dict) else None
    problem = cast("dict[str, Any]", told) if isinstance(told, dict) else {}
    code, message = str(problem.get("code", "")), str(problem.get("message", f"HTTP {status}"))
    return ServiceError(status, code, message, problem.get("details"))


def part(text: str) -> str:
    """Return a text as one part of a path."""
    return quote(text, safe="")
