"""Trusted proxies: whose word on the address of a client is believed."""

import socket
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network

from townwatch.contracts.networks import parsed

PEEKED_BYTES = 4096
"""Of the first request of a proxy's connection: where its client stands."""
_FORWARDED_FOR = b"\r\nx-forwarded-for:"


class TrustedProxies:
    """Addresses and networks of proxies that are believed. None of none."""

    def __init__(self, named: Iterable[str] = ()) -> None:
        """Raises ValueError, naming what is no address and no network."""
        self._networks = [_network(one) for one in named]
        self._known = lru_cache(1024)(self._look)

    def __contains__(self, address: str) -> bool:
        return bool(self._networks) and self._known(address)

    def client_of(self, forwarded: str, peer: str) -> str:
        """Return the address of a trusted peer's client, by its X-Forwarded-For.

        Each proxy adds the address that it saw at the end: the last one that is no trusted proxy is the client's. What
        stands before it, the client may have made up. An address that cannot be read is not passed over: the client is
        unknown then, and counts as its proxy.
        """
        for hop in reversed([one for one in forwarded.split(",") if one.strip()]):
            address = _address(hop)
            if address is None:
                return peer
            if address not in self:
                return address
        return peer

    def client_of_head(self, head: bytes, peer: str) -> str:
        """As `client_of`, of the bytes with which a request begins; the peer where they do not tell."""
        found, names = list[str](), head.lower().partition(b"\r\n\r\n")[0]
        at = names.find(_FORWARDED_FOR)
        while at >= 0:
            at += len(_FORWARDED_FOR)
            end = names.find(b"\r\n", at)
            if end < 0 and len(names) == len(head):
                return peer  # it goes on behind these bytes
            found.append(names[at : end if end >= 0 else None].decode("latin-1"))
            at = names.find(_FORWARDED_FOR, at)
        return self.client_of(",".join(found), peer) if found else peer

    def client_behind(self, peer: str, sock: socket.socket) -> str:
        """Return the address of the client whose first request has come on this socket, and was not read yet."""
        if peer not in self:
            return peer
        try:
            return self.client_of_head(sock.recv(PEEKED_BYTES, socket.MSG_PEEK), peer)
        except OSError:
            return peer

    def _look(self, address: str) -> bool:
        found = parsed(address)
        return found is not None and any(found in network for network in self._networks)


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text.strip(), strict=False)
    except ValueError:
        raise ValueError(f"{text!r} is no address and no network; a name is not looked up") from None


def _address(hop: str) -> str | None:
    """Return the address in an element of X-Forwarded-For, without brackets and port; None where it has none."""
    text = hop.strip()
    if text.count(":") == 1:  # IPv4 with the port of the connection, as some proxies write it
        text = text.partition(":")[0]
    found = parsed(text)
    return None if found is None else str(found)
