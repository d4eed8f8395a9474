"""Addresses that may be called for people: public ones, whatever way a private one is written."""

import pytest

from townwatch.net.addresses import AddressRefused, address_to_call, check_literal, networks_of

PRIVATE = [
    "http://127.0.0.1/",
    "http://10.1.2.3/",
    "http://192.168.0.1:8080/x",
    "http://169.254.169.254/latest/meta-data",
    "http://0.0.0.0/",
    "http://100.64.0.1/",
    "http://224.0.0.1/",
    "http://[::1]/",
    "http://[fe80::1%25eth0]/",
    "http://[fd00::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[::127.0.0.1]/",
    "http://[::ffff:0:127.0.0.1]/",
    "http://[64:ff9b:1::7f00:1]/",
    "http://[fec0::1]/",
    "http://[3fff::1]/",
    "http://[2001:db8::1]/",
    "http://192.88.99.1/",
]


@pytest.mark.parametrize("url", PRIVATE)
def test_private_addresses_are_refused(url: str) -> None:
    with pytest.raises(AddressRefused, match="private_networks"):
        check_literal(url, ())


@pytest.mark.parametrize("url", ["http://0x7f.1/", "http://2130706433/", "http://localhost/"])
async def test_other_ways_to_write_this_machine_are_refused_when_they_are_resolved(url: str) -> None:
    with pytest.raises(AddressRefused):
        await address_to_call(url, ())


@pytest.mark.parametrize(
    "url",
    ["ftp://example.org/", "file:///etc/passwd", "http://u:p@example.org/", "https:///x", "http://[::1", "http://a b/"],
)
def test_what_is_no_plain_http_address_is_refused(url: str) -> None:
    with pytest.raises(AddressRefused):
        check_literal(url, networks_of(["0.0.0.0/0"]))


async def test_an_operator_may_allow_networks() -> None:
    allowed = networks_of(["127.0.0.0/8"])
    assert await address_to_call("http://127.0.0.1:1/", allowed) == "127.0.0.1"
    with pytest.raises(AddressRefused):
        await address_to_call("http://10.0.0.1/", allowed)


def test_public_addresses_pass() -> None:
    check_literal("https://93.184.216.34/hook", ())
    check_literal("https://[2606:2800:220:1::1]/hook", ())
