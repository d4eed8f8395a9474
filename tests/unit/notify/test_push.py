"""Encryption and identification of web push, against the example of the RFC and an implementation of the tests' own."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.browser_push import PushBrowser
from townwatch.notify.forms.encrypted import MAX_PLAIN, PAD, encrypt
from townwatch.notify.vapid import Vapid, from_base64url, to_base64url


def test_the_example_of_rfc_8291() -> None:
    key = ec.derive_private_key(
        int.from_bytes(from_base64url("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw")), ec.SECP256R1()
    )
    browser = from_base64url("BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4")
    auth, salt = from_base64url("BTBZMqHH6r4Tts7J_aSIgg"), from_base64url("DGv6ra1nlYgDCS1FRnbzlw")
    made = encrypt(b"When I grow up, I want to be a watermelon", browser, auth, key=key, salt=salt)
    assert to_base64url(made) == (
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A"
        "_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    )


@pytest.mark.parametrize("length", [0, 1, PAD, MAX_PLAIN - 1, MAX_PLAIN])
def test_a_browser_reads_it_and_its_length_tells_little(length: int) -> None:
    browser, message = PushBrowser(), b"\x02" * length
    made = encrypt(message, browser.public, browser.auth)
    assert browser.decrypt(made) == message
    assert len(made) <= 4096
    assert made != encrypt(message, browser.public, browser.auth), "a key and a salt of its own for each message"


def test_what_is_too_long_or_no_key_is_refused() -> None:
    browser = PushBrowser()
    with pytest.raises(ValueError, match="at most"):
        encrypt(b"x" * (MAX_PLAIN + 1), browser.public, browser.auth)
    for wrong in (b"", b"\x04" + b"\x01" * 64, browser.public[:-1]):
        with pytest.raises(ValueError):
            encrypt(b"x", wrong, browser.auth)


def test_the_key_is_the_services_own_and_stays_the_same() -> None:
    first, again, other = (Vapid(secret * 32, "mailto:a@b.example") for secret in (b"a", b"a", b"b"))
    assert first.public == again.public != other.public
