"""A browser that takes web push, as RFC 8291 and 8292 say, apart from our own code: it decrypts with its own key."""

import json
from typing import Any

import attrs
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.support.receiver import Heard
from townwatch.notify.vapid import from_base64url, to_base64url


@attrs.define(eq=False)
class PushBrowser:
    """Its key and its secret; the push service is a `Receiver`."""

    key: ec.EllipticCurvePrivateKey = attrs.field(factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    auth: bytes = b"0123456789abcdef"

    @property
    def public(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def subscription(self, endpoint: str) -> dict[str, str]:
        """As the page sends it."""
        return {"endpoint": endpoint, "p256dh": to_base64url(self.public), "auth": to_base64url(self.auth)}

    def decrypt(self, body: bytes) -> bytes:
        """Return the message of one record."""
        salt, size, length = body[:16], int.from_bytes(body[16:20]), body[20]
        sender, sealed = body[21 : 21 + length], body[21 + length :]
        assert len(body) <= 4096 and len(sealed) <= size
        shared = self.key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), sender))
        secret = derive(self.auth, shared, b"WebPush: info\x00" + self.public + sender, 32)
        nonce = derive(salt, secret, b"Content-Encoding: nonce\x00", 12)
        plain = AESGCM(derive(salt, secret, b"Content-Encoding: aes128gcm\x00", 16)).decrypt(nonce, sealed, None)
        message, mark, padding = plain.rpartition(b"\x02")
        assert mark and not padding.strip(b"\x00")
        return message

    def message(self, heard: Heard) -> dict[str, Any]:
        return json.loads(self.decrypt(heard.body))


def derive(salt: bytes, secret: bytes, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=length, salt=salt, info=info).derive(secret)


def vapid_claims(heard: Heard, public: str) -> dict[str, Any]:
    """Return the claims of a request's VAPID token, when its key is `public` and has signed it."""
    kind, _, rest = heard.headers["authorization"].partition(" ")
    fields = dict(part.strip().split("=", 1) for part in rest.split(","))
    assert kind == "vapid" and fields["k"] == public
    signed, _, signature = fields["t"].rpartition(".")
    raw = from_base64url(signature)
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), from_base64url(public))
    der = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
    key.verify(der, signed.encode(), ec.ECDSA(hashes.SHA256()))
    header, claims = (json.loads(from_base64url(part)) for part in signed.split("."))
    assert header == {"typ": "JWT", "alg": "ES256"}
    return claims
