"""What people's proxies do differently, as changes of the blocks in docs/proxies.md."""

import re
from collections.abc import Callable

from tests.integration.proxies.programs import DOCS, TITLES

Change = Callable[[str], str]


def as_it_is(text: str) -> str:
    return text


def without(*names: str) -> Change:
    """The block without the lines that have one of these texts."""
    return lambda text: "\n".join(line for line in text.splitlines() if not any(name in line for name in names))


def swapped(*pairs: tuple[str, str]) -> Change:
    """The block with each of these texts, which must be in it, replaced by another."""

    def change(text: str) -> str:
        for old, new in pairs:
            assert old in text, (old, text)
            text = text.replace(old, new)
        return text

    return change


def in_frontend(*lines: str) -> Change:
    return swapped(("option forwardfor\n", "option forwardfor\n" + "".join(f"    {line}\n" for line in lines)))


def to_caddy(*lines: str) -> Change:
    inner = "".join(f"        {line}\n" for line in lines)
    return swapped(("reverse_proxy 127.0.0.1:8484\n", f"reverse_proxy 127.0.0.1:8484 {{\n{inner}    }}\n"))


NO_UPGRADE: dict[str, Change] = {
    "nginx": without("header Upgrade", "header Connection"),
    "caddy": to_caddy("header_up -Upgrade", "header_up -Connection"),
    "haproxy": in_frontend("http-request del-header Upgrade"),
    "apache": swapped((" upgrade=websocket", "")),
}
NO_HOST: dict[str, Change] = {
    "nginx": without("Host $http_host"),
    "caddy": to_caddy("header_up Host {upstream_hostport}"),
    "haproxy": in_frontend("http-request set-header Host 127.0.0.1:8484"),
    "apache": without("ProxyPreserveHost"),
}
IMPATIENT: dict[str, Change] = {  # Caddy has no limit of its own for what is silent
    "nginx": swapped(("location / {", "location / {\nproxy_read_timeout 1s;")),
    "haproxy": swapped(("timeout tunnel 1h", "timeout tunnel 1s")),
    "apache": swapped(("SSLEngine on\n", "SSLEngine on\n    Timeout 1\n")),
}
BUFFERING: dict[str, Change] = {  # nginx does as it stands
    "caddy": to_caddy("buffer_requests"),
    "haproxy": in_frontend("option http-buffer-request"),
    "apache": swapped(("SSLEngine on\n", "SSLEngine on\n    SetInputFilter BUFFER\n    SetOutputFilter BUFFER\n")),
}


def below_a_path(kind: str) -> Change:
    """The changes that the page names for this proxy: `one text` becomes `another`."""
    section = DOCS.read_text().partition(f"## {TITLES[kind]}\n")[2].partition("\n## ")[0]
    pairs = re.findall(r"`([^`]+)`\s+becomes\s+`([^`]+)`", section)
    assert pairs, f"docs/proxies.md does not say how {kind} publishes a path"
    return swapped(*pairs)
