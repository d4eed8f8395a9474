"""Network addresses as keys of limits, and whether one is this machine's."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

IPV6_PREFIX = 64
"""Bits that a provider gives to one customer at least: all addresses below them are one party."""
_NAT64 = ip_network("64:ff9b::/96")


@lru_cache(maxsize=4096)
def network_of(address: str | None) -> str:
    """Return the key under which limits count this address: an IPv4 address itself, the /64 of an IPv6 address.

    IPv4 inside of IPv6 (mapped, 6to4, NAT64) is that IPv4 address. What is no address is its own key.
    """
    found = parsed(address)
    if found is None:
        return (address or "")[:200]
    if isinstance(found, IPv4Address):
        return str(found)
    return f"{IPv6Address(int(found) >> IPV6_PREFIX << IPV6_PREFIX)}/{IPV6_PREFIX}"


def is_loopback(address: str | None) -> bool:
    """Return whether this is an address of the machine itself; a name is none, apart from localhost."""
    found = parsed(address)
    return address == "localhost" if found is None else found.is_loopback


def parsed(address: str | None) -> IPv4Address | IPv6Address | None:
    """Return the address in a text, which may have brackets, a port behind them and a zone; None where it is none."""
    text = (address or "").strip().removeprefix("[").partition("]")[0].partition("%")[0]
    try:
        found = ip_address(text)
    except ValueError:
        return None
    if isinstance(found, IPv4Address):
        return found
    if found in _NAT64:
        return IPv4Address(int(found) & 0xFFFF_FFFF)
    return found.ipv4_mapped or found.sixtofour or found
