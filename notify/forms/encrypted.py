"""Encryption of web push (RFC 8291, aes128gcm of RFC 8188): only the browser that subscribed can read a message."""

import os

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from townwatch.notify.vapid import raw_public

RECORD = 4096
"""Bytes that every push service takes, all of a message."""
OVERHEAD = 16 + 4 + 1 + 65 + 1 + 16
MAX_PLAIN = RECORD - OVERHEAD
PAD = 512
"""Messages are padded to a multiple of so many bytes: their length tells less."""


def public_key(raw: bytes) -> ec.EllipticCurvePublicKey:
    """Read the key of a browser. Raises ValueError for what is no point on the curve."""
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), raw)


def encrypt(
    plain: bytes, browser: bytes, auth: bytes, *, key: ec.EllipticCurvePrivateKey | None = None, salt: bytes = b""
) -> bytes:
    """Encrypt one message in one record.

    Args:
        browser: its public key (p256dh), 65 bytes. `auth`: its secret, 16 bytes.
        key: made anew for each message; given only in tests, as `salt` is. Then nothing is padded.

    Raises:
        ValueError: it is longer than `MAX_PLAIN`, or `browser` is no key.
    """
    if len(plain) > MAX_PLAIN:
        raise ValueError(f"a push message has at most {MAX_PLAIN} bytes, this one {len(plain)}")
    padding = 0 if key is not None else min(-len(plain) % PAD, MAX_PLAIN - len(plain))
    key = key or ec.generate_private_key(ec.SECP256R1())
    salt = salt or os.urandom(16)
    own = raw_public(key.public_key())
    shared = key.exchange(ec.ECDH(), public_key(browser))
    secret = _derive(auth, shared, b"WebPush: info\0" + browser + own, 32)
    content_key = _derive(salt, secret, b"Content-Encoding: aes128gcm\0", 16)
    nonce = _derive(salt, secret, b"Content-Encoding: nonce\0", 12)
    sealed = AESGCM(content_key).encrypt(nonce, plain + b"\x02" + bytes(padding), None)
    return salt + RECORD.to_bytes(4) + bytes([len(own)]) + own + sealed


def _derive(salt: bytes, secret: bytes, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=length, salt=salt, info=info).derive(secret)
