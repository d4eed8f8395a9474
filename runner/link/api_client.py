"""One POST to the service's REST API, as the runner: with its own TLS and its token."""

import json
from collections.abc import Mapping
from typing import Any, cast

import attrs
import trio

from townwatch.net.http_client import NotAnswered, exchange
from townwatch.net.service_url import BadServiceUrl, explain, is_loopback, service_base
from townwatch.runner.link.tls import Tls

SECONDS = 20.0
MAX_BYTES = 64 * 1024


class AskingFailed(Exception):
    """The service could not be asked, or said no. One line for the person at the terminal."""


@attrs.frozen
class Service:
    """Address of a service: `base` is http(s)://host[:port][/prefix]."""

    base: str

    @classmethod
    def at(cls, url: str, *, plain: bool = False) -> "Service":
        """Build it from any address of the service: the page's, or the runner endpoint's. Raises `AskingFailed`.

        `plain`: whether secrets may go over an unencrypted line to another machine.
        """
        try:
            base = service_base(url)
        except BadServiceUrl as error:
            raise AskingFailed(str(error)) from None
        if base.startswith("http:") and not plain and not is_loopback(base):
            raise AskingFailed(
                f"{url} would carry the token in the clear: use https, or --plain in a network of your own"
            )
        return cls(base)

    @property
    def runner_url(self) -> str:
        """Return the URL of the runners' WebSocket."""
        return "ws" + self.base.removeprefix("http") + "/runner"


async def post(service: Service, path: str, body: Any, *, token: str = "", tls: Tls | None = None) -> dict[str, Any]:
    """Return the answer's JSON object. Raises `AskingFailed`, with what the service said."""
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
    try:
        context = await trio.to_thread.run_sync((tls or Tls()).context) if service.base.startswith("https") else None
        content = json.dumps(body).encode()
        reply = await exchange(
            "POST",
            service.base + path,
            body=content,
            headers=headers,
            seconds=SECONDS,
            max_bytes=MAX_BYTES,
            tls=context,
        )
    except (OSError, NotAnswered) as error:
        raise AskingFailed(f"{service.base}: {explain(service.base, str(error)) or type(error).__name__}") from None
    try:
        found = json.loads(reply.body)
    except ValueError:
        raise AskingFailed(f"{service.base} answered HTTP {reply.status}, and no JSON: is this a Townwatch?") from None
    answer = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
    if not 200 <= reply.status < 300:
        problem: Mapping[str, Any] = answer.get("error") or {}
        raise AskingFailed(f"{service.base}: {problem.get('message', f'HTTP {reply.status}')}")
    return answer
