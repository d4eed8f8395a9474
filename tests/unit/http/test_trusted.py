"""Whose a request is behind proxies: by the last hop that no trusted proxy is."""

import pytest

from townwatch.transports.edge.trusted import TrustedProxies

PROXY = "10.0.0.1"
TRUSTED = TrustedProxies([PROXY, "10.1.0.0/16", "2001:db8:ffff::/48"])


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("6.6.6.6, 198.51.100.7", "198.51.100.7"),
        ("6.6.6.6, 198.51.100.7, 10.1.2.3", "198.51.100.7"),
        ("198.51.100.7, 2001:db8:ffff::1, 10.1.2.3 ", "198.51.100.7"),
        ("198.51.100.7:40123", "198.51.100.7"),
        ("[2001:db8::7]:443", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("2001:DB8:0::7", "2001:db8::7"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("198.51.100.7,", "198.51.100.7"),
        ("6.6.6.6, unknown", PROXY),
        ("6.6.6.6, _hidden", PROXY),
        ("6.6.6.6, 10.1.0.9, x", PROXY),
        ("10.1.2.3", PROXY),
        ("", PROXY),
        (" , ", PROXY),
    ],
)
def test_the_last_hop_that_is_no_trusted_proxy_is_the_client(forwarded: str, client: str) -> None:
    assert TRUSTED.client_of(forwarded, PROXY) == client
    head = f"GET / HTTP/1.1\r\nHost: x\r\nx-Forwarded-FOR:{forwarded}\r\nA: b\r\n\r\n".encode()
    assert TRUSTED.client_of_head(head, PROXY) == client


def test_more_than_one_field_is_one_list() -> None:
    head = b"GET / HTTP/1.1\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 198.51.100.7\r\n\r\n"
    assert TRUSTED.client_of_head(head, PROXY) == "198.51.100.7"


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nX-Forwarded-For: 198.51.100",
        b"POST / HTTP/1.1\r\nHost: x\r\n\r\n\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n",
        b"\x16\x03\x01",
        b"",
    ],
)
def test_what_is_not_there_whole_or_stands_in_the_body_tells_nothing(head: bytes) -> None:
    assert TRUSTED.client_of_head(head, PROXY) == PROXY


def test_who_is_trusted() -> None:
    assert PROXY in TRUSTED
    assert "::ffff:10.0.0.1" in TRUSTED
    assert "10.0.0.2" not in TRUSTED
    assert "" not in TRUSTED
    assert PROXY not in TrustedProxies()
    with pytest.raises(ValueError, match="'proxy' is no address"):
        TrustedProxies(["proxy"])
