"""Addresses of a service as people write them: with or without a scheme, the page's or the runner endpoint's."""

from urllib.parse import SplitResult, urlsplit

LOOPBACK = ("127.0.0.1", "::1", "localhost")
SCHEMES = {"http": "http", "ws": "http", "https": "https", "wss": "https"}
ENDPOINTS = ("/runner", "/ws", "/index.html", "/api/docs")
NO_TLS_THERE = ("WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE", "UNSUPPORTED_PROTOCOL")


class BadServiceUrl(Exception):
    """A text is no address of a service; the message is one line that says what is."""


def service_base(url: str) -> str:
    """Return http(s)://host[:port][/prefix] for any address of a service, without the name of its page or endpoint.

    An address without a scheme is https, on this machine itself http: `townwatch serve` speaks plain HTTP there.

    Raises:
        BadServiceUrl: another scheme, no host, or a port that is none.
    """
    parts = _split(url)
    prefix = parts.path.rstrip("/")
    for name in ENDPOINTS:
        prefix = prefix.removesuffix(name).rstrip("/")
    return f"{_origin(parts)}{prefix}"


def runner_endpoint(url: str) -> str:
    """Return ws(s)://host[:port]/path of the runner endpoint; the path is /runner where the address has none.

    Raises:
        BadServiceUrl: as `service_base`.
    """
    parts = _split(url)
    path = parts.path if parts.path not in ("", "/") else "/runner"
    return f"ws{_origin(parts).removeprefix('http')}{path}"


def is_loopback(url: str) -> bool:
    """Return whether an address with a scheme is this machine's own."""
    return urlsplit(url).hostname in LOOPBACK


def explain(base: str, trouble: str) -> str:
    """Return why a service was not reached, with what to do where the text of the error alone does not say it."""
    if any(mark in trouble for mark in NO_TLS_THERE) or "wrong version number" in trouble:
        return f"that port does not speak TLS: try {base.replace('https', 'http', 1)} ({trouble})"
    if "CERTIFICATE_VERIFY_FAILED" in trouble:
        return f"its certificate is not trusted here; name who signs it with --ca FILE ({trouble})"
    return trouble


def without_password(url: str) -> str:
    """Return an address, of a database too, as it may be shown."""
    scheme, mark, rest = url.partition("://")
    name, at, where = rest.rpartition("@")
    return f"{scheme}{mark}{name.partition(':')[0]}{at}{where}" if mark else url


def _origin(parts: SplitResult) -> str:
    return f"{SCHEMES[parts.scheme]}://{parts.netloc.rpartition('@')[2]}"


def _split(url: str) -> SplitResult:
    example = "https://townwatch.example is one"
    try:
        parts = urlsplit(url if "://" in url else f"https://{url}")
        named = parts.hostname if parts.port is None or 0 < parts.port < 65536 else None
    except ValueError as error:
        raise BadServiceUrl(f"{url} is no address of a service ({error}): {example}") from None
    if parts.scheme not in SCHEMES:
        raise BadServiceUrl(f"{url} is no address of a service (scheme {parts.scheme!r}): {example}")
    if not named or not url.isprintable() or any(sign in parts.netloc for sign in " \\"):
        raise BadServiceUrl(f"{url} is no address of a service: {example}")
    if "://" not in url and named in LOOPBACK:
        parts = parts._replace(scheme="http")
    return parts
