"""Hosts of an address that a tool is to fetch. Pure.

Programs read the same address differently: browsers and Node take a backslash for a slash and leave out tabs and line
ends, others do not. So each reading is returned: an allow has to cover all of them, one denial is enough.
"""

import re

from townwatch.policy.commands.hosts import normal_host

UNREADABLE = ""
"""Stands for a host that cannot be told: no allow covers it, and an ask or a deny of any host is met."""
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?![0-9]+(?:[/?#]|$))")
"""Not the port behind a host that is written without a scheme."""
_IN_TEXT = re.compile(r"(?<=[A-Za-z0-9+.-])://([^/\s?#]+)")
"""The part behind a scheme; the scheme itself is not looked at, for that would take time that grows with its square."""
_NO_HOST = frozenset({"file", "data", "javascript", "about", "blob", "mailto", "view-source"})
_AROUND = "".join(map(chr, range(0x21)))
_LEFT_OUT = str.maketrans("", "", "\t\n\r")


def hosts_of_address(text: str) -> list[str]:
    """Return the host that each way of reading an address comes to, normalised, and those of addresses in its path and
    query, which it may lead to; empty where it names none.
    """
    text = text.strip(_AROUND)
    found: list[str] = []
    for reading in (text.translate(_LEFT_OUT).replace("\\", "/"), text):
        scheme = _SCHEME.match(reading)
        if scheme is not None and scheme[0][:-1].lower() in _NO_HOST:
            return []
        rest = reading if scheme is None else reading[scheme.end() :]
        found.append(_host(re.split(r"[/?#]", rest.lstrip("/"), maxsplit=1)[0]))
    return list(dict.fromkeys([*found, *hosts_in_text(text)])) if text else []


def hosts_in_text(text: str) -> list[str]:
    """Return the host of each address in a text that people read."""
    return [_host(match[1]) for match in _IN_TEXT.finditer(text)]


def _host(authority: str) -> str:
    host = authority.rpartition("@")[2]
    if host.startswith("["):
        name, bracket, port = host.partition("]")
        return (normal_host(name) or UNREADABLE) if bracket and (not port or port[0] == ":") else UNREADABLE
    return UNREADABLE if host.count(":") > 1 else normal_host(host.partition(":")[0]) or UNREADABLE
