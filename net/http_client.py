"""The one HTTP client: one deadline for a whole request, a limit on its answer; no redirect is followed.

It is httpx on trio. To import httpx takes longer than most requests, so the first of them does it, in a thread.
"""

import ssl
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import attrs
import trio

from townwatch.net.service_url import LOOPBACK

if TYPE_CHECKING:
    import httpx


class NotAnswered(Exception):
    """There was no whole answer: the server was not reached, took too long, or broke off. The message is one line."""


@attrs.frozen
class Reply:
    """The answer, of whatever status. Header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = attrs.field(repr=False)


async def exchange(
    method: str,
    url: str,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    seconds: float,
    max_bytes: int,
    tls: ssl.SSLContext | None = None,
    proxies: bool = False,
    address: str | None = None,
) -> Reply:
    """Send one request on a connection of its own and return the answer.

    Args:
        seconds: for all of it, looking up the name and reading the body included.
        max_bytes: of the body, as it is sent; it is not asked for compressed, and not inflated.
        tls: what an https server is checked with; None: against the authorities that this machine trusts.
        proxies: whether HTTPS_PROXY and its kin count; for this machine itself they never do.
        address: the IP address to connect to, whatever the name in the URL resolves to; the server's certificate is
            checked against the name all the same.

    Raises:
        NotAnswered: with what happened, without the URL.
    """
    try:
        with trio.fail_after(seconds):
            client = await trio.to_thread.run_sync(_client, tls, proxies and urlsplit(url).hostname not in LOOPBACK)
            async with client:
                return await _exchange(client, method, url, body, headers or {}, max_bytes, address)
    except trio.TooSlowError:
        raise NotAnswered(f"no answer within {seconds:g} s") from None
    except Exception as error:
        if not _is_trouble(error):
            raise
        raise NotAnswered(_why(error)) from None


async def _exchange(
    client: "httpx.AsyncClient",
    method: str,
    url: str,
    body: bytes | None,
    headers: Mapping[str, str],
    max_bytes: int,
    address: str | None,
) -> Reply:
    sent = {"accept": "application/json", **headers, "accept-encoding": "identity", "connection": "close"}
    for name, value in sent.items():
        if not (value.isascii() and value.isprintable()):  # not what is in it: it may be a token
            raise NotAnswered(f"{name}: no header has such a sign (the end of a line, a letter with an accent)")
    extensions: dict[str, str] = {}
    if address is not None:
        parts = urlsplit(url)
        sent["host"] = parts.netloc
        if parts.scheme == "https":
            extensions["sni_hostname"] = parts.hostname or ""
        host = f"[{address}]" if ":" in address else address
        url = parts._replace(netloc=host if parts.port is None else f"{host}:{parts.port}").geturl()
    async with client.stream(method, url, content=body, headers=sent, extensions=extensions) as response:
        parts, size = list[bytes](), 0
        with trio.CancelScope() as enough:  # a raise here would leave the library's generators suspended
            async for part in response.aiter_raw():
                size += len(part)
                if size > max_bytes:
                    enough.cancel()
                else:
                    parts.append(part)
        if size > max_bytes:
            raise ValueError(f"the answer is longer than {max_bytes} bytes")
        return Reply(response.status_code, dict(response.headers), b"".join(parts))


def _client(tls: ssl.SSLContext | None, proxies: bool) -> "httpx.AsyncClient":
    """Make a client. Blocks: for modules, and for the files of the authorities that this machine trusts."""
    import httpx

    checked = tls or _trusted()
    return httpx.AsyncClient(verify=checked, trust_env=proxies, timeout=None, follow_redirects=False)


@lru_cache(maxsize=1)
def _trusted() -> ssl.SSLContext:
    """Return the context of the authorities that this machine trusts; reading their files takes a while."""
    return ssl.create_default_context()


def _is_trouble(error: Exception) -> bool:
    """Return whether an error is the network's, the other server's or the address's, and not a mistake of ours."""
    import httpx

    return isinstance(error, OSError | ValueError | ImportError | httpx.HTTPError | httpx.InvalidURL)


def _why(error: BaseException) -> str:
    """Return the first text in the chain of causes: the libraries' own errors may have none."""
    seen: BaseException | None = error
    while seen is not None:
        if text := " ".join(str(seen).split()):
            return text
        seen = seen.__cause__ or seen.__context__
    return type(error).__name__
