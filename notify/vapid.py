"""Voluntary application server identification (RFC 8292): how a push service knows who sends.

The key pair is made of the service's own secret: nothing more has to be kept, and all processes of one database have
the same one.
"""

import hashlib
import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from urllib.parse import urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

PURPOSE = b"townwatch: web push"
LIFETIME_SECONDS = 12 * 3600
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of the curve P-256."""


def to_base64url(data: bytes) -> str:
    """Encode without padding, as all of web push is."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def from_base64url(text: str) -> bytes:
    """Decode with or without padding. Raises ValueError."""
    return urlsafe_b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4))


def raw_public(key: ec.EllipticCurvePublicKey) -> bytes:
    """Return a public key as an uncompressed point: 65 bytes."""
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


class Vapid:
    """The service's key pair for web push."""

    def __init__(self, secret: bytes, contact: str) -> None:
        """`secret`: the service's own. `contact`: a mailto: or https: address for the people of push services."""
        wide = b"".join(hmac.new(secret, PURPOSE + bytes([part]), hashlib.sha256).digest() for part in (0, 1))
        self._key = ec.derive_private_key(int.from_bytes(wide) % (_ORDER - 1) + 1, ec.SECP256R1())
        self._contact = contact
        self.public = to_base64url(raw_public(self._key.public_key()))
        """The key that browsers subscribe with (applicationServerKey)."""

    def authorization(self, endpoint: str, now_seconds: int) -> str:
        """Return the Authorization header for a push service."""
        parts = urlsplit(endpoint)
        claims = {"aud": f"{parts.scheme}://{parts.netloc}", "exp": now_seconds + LIFETIME_SECONDS}
        if self._contact:
            claims["sub"] = self._contact
        signed = f"{_json({'typ': 'JWT', 'alg': 'ES256'})}.{_json(claims)}"
        r, s = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        token = f"{signed}.{to_base64url(r.to_bytes(32) + s.to_bytes(32))}"
        return f"vapid t={token}, k={self.public}"


def _json(value: object) -> str:
    return to_base64url(json.dumps(value, separators=(",", ":")).encode())
