"""Asking the service's REST API from a runner: one POST, bounded in time and size, with the runner's own TLS."""

import json
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urlsplit

import attrs
import h11
import trio

from runner.tls import Tls, open_stream

SECONDS = 20.0
MAX_BYTES = 64 * 1024
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class AskingFailed(Exception):
    """The service could not be asked, or said no. One line for the person at the terminal."""


@attrs.frozen
class Service:
    """Where a service is: `base` is http(s)://host[:port]."""

    base: str

    @classmethod
    def at(cls, url: str, *, plain: bool = False) -> "Service":
        """From any address of it: the page's, or the runner endpoint's. Raises `AskingFailed`.

        `plain`: whether secrets may go over an unencrypted line to another machine.
        """
        parts = urlsplit(url if "://" in url else f"https://{url}")
        scheme = {"http": "http", "ws": "http", "https": "https", "wss": "https"}.get(parts.scheme)
        if scheme is None or not parts.hostname:
            raise AskingFailed(f"{url} is no address of a service: https://host is one")
        if scheme == "http" and not plain and parts.hostname not in _LOOPBACK:
            raise AskingFailed(
                f"{url} would carry the token in the clear: use https, or --plain in a network of your own"
            )
        return cls(f"{scheme}://{parts.netloc.rpartition('@')[2]}")

    @property
    def runner_url(self) -> str:
        """Of the runners' WebSocket."""
        return "ws" + self.base.removeprefix("http") + "/runner"


async def post(service: Service, path: str, body: Any, *, token: str = "", tls: Tls | None = None) -> dict[str, Any]:
    """The answer's JSON object. Raises `AskingFailed`, with what the service said."""
    try:
        with trio.fail_after(SECONDS):
            status, content = await _exchange(service, path, json.dumps(body).encode(), token, tls or Tls())
    except trio.TooSlowError:
        raise AskingFailed(f"{service.base} did not answer within {SECONDS:g} s") from None
    except (OSError, ValueError, trio.BrokenResourceError, h11.RemoteProtocolError) as error:
        raise AskingFailed(f"{service.base}: {_why(error)}") from None
    try:
        found = json.loads(content)
    except ValueError:
        raise AskingFailed(f"{service.base} answered HTTP {status}, and no JSON: is this a Townwatch?") from None
    answer = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
    if not 200 <= status < 300:
        problem: Mapping[str, Any] = answer.get("error") or {}
        raise AskingFailed(f"{service.base}: {problem.get('message', f'HTTP {status}')}")
    return answer


async def _exchange(service: Service, path: str, body: bytes, token: str, tls: Tls) -> tuple[int, bytes]:
    where = urlsplit(service.base)
    headers = [
        ("Host", where.netloc),
        ("Content-Type", "application/json"),
        ("Accept", "application/json"),
        ("Content-Length", str(len(body))),
        ("Connection", "close"),
    ]
    if token:
        headers.append(("Authorization", f"Bearer {token}"))
    stream = await open_stream(service.base, tls)
    try:
        http = h11.Connection(h11.CLIENT)
        request = h11.Request(method="POST", target=path, headers=headers)
        await stream.send_all((http.send(request) or b"") + (http.send(h11.Data(data=body)) or b""))
        http.send(h11.EndOfMessage())
        return await _answer(http, stream)
    finally:
        await trio.aclose_forcefully(stream)


async def _answer(http: h11.Connection, stream: trio.abc.Stream) -> tuple[int, bytes]:
    status, content = 0, b""
    while True:
        event = http.next_event()
        match event:
            case h11.NEED_DATA:
                http.receive_data(bytes(await stream.receive_some(16 * 1024)))
            case h11.Response():
                status = event.status_code
            case h11.Data():
                content += bytes(event.data)
                if len(content) > MAX_BYTES:
                    raise ValueError("the answer is too long")
            case h11.EndOfMessage():
                return status, content
            case _:
                raise ValueError("the answer ended before it was whole")


def _why(error: Exception) -> str:
    if isinstance(error, trio.BrokenResourceError) and error.__cause__ is not None:
        return str(error.__cause__)
    return str(error) or type(error).__name__
