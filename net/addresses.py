"""Addresses that a service may call on behalf of people: names are resolved here, and what is not public is refused.

The address that was checked is the one to connect to: a name that is resolved again could answer otherwise.
"""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

import trio

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
_NAT64 = ip_network("64:ff9b::/96")
_UNICAST = ip_network("2000::/3")
"""What of IPv6 is given out to the public. The rest is private, reserved, or another way to write an IPv4 address."""
_NOT_PUBLIC = (ip_network("3fff::/20"), ip_network("192.88.99.0/24"))
"""Documentation, and relays that are no more; the interpreter's own list does not have them."""


class AddressRefused(ValueError):
    """This address may not be called. The message is one line that says why and what to do."""


def networks_of(texts: Iterable[str]) -> tuple[Network, ...]:
    """Read networks as CIDR. Raises ValueError for one that is none."""
    return tuple(ip_network(text.strip(), strict=False) for text in texts)


def target_of(url: str) -> SplitResult:
    """Split an http(s) address with a host and no user. Raises `AddressRefused`."""
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError as error:
        raise AddressRefused(f"this is no address ({error})") from None
    if parts.scheme not in ("http", "https") or not host:
        raise AddressRefused("the address must begin with https:// or http:// and name a host")
    if "@" in parts.netloc:
        raise AddressRefused("the address must not hold a user or a password")
    if not url.isascii() or not url.isprintable() or any(sign in url for sign in " \\"):
        raise AddressRefused("the address must be ASCII without blanks; write other letters percent-encoded")
    return parts


def check_literal(url: str, allowed: Sequence[Network]) -> None:
    """Raise `AddressRefused` for an address that names an IP address which may not be called. Names are not looked
    up.
    """
    found = _parsed(target_of(url).hostname or "")
    if found is not None:
        _demand_public([found], allowed)


async def address_to_call(url: str, allowed: Sequence[Network]) -> str:
    """Resolve the host of a URL and return the address to connect to.

    One address that is not public is enough to refuse the name: a name with both is how a check is got around.

    Raises:
        AddressRefused: it may not be called.
        OSError: the name is not known.
    """
    parts = target_of(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    rows = await trio.socket.getaddrinfo(parts.hostname or "", port, type=trio.socket.SOCK_STREAM)
    found = [ip_address(str(row[4][0]).partition("%")[0]) for row in rows]
    _demand_public(found, allowed)
    return str(found[0])


def _demand_public(found: Sequence[Address], allowed: Sequence[Network]) -> None:
    for address in found:
        inner = _inner(address)
        if any(inner in network for network in allowed if network.version == inner.version):
            continue
        if not _is_public(inner):
            raise AddressRefused(
                f"{inner} is an address of a private network or of this machine; an administrator may allow it"
                " with [webhooks] private_networks"
            )


def _is_public(address: Address) -> bool:
    if not address.is_global or address.is_multicast or any(address in network for network in _NOT_PUBLIC):
        return False
    return address.version == 4 or address in _UNICAST


def _inner(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address stands for, else the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    if address.teredo is not None:
        return address.teredo[1]
    return address.ipv4_mapped or address.sixtofour or address


def _parsed(host: str) -> Address | None:
    try:
        return ip_address(host.partition("%")[0])
    except ValueError:
        return None
